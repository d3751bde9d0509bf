"""Drafts: what a plan holds, what blocks it, and which way out is offered beside it."""

from dataclasses import replace

import pytest

from cluster.errors import Refused
from cluster.facts import EtcdTool, KubeletUnit, Offer, OfferState, Package, Room
from cluster.findings import Severity, blockers
from cluster.options import Options, PodRule, Reboot, Treatment
from cluster.plan import PlanKind, Role
from cluster.report import ApiServer, Budget, DaemonSet, Unread
from cluster.versions import Minor
from policies.consents import BLOCKERS
from policies.drafting import draft_revert
from tests.policies_fixture import (
    FACTS,
    MASTERS,
    NOW,
    WORKERS,
    codes,
    draft,
    make_cluster,
    make_offers,
    make_report,
    make_survey,
    reported,
    see,
    v,
    with_api,
    with_node,
)

EDITED = {"cp1": "v1.35.4", "cp2": "v1.34.7", "cp3": "v1.34.7"}


def edited_report():
    """The API server of cp1 was edited; everything else is as declared."""
    return make_report(EDITED, "v1.34.7", controllers=dict.fromkeys(MASTERS, "v1.34.7"), declared="v1.34.7")


def test_a_healthy_cluster_has_a_plan_with_nothing_against_it():
    """Hops, pools in order, the first control plane marked; that a newer patch is offered is told and no more."""
    made = draft("v1.35.4")
    assert [(f.code, f.severity) for f in made.findings] == [("patches-behind", Severity.NOTE)]
    assert [n.role for n in made.plan.pools[0].nodes] == [
        Role.FIRST_CONTROL_PLANE,
        Role.CONTROL_PLANE,
        Role.CONTROL_PLANE,
    ]
    assert [(p.name, p.max_unavailable) for p in made.plan.pools] == [("control-plane", 1), ("other", 1)]
    assert made.basis.declared == "v1.34.7"
    assert 0 < made.estimate[0] < made.estimate[1]


def test_two_drafts_of_the_same_state_have_the_same_digest():
    """The digest is the intent, not the moment."""
    assert draft().plan.digest == draft().plan.digest


def test_whatever_is_part_of_the_intent_changes_the_digest():
    """Target, options, nodes."""
    plain = draft()
    assert draft("v1.35.0").plan.digest != plain.plan.digest
    assert draft(options=Options(drain_timeout=10)).plan.digest != plain.plan.digest
    assert draft(report=with_node(make_report(), "w1", uid="other")).plan.digest != plain.plan.digest


def test_pools_take_nodes_by_selector_and_the_rest_is_a_pool_of_its_own():
    """A node in two pools is in the first; percentages are of the pool."""
    report = with_node(with_node(make_report(), "w1", labels=(("role", "web"),)), "w2", labels=(("role", "db"),))
    pools = {
        "web": {"selector": "role=web", "max_unavailable": "50%"},
        "all": {"selector": "role", "max_unavailable": 3},
    }
    made = draft(report=report, cluster=make_cluster(pools=pools))
    assert [(p.name, p.max_unavailable, [n.name for n in p.nodes]) for p in made.plan.pools[1:]] == [
        ("web", 1, ["w1"]),
        ("all", 3, ["w2"]),
    ]


def test_a_relative_target_is_planned_as_the_release_that_it_comes_to():
    """What is shown and approved is the same, whichever way it was asked for."""
    assert draft("next").plan.digest == draft("v1.35.4").plan.digest
    assert draft("latest-patch").plan.target == v("v1.34.9")
    with pytest.raises(Refused, match=r"already runs v1\.34\.9"):
        draft("latest-patch", report=make_report("v1.34.9", "v1.34.9"))


def test_nothing_to_do_is_said_and_not_planned():
    """Every API server, every kubelet and kubeadm-config are there already."""
    with pytest.raises(Refused, match="Nothing to do"):
        draft("v1.34.7")


def test_a_kubelet_left_behind_can_be_brought_forward_by_a_plan_to_the_running_version():
    """The control plane is there; one node is not."""
    made = draft("v1.34.7", report=with_node(make_report(), "w2", kubelet=reported("v1.33.1")))
    assert [str(h.target) for h in made.plan.hops] == ["v1.34.7"]
    assert blockers(made.findings) == ()


def test_a_cluster_that_cannot_say_who_it_is_is_refused():
    """A digest without an identity could be run on another cluster."""
    with pytest.raises(Refused, match="cannot be told"):
        draft(report=replace(make_report(), identity=None))


def facts_of(name, **changes):
    return make_survey(facts={name: replace(FACTS, **{"control_plane": name in MASTERS, **changes})})


UNREACHABLE = Offer(Minor(1, 35), OfferState.UNREACHABLE, reason="timed out")


@pytest.mark.parametrize(
    ("code", "report", "survey"),
    [
        ("node-not-ready", with_node(make_report(), "w1", ready=False), None),
        ("machine-unreadable", None, make_survey(facts={"w1": Unread("w1", "No host key is pinned.")})),
        ("source-unreachable", None, make_survey(offers={"w1": (UNREACHABLE,)})),
        ("dpkg-interrupted", None, facts_of("w1", dpkg_problem="kubelet is half installed")),
        ("dpkg-interrupted", None, facts_of("w1", packages=(Package("kubelet", "1.34.7-1.1", "iHR"),))),
        ("no-etcdctl", None, facts_of("cp1", etcdctl=EtcdTool.NONE)),
        ("disk-space", None, facts_of("cp2", room=(Room("/etc/kubernetes", 100, 100),))),
        ("role-differs", None, facts_of("w1", control_plane=True)),
        ("manifest-missing", None, facts_of("cp1", missing_manifests=("kube-apiserver",))),
        ("patches-missing", None, facts_of("w1", patches="missing /etc/kubernetes/patches")),
        ("removed-flag", None, facts_of("w1", kubelet_extra_args="--pod-infra-container-image=pause:3.9")),
        ("source-missing", None, facts_of("w1", sources=())),
        (
            "api-server-not-ready",
            replace(make_report(), api_servers=(ApiServer("cp1", "cp1:6443", reported("v1.34.7")),)),
            None,
        ),
        (
            "api-server-unread",
            replace(make_report(), api_servers=(ApiServer("cp1", "cp1:6443", Unread("API server on cp1", "refused")),)),
            None,
        ),
        ("kubelet-not-running", None, facts_of("w1", kubelet_unit=KubeletUnit(True, False, "failed", 7, "Mon"))),
        ("kubeadm-config-unread", replace(make_report(), declared=Unread("kubeadm-config", "It is gone.")), None),
        ("static-pod-missing", replace(make_report(), static_pods=make_report().static_pods[:-1]), None),
        ("partly-unread", replace(make_report(), unread=(Unread("pod disruption budgets", "403"),)), None),
        (
            "kubelet-too-old-for-hop",
            with_node(make_report(), "w1", kubelet=reported("v1.31.0")),
            make_survey(offers={"w1": make_offers("1.34.9-1.1", "1.35.4-1.1")}),
        ),
    ],
)
def test_what_an_upgrade_would_stumble_over_blocks_its_plan(code, report, survey):
    """Each with its subject, one sentence and a remedy."""
    made = draft(report=report, survey=survey)
    stops = blockers(made.findings)
    assert code in codes(stops)
    assert all(f.subject and f.sentence and f.remedy for f in stops)


def test_a_node_without_a_machine_blocks():
    """It could not be upgraded, and would be left behind."""
    cluster = make_cluster()
    machines = {n: m for n, m in cluster.machines.items() if n != "w2"}
    made = draft(cluster=cluster.model_copy(update={"machines": machines}))
    assert codes(blockers(made.findings)) == ["machine-missing"]


@pytest.mark.parametrize(
    ("code", "report", "survey"),
    [
        ("foreign-cordon", with_node(make_report(), "w1", cordoned=True), None),
        ("budget-allows-none", replace(make_report(), budgets=(Budget("demo", "ledger", 0, 1, 1),)), None),
        ("cgroup-v1", None, facts_of("w1", cgroup="v1")),
        ("stray-manifest", None, facts_of("cp1", stray_manifests=("kube-apiserver.yaml.bak",))),
        ("machine-partly-unread", None, facts_of("w1", unread=(Unread("kernel", "uname: not found"),))),
    ],
)
def test_a_warning_is_approved_with_the_plan(code, report, survey):
    """It blocks nothing, and its code is in the digest."""
    made = draft(report=report, survey=survey)
    assert blockers(made.findings) == ()
    assert made.plan.accepted == (code,)


def test_a_plan_in_a_freeze_says_until_when_it_waits_and_blocks_nothing():
    """It may be approved now, and begins when something may begin."""
    today = NOW.date().isoformat()
    made = draft(cluster=make_cluster(freezes=[{"begins": today, "ends": today}]))
    (told,) = (f for f in made.findings if f.code == "freeze")
    assert told.severity is Severity.NOTE
    assert blockers(made.findings) == ()


def test_a_window_that_is_too_short_for_a_plan_is_approved_with_it():
    """Not even the shortest estimate fits into a minute."""
    minute = {"opens": "12:00", "closes": "12:01"}
    made = draft(cluster=make_cluster(windows=[minute]))
    assert made.plan.accepted == ("window-too-short",)


def test_a_daemonset_that_is_ready_everywhere_is_no_news():
    """One warning for each that is not; each is accepted by itself, since verification then spares it."""
    daemons = (DaemonSet("kube-system", "cni", 5, 5), DaemonSet("demo", "a", 5, 4), DaemonSet("demo", "b", 5, 0))
    made = draft(report=replace(make_report(), daemon_sets=daemons))
    assert [f.subject for f in made.findings if f.code == "daemonset-not-ready"] == ["demo/a", "demo/b"]
    assert made.plan.accepted == ("daemonset-not-ready:demo/a", "daemonset-not-ready:demo/b")


@pytest.mark.parametrize(
    ("node", "changes", "stored", "blocks"),
    [
        ("cp1", {"snapshot_export": None}, True, "of an earlier release"),
        ("cp1", {"snapshot_export": False}, True, "SNAPSHOT_EXPORT=no"),
        ("cp1", {"snapshot_export": True}, True, ""),
        ("cp1", {"snapshot_export": None}, False, ""),  # no store, nothing to give out
        ("cp1", {"snapshot_export": None, "etcdctl": EtcdTool.NONE}, True, ""),  # no snapshot, and that is said
        ("cp2", {"snapshot_export": None}, True, ""),
    ],
)
def test_a_machine_that_keeps_its_snapshot_back_is_noticed_before_anybody_approves(node, changes, stored, blocks):
    """Else the run would stop right before the first change, at night."""
    base = {name: replace(FACTS, control_plane=True, snapshot_export=True) for name in MASTERS}
    survey = make_survey(facts=base | {node: replace(base[node], **changes)})
    recipient = "age1ua6aha78tydma754jlxcwcvhqu2tq3znjffs8h6ydpx38xhvxgequcgrn4"
    cluster = make_cluster(**({"snapshots": {"store": "/s", "recipients": [recipient]}} if stored else {}))
    found = [f for f in draft(survey=survey, cluster=cluster).findings if f.code == "snapshot-kept-back"]
    assert [f.subject for f in found] == (["cp1"] if blocks else [])
    assert all(blocks in f.sentence and f.severity is Severity.BLOCKER for f in found)


def test_an_etcdctl_on_the_other_control_planes_is_not_asked_for():
    """The snapshot is taken on the first one."""
    assert "no-etcdctl" not in codes(draft(survey=facts_of("cp2", etcdctl=EtcdTool.NONE)).findings)


@pytest.mark.parametrize(
    ("tools", "wanted"),
    [(("containerd", "crictl"), "etcdctl"), (("containerd", "ctr"), "etcdctl"), (("containerd",), "cri-tools")],
)
def test_what_to_install_for_a_snapshot_depends_on_what_is_there(tools, wanted):
    """etcd's image has an etcdctl; where only crictl is missing, that is the way to it."""
    survey = facts_of("cp1", etcdctl=EtcdTool.NONE, tools=tools)
    (found,) = (f for f in draft(survey=survey).findings if f.code == "no-etcdctl")
    assert wanted in found.remedy
    assert ("cri-tools" in found.remedy) is (not {"crictl", "ctr"} & set(tools))


@pytest.mark.parametrize(
    ("problem", "package", "severity"),
    [
        ("The following packages are only half configured: kubelet", "ii", Severity.WARNING),
        ("dpkg was interrupted: its journal is not merged yet.", "ii", Severity.WARNING),
        ("The following packages have been unpacked but not yet configured: kubelet", "iU", Severity.WARNING),
        ("", "iF", Severity.WARNING),
        ("The following packages are only half installed, due to problems: kubelet", "iH", Severity.BLOCKER),
        ("The following packages are in a mess due to serious problems: agent", "ii", Severity.BLOCKER),
        ("", "iUR", Severity.BLOCKER),
    ],
)
def test_what_dpkg_can_finish_is_finished_by_the_run_and_what_it_lost_is_for_a_person(problem, package, severity):
    """The warning says so, and is approved with the plan."""
    survey = facts_of("w1", dpkg_problem=problem, packages=(Package("kubelet", "1.34.7-1.1", package),))
    (found,) = (f for f in draft(survey=survey).findings if f.code == "dpkg-interrupted")
    assert found.severity is severity
    assert ("An upgrade finishes that first" in found.remedy) is (severity is Severity.WARNING)
    assert "sudo dpkg --configure -a" in found.remedy


def test_named_consent_lifts_the_missing_snapshot_and_nothing_else():
    """The consent is in the plan's options, and so in its digest."""
    survey = facts_of("cp1", etcdctl=EtcdTool.NONE, dpkg_problem="kubelet is half installed")
    made = draft(survey=survey, accepted=("no-etcdctl", "dpkg-interrupted"))
    assert codes(blockers(made.findings)) == ["dpkg-interrupted"]
    assert made.plan.options.without_snapshot
    assert {f.code for f in made.findings if f.severity is Severity.WARNING} == {"no-etcdctl"}
    assert "dpkg-interrupted" not in BLOCKERS


def test_a_two_member_etcd_blocks():
    """It has no tolerance at all."""
    two = make_report({"cp1": "v1.34.7", "cp2": "v1.34.7"})
    assert codes(blockers(draft(report=two).findings)) == ["two-member-etcd"]


def test_a_hand_edited_api_server_blocks_and_says_what_kubeadm_would_believe():
    """The remedy is the revert plan."""
    made = draft(report=edited_report())
    (stop,) = blockers(made.findings)
    assert stop.code == "hand-edited-apiserver"
    assert "/version alone" in stop.sentence
    assert "nothing to upgrade" in stop.sentence
    assert "revert" in stop.remedy
    assert [str(h.target) for h in made.plan.hops] == ["v1.35.4"]


def test_the_revert_of_a_hand_edit_touches_only_that_node_and_can_be_approved():
    """To the declared version, with the packages that are installed."""
    made = draft_revert(see(edited_report()), make_cluster(), options=Options())
    assert made.plan.kind is PlanKind.REVERT
    assert blockers(made.findings) == ()
    assert [(n.name, n.role) for n in made.plan.nodes] == [("cp1", Role.FIRST_CONTROL_PLANE)]
    assert made.plan.target == v("v1.34.7")
    assert str(made.plan.hops[0].kubeadm) == "1.34.7-1.1"
    (images,) = [f for f in made.findings if f.code == "images-not-checked"]
    assert images.severity is Severity.NOTE
    assert "Whether the images of v1.34.7 can be had was not asked" in images.sentence


def test_a_revert_says_nothing_of_what_only_a_drain_would_do():
    """Whoever approves it would take the cluster's defaults for what happens: no machine of it reboots."""
    options = Options(reboot=Reboot.ALWAYS, surge=True, pod_rules=(PodRule("app=web", Treatment.STAY),))
    made = draft_revert(see(edited_report()), make_cluster(), options=options)
    assert made.plan.options == Options()
    assert made.plan.digest == draft_revert(see(edited_report()), make_cluster(), options=Options()).plan.digest


def test_a_revert_needs_the_kubeadm_of_the_declared_minor():
    """Another one would refuse, or upgrade."""
    survey = facts_of(
        "cp1", packages=(Package("kubeadm", "1.35.4-1.1", "hi"), *FACTS.packages[1:]), kubeadm=reported("v1.35.4")
    )
    made = draft_revert(see(edited_report(), survey), make_cluster(), options=Options())
    assert codes(blockers(made.findings)) == ["kubeadm-of-another-minor"]


def test_a_hand_edited_scheduler_is_found_too():
    """Any of the three that kubeadm moves together."""
    report = make_report()
    pods = tuple(
        replace(p, tag="v1.35.4") if (p.node, p.component) == ("cp2", "kube-scheduler") else p
        for p in report.static_pods
    )
    report = replace(report, static_pods=pods)
    assert "hand-edited-component" in codes(draft(report=report).findings)
    assert draft_revert(see(report), make_cluster(), options=Options()) is not None


def test_a_sound_cluster_has_no_revert():
    """Nothing was edited."""
    assert draft_revert(see(make_report()), make_cluster(), options=Options()) is None


def test_an_upgrade_that_was_left_half_way_is_finished_by_a_plan_to_its_own_target_only():
    """kubeadm-config is ahead of cp2 and cp3."""
    report = make_report({"cp1": "v1.35.4", "cp2": "v1.34.7", "cp3": "v1.34.7"}, "v1.34.7", declared="v1.35.4")
    assert codes(blockers(draft("v1.36.2", report=report).findings)) == ["kubeadm-config-ahead"]
    finishing = draft("v1.35.4", report=report)
    assert blockers(finishing.findings) == ()
    assert codes(finishing.findings) == ["kubeadm-config-ahead"]


def test_an_api_server_that_answers_with_another_version_than_its_pod_is_what_counts():
    """The running one decides where the plan starts."""
    report = with_api(make_report(declared="v1.34.7"), "cp2", "v1.33.9")
    assert [str(h.target) for h in draft("v1.34.9", report=report).plan.hops] == ["v1.34.9"]


def test_workers_are_ordered_as_people_count():
    """w2 comes before w10."""
    report = make_report()
    ten = replace(report.node("w1"), name="w10", uid="uid-w10")
    made = draft(report=replace(report, nodes=(*report.nodes, ten)))
    assert [n.name for n in made.plan.pools[1].nodes] == [*WORKERS, "w10"]
