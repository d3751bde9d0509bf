"""
A scenario that somebody left in a state shows exactly the findings of it, by its own machines and its API.

After a wanted change of an export: `python -m tests.workers.test_scenarios` writes the files anew; read the difference.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path

import pyrage
import pytest

from bot.export_forms import ExportForm
from bot.plan_export import export_plan
from cluster.errors import Refused
from cluster.examine import examine
from cluster.findings import Finding, Severity, blockers
from cluster.inventory import Cluster, Snapshots
from cluster.observation import Observation
from cluster.observe import observe
from cluster.operation import OperationState
from cluster.options import Options, WorkerMoves
from cluster.plan import PlanStatus
from cluster.procedure import kubelet_moves
from cluster.settings import parse_settings
from cluster.versions import parse_target
from lab.ailments import LEFT
from lab.scenarios import SCENARIOS
from lab.world import World
from policies.basis import basis_of
from policies.drafting import Draft, draft_revert, draft_rollback, draft_upgrade, minors_of
from policies.overview import look_over
from tests.engine_fixture import plan
from tests.lab_findings import SHOWN
from tests.plan_scenarios import ON_PAPER
from tests.policies_fixture import NOW, SETTINGS, make_record
from workers.images import with_images
from workers.survey import run_survey

pytestmark = pytest.mark.long

SPEED = 200
GOLDEN = Path(__file__).parents[1] / "bot" / "golden" / "export" / "lab"
# The others are drawn on paper: tests/bot/test_plan_export.py.
EXPORTED = ("neglected", "out-of-skew", "ailing-etcd", "external-etcd", "bygone", "newest")
# What no two labs have alike, or no two days.
_PASSING = (
    (r"\b[0-9a-f]{64}\b", "DIGEST"),
    (r"\b[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\b", "UID"),
    (r"127\.0\.0\.1:\d{5}\b", "ADDRESS"),
    (r"\b\d{4}-\d\d-\d\d\b", "DAY"),
)
TARGETS = {"neglected": "v1.36.2", "bygone": "v1.30.14", "newest": "v1.37.1"}
# What a rig gives every cluster; only here a machine has something against it.
STORES = {"obstructed": {"store": "/srv/snapshots", "recipients": [str(pyrage.x25519.Identity.generate().to_public())]}}
PUT_BACK = {"out-of-skew": ("w1", "v1.34.5")}  # a worker, and the kubelet that a run on record brought it from
WITHOUT = {"neglected": ("w3", "w4")}  # the plan is asked for once more without these
RECORDED = {LEFT: OperationState.CANCELLED}  # the one run on record
# A worker that skips v1.35 keeps a flag that only the kubeadm of that minor takes out.
OPTIONS = {"neglected": Options(delete_emptydir=True, workers=WorkerMoves.WITHIN_SKEW)}


@dataclass
class Sight:
    """What is said of one lab: by the report, and by the plan and the way back where there are such."""

    found: list[Finding] = field(default_factory=list)
    draft: Draft | None = None
    refusal: str = ""

    @property
    def blockers(self) -> dict[str, str]:
        """Of the plan: the first subject by code."""
        assert self.draft is not None
        return {f.code: f.subject for f in reversed(blockers(self.draft.findings))}

    def remedy(self, code: str) -> str:
        return " ".join(f.remedy for f in self.found if f.code == code)


def configure(world: World) -> tuple[str, Cluster]:
    """The lab's cluster, as lockkeeper.yaml names it."""
    name, cluster = parse_settings(
        world.config() | {"people": {"ann": {}}, "approvals": {"approvers": ["ann"]}}
    ).cluster(None)
    store = STORES.get(world.scenario.name)
    return name, cluster.model_copy(update={"snapshots": Snapshots.model_validate(store)} if store else {})


def draft_back(seen: Observation, cluster: Cluster, worker: str, before: str, *, options: Options) -> Draft:
    """After a run of one hop that brought what is installed there now."""
    node = seen.report.node(worker)
    assert node is not None
    ran = plan((), (worker,), targets=(str(node.kubelet).removeprefix("v"),))
    pool = replace(ran.pools[1], nodes=(replace(ran.pools[1].nodes[0], uid=node.uid),))
    basis = replace(basis_of(seen.report), kubelets=((worker, before),))
    record = make_record(drafted=Draft(replace(ran, pools=(pool,)), (), basis, (1, 2)), status=PlanStatus.APPROVED)
    return draft_rollback(seen, cluster, (worker,), (record,), options=options)


@cache
def look_at(name: str) -> Sight:
    """One lab, read as a plan reads it: over its API, and by the node script on each machine."""
    sight = Sight()
    with World.start(name, speed=SPEED) as world:
        cluster_name, cluster = configure(world)
        target = parse_target(TARGETS.get(name, "v1.35.4"))
        report, survey = observe(cluster_name, cluster, now=NOW), None
        try:
            survey = run_survey(cluster_name, cluster, minors_of(report, target), NOW)
        except Refused as refused:
            sight.refusal = str(refused)
        seen = examine(cluster_name, cluster, report, now=NOW)
        survey = replace(survey, apis=seen.api_use) if survey else None  # as it is kept
        sight.found += look_over(report, survey, cluster, installation="demo", known=RECORDED, now=NOW).findings
        if survey is not None:
            options = OPTIONS.get(name, Options(delete_emptydir=True))
            all_seen = Observation(report, survey, seen)
            draft = draft_upgrade(all_seen, cluster, target, options=options, accepted=(), now=NOW)
            if without := WITHOUT.get(name):
                sight.found += draft_upgrade(
                    all_seen, cluster, target, options=options, accepted=(), without=without, now=NOW
                ).findings
            sight.draft = with_images(draft, cluster, seen.declared)
            revert = draft_revert(all_seen, cluster, options=options)
            sight.found += (*sight.draft.findings, *(revert.findings if revert else ()))
            if put_back := PUT_BACK.get(name):
                sight.found += draft_back(all_seen, cluster, *put_back, options=options).findings
    return sight


def test_every_scenario_with_a_state_is_looked_at():
    """None is forgotten here."""
    assert {s.name for s in SCENARIOS.values() if s.state} <= set(SHOWN)


@pytest.mark.parametrize("name", SHOWN)
def test_a_scenario_shows_exactly_the_findings_of_its_state(name):
    """By the report, the plan and the way back together."""
    assert sorted({f.code for f in look_at(name).found}) == SHOWN[name].split()


def test_a_crowded_cluster_is_told_of_before_anybody_approves():
    """Two budgets over one pod block the plan; what a drain would lose names the consent, and a primary goes last."""
    sight = look_at("crowded")
    assert sight.blockers == {"two-budgets": "demo/web and web-too"}
    assert "Consented to" in sight.remedy("emptydir-pods")
    assert "`accept delete-unmanaged`" in sight.remedy("unmanaged-pods")
    assert [n.name for n in sight.draft.plan.pools[-1].nodes] == ["w2", "w3", "w1"]
    assert "emptydir-pods" in sight.draft.plan.accepted


def test_an_obstructed_cluster_is_told_of_before_anybody_approves():
    """What would stop the upgrade itself blocks; who is behind it is named."""
    sight = look_at("obstructed")
    assert sight.blockers == {
        "hook-missing": "cp1",
        "image-not-offered": "registry.k8s.io/kube-scheduler:v1.35.4",
        "kubelet-too-old-for-hop": "w2",
        "plan-breaks-skew": "w2",
        "removed-api-in-use": "volumeattributesclasses of storage.k8s.io/v1alpha1",
        "removed-argument": "kube-controller-manager",
        "snapshot-kept-back": "cp1",
        "webhook-unanswered": "guard",
    }
    assert {f.subject for f in sight.found if f.code == "other-upgrader"} == {"kured", "Cluster API"}
    assert "helm (fast)" in next(f.sentence for f in sight.found if f.code == "removed-api-in-use")


def test_a_plan_with_a_straggler_begins_with_its_kubelet():
    """Alone, and to what the control plane runs; the other hop takes everybody along."""
    sight = look_at("skewed")
    assert sight.blockers == {}
    plan = sight.draft.plan
    assert [(str(h.target), h.whole) for h in plan.hops] == [("v1.34.7", False), ("v1.35.4", True)]
    assert [n.name for n in plan.nodes if kubelet_moves(plan, n, 0)] == ["w2"]
    assert all(kubelet_moves(plan, n, 1) for n in plan.nodes)


def test_a_plan_to_the_declared_version_finishes_what_was_left():
    """What blocks every other one is a warning of it."""
    sight = look_at("interrupted")
    assert sight.blockers == {}
    left = [f for f in sight.draft.findings if f.code == "kubeadm-config-ahead"]
    assert [(f.subject, f.severity) for f in left] == [("cp2", Severity.WARNING), ("cp3", Severity.WARNING)]


def export(name: str) -> str:
    """The document and the runbook of its plan, without what passes."""
    draft = look_at(name).draft
    assert draft is not None
    record = make_record(drafted=draft, estimate=draft.estimate, order=draft.order, left_out_for=draft.left_out_for)
    forms = (ExportForm.MARKDOWN, ExportForm.RUNBOOK)
    text = "\n".join(f"==== {f.upper()}\n\n{export_plan(record, f, SETTINGS.approvals).text}" for f in forms)
    for pattern, word in _PASSING:
        text = re.sub(pattern, word, text)
    return text


@pytest.mark.parametrize("name", EXPORTED)
def test_an_export_of_what_machines_told_reads_word_for_word(name):
    """Also where it is blocked: whoever has the file alone reads that first."""
    assert export(name) == (GOLDEN / f"{name}.txt").read_text(encoding="utf-8")


def test_every_scenario_that_can_be_planned_has_its_export():
    """On paper or from its own machines; other clusters of a fleet are scenarios themselves."""
    planned = {s.name for s in SCENARIOS.values() if s.kubeadm and not s.beside}
    assert {*EXPORTED, *(s.name for s in ON_PAPER)} == planned


def test_the_images_of_a_kubelet_that_catches_up_are_asked_for_on_its_own_machine():
    """Whoever begins the plan fetches them first of all."""
    told = [f.sentence for f in look_at("skewed").found if f.code == "images-on-offer"]
    assert [s.partition(" told")[0] for s in told] == [
        "The images of v1.34.7, as w2",
        "The images of v1.35.4, as cp1, w1",
    ]


def test_what_kubeadm_did_not_make_is_reported_and_not_planned():
    """With the name of what upgrades it instead."""
    refusal = look_at("other-distribution").refusal
    assert "k3s" in refusal
    assert "install script" in refusal


def write() -> None:
    GOLDEN.mkdir(exist_ok=True)
    for name in EXPORTED:
        (GOLDEN / f"{name}.txt").write_text(export(name), encoding="utf-8")


if __name__ == "__main__":
    write()
