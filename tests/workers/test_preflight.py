"""Preflight looks several times before a run begins, and asks again only the machines whose answer is in doubt."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from cluster.errors import ClusterUnreadable, MachineUnreachable
from cluster.examination import Examination
from cluster.inventory import Machine
from cluster.report import ClusterReport, Unread
from tests import scale_fixture as scale
from workers.preflight import Preflight

SIZE = 8
MINUTE = timedelta(minutes=1)


@dataclass
class Place:
    """A cluster on paper whose machines count who asks them; the silent ones do not answer."""

    report: ClusterReport = field(default_factory=lambda: scale.report(SIZE))
    silent: set[str] = field(default_factory=set)
    asked: list[str] = field(default_factory=list)
    away: bool = False  # the API
    now: datetime = scale.NOW

    @contextmanager
    def connect(self, name: str, machine: Machine) -> Iterator[Any]:  # noqa: ARG002 - the seam's signature
        self.asked.append(name)
        if name in self.silent:
            raise MachineUnreachable(f"{name} does not answer.")
        yield scale.PaperMachine(name)

    def see(self) -> tuple[ClusterReport, Examination]:
        if self.away:
            raise ClusterUnreadable("The API is away.")
        return self.report, Examination("prod", scale.NOW)

    def looks(self) -> Preflight:
        cluster = scale.settings(SIZE).clusters["prod"]
        return Preflight("prod", cluster, self.see, lambda: self.now, 10 * MINUTE, self.connect)

    def asked_since(self) -> set[str]:
        names, self.asked = set(self.asked), []
        return names


PLAN = scale.record(SIZE).plan
EVERYBODY = set(scale.names(SIZE))


def test_a_machine_that_ails_is_asked_again_and_no_other() -> None:
    """One dead link must not cost a survey of thousands; once it answers, nothing stands against the plan."""
    place = Place(silent={"w-2"})
    preflight = place.looks()
    assert [f.subject for f in preflight(PLAN)] == ["w-2"]
    assert place.asked_since() == EVERYBODY
    assert [f.subject for f in preflight(PLAN)] == ["w-2"]
    assert place.asked_since() == {"w-2"}
    place.silent.clear()
    assert preflight(PLAN) == ()
    assert place.asked_since() == {"w-2"}


def test_a_blocker_that_names_no_machine_asks_those_of_etcd_again() -> None:
    """What is said of the whole cluster rests on them, and on the API, which is read anew each time."""
    place = Place()
    preflight = place.looks()
    sound, servers = place.report, place.report.api_servers
    place.report = replace(sound, unread=(Unread("daemon sets", "Nobody may read them."),))
    assert [f.subject for f in preflight(PLAN)] == ["prod"]
    place.asked_since()
    place.report = replace(sound, api_servers=(replace(servers[0], ready=False), *servers[1:]))
    assert [f.subject for f in preflight(PLAN)] == ["cp-1"]
    assert place.asked_since() == set(scale.MASTERS)
    place.report = sound
    assert preflight(PLAN) == ()
    assert place.asked_since() == {"cp-1"}


def test_answers_stand_while_the_api_is_away_and_until_they_are_old() -> None:
    """A driver waits for the API; what the machines said ten minutes ago is no ground to begin on."""
    place = Place(away=True)
    preflight = place.looks()
    for asked in (EVERYBODY, set()):
        with pytest.raises(ClusterUnreadable):
            preflight(PLAN)
        assert place.asked_since() == asked
    place.away = False
    place.now += 9 * MINUTE
    assert preflight(PLAN) == ()
    assert place.asked_since() == set()
    place.now += 2 * MINUTE
    assert preflight(PLAN) == ()
    assert place.asked_since() == EVERYBODY
