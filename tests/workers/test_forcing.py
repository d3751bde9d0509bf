"""A pod that two people named is deleted as they named it, once; whatever else the store says deletes nothing."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from cluster.approval import SignedWith
from cluster.errors import StoreUnavailable
from cluster.force import LIFE, ForceApproval, ForceRequest
from cluster.options import Options
from cluster.procedure import Verb
from cluster.settings import Person
from cluster.signing import bot_signature, public_line
from policies.forcing import judge_force
from tests.workers.runbook_fixture import OPERATION, SETTINGS, Bench, denied, pod
from workers.runbook import StepBlocked, perform
from workers.site import Site

BOT, STRANGER = Ed25519PrivateKey.generate(), Ed25519PrivateKey.generate()
_RIGHTS = SETTINGS.approvals.model_copy(update={"approvers": ("grace", "ada"), "public_key": public_line(BOT)})
CHOSEN = SETTINGS.model_copy(update={"people": {"ada": Person(), "grace": Person()}, "approvals": _RIGHTS})
BUDGET = denied(429, "The disruption budget strict needs 1 healthy pods", cause="DisruptionBudget")


class Drain:
    """A worker whose pods a and b are held by a budget, and what the store says of deletions."""

    def __init__(self) -> None:
        self.bench = Bench(options=Options(drain_timeout=600))
        self.bench.api.pods |= {n: pod(n, "w1") for n in ("a", "b")}
        self.bench.api.always = {"/eviction": BUDGET}
        perform(self.bench.site("w1", Verb.CORDON))
        self.stored: dict[str, ForceRequest] = {}
        self.bodies: list[Any] = []
        self.outcomes: list[str] = []
        inner = self.bench.api.delete

        def delete(path: str, body: Any = None, query: Any = None) -> Any:
            self.bodies.append((path, body))
            return inner(path, body)

        self.bench.api.delete = delete  # type: ignore[method-assign]

    def put(self, *, key: Ed25519PrivateKey = BOT, person: str = "grace", late: bool = False, **words: Any) -> None:
        now = self.bench.clock.now()
        asked = ForceRequest("f-1", OPERATION, "lab", "w1", "demo/a", "uid-a", "strict", "ada", now + LIFE)
        asked = replace(asked, **words)
        at = now - LIFE if late else now
        signature = bot_signature(asked.signed_bytes(person, at, "approver list"), key)
        said = ForceApproval(person, at, "approver list", SignedWith.BOT, signature)
        self.stored[asked.id] = replace(asked, approval=said)

    def site(self, **changes: Any) -> Site:
        def end(request: ForceRequest, outcome: str) -> None:
            self.outcomes.append(outcome)
            self.stored[request.id] = replace(request, outcome=outcome)

        site = self.bench.site("w1", Verb.DRAIN)
        usual = {"settings": CHOSEN, "forced": lambda: tuple(self.stored.values()), "end_force": end}
        return replace(site, **{**usual, **changes})

    def run(self, **changes: Any) -> None:
        with pytest.raises(StepBlocked):
            perform(self.site(**changes))


def test_exactly_that_pod_is_deleted_once_with_the_time_that_it_has() -> None:
    """By its uid, with no grace period of ours; the other one goes on being protected."""
    drain = Drain()
    drain.put()
    drain.run()
    assert drain.bodies == [
        (
            "/api/v1/namespaces/demo/pods/a",
            {"kind": "DeleteOptions", "apiVersion": "v1", "preconditions": {"uid": "uid-a"}},
        )
    ]
    assert "b" in drain.bench.api.pods
    assert drain.outcomes == ["it was deleted, and has 0 s to end"]


@pytest.mark.parametrize(
    ("forged", "said"),
    [
        ({"key": STRANGER}, "no valid signature"),
        ({"person": "ada"}, "allowed a deletion of their own"),
        ({"person": "mallory"}, "not among the approvers"),
        ({"operation_id": "op-other"}, "Nobody allowed"),
        ({"cluster": "other"}, "Nobody allowed"),
        ({"late": True}, "came too late"),
        ({"uid": "uid-of-another"}, "does not wait for that pod"),
        ({"pod": "demo/b"}, "does not wait for that pod"),  # the name of one, the uid of the other
    ],
)
def test_what_is_forged_or_of_another_pod_deletes_nothing_and_is_told(forged: dict[str, Any], said: str) -> None:
    """Whoever can merely write to Redis has no key."""
    drain = Drain()
    drain.put(**forged)
    drain.run()
    assert drain.bodies == []
    assert len(drain.outcomes) == 1
    assert said in drain.outcomes[0]


def test_a_word_that_was_changed_after_it_was_signed_deletes_nothing() -> None:
    """The pod of the signature is not the one of the record."""
    drain = Drain()
    drain.put()
    drain.stored["f-1"] = replace(drain.stored["f-1"], pod="demo/b", uid="uid-b")
    drain.run()
    assert drain.bodies == []
    assert "no valid signature" in drain.outcomes[0]
    (stop,) = judge_force(drain.stored["f-1"], CHOSEN, drain.bench.clock.now())
    assert stop.code == "force-not-genuine"


@pytest.mark.parametrize("words", [{"node": "w2"}, {"outcome": "it was deleted"}])
def test_what_is_of_another_node_or_done_is_left_alone(words: dict[str, str]) -> None:
    """Each drain does its own, and none does one again."""
    drain = Drain()
    drain.put(**words)
    drain.run()
    assert (drain.bodies, drain.outcomes) == ([], [])


def test_what_nobody_has_allowed_yet_waits() -> None:
    """To ask is not enough."""
    drain = Drain()
    drain.put()
    drain.stored["f-1"] = replace(drain.stored["f-1"], approval=None)
    drain.run()
    assert (drain.bodies, drain.outcomes) == ([], [])


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (denied(409, "the UID in the precondition differs"), "another pod had taken its name"),
        (denied(404), "it was gone already"),
        (denied(403, "cannot delete resource pods"), "Give the worker's account the right to delete pods"),
    ],
)
def test_an_answer_that_is_final_is_told(error: Exception, said: str) -> None:
    """And not asked for again."""
    drain = Drain()
    drain.put()
    drain.bench.api.answers = [("DELETE", "/pods/a", error)]
    drain.run()
    assert len(drain.bodies) == 1
    assert said in drain.outcomes[0]


def test_a_busy_server_is_asked_again_and_redis_may_be_away() -> None:
    """Neither ends the drain."""
    drain = Drain()
    drain.put()
    drain.bench.api.answers = [("DELETE", "/pods/a", denied(503, "busy"))]
    looks = iter([StoreUnavailable("Redis is away")] * 3)

    def forced() -> tuple[ForceRequest, ...]:
        if (error := next(looks, None)) is not None:
            raise error
        return tuple(drain.stored.values())

    drain.run(forced=forced)
    assert len(drain.bodies) == 2
    assert "a" not in drain.bench.api.pods


def test_what_was_allowed_as_the_pod_left_by_itself_is_told_as_not_needed() -> None:
    """Its card would say for ever that the worker deletes it at its next look: there is none any more."""
    drain = Drain()
    drain.put()

    def forced() -> tuple[ForceRequest, ...]:
        return () if "a" in drain.bench.api.pods else tuple(drain.stored.values())

    perform(drain.site(forced=forced, hold=lambda _: drain.bench.api.always.clear()))
    assert drain.bodies == []
    assert drain.outcomes == ["the drain does not wait for that pod any more"]


def test_a_deletion_that_nobody_could_record_is_not_told_as_none() -> None:
    """The pod is gone at the next look, be it that of another driver: who deleted it is not known any more."""
    drain = Drain()
    del drain.bench.api.pods["b"]
    drain.put()
    site = drain.site()
    lost = iter([StoreUnavailable("Redis is away")])

    def end(request: ForceRequest, outcome: str) -> None:
        if (error := next(lost, None)) is not None:
            raise error
        site.end_force(request, outcome)

    perform(drain.site(end_force=end))
    assert len(drain.bodies) == 1
    assert drain.outcomes == ["the drain does not wait for that pod any more"]


def test_nothing_is_looked_for_before_a_pod_holds_up_the_drain() -> None:
    """A usual drain reads no record, and an allowance for a drain that is over waits for nobody."""
    drain, looks = Drain(), []
    drain.bench.api.always = {}
    perform(drain.site(forced=lambda: looks.append(1) or ()))
    assert looks == []
