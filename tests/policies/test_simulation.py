"""Plans walked through, judged by the skew policy's table written down a second time, over clusters of any kind."""

from dataclasses import dataclass, replace

import pytest
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from cluster.errors import Refused
from cluster.facts import Offer, OfferState
from cluster.findings import Severity, blockers
from cluster.options import Options, WorkerMoves
from cluster.plan import PlanKind, Role
from cluster.procedure import Phase, Verb, itinerary
from cluster.report import AddOn, ApiServer, ClusterIdentity, ClusterReport, Node, StaticPod
from cluster.survey import Survey, SurveyedMachine
from cluster.versions import KubeVersion, Minor, PackageVersion, ReportedVersion, parse_target
from policies.drafting import draft_upgrade
from policies.preflight import check_preflight
from policies.simulation import simulate
from tests.policies_fixture import (
    FACTS,
    NOW,
    codes,
    draft,
    make_cluster,
    make_report,
    make_survey,
    reported,
    see,
    with_node,
)

PATCHES = (1, 2, 5)
OLDEST, NEWEST = 24, 40
RULES = {"plan-breaks-skew", "kubelet-too-old-for-hop", "hop-skips-a-minor", "downgrade"}
CHECKED = settings(
    derandomize=True,  # the same clusters everywhere: a red run can be repeated
    deadline=None,
    database=None,
    max_examples=500,
    suppress_health_check=[HealthCheck.too_slow],
)


@dataclass
class Paper:
    """What runs, in plain pairs of (minor, patch): nothing of the policies' own."""

    api: dict
    controllers: dict
    kubelet: dict
    kubectl: dict
    proxy: tuple
    declared: tuple
    offered: tuple = PATCHES

    def broken(self):
        """The rows of the version skew policy's table that do not hold."""
        apis = [minor for minor, _ in self.api.values()]
        oldest, newest = min(apis), max(apis)
        if newest - oldest > 1:
            yield "API servers more than one minor apart"
        for name, (minor, _) in self.kubelet.items():
            if minor > oldest or newest - minor > (3 if minor >= 25 else 2):
                yield f"kubelet of {name}"
            if abs(self.proxy[0] - minor) > (3 if self.proxy[0] >= 25 else 2):
                yield f"kube-proxy beside the kubelet of {name}"
        if self.proxy[0] > oldest or newest - self.proxy[0] > (3 if self.proxy[0] >= 25 else 2):
            yield "kube-proxy"
        for name, (minor, _) in self.controllers.items():
            if not 0 <= self.api[name][0] - minor <= 1:
                yield f"controllers of {name}"

    def far_kubectls(self):
        apis = [minor for minor, _ in self.api.values()]
        return {n for n, (m, _) in self.kubectl.items() if max(apis) - m > 1 or m - min(apis) > 1}

    def too_old(self, name, target):
        """Whether kubeadm of `target` refuses the kubelet of this node."""
        minor = self.kubelet[name][0]
        return target[0] - minor > (1 if target[0] < 29 else 3 if minor >= 25 else 2)

    def refused(self, target):
        """What kubeadm of `target` says on a control plane, before it begins."""
        if any(not 0 <= target[0] - minor <= 1 for minor, _ in self.api.values()):
            yield "more than one minor at a time"
        for name in self.kubelet:
            if self.too_old(name, target):
                yield f"kubelet of {name} too old for the hop"

    def do(self, verb, node, target):
        """One step; each state that it passes through."""
        if verb is Verb.RESTART_KUBELET:
            self.kubelet[node.name] = target
            yield
        elif verb is Verb.INSTALL_KUBELET:
            self.kubectl[node.name] = target
            yield
        elif verb in {Verb.APPLY, Verb.UPGRADE_NODE} and node.role is not Role.WORKER:
            self.api[node.name] = target
            yield
            self.controllers[node.name] = target
            yield
            if verb is Verb.APPLY:
                self.declared = target
            if set(self.api.values()) == {target}:
                self.proxy = target
            yield


def text(version):
    return f"v1.{version[0]}.{version[1]}"


def read(version):
    return ReportedVersion.parse(text(version))


def report_of(paper):
    """The report that this cluster would give of itself."""
    nodes = tuple(
        Node(n, f"uid-{n}", n in paper.api, read(k), ready=True, cordoned=False) for n, k in paper.kubelet.items()
    )
    pods = []
    for n in paper.api:
        tags = {"etcd": "3.6.5-0", "kube-apiserver": text(paper.api[n])}
        tags |= dict.fromkeys(("kube-controller-manager", "kube-scheduler"), text(paper.controllers[n]))
        pods += [StaticPod(n, c, f"{c}:{t}", t, ready=True, config_hash="") for c, t in tags.items()]
    return ClusterReport(
        cluster="prod",
        identity=ClusterIdentity("prod", "ca", "uid"),
        read_at=NOW,
        api_servers=tuple(ApiServer(n, f"{n}:6443", read(a), ready=True) for n, a in paper.api.items()),
        static_pods=tuple(pods),
        nodes=nodes,
        add_ons=(AddOn("kube-proxy", f"registry.k8s.io/kube-proxy:{text(paper.proxy)}", tuple(paper.kubelet)),),
        declared=KubeVersion.parse(text(paper.declared)),
    )


def offers_of(patches):
    return tuple(
        Offer(Minor(1, m), OfferState.OFFERED, tuple(PackageVersion.parse(f"1.{m}.{p}-1.1") for p in patches))
        for m in range(OLDEST, NEWEST + 1)
    )


OFFERS = {patches: offers_of(patches) for patches in (PATCHES, PATCHES[::2])}


def survey_of(paper):
    facts = {
        n: replace(FACTS, control_plane=n in paper.api, kubelet=read(k), kubectl=read(paper.kubectl[n]))
        for n, k in paper.kubelet.items()
    }
    return Survey("prod", NOW, tuple(SurveyedMachine(n, f, OFFERS[paper.offered]) for n, f in facts.items()))


@st.composite
def papers(draw):
    """Clusters of one to five control planes: sound, interrupted, edited by hand, with nodes left behind."""
    minor = draw(st.integers(OLDEST + 3, NEWEST - 4))
    now, older, newer = (minor, 2), (minor, 1), draw(st.sampled_from([(minor, 5), (minor + 1, 2)]))
    masters = [f"cp{i + 1}" for i in range(draw(st.sampled_from([1, 3, 3, 4, 5])))]
    workers = [f"w{i + 1}" for i in range(draw(st.integers(0, 3)))]
    api, declared = dict.fromkeys(masters, now), now
    controllers = dict(api)
    moved = masters[: draw(st.integers(1, len(masters)))]
    match draw(st.sampled_from(["sound", "sound", "sound", "sound", "interrupted", "cut", "half a node", "edited"])):
        case "interrupted":
            api |= dict.fromkeys(moved, newer)
            controllers, declared = dict(api), newer
        case "cut":
            api["cp1"] = controllers["cp1"] = newer
        case "half a node":
            api |= dict.fromkeys(moved, newer)
            controllers, declared = dict(api), newer
            controllers[moved[-1]] = now
        case "edited":
            draw(st.sampled_from([api, controllers]))[moved[-1]] = draw(st.sampled_from([newer, older, (minor - 2, 5)]))
    behind = draw(
        st.sampled_from(
            [st.just(0), st.sampled_from([0, 0, 1]), st.integers(0, 3), st.integers(0, 3), st.integers(-1, 4)]
        )
    )
    kubelet = {n: (minor - draw(behind), draw(st.sampled_from(PATCHES))) for n in (*masters, *workers)}
    kubectl = {n: draw(st.sampled_from([k, k, now])) for n, k in kubelet.items()}
    proxy = (minor - draw(st.sampled_from([0] * 10 + [1, 3])), 2)
    # what runs need not be offered any more: then no straggler can be brought to it
    return Paper(api, controllers, kubelet, kubectl, proxy, declared, draw(st.sampled_from([*OFFERS, PATCHES])))


targets = st.sampled_from(["next", "latest-patch", "declared", "+0", "+1", "+2", "+2", "+3", "+4", "exact+1"])

options = st.sampled_from([Options(workers=moves) for moves in WorkerMoves])


def typed(word, paper):
    """A target near this cluster, as a person types it."""
    if word == "declared":
        return text(paper.declared)
    if "+" not in word:
        return word
    kind, _, ahead = word.partition("+")
    minor = min(m for m, _ in paper.api.values()) + int(ahead)
    return f"v1.{minor}.{PATCHES[1]}" if kind else f"v1.{minor}"


def drafted(paper, word, options):
    """The plan, and whether what was seen was sound enough to be planned for; None for a refusal."""
    seen = see(report_of(paper), survey_of(paper))
    machine = next(iter(make_cluster().machines.values()))
    cluster = make_cluster(machines={n: machine.model_dump() for n in paper.kubelet})
    try:
        made = draft_upgrade(
            seen, cluster, parse_target(typed(word, paper)), options=options, accepted=("two-member-etcd",), now=NOW
        )
    except Refused:
        return None
    minors = tuple(h.target.minor for h in made.plan.hops)
    preflight = check_preflight(seen, cluster, target=made.plan.target, minors=minors, accepted=("two-member-etcd",))
    return made, blockers(preflight)


def walk(plan, paper, random):
    """Every broken rule on the way, nodes of a stage in any order; and the kubectls that get too far."""
    wrong, kubectls = [], set()
    ways = {n: list(itinerary(plan, n)) for n in plan.nodes}
    while any(ways.values()):
        stage = min(way[0].stage for way in ways.values() if way)
        here = [n for n, way in ways.items() if way and way[0].stage == stage]
        node = random.choice(here)
        one_by_one = ways[node][0].phase in {Phase.CONTROL_PLANE, Phase.CONTROL_PLANE_KUBELETS}
        if one_by_one and (first := [n for n in here if n.role is Role.FIRST_CONTROL_PLANE]):
            node = first[0]
        while ways[node] and ways[node][0].stage == stage:
            step = ways[node].pop(0)
            hop = plan.hops[step.hop]
            target = (hop.target.minor.minor, hop.target.patch)
            if step.verb in {Verb.APPLY, Verb.UPGRADE_NODE} and node.role is not Role.WORKER:
                wrong += paper.refused(target)
            if step.verb is Verb.UPGRADE_NODE and paper.declared != target:
                wrong.append(f"kubeadm would bring {paper.declared} to {node.name}")
            if step.verb is Verb.INSTALL_KUBEADM and paper.too_old(node.name, target):
                wrong.append(f"kubeadm beside the kubelet of {node.name}")
            for _ in paper.do(step.verb, node, target):
                wrong += paper.broken()
                kubectls |= paper.far_kubectls()
            if not one_by_one:  # workers go side by side: anybody may be next
                break
    return wrong, kubectls


@pytest.mark.long
@CHECKED
@given(papers(), targets, options, st.randoms(use_true_random=False))
def test_a_plan_that_may_be_approved_never_passes_through_an_invalid_state(paper, word, chosen, random):
    """By the policy's table, after each step, whoever of a stage goes first; and it ends where it should."""
    answer = drafted(paper, word, chosen)
    if answer is None or blockers(answer[0].findings):
        event("refused or blocked")
        return
    plan = answer[0].plan
    event(f"{sum(plan.whole_hops)} hops, {chosen.workers}{'' if all(plan.whole_hops) else ', a straggler first'}")
    before = paper.far_kubectls()
    wrong, kubectls = walk(plan, paper, random)
    assert wrong == []
    assert {*paper.api.values(), *paper.kubelet.values(), paper.declared} == {
        (plan.target.minor.minor, plan.target.patch)
    }
    if kubectls - before:
        assert "kubectl-apart" in codes(answer[0].findings)


@pytest.mark.long
@CHECKED
@given(papers(), targets, options, st.randoms(use_true_random=False))
def test_what_passes_preflight_gets_a_valid_plan_or_hears_which_rule_it_would_break(paper, word, chosen, random):
    """Blocked exactly where the walk by the table breaks a rule: none missed, and none made up."""
    answer = drafted(paper, word, chosen)
    if answer is None or answer[1]:
        event("refused or not sound")
        return
    made, _ = answer
    wrong, _ = walk(made.plan, paper, random)
    named = {f.code for f in blockers(made.findings)}
    event(f"broken: {bool(wrong)}")
    assert bool(named) == bool(wrong), (named, wrong)
    assert named <= RULES


def test_the_first_step_that_breaks_a_rule_is_named_with_its_node_and_the_rule():
    """A kube-proxy that nobody moves falls out when the first API server goes on, and only then."""
    report = make_report(proxy="v1.31.0")
    (stop,) = [f for f in draft("v1.35.4", report=report).findings if f.subject == "w1"]
    assert (stop.code, stop.severity) == ("plan-breaks-skew", Severity.BLOCKER)
    assert stop.sentence.startswith("On the way to v1.35.4, after running kubeadm upgrade apply on cp1: The kube-proxy")
    assert "(kube-proxy-too-old)" in stop.sentence
    assert "1 more node is like it" in stop.sentence
    assert blockers(draft("v1.34.9", report=report).findings) == ()


def test_what_is_broken_already_is_said_once():
    """The finding of the report itself stands; the walk adds nothing to it."""
    report = with_node(make_report(), "w1", kubelet=reported("v1.30.1"))
    assert codes(blockers(draft("v1.34.9", report=report).findings)) == ["kubelet-too-old"]
    assert codes(blockers(draft("v1.36.2", report=report).findings)) == ["kubelet-too-old"]


def test_a_kubectl_that_gets_too_far_on_the_way_is_a_warning():
    """It hurts nobody but whoever types it, and is approved with the plan."""
    old = replace(FACTS, kubectl=reported("v1.33.4"))
    made = draft("v1.35.4", survey=make_survey(facts={"w2": old}))
    (warning,) = [f for f in made.findings if f.severity is Severity.WARNING]
    assert (warning.code, warning.subject) == ("kubectl-apart", "w2")
    assert "On the way to v1.35.4" in warning.sentence


@pytest.mark.parametrize(
    ("code", "plan"),
    [
        ("kubeadm-of-another-minor", lambda p: replace(p, hops=(replace(p.hops[0], kubeadm=p.hops[1].kubeadm),))),
        ("hop-skips-a-minor", lambda p: replace(p, hops=p.hops[1:])),
        ("config-not-at-target", lambda p: replace(p, pools=p.pools[1:])),
        ("plan-breaks-skew", lambda p: replace(p, pools=(replace(p.pools[0], nodes=p.pools[0].nodes[:1]),))),
    ],
)
def test_a_plan_that_is_not_of_our_making_is_judged_too(code, plan):
    """Another kubeadm, a minor left out, no control plane, or one of three."""
    made = draft("v1.36.2").plan
    assert simulate(made, make_report(), make_survey()) == ()
    assert code in codes(simulate(plan(made), make_report(), make_survey()))


def test_a_revert_is_no_walk():
    """It is the way out of a state that the policy forbids."""
    revert = replace(draft("v1.36.2").plan, kind=PlanKind.REVERT)
    assert simulate(revert, make_report({"cp1": "v1.36.2", "cp2": "v1.34.7"}), make_survey()) == ()
