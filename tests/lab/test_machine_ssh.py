"""SSH in front of the lab's machines: who gets in, what runs, and how links break."""

import asyncio
import os

import asyncssh
import pytest

from lab.world import World
from tests.machine_fixture import Bench


@pytest.fixture(scope="module")
def bench():
    with World.start("small", speed=50) as world:
        bench = Bench(world)
        yield bench
        bench.close()


def test_a_command_runs_in_a_real_shell(bench):
    answer = bench.run("w1", "for i in 1 2; do echo $i; done; echo no >&2; exit 7")
    assert (answer.code, answer.out, answer.err) == (7, "1\n2\n", "no\n")


def test_every_machine_shows_its_own_pinned_host_key(bench):
    machines = bench.world.config()["clusters"]["lab"]["machines"]
    assert len({m["host_key"] for m in machines.values()}) == len(machines)

    async def seen(node: str) -> str:
        key = await asyncssh.get_server_host_key("127.0.0.1", machines[node]["port"], config=None)
        assert key is not None
        return key.get_fingerprint()

    for node, machine in machines.items():
        assert bench.world.call(lambda node=node: seen(node)) == machine["host_key"]


def test_only_the_lab_s_key_gets_in(bench):
    stranger = asyncssh.generate_private_key("ssh-ed25519")
    with pytest.raises(asyncssh.PermissionDenied):
        bench.world.call(lambda: bench.connect("w1", client_keys=[stranger]))
    with pytest.raises(asyncssh.PermissionDenied):
        bench.world.call(lambda: bench.connect("w1", client_keys=None, password="x"))


def test_a_large_output_arrives_whole(bench):
    out = bench.ok("w1", "head -c 3000000 /dev/zero | tr '\\0' x")
    assert out == "x" * 3_000_000


def test_a_cut_drops_the_link_and_not_the_command(bench):
    mark = bench.world.machines["w1"].root / "tmp/cut.mark"

    async def lose() -> bool:
        link = await bench.connect("w1")
        process = await link.create_process(f"echo go; sleep 0.3; echo done >{mark}")
        await process.stdout.readline()
        assert bench.world.machines["w1"].ssh.cut() > 0
        await asyncio.wait_for(link.wait_closed(), 10)
        for _ in range(500):
            if mark.exists():
                return True
            await asyncio.sleep(0.01)
        return False

    assert bench.world.call(lose)
    assert bench.ok("w1", "echo back") == "back\n"


def test_a_silent_wire_neither_answers_nor_ends(bench):
    bench.world.blackhole_ssh("w2")

    async def hangs() -> bool:
        try:
            await asyncio.wait_for(bench.connect("w2"), 0.5)
        except TimeoutError:
            return True
        return False

    assert bench.world.call(hangs)
    bench.world.blackhole_ssh("w2", silent=False)
    assert bench.ok("w2", "echo back") == "back\n"


def test_another_host_key_on_the_same_port(bench):
    before = bench.world.config()["clusters"]["lab"]["machines"]["w2"]
    bench.world.change_host_key("w2")
    after = bench.world.config()["clusters"]["lab"]["machines"]["w2"]
    assert after["port"] == before["port"]
    assert after["host_key"] != before["host_key"]


def test_no_tool_of_the_host_can_be_reached_by_a_dangerous_name(bench):
    for name in ("shutdown", "poweroff", "halt"):
        assert bench.run("w1", name).code == 127


def test_nothing_is_left_when_a_world_ends(tmp_path):
    with World.start("small", speed=50, directory=tmp_path / "w") as world:
        bench = Bench(world)
        bench.ok("w1", "systemd-run --unit=lingering -- sleep 3600")
        pid = bench.ok("w1", "systemctl show lingering -p MainPID --value").strip()
        bench.close()
    with pytest.raises(ProcessLookupError):
        os.kill(int(pid), 0)


def test_a_world_can_end_in_the_middle_of_a_command(tmp_path):
    """The command is killed and waited for: nothing dangles, no warning is raised."""
    with World.start("small", speed=50, directory=tmp_path / "w") as world:
        bench = Bench(world)

        async def begin() -> None:
            link = await bench.connect("w1")
            process = await link.create_process("echo $$; sleep 3600")
            pids.append(int(str(await process.stdout.readline())))

        pids: list[int] = []
        world.call(begin)
    with pytest.raises(ProcessLookupError):
        os.kill(pids[0], 0)
