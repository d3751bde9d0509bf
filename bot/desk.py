"""What every verb on a terminal needs: the settings, what is on record, who types, and what they mean."""

from __future__ import annotations

import getpass
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from bot.sights import Sights
from bot.sources import Sources
from cluster.errors import Refused, UnknownThing
from cluster.events import Event, Happened
from cluster.glance import glance
from cluster.operation import Operation
from cluster.queues import Wakeups
from cluster.report import ClusterReport
from cluster.requests import Answer
from cluster.settings import Settings
from cluster.signing import fingerprint
from cluster.store import Store
from policies.fleet import FleetLine
from policies.overview import Overview

ASK_EVERY = 0.3  # seconds between two looks for an answer


@dataclass(frozen=True, slots=True)
class Desk:
    """The verbs that ask, decide and steer are functions of one, in the modules named after them."""

    settings: Settings
    store: Store
    wakeups: Wakeups

    @property
    def person(self) -> str:
        """Who types: the person of `people:` whose `logins` name this login; raises Refused for a stranger."""
        login = getpass.getuser()
        for name, person in self.settings.people.items():
            if login in person.logins:
                return name
        raise Refused(f"Nobody in `people` has the login `{login}`: add it to your `logins` in lockkeeper.yaml.")

    def versions(self, cluster: str | None) -> Overview | tuple[FleetLine, ...]:
        """One cluster, or a line of each where none is named and there are several."""
        if cluster is None and len(self.settings.clusters) > 1:
            return self.sights.fleet()
        return self.sights.overview(self.settings.cluster(cluster)[0])

    def renewed(self, cluster: str | None, timeout: float) -> Overview:
        """One cluster, with what its package sources offer just now; a report that could not ask says why."""
        seen = self.sights.overview(self.settings.cluster(cluster)[0])
        return Sources(self.sights, self.wakeups, timeout).renew(seen)

    @property
    def sights(self) -> Sights:
        """How clusters are seen: with what is on record."""
        return Sights(self.settings, self.store, self._observe, _now)

    def _observe(self, name: str) -> ClusterReport:
        return glance(name, self.settings.clusters[name], now=_now())

    def wait_for_answer(self, request_id: str, timeout: float) -> Answer:
        """What a worker says to a request; raises Refused where none does in time."""
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            if answer := self.store.answer(request_id):
                return answer
            time.sleep(ASK_EVERY)
        raise Refused(
            f"No worker answered within {timeout:.0f} s; the request {request_id} is kept and will be answered: "
            "start one with `lockkeeper worker`, or look with `lockkeeper status`."
        )

    def signer(self, key_file: Path) -> tuple[str, str]:
        """Whose key this is, and its public line; raises Refused for a stranger's."""
        public = key_file if key_file.suffix == ".pub" else key_file.with_name(key_file.name + ".pub")
        try:
            line = public.read_text(encoding="utf-8").strip()
        except OSError as error:
            raise Refused(
                f"The public key {public} cannot be read ({error.strerror}): name your key with --key."
            ) from error
        mark = fingerprint(line)
        for name, person in self.settings.people.items():
            if mark and any(fingerprint(known) == mark for known in person.ssh_keys):
                return name, line
        raise Refused(f"The key {public} belongs to nobody in `people`: add it to your `ssh_keys` in lockkeeper.yaml.")

    def operation(self, which: str | None, cluster: str | None = None) -> Operation:
        """The named operation, else the running one of the cluster, else its last."""
        if which is not None:
            return self.store.operation(which)
        name, _ = self.settings.cluster(cluster)
        holder = self.store.lock_holder(name)
        if holder:
            return self.store.operation(holder)
        known = self.store.operations(name, most=1)
        if not known:
            raise UnknownThing(f"Nothing has run on `{name}` yet: {self._first_step(name)}.")
        return known[0]

    def _first_step(self, cluster: str) -> str:
        """What leads to a run of a cluster that had none."""
        waiting = next((r for r in self.store.open_plans() if r.plan.cluster == cluster), None)
        if waiting is None:
            return f"make a plan with `lockkeeper plan v1.35 {cluster}`"
        return f"the plan {waiting.id} waits for somebody's `lockkeeper approve {waiting.id}`"

    def event(self, kind: Happened, operation: Operation, sentence: str) -> Event:
        """What somebody does here to an operation, as its thread tells it."""
        return Event(
            kind,
            _now(),
            operation.cluster,
            sentence,
            plan_id=operation.plan_id,
            operation_id=operation.id,
            person=self.person,
        )


def _now() -> datetime:
    return datetime.now(UTC)
