"""Hooks run at their moment, once per attempt, as root and the file allow; one that fails has an end in words."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from cluster.errors import Refused
from cluster.hooks import Moment, OnFailure, PlanHook
from cluster.inventory import Hook
from cluster.operation import Operation, OperationState, RowState, Wish, schedule
from cluster.options import DrainMode, Options
from cluster.plan import UpgradePlan
from cluster.procedure import LATER_HOOKS, Verb, itinerary
from cluster.steering import skipped, wished
from tests.engine_fixture import NOW, record
from tests.engine_fixture import plan as engine_plan
from tests.workers.lab_walk import walking
from tests.workers.runbook_fixture import SETTINGS, Bench
from workers.progress import block, cut_short, finish
from workers.runbook import Site, StepBlocked, StepDone, Yielded, perform

SECRET = "whsec_" + base64.b64encode(b"between the two of us").decode()


@dataclass
class Receiver:
    """A webhook on this host: it answers what it is told to, then 204."""

    address: str = ""
    answers: list[tuple[int, str]] = field(default_factory=list)
    got: list[tuple[dict[str, str], bytes]] = field(default_factory=list)

    @property
    def names(self) -> list[str]:
        return [headers["webhook-id"] for headers, _ in self.got]


@contextmanager
def receiving() -> Iterator[Receiver]:
    receiver = Receiver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            receiver.got.append(({k.lower(): v for k, v in self.headers.items()}, body))
            status, said = receiver.answers.pop(0) if receiver.answers else (204, "")
            self.send_response(status)
            if status == 302:
                self.send_header("Location", "/elsewhere")
            self.end_headers()
            self.wfile.write(said.encode())

        def log_message(self, *_: object) -> None:
            """Quietly."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    receiver.address = f"http://127.0.0.1:{server.server_port}/hooks/t0k3n"
    try:
        yield receiver
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as made:
        yield made


def command(moment: Moment, name: str = "leave-balancer", **changes: Any) -> PlanHook:
    return replace(PlanHook(moment, name, 300), **changes)


def with_hooks(bench: Bench, *hooks: PlanHook) -> Bench:
    bench.plan = replace(bench.plan, hooks=hooks)
    return bench


def webhook(bench: Bench, receiver: Receiver, tmp_path: Path, moment: Moment, **more: Any) -> Site:
    """The site of a step whose only hook is this receiver."""
    (tmp_path / "secret").write_text(SECRET)
    hook = Hook(webhook=receiver.address, secret={"file": tmp_path / "secret"}, **more)
    with_hooks(bench, hook.planned(moment))
    cluster = SETTINGS.clusters["lab"].model_copy(update={"hooks": {moment: (hook,)}})
    settings = SETTINGS.model_copy(update={"clusters": {"lab": cluster}})
    name = "w1" if moment in {Moment.PRE_DRAIN, Moment.POST_UPGRADE} else "cp1"
    return replace(bench.site(name, Verb(moment)), settings=settings)


def verbs(plan: UpgradePlan, name: str) -> list[Verb]:
    node = plan.node(name)
    assert node is not None
    return [step.verb for step in itinerary(plan, node)]


ALL = tuple(command(moment) for moment in Moment)


def test_each_moment_stands_where_its_name_says() -> None:
    """Around the run, on the first control plane; and around each drain, before it with the pods still there."""
    plan = with_hooks(Bench("1.35.4", "1.36.2"), *ALL).plan
    first, other, worker = (verbs(plan, name) for name in ("cp1", "cp2", "w1"))
    assert (first[0], first[-2:]) == (Verb.PRE_RUN, [Verb.UNHOLD, Verb.POST_RUN])
    assert {Verb.PRE_RUN, Verb.POST_RUN}.isdisjoint((*other, *worker))
    for way in (first, other, worker):
        around = [v for v in way if v in {Verb.CORDON, Verb.PRE_DRAIN, Verb.DRAIN, Verb.UNCORDON, Verb.POST_UPGRADE}]
        assert around == 2 * [Verb.CORDON, Verb.PRE_DRAIN, Verb.DRAIN, Verb.UNCORDON, Verb.POST_UPGRADE]


def test_nobody_does_anything_before_the_hooks_of_the_run_or_after_those_at_its_end() -> None:
    """They have stages of their own."""
    plan = with_hooks(Bench(), *ALL).plan
    stages = [[s.stage for s in itinerary(plan, node)] for node in plan.nodes]
    assert stages[0][0] < min(s for way in stages[1:] for s in way)
    assert stages[0][-1] > max(s for way in stages[1:] for s in way)
    assert stages[0] == sorted(stages[0])


def test_a_plan_without_hooks_has_no_such_step_and_keeps_its_digest() -> None:
    """Each hook is part of what is approved: its moment, its name, its time and what its failure does."""
    plain = Bench().plan
    assert not set(Moment) & set(verbs(plain, "cp1"))
    hook = command(Moment.PRE_DRAIN)
    others = (
        hook,
        replace(hook, name="other"),
        replace(hook, timeout=5),
        replace(hook, on_failure=OnFailure.GO_ON),
        replace(hook, moment=Moment.POST_RUN),
        replace(hook, address_sha256="a" * 64),
    )
    assert len({plain.digest, *(replace(plain, hooks=(h,)).digest for h in others)}) == 1 + len(others)


def test_a_command_is_asked_for_by_its_name_and_nothing_else() -> None:
    """With the moment, the version and its time, under an attempt id of its own."""
    bench = with_hooks(Bench(), command(Moment.PRE_DRAIN), command(Moment.PRE_DRAIN, "tell-pager", timeout=5))
    done = perform(bench.site("w1", Verb.PRE_DRAIN))
    assert done == StepDone(
        "Hooks pre-drain on w1: `leave-balancer`, `tell-pager` ran.", {"hooks": "`leave-balancer`, `tell-pager`"}
    )
    assert bench.w1.started == [
        ("op-11112222-n0-s0-a1-h0", ("hook", "leave-balancer", "pre-drain", "v1.35.4", "300")),
        ("op-11112222-n0-s0-a1-h1", ("hook", "tell-pager", "pre-drain", "v1.35.4", "5")),
    ]


def test_a_driver_that_takes_over_attaches_to_the_hook() -> None:
    """The machine runs an attempt once."""
    bench = with_hooks(Bench(), command(Moment.POST_UPGRADE))
    bench.w1.looks = 50
    site = bench.site("w1", Verb.POST_UPGRADE)
    with pytest.raises(Yielded):
        perform(replace(site, sleep=lambda _: setattr(bench, "stopped", True)))
    bench.stopped = False
    perform(site)
    assert bench.w1.words == ["hook leave-balancer post-upgrade v1.35.4 300"]


def test_a_retry_never_starts_a_hook_beside_itself() -> None:
    """Whoever retries after a cut link finds it still running: its end is waited for, and counts."""
    bench = with_hooks(Bench(), command(Moment.POST_UPGRADE))
    bench.w1.looks = 50
    first = bench.site("w1", Verb.POST_UPGRADE)
    with pytest.raises(Yielded):
        perform(replace(first, sleep=lambda _: setattr(bench, "stopped", True)))
    bench.stopped = False
    done = perform(bench.site("w1", Verb.POST_UPGRADE, attempt=2))
    assert bench.w1.words == ["hook leave-balancer post-upgrade v1.35.4 300"]
    assert done.facts == {"hooks": "`leave-balancer`"}
    perform(bench.site("w1", Verb.POST_UPGRADE, attempt=3))
    assert len(bench.w1.words) == 2  # what has ended is run anew


def test_a_failed_hook_blocks_with_its_own_words_and_no_later_one_runs() -> None:
    """What comes before is a condition, what comes after may be left out by a person."""
    bench = with_hooks(Bench(), command(Moment.PRE_DRAIN), command(Moment.PRE_DRAIN, "second"))
    bench.w1.ends["hook"] = (5, b"[lockkeeper] running the hook\nthe balancer says no\n")
    with pytest.raises(StepBlocked) as caught:
        perform(bench.site("w1", Verb.PRE_DRAIN))
    finding = caught.value.finding
    assert (finding.code, finding.sentence) == (
        "hook-failed",
        "The hook `leave-balancer` failed on w1 (exit 5): the balancer says no",
    )
    assert "skip" not in finding.remedy
    assert len(bench.w1.words) == 1


def test_a_hook_may_fail_where_the_file_says_so() -> None:
    """It is told, and the next one runs."""
    first = command(Moment.POST_UPGRADE, on_failure=OnFailure.GO_ON)
    bench = with_hooks(Bench(), first, first)
    bench.w1.ends["hook"] = (5, b"no\n")
    done = perform(bench.site("w1", Verb.POST_UPGRADE))
    assert done.facts["failed"] == "`leave-balancer`, `leave-balancer`"
    assert (
        bench.told
        == ["The hook `leave-balancer` failed on w1 (exit 5): no. The run goes on, as this hook is configured."] * 2
    )


def test_a_patch_that_restarts_in_place_runs_no_hook_before_a_drain() -> None:
    """There is none."""
    bench = with_hooks(Bench("1.34.9", options=Options(drain=DrainMode.MINOR_ONLY)), command(Moment.PRE_DRAIN))
    assert perform(bench.site("w1", Verb.PRE_DRAIN)).sentence == "w1 is not drained, so that no hook runs before it."
    assert bench.w1.words == []


# ---- webhooks


def test_a_message_is_signed_and_says_what_happens(receiver: Receiver, tmp_path: Path) -> None:
    """As the receivers' own libraries check it: name, moment and body, with the secret of the file."""
    site = webhook(Bench("1.35.4"), receiver, tmp_path, Moment.PRE_DRAIN)
    done = perform(site)
    ((headers, body),) = receiver.got
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    digest = hmac.new(b"between the two of us", signed, hashlib.sha256).digest()
    assert headers["webhook-signature"] == f"v1,{base64.b64encode(digest).decode()}"
    assert headers["webhook-id"] == "op-11112222-n0-s0-a1-h0"
    message = json.loads(body)
    assert message["type"] == "lockkeeper.pre-drain"
    assert message["data"] == {
        "cluster": "lab",
        "operation": "op-11112222",
        "plan_digest": site.plan.digest,
        "target": "v1.35.4",
        "attempt": 1,
        "node": "w1",
        "role": "worker",
        "hop": {"number": 1, "of": 1, "target": "v1.35.4"},
    }
    assert "t0k3n" not in f"{done} {site.plan}"


@pytest.mark.parametrize("state", ["completed", "cancelled"])
def test_the_end_of_a_run_says_which_end_it_is(receiver: Receiver, tmp_path: Path, state: str) -> None:
    """Whoever silenced something before it wants to know in any case."""
    site = webhook(Bench(), receiver, tmp_path, Moment.POST_RUN)
    perform(replace(site, ends_as=lambda: state))
    assert json.loads(receiver.got[0][1])["data"]["ends_as"] == state


@pytest.mark.parametrize("first", [(503, "later"), (429, ""), (500, ""), (408, "")])
def test_a_receiver_that_is_not_well_is_told_again_under_the_same_name(
    receiver: Receiver, tmp_path: Path, first: tuple[int, str]
) -> None:
    """It knows the message again by that."""
    receiver.answers = [first]
    perform(webhook(Bench(), receiver, tmp_path, Moment.POST_UPGRADE))
    assert receiver.names == ["op-11112222-n0-s0-a1-h0"] * 2


def test_a_driver_that_takes_over_sends_the_same_message_again(receiver: Receiver, tmp_path: Path) -> None:
    """Nobody knows whether the one before it was heard: the receiver tells by the name."""
    site = webhook(Bench(), receiver, tmp_path, Moment.PRE_DRAIN)
    perform(site)
    perform(site)
    assert len(set(receiver.names)) == 1
    assert len({body for _, body in receiver.got}) == 1
    perform(replace(site, attempt_id=f"{site.attempt_id[:-1]}2", attempt=2))
    assert len(set(receiver.names)) == 2


def test_after_so_many_tries_it_blocks(receiver: Receiver, tmp_path: Path) -> None:
    """With what the receiver said at the last one."""
    receiver.answers = [(503, "")] * 2 + [(503, "the queue\n is full")]
    with pytest.raises(StepBlocked) as caught:
        perform(webhook(Bench(), receiver, tmp_path, Moment.POST_UPGRADE))
    host = receiver.address.removesuffix("/hooks/t0k3n")
    assert caught.value.finding.sentence == (
        f"The webhook {host} answered with 503 (the queue is full) at each of 3 tries."
    )
    assert "`skip w1`" in caught.value.finding.remedy


@pytest.mark.parametrize(("status", "why"), [(302, "no redirect is followed"), (401, "401"), (404, "404")])
def test_what_cannot_get_better_is_not_tried_again(receiver: Receiver, tmp_path: Path, status: int, why: str) -> None:
    """Nor is a message sent where somebody else says."""
    receiver.answers = [(status, "")]
    with pytest.raises(StepBlocked, match=why):
        perform(webhook(Bench(), receiver, tmp_path, Moment.PRE_RUN))
    assert len(receiver.got) == 1


def test_a_receiver_that_is_away_is_an_end_in_words(receiver: Receiver, tmp_path: Path) -> None:
    """Nothing of its address but the host."""
    site = webhook(
        Bench(), replace(receiver, address="http://127.0.0.1:9/hooks/t0k3n"), tmp_path, Moment.PRE_RUN, tries=1
    )
    with pytest.raises(
        StepBlocked, match=r"The webhook http://127.0.0.1:9 cannot be reached \(Connection refused"
    ) as caught:
        perform(site)
    assert "t0k3n" not in caught.value.finding.sentence


def test_a_webhook_that_is_not_the_approved_one_gets_nothing(receiver: Receiver, tmp_path: Path) -> None:
    """Another address is another plan."""
    site = webhook(Bench(), receiver, tmp_path, Moment.PRE_RUN)
    other = replace(site.plan.hooks[0], address_sha256="0" * 64)
    with pytest.raises(StepBlocked) as caught:
        perform(replace(site, plan=replace(site.plan, hooks=(other,))))
    assert caught.value.finding.code == "hook-changed"
    assert receiver.got == []


def test_a_secret_that_is_not_there_is_no_message_without_a_signature(receiver: Receiver, tmp_path: Path) -> None:
    """It blocks, and says which file."""
    site = webhook(Bench(), receiver, tmp_path, Moment.PRE_RUN)
    (tmp_path / "secret").unlink()
    with pytest.raises(StepBlocked, match="could not be signed"):
        perform(site)
    assert receiver.got == []


def test_without_the_lease_nothing_is_sent(receiver: Receiver, tmp_path: Path) -> None:
    """As with every other side effect."""
    bench = Bench()
    site = webhook(bench, receiver, tmp_path, Moment.PRE_RUN)
    bench.leased = False
    with pytest.raises(Yielded):
        perform(site)
    assert receiver.got == []


# ---- the record


def at(name: str, verb: Verb, state: RowState) -> tuple[UpgradePlan, Operation]:
    plan = replace(engine_plan(("cp-1",), ("w-1",)), hooks=ALL)
    operation = schedule(record(plan), operation_id="op-1", approved_by="grace", now=NOW)
    node = plan.node(name)
    assert node is not None
    position = [s.verb for s in itinerary(plan, node)].index(verb)
    rows = tuple(replace(r, position=position, state=state) if r.node == name else r for r in operation.rows)
    return plan, replace(operation, state=OperationState.BLOCKED, rows=rows)


@pytest.mark.parametrize(
    ("name", "verb"), [("w-1", Verb.POST_UPGRADE), ("cp-1", Verb.POST_UPGRADE), ("cp-1", Verb.POST_RUN)]
)
def test_a_person_may_go_on_without_a_hook_that_follows_what_is_done(name: str, verb: Verb) -> None:
    """Of a control plane too: nothing of its upgrade is left out."""
    plan, operation = at(name, verb, RowState.BLOCKED)
    after = skipped(operation, plan, name, "ada")
    row = after.row(name)
    way = verbs(plan, name)
    assert after.state is OperationState.RUNNING
    assert not row.skipped_by
    if verb is Verb.POST_RUN:
        assert row.state is RowState.FINISHED
    else:
        assert (row.state, way[row.position - 1]) == (RowState.WAITING, verb)


@pytest.mark.parametrize("state", [RowState.WAITING, RowState.BLOCKED])
@pytest.mark.parametrize("name", ["w-1", "cp-1"])
def test_whoever_is_upgraded_is_never_told_as_left_behind(name: str, state: RowState) -> None:
    """A skip or a cancel there leaves out what was to follow, and nothing of the upgrade."""
    plan, operation = at(name, Verb.POST_UPGRADE, state)
    assert not skipped(operation, plan, name, "ada").row(name).skipped_by
    cut = cut_short(plan, wished(operation, Wish.CANCEL, "ada")).row(name)
    assert (cut.state, cut.note) == (RowState.WAITING, "")
    left = Verb.POST_UPGRADE if state is RowState.WAITING else Verb.UNHOLD if name == "w-1" else Verb.PRUNE
    assert verbs(plan, name)[cut.position] is left  # who had begun the stage finishes it


def test_a_hook_that_is_a_condition_cannot_be_passed_over() -> None:
    """Who wants to go on without it plans again without it."""
    plan, operation = at("cp-1", Verb.PRE_RUN, RowState.BLOCKED)
    assert Verb.PRE_RUN not in LATER_HOOKS
    with pytest.raises(Refused, match="control plane"):
        skipped(operation, plan, "cp-1", "ada")


def test_a_run_that_is_cancelled_still_comes_to_the_hooks_at_its_end() -> None:
    """They undo what those before it did; package holds come first."""
    plan, operation = at("cp-1", Verb.PRE_RUN, RowState.BLOCKED)
    cut = cut_short(plan, wished(operation, Wish.CANCEL, "ada"))
    row = cut.row("cp-1")
    assert verbs(plan, "cp-1")[row.position :] == [Verb.UNHOLD, Verb.POST_RUN]
    assert cut.row("w-1").state is RowState.SKIPPED
    started = replace(cut, rows=tuple(replace(r, state=RowState.STARTED) if r.node == "cp-1" else r for r in cut.rows))
    after = finish(plan, started, started.row("cp-1"), StepDone("done"), NOW).after
    assert verbs(plan, "cp-1")[after.row("cp-1").position] is Verb.POST_RUN


def test_a_node_whose_hook_failed_before_its_drain_begins_again_with_its_cordon() -> None:
    """It was given back: nothing on it was changed."""
    plan, operation = at("w-1", Verb.PRE_DRAIN, RowState.STARTED)
    row = replace(operation.row("w-1"), cordoned_by_us=True)
    finding = Bench().site("w1", Verb.PRE_DRAIN).blocked("hook-failed", "It failed.", "Mend it.").finding
    after = block(plan, operation, row, finding, NOW, uncordoned=True).after.row("w-1")
    assert verbs(plan, "w-1")[after.position] is Verb.CORDON


def test_a_lab_machine_runs_what_root_put_there_and_nothing_else() -> None:
    """The real script over real SSH."""
    with walking("small", "1.35.4") as walk:
        walk.plan = replace(walk.plan, hooks=(command(Moment.PRE_DRAIN), command(Moment.POST_UPGRADE, "missing")))
        machine = walk.world.machines["w1"]
        machine.write("/etc/lockkeeper-node.conf", "HOOKS=/etc/lockkeeper/hooks\n")
        seen = machine.path("/var/lib/left")
        hook = machine.write("/etc/lockkeeper/hooks/leave-balancer", f'#!/bin/sh\necho "$*" >>{seen}\n', 0o755)
        hook.parent.chmod(0o755)
        done = walk.take("w1", walk.position("w1", Verb.PRE_DRAIN))
        assert done.sentence == "Hooks pre-drain on w1: `leave-balancer` ran."
        assert seen.read_text() == "pre-drain v1.35.4\n"
        with pytest.raises(StepBlocked, match="/etc/lockkeeper/hooks/missing is not there"):
            walk.take("w1", walk.position("w1", Verb.POST_UPGRADE))
