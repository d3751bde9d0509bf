"""The package sources asked at few machines: the second where the first does not answer, and whatever fails is said."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from cluster.errors import MachineUnreachable
from cluster.facts import Offer, OfferState
from cluster.inventory import Machine
from cluster.offers import Source, SourcesTold, WantedOffers
from cluster.versions import Minor
from tests.policies_fixture import NOW, make_cluster, make_offers
from workers.sources import ask_sources

MINORS = (Minor(1, 34), Minor(1, 35))
MACHINES = make_cluster().machines
THERE = make_offers("1.34.9-1.1", "1.35.4-1.1")[:2]
AWAY = tuple(Offer(m, OfferState.UNREACHABLE, reason="Could not resolve host") for m in MINORS)


class Paper:
    """Machines that answer what they are told to, and remember who was asked."""

    def __init__(self, **answers: tuple[Offer, ...]) -> None:
        self.answers, self.asked = answers, list[str]()

    @contextmanager
    def reach(self, name: str, machine: Machine) -> Iterator[Any]:
        assert machine is MACHINES[name]
        self.asked.append(name)
        if name not in self.answers:
            raise MachineUnreachable(f"{name} cannot be reached")
        yield _Asked(self.answers[name])


class _Asked:
    def __init__(self, told: tuple[Offer, ...]) -> None:
        self._told = told

    def version(self) -> int:
        return 1

    def offers(self, minors: tuple[Minor, ...]) -> tuple[Offer, ...]:
        return tuple(o for o in self._told if o.minor in minors)


def ask(paper: Paper, *sources: Source) -> SourcesTold:
    return ask_sources(WantedOffers("a-1", "prod", MINORS, sources), MACHINES, NOW, paper.reach)


def test_a_source_is_asked_at_one_machine() -> None:
    """The others have the same."""
    paper = Paper(cp1=THERE, cp2=THERE)
    told = ask(paper, Source("x", ("cp1", "cp2")))
    assert (told.id, told.cluster, told.read_at, told.is_whole) == ("a-1", "prod", NOW, True)
    assert (told.answers[0].machine, told.answers[0].offers) == ("cp1", THERE)
    assert paper.asked == ["cp1"]


def test_where_the_first_does_not_answer_the_second_is_asked() -> None:
    """Whether it cannot be reached, or cannot reach its source."""
    for paper in (Paper(cp2=THERE), Paper(cp1=AWAY, cp2=THERE)):
        (answer,) = ask(paper, Source("x", ("cp1", "cp2", "cp3"))).answers
        assert (answer.machine, answer.offers, answer.reason) == ("cp2", THERE, "")


def test_a_third_machine_is_never_asked() -> None:
    """Both reasons are said; what one of them could tell is kept."""
    paper = Paper(cp2=(THERE[0], AWAY[1]), cp3=THERE)
    (answer,) = ask(paper, Source("x", ("cp1", "cp2", "cp3"))).answers
    assert paper.asked == ["cp1", "cp2"]
    assert (answer.machine, answer.minors) == ("cp2", {MINORS[0]})
    assert answer.reason == "cp1: cp1 cannot be reached; cp2: v1.35: Could not resolve host"


def test_a_source_that_has_none_of_a_minor_has_told() -> None:
    """An old line may be gone."""
    paper = Paper(cp1=make_offers("1.35.4-1.1")[:2])
    assert ask(paper, Source("x", ("cp1", "cp2"))).is_whole
    assert paper.asked == ["cp1"]


def test_nobody_is_asked_who_is_not_in_the_inventory() -> None:
    """Whatever stands in Redis: the host keys are ours."""
    paper = Paper(cp1=THERE)
    (answer,) = ask(paper, Source("x", ("stranger",))).answers
    assert "not in the configuration" in answer.reason
    assert paper.asked == []


def test_of_many_sources_only_so_many_are_asked() -> None:
    """Whatever stands in Redis."""
    paper = Paper(**dict.fromkeys(MACHINES, THERE))
    assert len(ask(paper, *(Source(f"{n}", ("w1",)) for n in range(30))).answers) == 8
