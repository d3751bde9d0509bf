"""Five thousand machines: what is done for each of them does not grow with their number, and every message fits."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from bot.blocks import Message
from bot.fleet_card import render_fleet
from bot.plan_card import render_plan as plan_card
from bot.plan_views import details_view
from bot.report_card import render_report
from bot.run_card import render_run
from bot.run_thread import render_result
from bot.terminal import render_operation, render_plan
from cluster.errors import StaleMove, UnknownThing
from cluster.events import Event, Happened
from cluster.examination import Examination
from cluster.findings import Finding, Findings, Severity
from cluster.inventory import Cluster, Machine
from cluster.kube import PAGE, Kube
from cluster.observe import observe as read_report
from cluster.operation import Operation, OperationState, RowState
from cluster.outbox import OutboxItem, OutboxKind
from cluster.plan import PlanKind, PlanRecord
from cluster.procedure import Phase, itinerary
from cluster.report import ClusterReport
from cluster.requests import Answer, PlanRequest
from cluster.sighting import Sighting
from cluster.store import Decision, Store
from cluster.store.history import Entries
from cluster.store.ledger import record_events
from cluster.store.records import ROW
from cluster.survey import Survey
from cluster.versions import ReportedVersion
from lab.slack import limits
from lab.slack.lint import count_tables, count_text, lint_blocks, lint_view
from policies.fleet import line_of
from policies.foreign import find_foreign_changes
from policies.gate import check_gate
from policies.overview import look_over
from policies.pools import form_pools
from policies.preflight import check_preflight
from policies.simulation import simulate
from tests import scale_fixture as scale
from tests.redis_fixture import redis_server, redis_url, store
from tests.scale_api import AGENTS, big_api
from workers.progress import begin, cut_short, settle
from workers.proposals import Eyes, propose
from workers.schedule import MOST_HANDS, find_runnable
from workers.survey import parallel
from workers.watch import FRESH, Watch

__all__ = ["redis_server", "redis_url", "store"]  # pytest finds fixtures by name in this module

FEW, MANY = 1000, 4000
_SLACKNESS = 3.0  # a square would be 4; a machine that does much else makes the larger one dearer


def test_a_report_is_read_in_pages_and_once_each(tmp_path: Path) -> None:
    """As many requests as there are pages, the same bytes for each node, and nothing of it unread."""
    sent: dict[int, float] = {}
    for size in (FEW, MANY):
        with big_api(size, tmp_path) as (api, cluster), Kube.connect("prod", cluster) as kube:
            report = read_report("prod", cluster, now=scale.NOW, kube=kube)
            assert (len(report.nodes), report.unread) == (size, ())
            assert {a.name: len(a.nodes) for a in report.add_ons} == dict.fromkeys(AGENTS, size)
            assert api.asked["/api/v1/nodes"] == size // PAGE
            assert api.asked["/api/v1/namespaces/kube-system/pods"] == len(AGENTS) * size // PAGE + 1
            sent[size] = api.sent / size
    assert sent[MANY] < sent[FEW] * 1.1


FIRST_ROUND = (
    "/api/v1/nodes",
    "/api/v1/namespaces/kube-system",
    "/api/v1/namespaces/kube-system/pods",
    "/api/v1/namespaces/kube-system/configmaps/kubeadm-config",
    "/apis/coordination.k8s.io/v1/namespaces/kube-system/leases/lockkeeper",
    "/apis/policy/v1/poddisruptionbudgets",
    "/apis/apps/v1/daemonsets",
)


def test_a_report_takes_the_rounds_of_its_longest_list_and_two_more(tmp_path: Path) -> None:
    """All lists are begun together, then all API servers are asked together, and nothing is asked twice."""
    lists, servers = threading.Barrier(len(FIRST_ROUND)), threading.Barrier(len(scale.MASTERS))
    with big_api(10, tmp_path) as (api, cluster), Kube.connect("prod", cluster) as kube:
        plain = api.answer

        def answer(target: str) -> tuple[int, bytes]:
            path = target.partition("?")[0]
            meeting = lists if path in FIRST_ROUND else servers  # whoever is asked alone would wait in vain
            meeting.wait(10)
            return plain(target)

        api.answer = answer  # type: ignore[method-assign]
        report = read_report("prod", cluster, now=scale.NOW, kube=kube)
    assert (len(report.nodes), report.unread) == (10, ())
    assert api.asked == dict.fromkeys(FIRST_ROUND, 1) | dict.fromkeys(("/version", "/readyz"), len(scale.MASTERS))


def test_an_api_server_is_asked_while_pods_are_still_on_their_way(tmp_path: Path) -> None:
    """Its own pod comes among the first of thousands; nobody waits for the last of them."""
    asked, in_time = threading.Event(), []
    with big_api(200, tmp_path) as (api, cluster), Kube.connect("prod", cluster) as kube:
        plain = api.answer

        def answer(target: str) -> tuple[int, bytes]:
            if target == "/version":
                asked.set()
            if "/pods?" in target and "continue=" in target:
                in_time.append(asked.wait(10))
            return plain(target)

        api.answer = answer  # type: ignore[method-assign]
        report = read_report("prod", cluster, now=scale.NOW, kube=kube)
    assert in_time == [True]
    assert [s.node for s in report.api_servers] == list(scale.MASTERS)
    assert api.asked["/version"] == len(scale.MASTERS)


class Answers:
    """Takes what a worker proposes."""

    def __init__(self) -> None:
        self.proposed: list[PlanRecord] = []

    def operation(self, operation_id: str) -> Operation:
        raise UnknownThing(operation_id)

    def save_survey(self, survey: Survey) -> None:
        assert survey.machines

    def save_sighting(self, sighting: Sighting) -> None:
        assert sighting.basis.kubelets

    def open_plans(self) -> tuple[PlanRecord, ...]:
        return tuple(self.proposed)

    def ended(self, cluster: str, most: int) -> tuple[Operation, ...]:  # noqa: ARG002 - the seam's signature
        return ()

    def plan(self, plan_id: str) -> PlanRecord:
        raise UnknownThing(plan_id)

    def events(self, subject_id: str, after: str = "0", count: int | None = None) -> Entries:  # noqa: ARG002 - as above
        raise UnknownThing(subject_id)

    def plan_before(self, cluster: str, kind: PlanKind, request_id: str) -> PlanRecord | None:  # noqa: ARG002 - the seam's signature
        return self.proposed[-1] if self.proposed else None

    def propose(self, record: PlanRecord, event: Event) -> None:  # noqa: ARG002 - the seam's signature
        self.proposed.append(record)

    def answer_request(
        self,
        request_id: str,
        *,
        plan_ids: tuple[str, ...] = (),
        refusal: str = "",
        findings: Findings = (),
        event: Event | None = None,  # noqa: ARG002 - the seam's signature
    ) -> Answer:
        return Answer(request_id, plan_ids, refusal, findings)


@dataclass(frozen=True)
class Sight:
    """One cluster in the middle of its upgrade."""

    report: ClusterReport
    survey: Survey
    record: PlanRecord
    run: Operation
    size: int

    def gate(self) -> object:
        node = self.record.plan.nodes[-1]
        step = itinerary(self.record.plan, node)[self.run.rows[-1].position]
        return check_gate(
            record=self.record,
            approval=scale.approval(self.record),
            operation=self.run,
            report=self.report,
            step=step,
            node=node,
            settings=scale.settings(3),
            now=scale.NOW,
        )

    def anew(self) -> Sight:
        """With nothing worked out yet."""
        plan, run, report = replace(self.record.plan), replace(self.run), replace(self.report)
        return replace(self, record=replace(self.record, plan=plan), run=run, report=report)


@cache
def sight(size: int) -> Sight:
    survey = scale.survey(size)
    record = scale.record(size, survey)
    return Sight(scale.report(size), survey, record, scale.in_the_middle(record), size)


ENDED = scale.told(Happened.OPERATION_COMPLETED)
WORK: dict[str, Callable[[Sight], object]] = {
    "find-runnable": lambda s: find_runnable(s.record.plan, s.run, s.report, now=scale.NOW),
    "foreign-changes": lambda s: find_foreign_changes(s.record, s.run, s.report),
    "gate": lambda s: s.gate(),
    "cancelling": lambda s: cut_short(s.record.plan, s.run),
    "pools": lambda s: form_pools(s.report, scale.settings(3).clusters["prod"]),
    "preflight": lambda s: check_preflight(
        scale.seen(s.report, s.survey), scale.settings(3).clusters["prod"], target=None
    ),
    "simulation": lambda s: simulate(s.record.plan, s.report, s.survey),
    "run-card": lambda s: render_run(s.record, s.run, scale.NOW),
    "result": lambda s: render_result(ENDED, s.record, s.run, after=s.report),
    "status-on-a-terminal": lambda s: render_operation(s.run, s.record),
    "plan-on-a-terminal": lambda s: render_plan(s.record),
}


def _cost(work: Callable[[Sight], object], at: Sight) -> float:
    """Seconds of this thread's own, the least of three: what else the machine does is not counted."""
    spent = []
    for _ in range(3):
        fresh, before = at.anew(), time.thread_time()
        work(fresh)
        spent.append(time.thread_time() - before)
    return min(spent)


@pytest.mark.parametrize("name", WORK)
def test_the_cost_of_a_machine_does_not_grow_with_their_number(name: str) -> None:
    """Four times the machines cost about four times as much; looking each one up among all would cost sixteen."""
    few, many = _cost(WORK[name], sight(FEW)), _cost(WORK[name], sight(MANY))
    assert many / few < MANY / FEW * _SLACKNESS


def test_a_window_of_a_hundred_is_used_whole() -> None:
    """The pool's own limit says how many workers are away at once; undisturbed steps go as wide."""
    at = sight(FEW)
    run = scale.operation(at.record)
    turn = find_runnable(at.record.plan, run, at.report, now=scale.NOW)
    assert len(turn.nodes) == scale.WINDOW + 1  # and the control plane's one
    begun = next(
        n for n, s in enumerate(itinerary(at.record.plan, at.record.plan.nodes[-1])) if s.phase is Phase.WORKERS
    )
    last = [len(itinerary(at.record.plan, n)) - 1 for n in at.record.plan.nodes]
    is_worker = [r.node not in scale.MASTERS for r in run.rows]
    rows = tuple(replace(r, position=begun if w else e) for r, w, e in zip(run.rows, is_worker, last, strict=True))
    turn = find_runnable(at.record.plan, replace(run, rows=rows), at.report, now=scale.NOW)
    assert len(turn.nodes) == scale.WINDOW
    assert scale.WINDOW < MOST_HANDS


def test_a_survey_that_takes_hours_leaves_the_approver_the_whole_time_to_decide() -> None:
    """The plan starts from a report of after the survey, and expires that much later."""
    size, read, clock = 40, [], iter((0.0, 7200.0))

    @contextmanager
    def connect(name: str, machine: Machine) -> Iterator[Any]:
        yield scale.PaperMachine(name)

    def observe(name: str, cluster: Cluster, *, now: datetime) -> ClusterReport:
        read.append(now)
        return replace(scale.report(size), read_at=now)

    def examine(name: str, cluster: Cluster, report: ClusterReport, *, now: datetime) -> Examination:
        return Examination(name, now)

    request = PlanRequest("r-1", "plan", "prod", scale.NEW, "ada", "C0OPS", scale.NOW)
    kept = Answers()
    answer = propose(
        request,
        settings=scale.settings(size),
        store=kept,
        now=scale.NOW,
        eyes=Eyes(observe, examine, connect, lambda: next(clock)),
    )
    assert not answer.refusal
    late = scale.NOW + timedelta(hours=2)
    assert read == [scale.NOW, late]
    assert kept.proposed[0].expires_at == late + timedelta(hours=1)
    assert kept.proposed[0].basis.seen_at == late


def test_a_large_inventory_is_asked_wider() -> None:
    """A small one is not hurried, and no size opens hundreds of connections."""
    assert [parallel(n) for n in (3, 100, 1000, 5000, 50_000)] == [8, 8, 12, 62, 64]


@pytest.fixture
def counted(store: Store) -> Store:
    """A store with an approved run of 4,000 nodes, which nobody has read yet."""
    record = sight(MANY).record
    run = scale.operation(record)
    store.propose(record, scale.told(Happened.PLAN_PROPOSED, plan_id=record.id))
    approved = scale.told(Happened.PLAN_APPROVED, plan_id=record.id, operation_id=run.id)
    calls = _commands(store)
    outcome = store.approve(record, scale.approval(record, run.id), run, approved, scale.NOW)
    assert outcome.decision is Decision.APPROVED
    assert _commands(store, "evalsha") - calls <= 2  # one conditional write; a script that is new is sent once more
    return store


def _commands(store: Store, name: str = "evalsha") -> int:
    stats: dict[str, dict[str, int]] = store.client.info("commandstats")
    return stats.get(f"cmdstat_{name}", {}).get("calls", 0)


def _sent(store: Store) -> int:
    """Bytes that Redis has sent."""
    return int(store.client.info("stats")["total_net_output_bytes"])


def test_an_approval_creates_thousands_of_rows_in_one_call(counted: Store) -> None:
    """Plan, approval, lock and every row: all of them or nothing."""
    store = counted
    run = store.operation("op-1a2b3c4d")
    assert len(run.rows) == MANY
    assert run == replace(scale.operation(sight(MANY).record), fence=run.fence)


def test_a_move_of_one_node_reads_and_writes_that_node_alone(counted: Store) -> None:
    """The first reading takes everything; afterwards a driver's look and step cost the same in any cluster."""
    store = counted
    before = _sent(store)
    run = store.operation("op-1a2b3c4d")
    whole, before = _sent(store) - before, _sent(store)
    again = store.operation(run.id)
    assert again is run
    fence = store.take_lease(run.id, "driver", 60_000)
    fenced = store.operation(run.id)
    row = fenced.rows[-1]
    made = begin(fenced, row, itinerary(sight(MANY).record.plan, sight(MANY).record.plan.nodes[-1])[0], scale.NOW)
    store.move(fenced, made.after, fence=fence, events=made.events, token="t-1")
    assert store.operation(run.id) == replace(made.after, fence=fence or 0)
    assert _sent(store) - before < whole / 10


def test_two_readers_see_the_same_rows_and_so_does_one_who_was_away(redis_url: str, store: Store) -> None:
    """However many moves a reader has missed, and whoever else made them."""
    record = scale.record(8)
    run = scale.operation(record)
    store.propose(record, scale.told(Happened.PLAN_PROPOSED, plan_id=record.id))
    approved = scale.told(Happened.PLAN_APPROVED, plan_id=record.id, operation_id=run.id)
    store.approve(record, scale.approval(record, run.id), run, approved, scale.NOW)
    other, rows = Store.connect(redis_url), run.rows
    assert other.operation(run.id) == store.operation(run.id)
    for turn in range(450):
        now = store.operation(run.id)
        rows = tuple(replace(r, note=str(turn)) if n == turn % 8 else r for n, r in enumerate(now.rows))
        store.move(now, replace(now, rows=rows), fence=None, events=(), token=f"t-{turn}")
        if turn in {3, 4, 20}:
            assert other.operation(run.id).rows == rows
    assert other.operation(run.id).rows == rows
    other.close()


def test_a_row_that_was_written_past_the_store_is_seen_after_the_refusal(store: Store) -> None:
    """An older release writes no note of what it changed: the move is refused, and the next look takes everything."""
    record = scale.record(8)
    run = scale.operation(record)
    store.propose(record, scale.told(Happened.PLAN_PROPOSED, plan_id=record.id))
    approved = scale.told(Happened.PLAN_APPROVED, plan_id=record.id, operation_id=run.id)
    store.approve(record, scale.approval(record, run.id), run, approved, scale.NOW)
    now = store.operation(run.id)
    theirs = replace(now.rows[0], note="written by an older release")
    store.client.hset(f"lockkeeper:operation:{run.id}", "row:cp-1", ROW.dump_json(theirs).decode())
    ours = (replace(now.rows[0], note="ours"), *now.rows[1:])
    with pytest.raises(StaleMove):
        store.move(now, replace(now, rows=ours), fence=None, events=(), token="t-1")
    assert store.operation(run.id).rows[0] == theirs


def test_sending_one_of_many_messages_does_not_read_the_others(store: Store) -> None:
    """After an hour without Slack a thousand lines may wait."""
    lines = tuple(
        OutboxItem(f"line:{n}", OutboxKind.POST, "C0OPS", "", thread_of="run:op-1", event=ENDED) for n in range(1000)
    )
    assert store.outbox_ingest("0", "1-0", lines)
    before = _sent(store)
    assert len(store.outbox_pending()) == len(lines)
    whole, before = _sent(store) - before, _sent(store)
    store.outbox_sent("line:500", "1.0", "C0OPS")
    assert _sent(store) - before < whole / 10
    assert len(store.outbox_pending()) == len(lines) - 1


def test_a_cluster_that_takes_long_to_read_is_read_less_often() -> None:
    """A driver that only waits must not keep the API servers busy; whoever needs a newer report still gets one."""
    read: list[float] = []

    def observe() -> ClusterReport:
        read.append(time.monotonic())
        time.sleep(0.5)
        return sight(FEW).report

    watch = Watch(observe)
    watch.start()
    first = watch.read(newer_than=0.0, give_up=lambda: False)
    while time.monotonic() - read[0] < FRESH + 0.6:
        watch.newest(newer_than=0.0)
        time.sleep(0.05)
    assert first is not None
    assert len(read) == 1
    assert watch.read(newer_than=time.monotonic(), give_up=lambda: False) is not None
    assert len(read) > 1
    watch.close()


def test_the_events_of_a_large_run_are_read_in_pages(store: Store) -> None:
    """Each once and in order, from wherever one begins."""
    for first in range(0, 4500, 500):
        told = [replace(ENDED, operation_id="op-1", sentence=str(n)) for n in range(first, first + 500)]
        store.commit(token=f"t-{first}", checks=[], effects=record_events(*told))
    before = _commands(store, "xrange")
    found = store.events("op-1")
    assert [e.sentence for _, e in found] == [str(n) for n in range(4500)]
    assert _commands(store, "xrange") - before == 3
    assert [e.sentence for _, e in store.events("op-1", after=found[9][0], count=2500)][::2499] == ["10", "2509"]


LONG_NAME = "-" + "x" * 180 + ".eu-central-1.compute.internal"
AILMENTS: dict[str, Any] = {"swap": True, "unattended_upgrades": True, "pins": ("/etc/apt/preferences.d/kubernetes",)}


@cache
def worst_sight() -> Sight:
    """Names as long as they may be, every machine with the same ailments, a hundred kubelet versions, all in hand."""
    size = 5000
    survey, report = scale.survey(size, **AILMENTS), scale.report(size)
    survey = replace(survey, machines=tuple(replace(m, name=_long(m.name)) for m in survey.machines))
    mixed = tuple(
        replace(n, name=_long(n.name), kubelet=ReportedVersion.parse(f"v1.34.{i % 100}"))
        for i, n in enumerate(report.nodes)
    )
    record = scale.record(size, scale.survey(size, **AILMENTS))
    pools = tuple(replace(p, nodes=tuple(replace(n, name=_long(n.name)) for n in p.nodes)) for p in record.plan.pools)
    plan = replace(record.plan, pools=pools)
    kubelets = tuple((n.name, str(n.kubelet)) for n in mixed)
    record = replace(record, plan=plan, digest=plan.digest, basis=replace(record.basis, kubelets=kubelets))
    run = scale.in_the_middle(record)
    return Sight(replace(report, nodes=mixed), survey, record, run, size)


def _long(name: str) -> str:
    return name if name in scale.MASTERS else name + LONG_NAME


def _blocked(at: Sight) -> Sight:
    """Every machine in hand stopped, each with its own finding."""

    def block(node: str) -> Finding:
        return Finding(
            "drain-timed-out", Severity.BLOCKER, node, f"The drain of {node} timed out.", "Look at its pods."
        )

    rows = tuple(
        replace(r, state=RowState.BLOCKED, finding=block(r.node)) if r.state is RowState.STARTED else r
        for r in at.run.rows
    )
    made = settle(at.record, replace(at.run, rows=rows), scale.NOW)
    assert made is not None
    return replace(at, run=made.after)


def _messages(at: Sight) -> dict[str, Message]:
    stopped = _blocked(at)
    ended = tuple(replace(r, state=RowState.FINISHED) for r in at.run.rows)
    done = replace(at.run, state=OperationState.COMPLETED, rows=ended, ended_at=scale.NOW)
    blocked = scale.told(Happened.OPERATION_BLOCKED)
    cluster = scale.settings(3).clusters["prod"]
    seen = look_over(at.report, at.survey, cluster, installation="lockkeeper", known={}, now=scale.NOW)
    line = line_of("", seen)
    return {
        "report": render_report(seen),
        "fleet": render_fleet([replace(line, cluster=f"cluster-{n}") for n in range(5000)], "/k8s"),
        "plan": plan_card(at.record),
        "run": render_run(at.record, at.run, scale.NOW),
        "blocked run": render_run(at.record, stopped.run, scale.NOW),
        "blocked": render_result(blocked, at.record, stopped.run),
        "result": render_result(ENDED, at.record, done, after=at.report),
        "result as recorded": render_result(ENDED, at.record, done),
    }


def test_no_message_about_five_thousand_machines_is_refused() -> None:
    """Neither for its blocks nor for the length of all its texts together."""
    for name, message in _messages(worst_sight()).items():
        assert lint_blocks(list(message.blocks), "message") == (), name
        assert count_text(list(message.blocks)) <= limits.MESSAGE_TOTAL_TEXT, name
        assert count_tables(list(message.blocks)) <= limits.MESSAGE_TABLES, name
    assert lint_view(details_view(worst_sight().record)) == ()


def test_an_ailment_of_every_machine_hides_no_other() -> None:
    """Three kinds of findings on each of 5,000 machines are three lines on the card, each with its number."""
    text = str(plan_card(worst_sight().record).blocks)
    for code in ("swap-on", "unattended-upgrades", "version-pinned"):
        assert text.count(f"({code})") == 1
    assert text.count("The same of 4999 others") == len(AILMENTS)


def test_a_block_of_a_whole_window_is_said_shortly() -> None:
    """A few of the machines by name and the number of the others; each row keeps its own finding."""
    stopped = _blocked(sight(FEW)).run
    count = sum(1 for r in stopped.rows if r.state is RowState.BLOCKED)
    assert count == scale.WINDOW // 2
    assert stopped.reason.count("timed out") == 5
    assert stopped.reason.endswith(f"and {count - 5} more nodes")
