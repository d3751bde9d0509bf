"""The runbook: what is started on which machine, at most once, and how a failure reads."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from cluster.errors import ClusterUnreadable, Fenced
from cluster.facts import EtcdTool
from cluster.findings import Finding, Severity
from cluster.hooks import Moment, PlanHook
from cluster.options import Options, Reboot
from cluster.plan import PlanKind
from cluster.procedure import Phase, Verb, itinerary
from tests.workers.runbook_fixture import OPERATION, Bench, denied, pod
from workers.complaint import find_complaint
from workers.runbook import PROCEDURES, AttemptLost, FencedByMachine, Site, StepBlocked, StepDone, Yielded, perform

TRANSCRIPTS = Path(__file__).parent / "transcripts"


def with_every_option() -> Bench:
    """A plan that has each step that there is for an upgrade."""
    bench = Bench(options=Options(reboot=Reboot.ALWAYS))
    bench.plan = replace(bench.plan, hooks=HOOKS)
    return bench


def with_etcd_elsewhere() -> Bench:
    """A plan of a cluster whose etcd kubeadm did not make."""
    bench = Bench()
    bench.plan = replace(bench.plan, accepted=("etcd-external",))
    return bench


HOOKS = tuple(PlanHook(moment, f"at-{moment}", 60) for moment in Moment)
STORIES: dict[str, Callable[[], Bench]] = {
    "one-hop": Bench,
    "two-hops": partial(Bench, "1.35.4", "1.36.2"),
    "revert": partial(Bench, "1.34.7", kind=PlanKind.REVERT),
    "rollback": partial(Bench, "1.33.9", kind=PlanKind.ROLLBACK),
    "every-option": with_every_option,
    "external-etcd": with_etcd_elsewhere,
}
# A worker has no part in a revert, nor a control plane in a rollback; an etcd elsewhere is the first one's matter.
UNTOLD = {("revert", "w1"), ("external-etcd", "cp2"), ("external-etcd", "w1"), ("rollback", "cp1"), ("rollback", "cp2")}


def tell(story: str, node: str) -> str:
    """The story of one node as text."""
    bench = STORIES[story]()
    bench.api.pods["web"] = pod("web", "w1")
    return "\n".join(walk(bench)[node]) + "\n"


def walk(bench: Bench) -> dict[str, list[str]]:
    """Take every step of every node, stage by stage, as the engine does; each node's transcript."""
    lines: dict[str, list[str]] = {n.name: [] for n in bench.plan.nodes}
    ways = {n.name: itinerary(bench.plan, n) for n in bench.plan.nodes}
    stages = sorted({step.stage for way in ways.values() for step in way})
    for stage in stages:
        for node in bench.plan.nodes:
            for position, step in enumerate(ways[node.name]):
                if step.stage == stage:
                    lines[node.name] += take(bench, replace(bench.site(node.name, step.verb), step=step), position)
    return lines


def take(bench: Bench, site: Site, position: int) -> list[str]:
    index = [n.name for n in bench.plan.nodes].index(site.node.name)
    site = replace(site, attempt_id=f"{OPERATION}-n{index}-s{position}-a1")
    machine, calls = bench.machines[site.node.name], len(bench.api.log)
    started = len(machine.started)
    done = perform(site)
    writes = [line for line in bench.api.log[calls:] if not line.startswith(("GET", "LIST"))]
    ran = [f"    ran {' '.join(words)} as {attempt}" for attempt, words in machine.started[started:]]
    return [f"{site.step.hop}/{site.step.phase}/{site.step.verb}: {done.sentence}", *ran, *(f"    {w}" for w in writes)]


@pytest.mark.parametrize(
    ("story", "node"),
    [(story, node) for story in STORIES for node in ("cp1", "cp2", "w1") if (story, node) not in UNTOLD],
)
def test_each_role_takes_exactly_the_steps_of_its_transcript(story: str, node: str) -> None:
    """The whole way of a first control plane, another one and a worker, word for word."""
    assert tell(story, node) == (TRANSCRIPTS / f"{story}-{node}.txt").read_text(encoding="utf-8")


def test_every_verb_has_a_procedure() -> None:
    """A plan cannot name a step that the runbook does not know."""
    assert set(PROCEDURES) == set(Verb)


def test_a_step_performed_again_under_its_attempt_id_attaches() -> None:
    """A driver that takes over starts nothing a second time, not even where observation says it is done."""
    bench = Bench()
    perform(bench.site("w1", Verb.INSTALL_KUBEADM))
    perform(bench.site("w1", Verb.INSTALL_KUBEADM))
    assert bench.w1.words == ["install-kubeadm 1.35.4-1.1"]


def test_what_is_installed_already_is_not_started() -> None:
    """Observation comes first."""
    bench = Bench()
    bench.w1.packages = dict.fromkeys(("kubeadm", "kubelet", "kubectl"), "1.35.4-1.1")
    for verb in (Verb.INSTALL_KUBEADM, Verb.INSTALL_KUBELET):
        assert perform(bench.site("w1", verb)).facts == {"already": "yes"}
    assert bench.w1.words == []


@pytest.mark.parametrize("lost", [{1}, {2}, {3}, {4}, {1, 2}, {2, 3}, {2, 4, 6}])
def test_a_lost_answer_starts_nothing_twice(lost: set[int]) -> None:
    """Whichever answer is lost on its way (that of the start is the second), the command runs once."""
    bench = Bench()
    bench.w1.looks, bench.w1.lose = 3, lost
    perform(bench.site("w1", Verb.RESTART_KUBELET))
    assert bench.w1.words == ["restart-kubelet"]
    assert any("cannot be asked" in line for line in bench.told)


def test_output_of_any_size_is_read_to_its_end() -> None:
    """The complaint stands at the end of more output than one poll carries."""
    bench = Bench()
    bench.w1.ends["install-kubelet"] = (100, b"Get:1 http://x\n" * 20_000 + b"E: Held packages were changed.\n")
    with pytest.raises(StepBlocked, match="E: Held packages were changed"):
        perform(bench.site("w1", Verb.INSTALL_KUBELET))


def test_a_machine_that_knows_a_newer_driver_stops_this_one() -> None:
    """The fence that it saw is told, so that a rightful driver can go above it."""
    bench = Bench()
    bench.w1.fence = 9
    with pytest.raises(FencedByMachine) as fenced:
        perform(bench.site("w1", Verb.HOLD, fence=8))
    assert fenced.value.seen == 9
    assert isinstance(fenced.value, Fenced)


def test_a_vanished_attempt_is_lost_and_not_failed() -> None:
    """Only a new attempt may go on."""
    bench = Bench()
    bench.w1.ends["upgrade-node"] = (None, b"[upgrade] half\n")
    bench.api.declared = "v1.35.4"
    with pytest.raises(AttemptLost):
        perform(bench.site("w1", Verb.UPGRADE_NODE))


def test_a_new_attempt_repairs_what_a_lost_one_left() -> None:
    """A manifest in mid-move and a dpkg in mid-work are mended first, under an id of their own."""
    bench = Bench()
    cp1 = bench.machines["cp1"]
    cp1.missing = ("kube-apiserver",)
    perform(bench.site("cp1", Verb.APPLY, attempt=2))
    assert cp1.started[0][0].endswith("-a2-repair")
    assert cp1.words == ["repair", "apply v1.35.4"]
    bench.w1.dpkg_problem = "kubeadm is half configured"
    perform(bench.site("w1", Verb.INSTALL_KUBEADM))
    assert bench.w1.words == ["repair", "install-kubeadm 1.35.4-1.1"]
    other = Bench()
    other.w1.dpkg_problem = "kubelet is half configured"
    perform(other.site("w1", Verb.ROLL_BACK_KUBELET))
    assert other.w1.words == ["repair", "roll-back-kubelet 1.35.4-1.1"]


def test_kubeadm_is_started_when_the_api_is_back() -> None:
    """It gives up at once without one, as after a repair of the only API server's manifest."""
    bench = Bench()
    cp1 = bench.machines["cp1"]
    cp1.missing = ("kube-apiserver",)
    bench.api.answers = [("GET", "kubeadm-config", ClusterUnreadable("The API of lab cannot be reached."))] * 3
    began = bench.clock.now()
    perform(bench.site("cp1", Verb.APPLY, attempt=2))
    assert cp1.words == ["repair", "apply v1.35.4"]
    assert bench.api.answers == []
    assert bench.clock.now() > began
    assert any("cannot be read just now" in sentence for sentence in bench.told)


def test_a_new_attempt_waits_for_an_earlier_one_that_still_runs() -> None:
    """Two kubeadms never run side by side; the earlier one's success counts."""
    bench = Bench()
    cp1 = bench.machines["cp1"]
    cp1.looks = 5
    cp1.start(f"{OPERATION}-n0-s0-a1", 1, "apply", "v1.35.4")
    perform(bench.site("cp1", Verb.APPLY, attempt=2))
    assert cp1.words == ["apply v1.35.4"]
    assert any("earlier attempt" in line for line in bench.told)


def test_apply_is_not_done_by_observation() -> None:
    """Its visible results come before its last phases."""
    bench = Bench()
    cp1 = bench.machines["cp1"]
    bench.api.declared = "v1.35.4"
    cp1.packages["kubeadm"] = "1.35.4-1.1"
    perform(bench.site("cp1", Verb.APPLY))
    assert cp1.words == ["apply v1.35.4"]


def test_upgrade_node_waits_for_the_declared_version() -> None:
    """Before `apply` it would bring the old version again, with exit 0."""
    bench = Bench()
    with pytest.raises(StepBlocked) as blocked:
        perform(bench.site("w1", Verb.UPGRADE_NODE))
    assert blocked.value.finding.code == "declared-version-differs"
    assert bench.w1.words == []


def test_a_hop_begins_only_when_every_control_plane_is_sound_now() -> None:
    """Judged anew at each hop, and more than once before it is believed; the finding says which machine."""
    bench = Bench()
    full = Finding("disk-space", Severity.BLOCKER, "cp2", "cp2 has 1 MiB free.", "Make room.")
    answers = [(full,), ()]
    site = replace(bench.site("cp1", Verb.PLAN), inspect=lambda: answers.pop(0))
    assert "sees nothing against" in perform(site).sentence
    site = replace(bench.site("cp1", Verb.PLAN, position=1), inspect=lambda: (full,))
    with pytest.raises(StepBlocked, match="cp2 has 1 MiB free"):
        perform(site)
    assert bench.machines["cp1"].words == ["plan v1.35.4"]


def test_no_snapshot_needs_consent() -> None:
    """Without etcdctl the step blocks; a plan that consents goes on and says so."""
    bench = Bench()
    cp1 = bench.machines["cp1"]
    cp1.etcdctl = EtcdTool.NONE
    cp1.ends["snapshot-etcd"] = (69, b"lockkeeper-node: There is no etcdctl, neither here nor there.\n")
    with pytest.raises(StepBlocked) as blocked:
        perform(bench.site("cp1", Verb.SNAPSHOT_ETCD))
    assert blocked.value.finding.code == "no-etcdctl"
    consenting = Bench(options=Options(without_snapshot=True))
    consenting.machines["cp1"].etcdctl = EtcdTool.NONE
    assert "no etcd snapshot" in perform(consenting.site("cp1", Verb.SNAPSHOT_ETCD)).sentence
    assert consenting.machines["cp1"].words == []


def test_an_etcd_elsewhere_is_left_to_its_owner() -> None:
    """The approved plan says that no snapshot is taken of it."""
    bench = Bench()
    bench.plan = replace(bench.plan, accepted=("etcd-external",))
    perform(bench.site("cp1", Verb.SNAPSHOT_ETCD))
    assert bench.machines["cp1"].words == []
    assert any("yours to take" in line for line in bench.told)


def test_a_failure_says_what_where_why_and_what_to_do() -> None:
    """One sentence for the thread, from kubeadm's own line."""
    bench = Bench()
    output = b"[upgrade] Reading\n\t[ERROR CreateJob]: Job did not complete in 1m0s\nerror: preflight checks failed\n"
    bench.machines["cp1"].ends["apply"] = (1, output)
    with pytest.raises(StepBlocked) as blocked:
        perform(bench.site("cp1", Verb.APPLY))
    finding = blocked.value.finding
    assert finding.code == "kubeadm-failed"
    assert finding.sentence == (
        "On cp1, running kubeadm upgrade apply failed (exit 1): [ERROR CreateJob]: Job did not complete in 1m0s"
    )
    assert "retry" in finding.remedy


def test_nothing_starts_without_the_lease() -> None:
    """A driver that cannot prove its lease yields before the start."""
    bench = Bench()
    bench.leased = False
    with pytest.raises(Yielded):
        perform(bench.site("w1", Verb.HOLD))
    assert bench.w1.words == []


def test_a_driver_that_stops_leaves_the_command_running() -> None:
    """Handing over kills nothing; the next driver attaches."""
    bench = Bench()
    bench.w1.looks = 100
    site = bench.site("w1", Verb.RESTART_KUBELET)

    def stop(seconds: float) -> None:
        bench.stopped = True

    with pytest.raises(Yielded):
        perform(replace(site, sleep=stop))
    bench.stopped, bench.w1.attempts[site.attempt_id].looks = False, 0
    assert isinstance(perform(site), StepDone)
    assert bench.w1.words == ["restart-kubelet"]


def test_a_machine_that_stays_away_blocks_the_step() -> None:
    """Waiting ends; a retry starts nothing twice."""
    bench = Bench()
    bench.w1.cuts = 10_000
    with pytest.raises(StepBlocked) as blocked:
        perform(bench.site("w1", Verb.HOLD))
    assert blocked.value.finding.code == "machine-unreachable"


def test_a_refusal_that_no_step_expects_blocks_with_the_servers_words() -> None:
    """A missing right is a finding and no traceback."""
    bench = Bench()
    bench.api.always = {"/nodes/w1": denied(403, 'nodes "w1" is forbidden')}
    with pytest.raises(StepBlocked) as blocked:
        perform(bench.site("w1", Verb.CORDON))
    assert blocked.value.finding.code == "api-refused"
    assert "forbidden" in blocked.value.finding.sentence


def test_a_refusal_of_an_api_server_that_has_just_started_passes() -> None:
    """Any server behind the balancer may be new: what its caches cannot judge yet is asked again."""
    bench = Bench()
    bench.api.answers = [("GET", "/nodes/w1", denied(403, "not yet synced")), ("GET", "/nodes/w1", denied(401, "no"))]
    perform(bench.site("w1", Verb.CORDON))
    assert bench.api.answers == []
    assert bench.api.nodes["w1"]["spec"]["unschedulable"]


def test_phases_of_the_walk_are_those_of_the_plan() -> None:
    """The walk of these tests visits every phase that there is."""
    plan = with_every_option().plan
    assert {s.phase for n in plan.nodes for s in itinerary(plan, n)} == set(Phase)


@pytest.mark.parametrize(
    ("output", "complaint"),
    [
        ("error: x\nTo see the stack trace of this error execute with --v=5 or higher\n", "x"),
        (
            "error: the version is invalid due to these fatal errors:\n\n\t- too high\n\nPlease fix\n",
            "the version is invalid due to these fatal errors: too high",
        ),
        (
            "[preflight] Some\n\t[ERROR A]: one\n\t[ERROR B]: two\nerror: preflight checks failed\n",
            "[ERROR A]: one; [ERROR B]: two",
        ),
        (
            "Reading package lists...\nE: Version '1.35.4-1.1' for 'kubeadm' was not found\n",
            "E: Version '1.35.4-1.1' for 'kubeadm' was not found",
        ),
        ("(Reading database ... 5%\r(Reading database ... 100%\nlockkeeper-node: Wrong.\n", "Wrong."),
        (
            "E1123 08:47:00.284708 1709 remote.go] x\nplain words\nE1123 08:47:00.284708 1709 remote.go] y\n",
            "plain words",
        ),
        ("\x1b[31mred\x1b[0m\n\n", "red"),
        ("", ""),
    ],
)
def test_the_line_that_says_why_is_found(output: str, complaint: str) -> None:
    """kubeadm's checks, its error, apt's E: line, the script's sentence, then the last words."""
    assert find_complaint(output) == complaint


def test_a_refused_login_blocks_at_once() -> None:
    """The machine itself said no: waiting does not help."""
    bench = Bench()
    bench.w1.refuse_logins = 1
    with pytest.raises(StepBlocked) as refused:
        perform(bench.site("w1", Verb.HOLD))
    assert refused.value.finding.code == "machine-refused"
