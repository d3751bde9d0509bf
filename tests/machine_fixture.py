"""Commands on a lab's machines over real SSH, and recorded answers to hold theirs against."""

import re
from dataclasses import dataclass
from pathlib import Path

import asyncssh

from lab.sshd import USER
from lab.world import World

RECORDINGS = Path(__file__).parent / "recordings" / "machines"
SPEED = 200.0


@dataclass(frozen=True)
class Answer:
    """What a command printed and how it ended."""

    code: int | None
    out: str
    err: str


class Bench:
    """One SSH connection per machine, kept until it breaks."""

    def __init__(self, world: World) -> None:
        self.world = world
        self._links: dict[str, asyncssh.SSHClientConnection] = {}

    def run(self, node: str, command: str) -> Answer:
        return self.world.call(lambda: self._run(node, command))

    def ok(self, node: str, command: str) -> str:
        """The output of a command that must succeed."""
        answer = self.run(node, command)
        assert answer.code == 0, answer
        return answer.out

    def noticed_cut(self) -> None:
        """Wait until every kept connection has noticed its end, so that the next command makes a new one."""

        async def end() -> None:
            for link in self._links.values():
                await link.wait_closed()

        self.world.call(end)

    async def _run(self, node: str, command: str) -> Answer:
        link = self._links.get(node)
        if link is None or link.is_closed():
            link = self._links[node] = await self.connect(node)
        done = await link.run(command)
        return Answer(done.exit_status, str(done.stdout), str(done.stderr))

    async def connect(self, node: str, **options: object) -> asyncssh.SSHClientConnection:
        machine = self.world.config()["clusters"]["lab"]["machines"][node]
        chosen = {"username": USER, "client_keys": [str(machine["key_file"])], "known_hosts": None, **options}
        return await asyncssh.connect("127.0.0.1", machine["port"], agent_path=None, config=None, **chosen)

    def close(self) -> None:
        async def end() -> None:
            for link in self._links.values():
                link.abort()

        self.world.call(end)


def recorded(name: str) -> Answer:
    """A recording as it should compare: without what differs from host to host."""
    parts = [RECORDINGS / f"{name}.{kind}" for kind in ("stdout", "stderr")]
    out, err = (p.read_text(encoding="utf-8") if p.exists() else "" for p in parts)
    return Answer(None, plain(out), plain(err))


def plain(text: str) -> str:
    """Addresses, times, numbers of temporary folders and log headers made equal; warnings of klog left out."""
    text = "".join(line for line in text.splitlines(keepends=True) if not re.match(r"[WE]\d{4} ", line))
    for pattern, stand_in in (
        (r"http://[^/ ]+/core:/stable:", "BASE"),
        (r"packages\.lab:8000|\d+\.\d+\.\d+\.\d+:800\d", "HOST"),
        (r"\(packages\.lab\)|\(\d+\.\d+\.\d+\.\d+\)", "(HOST)"),
        (r"\b\d+\.\d+\.\d+\.\d+:\d{4,5}\b", "ENDPOINT"),
        (r"\d{4}-\d\d-\d\d-\d\d-\d\d-\d\d", "STAMP"),
        (r"upgraded-manifests\d+", "upgraded-manifests0"),
        (r"upgrade-health-check-\d+", "upgrade-health-check-0"),
    ):
        text = re.sub(pattern, stand_in, text)
    return text
