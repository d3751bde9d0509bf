"""Clusters are read side by side: none waits for another, and none is left out."""

from __future__ import annotations

import threading
from dataclasses import replace
from datetime import timedelta

import pytest

from bot.sights import AT_ONCE, Sights
from cluster.errors import ClusterUnreadable, StoreUnavailable
from cluster.events import Happened
from cluster.operation import OperationState
from cluster.versions import ReportedVersion
from policies.fleet import Standing
from tests.bot_fixture import NOW, record, report, settings

NAMES = tuple(f"c-{n:02}" for n in range(20))


class PaperStore:
    """Knows one run, and the plans that wait; `away` is what it says when it cannot be asked."""

    def __init__(self, away=None, waiting=()):
        self.away, self.waiting = away, waiting
        self.seen, self.voided = [], []

    def open_plans(self):
        return self.waiting

    def save_sighting(self, sighting):
        self.seen.append(sighting)

    def void(self, plan_id, reason, now, event):
        self.voided.append((plan_id, reason, now, event.kind))

    def survey(self, _):
        if self.away:
            raise self.away

    def sources(self, _):
        """Nobody asked the package sources."""

    def states(self, ids):
        return {i: OperationState.RUNNING for i in ids if i == "op-1a2b3c4d"}


def sights(observe, *, store=None, names=NAMES, patience=5.0):
    chosen = settings()
    clusters = dict.fromkeys(names, chosen.clusters["prod"])
    chosen = chosen.model_copy(update={"clusters": clusters})
    return Sights(chosen, store or PaperStore(), observe, lambda: NOW, patience)


def test_clusters_are_read_at_the_same_time_within_a_bound():
    """As many as are allowed meet; one more than that never would."""
    meeting, now, most = threading.Barrier(AT_ONCE), [], []
    lock = threading.Lock()

    def observe(name):
        with lock:
            now.append(name)
            most.append(len(now))
        if name in NAMES[:AT_ONCE]:
            meeting.wait(5)
        with lock:
            now.remove(name)
        return report(name)

    assert len(sights(observe).fleet()) == len(NAMES)
    assert max(most) == AT_ONCE


def test_a_cluster_that_hangs_costs_its_own_time_and_has_its_line():
    """The others are there."""
    release = threading.Event()

    def observe(name):
        if name == "c-03":
            release.wait(30)
        return report(name)

    first, *others = sights(observe, patience=0.2).fleet()
    release.set()
    assert (first.cluster, first.standing) == ("c-03", Standing.UNREADABLE)
    assert first.note == "`c-03` did not answer within 0.2 s."
    assert len(others) == len(NAMES) - 1
    assert all(o.standing is not Standing.UNREADABLE for o in others)


@pytest.mark.parametrize(
    ("error", "note"),
    [
        (ClusterUnreadable("c-00 does not answer: look at its API server."), "c-00 does not answer"),
        (KeyError("secret-detail"), "lockkeeper itself failed on it (KeyError): look at its log."),
    ],
)
def test_a_cluster_that_cannot_be_read_has_its_line(error, note, caplog):
    """A mistake of ours included, of which only the log tells more."""

    def observe(name):
        if name == "c-00":
            raise error
        return report(name)

    (line,) = (one for one in sights(observe).fleet() if one.standing is Standing.UNREADABLE)
    assert line.cluster == "c-00"
    assert line.note.startswith(note)


def test_a_report_comes_also_while_redis_is_away():
    """Without its record nothing is said of runs and surveys, and that is said."""
    leased = replace(report("prod"), lease_holder="lockkeeper/op-1a2b3c4d")
    seen = sights(lambda _: leased, store=PaperStore(StoreUnavailable("Redis is away.")), names=("prod",)).overview(
        "prod"
    )
    assert "what is on record" in {u.what for u in seen.unread}
    assert not {"traces-without-record", "run-in-hand"} & {f.code for f in seen.findings}
    there = sights(lambda _: leased, names=("prod",)).overview("prod")
    assert "run-in-hand" in {f.code for f in there.findings}


@pytest.mark.parametrize(
    ("version", "expected"),
    [
        ("v1.34.7", []),
        ("v1.35.0", ["The API server on cp-1 is v1.35.0, and was v1.34.7 when the plan was made."]),
    ],
)
def test_whoever_looks_at_a_cluster_voids_the_plan_that_it_moved_away_from(version, expected):
    """A report is read long before a plan is looked at again; other clusters' plans are left alone."""
    seen = replace(report(), read_at=NOW + timedelta(minutes=5), identity=replace(record().plan.identity, ca_hash="x"))
    first, *others = seen.api_servers
    moved = replace(seen, api_servers=(replace(first, version=ReportedVersion.parse(version)), *others))
    elsewhere = record(id="p-99999999", plan=replace(record().plan, identity=replace(seen.identity, name="other")))
    store = PaperStore(waiting=(record(), elsewhere))
    sights(lambda _: moved, store=store, names=("prod",)).overview("prod")
    assert store.voided == [("p-1a2b3c4d", reason, NOW, Happened.PLAN_VOIDED) for reason in expected]
    assert len(store.seen) == 1


def test_a_report_without_a_plan_that_waits_writes_nothing():
    """Looking at a cluster stays as cheap as it was."""
    store = PaperStore()
    sights(lambda _: report(), store=store, names=("prod",)).overview("prod")
    assert (store.seen, store.voided) == ([], [])
