"""`survey`, `versions` and `plan` as a whole on recordings of a real cluster: what is asked for, kept and printed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

import pytest

from bot import terminal
from bot.sights import Sights
from cluster.events import Event, Happened
from cluster.examination import Examination
from cluster.facts import MachineFacts, Offer
from cluster.images import ImageOffer, ImageState, WantedImages
from cluster.plan import PlanRecord
from cluster.requests import Answer, PlanRequest
from cluster.settings import Settings
from cluster.store import Store
from cluster.versions import Minor
from tests.policies_fixture import FACTS, make_offers
from tests.recorded_api import READ_AT, recorded_report
from tests.recorded_findings import observed
from tests.recorded_machines import HOSTS, recorded_facts
from tests.redis_fixture import redis_server, redis_url, store
from workers.proposals import Eyes, propose

__all__ = ["redis_server", "redis_url", "store"]  # pytest finds fixtures by name in this module

OFFERS = make_offers("1.34.7-1.1", "1.35.4-1.1", "1.36.2-1.1")
MACHINE = {"address": "10.0.0.1", "key_file": "/key", "host_key": "SHA256:" + "a" * 43}


@dataclass(frozen=True)
class Machine:
    """One of the recorded machines, with the disks of another host: its own were not recorded."""

    stage: str
    name: str

    def version(self) -> int:
        return 1

    def observe(self) -> MachineFacts:
        stage = self.stage if self.stage in HOSTS else "before"
        return replace(recorded_facts(stage, self.name), room=FACTS.room, snapshots=FACTS.snapshots)

    def offers(self, minors: tuple[Minor, ...]) -> tuple[Offer, ...]:
        return tuple(o for o in OFFERS if o.minor in minors)

    def images(self, wanted: WantedImages) -> tuple[ImageOffer, ...]:
        return (ImageOffer(f"registry.k8s.io/kube-proxy:{wanted.version}", ImageState.OFFERED),)


def eyes(stage: str) -> Eyes:
    @contextmanager
    def connect(name: str, _: object) -> Iterator[Machine]:
        yield Machine(stage, name)

    def examine(*_: object, **__: object) -> Examination:
        return observed(stage, recorded_report(stage)).examination

    return Eyes(observe=lambda *_, **__: recorded_report(stage), examine=examine, connect=connect)  # type: ignore[arg-type]


def settings() -> Settings:
    people = {"people": {"ada": {}, "grace": {}}, "approvals": {"approvers": ["grace"]}}
    cluster = {"kubeconfig": "/kubeconfig", "machines": dict.fromkeys(("cp1", "w1", "w2"), MACHINE)}
    defaults = {"defaults": {"delete_emptydir": True}}
    return Settings.model_validate({"clusters": {"real": cluster | defaults}, **people})


def ask(store: Store, stage: str, **words: str) -> Answer:
    usual = {"kind": "plan", "target": ""}
    request = PlanRequest(id="r-00000001", cluster="real", person="ada", channel="", at=READ_AT, **{**usual, **words})  # type: ignore[arg-type]
    store.put_request(request, Event(Happened.PLAN_REQUESTED, READ_AT, "real", "ada asked.", person="ada"))
    return propose(request, settings=settings(), store=store, now=READ_AT, eyes=eyes(stage))


def planned(store: Store, stage: str, target: str) -> PlanRecord:
    answer = ask(store, stage, target=target)
    assert answer.refusal == ""
    return store.plan(answer.plan_ids[0])


@pytest.mark.parametrize(
    ("stage", "lines"),
    [
        (
            "before",
            (
                "API server v1.34.7;",
                "kubelets v1.34.7;",
                "packages 1.34.7-1.1, on hold: all 3: cp1, w1, w2",
                "w1 worker Ready v1.34.7 containerd://2.1.9",
            ),
        ),
        (
            "half",
            ("API server v1.35.4;", "kubelets v1.35.4 (2 nodes) and v1.34.7 (w2);", "WARNING pool-versions-differ"),
        ),
    ],
)
def test_versions_after_a_survey_says_what_the_real_machines_run(
    store: Store, stage: str, lines: tuple[str, ...]
) -> None:
    """On the terminal and for programs: the API's side and the machines' beside each other."""
    assert ask(store, stage, kind="survey").refusal == ""
    sights = Sights(settings(), store, lambda _: recorded_report(stage), lambda: READ_AT)
    seen = sights.overview("real")
    said = terminal.render_report(seen)
    assert [line for line in lines if line not in " ".join(said.split())] == []
    assert "not-surveyed" not in said
    read = json.loads(terminal.report_json(seen))
    assert {m["name"] for m in read["survey"]["machines"]} == {"cp1", "w1", "w2"}
    assert [s["version"] for s in read["report"]["api_servers"]] == [lines[0].split()[-1].rstrip(";")]


def test_a_plan_of_the_real_cluster_is_kept_and_printed_with_everything_in_it(store: Store) -> None:
    """To the next minor, whose newest patch is what its machines are offered."""
    record = planned(store, "before", "v1.35")
    said = terminal.render_plan(record)
    for line in (
        "Upgrade plan: real to v1.35.4",
        "hops: v1.35.4 (packages 1.35.4-1.1)",
        "pool other: 2 machines, at most 1 away at once",
        "drains: Data in emptyDir volumes may be deleted.",
        "cp1      control plane       v1.34.7      v1.35.4",
        "NOTE images-on-offer: The images of v1.35.4, as cp1, w1 told",
        "The control plane does not come back from v1.35 to v1.34",
        "approves it with: lockkeeper approve",
    ):
        assert line in said
    assert json.loads(terminal.plan_json(record))["plan"]["digest"] == record.digest == record.plan.digest


def test_a_plan_that_finishes_a_real_upgrade_leaves_alone_who_is_there(store: Store) -> None:
    """Recorded with one worker to go: the other one is named with its reason, and the control plane goes again."""
    record = planned(store, "half", "v1.35.4")
    assert record.left_out_for == (("w1", "there already"),)
    said = terminal.render_plan(record)
    assert "left out: w1 (there already)" in said
    assert "order: cp1 runs a control plane of v1.35.4 already and goes the whole way again" in said


def test_a_plan_of_a_real_control_plane_that_was_edited_comes_with_its_revert(store: Store) -> None:
    """The upgrade is blocked, and what puts it back can be approved by itself."""
    answer = ask(store, "drift", target="v1.35.4")
    upgrade, revert = (terminal.render_plan(store.plan(plan_id)) for plan_id in answer.plan_ids)
    assert "BLOCKER hand-edited-apiserver: The API server on cp1 runs v1.35.4" in upgrade
    assert "This plan cannot be approved" in upgrade
    assert "Revert plan: real back to v1.34.7" in revert
    assert "NOTE images-not-checked: Whether the images of v1.34.7 can be had was not asked" in revert
    assert "approves it with: lockkeeper approve" in revert
