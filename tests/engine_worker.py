"""A worker process for tests: the real OpsWorker and engine over machines that are files in a folder."""

from __future__ import annotations

import gc
import json
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from cluster.procedure import Verb
from cluster.queues import JobName
from cluster.store import Store
from tests.engine_fixture import plan, record, settings
from tests.engine_yard import Machine, Yard
from workers import jobs
from workers.crew import Crew
from workers.engine import drive
from workers.node_script.attempts import AttemptState, PollAnswer
from workers.process import ListedJob, work
from workers.site import Site, StepDone

SMALL = plan(("cp-1",), ("w-1",))
LASTS = 0.4  # seconds that a remote command takes
REMOTE = frozenset({Verb.APPLY, Verb.UPGRADE_NODE, Verb.INSTALL_KUBELET, Verb.DRAIN})


class FileMachine(Machine):
    """Its attempts are files: one that is there has been started."""

    def __init__(self, name: str, folder: Path) -> None:
        super().__init__(name)
        self._folder = folder

    def start(self, attempt: str, fence: int, verb: str, *args: str) -> Any:  # noqa: ARG002 - the seam's signature
        try:
            with (self._folder / attempt).open("x", encoding="utf-8") as file:
                file.write(json.dumps({"verb": verb, "until": time.time() + LASTS}))
        except FileExistsError:
            with (self._folder / "attached").open("a", encoding="utf-8") as file:
                file.write(f"{attempt}\n")

    def poll(self, attempt: str, offset: int = 0, seconds: int = 0) -> PollAnswer:  # noqa: ARG002 - the seam's signature
        if not (self._folder / attempt).exists():
            return PollAnswer(AttemptState.ABSENT, None, 0, "boot", b"")
        text = (self._folder / attempt).read_text(encoding="utf-8")
        done = not text or time.time() > json.loads(text)["until"]
        return PollAnswer(AttemptState.DONE if done else AttemptState.RUNNING, 0 if done else None, 0, "boot", b"")


def perform(site: Site) -> StepDone:
    """A step that starts a command and polls it, or one that is done at once."""
    if site.step.verb in REMOTE:
        site.check_lease()
        site.machine.start(site.attempt_id, site.fence, site.step.verb)
        while site.machine.poll(site.attempt_id).state is AttemptState.RUNNING:
            site.wait(0.05)
    return StepDone(f"{site.step.verb} of {site.node.name} is done.")


def crew(store: Store, lease_store: Store, folder: Path) -> Crew:
    yard = Yard(record(SMALL), folder / "unused", settings=settings(("cp-1", "w-1")))

    @contextmanager
    def machine(name: str) -> Iterator[Machine]:
        yield FileMachine(name, folder)

    return replace(yard.crew(store), lease_store=lease_store, machine=machine, perform=perform)


def move_on(operation_id: str) -> None:
    """What `workers.jobs.drive` is here."""
    url, folder = os.environ["REDIS_URL"], Path(os.environ["ENGINE_FOLDER"])
    with (folder / "drivers").open("a", encoding="utf-8") as file:
        file.write(f"{os.getpid()} {os.getppid()}\n")
    (folder / "frozen").write_text(str(gc.get_freeze_count()), encoding="utf-8")
    drive(crew(Store.connect(url), Store.connect(url), folder), operation_id, stop=jobs.STOP)


class TestedJob(ListedJob):
    """The same list, with machines that are files."""

    functions = {JobName.DRIVE: move_on}  # noqa: RUF012 - as declared in ListedJob


if __name__ == "__main__":
    sys.exit(work(settings(("cp-1", "w-1")), TestedJob))
