"""A plan walked through on paper: no state on its way may break the skew policy, nor kubeadm's own tighter rules."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from cluster.findings import Finding, Findings, Severity
from cluster.plan import Hop, PlanKind, PlanNode, Role, UpgradePlan
from cluster.pods import tag_of
from cluster.procedure import DOING, Phase, Step, Verb, itinerary
from cluster.report import AddOn, ApiServer, ClusterReport, Node, StaticPod, Unread
from cluster.survey import Survey
from cluster.versions import KubeVersion, Minor, ReportedVersion
from policies.drift import running_version
from policies.skew import check_hop, check_skew, kube_proxies, lag_at_hop

_API_SERVER = ("kube-apiserver",)
_CONTROLLERS = ("kube-controller-manager", "kube-scheduler")
_KUBEADM_RUNS = frozenset({Verb.APPLY, Verb.UPGRADE_NODE})

Stage = tuple[int, int]


@dataclass(frozen=True, slots=True)
class _Group:
    """Nodes that run the same and go the same way: `node` stands for all `size` of them."""

    node: PlanNode
    size: int
    steps: tuple[Step, ...]


@dataclass(frozen=True, slots=True)
class _State:
    """What runs at one moment, on one node of each group."""

    report: ClusterReport
    survey: Survey


def simulate(plan: UpgradePlan, report: ClusterReport, survey: Survey) -> Findings:
    """What a state on the plan's way would break, each once, at the first step that breaks it.

    What is broken before the first step is not repeated: it has findings of its own.
    """
    if plan.kind is not PlanKind.UPGRADE:
        return ()
    groups = _gather(plan, report, survey)
    walk = _Walk(plan, groups)
    walk.begin(_State(_reduced(report, groups), _asked_of(survey, groups)))
    return tuple(walk.found)


@dataclass
class _Walk:
    """One walk through the plan; it remembers what it has found broken."""

    plan: UpgradePlan
    groups: tuple[_Group, ...]
    found: list[Finding] = field(default_factory=list)
    known: set[tuple[str, str]] = field(default_factory=set)

    def begin(self, state: _State) -> None:
        self.known |= {_key(f) for f in check_skew(state.report, state.survey)}
        for stage in sorted({s.stage for g in self.groups for s in g.steps}):
            state = self._pass(stage, state)

    def _pass(self, stage: Stage, state: _State) -> _State:
        """Every node of a stage; whatever the order, it ends in the same state."""
        ends = [self._take(order, stage, state) for order in _orders(self.groups, stage)]
        return ends[0]

    def _take(self, order: tuple[_Group, ...], stage: Stage, state: _State) -> _State:
        for group in order:
            for step in group.steps:
                if step.stage == stage:
                    state = self._step(group, step, state)
        return state

    def _step(self, group: _Group, step: Step, state: _State) -> _State:
        hop = self.plan.hops[step.hop]
        for finding in _kubeadm_refuses(state, group, step, hop):
            if self._is_news(finding):
                self.found.append(self._of_all(finding))
        for after in _effects(state, group.node, step, hop):
            state = after
            for finding in check_skew(state.report, state.survey):
                if self._is_news(finding):
                    self.found.append(self._told(finding, group, step))
        return state

    def _is_news(self, finding: Finding) -> bool:
        known, key = len(self.known), _key(finding)
        self.known.add(key)
        return len(self.known) > known

    def _told(self, finding: Finding, group: _Group, step: Step) -> Finding:
        finding = self._of_all(finding)
        place = f"On the way to {self.plan.hops[step.hop].target}, after {DOING[step.verb]} on {group.node.name}"
        sentence = f"{place}: {finding.sentence}"
        if finding.severity is not Severity.BLOCKER:
            return replace(finding, sentence=sentence)
        sentence = f"{sentence} ({finding.code})"
        return Finding("plan-breaks-skew", Severity.BLOCKER, finding.subject, sentence, finding.remedy)

    def _of_all(self, finding: Finding) -> Finding:
        others = next((g.size - 1 for g in self.groups if g.node.name == finding.subject), 0)
        if not others:
            return finding
        nodes = "node is" if others == 1 else "nodes are"
        return replace(finding, sentence=f"{finding.sentence} {others} more {nodes} like it.")


def _key(finding: Finding) -> tuple[str, str]:
    return finding.code.removesuffix(
        "-for-hop"
    ), finding.subject  # kubeadm's rule and the policy's are one piece of news


def _gather(plan: UpgradePlan, report: ClusterReport, survey: Survey) -> tuple[_Group, ...]:
    """Control planes one by one; thousands of workers that run the same are one group. In the plan's order."""
    proxies = {name: minor for add_on, minor in kube_proxies(report) for name in add_on.nodes}
    servers = {s.node for s in report.api_servers}
    groups: dict[tuple[object, ...], _Group] = {}
    strangers = (PlanNode(n.name, n.uid, Role.WORKER) for n in report.nodes if plan.node(n.name) is None)
    for node in (*plan.nodes, *strangers):
        if (seen := report.node(node.name)) is None:
            continue
        steps = itinerary(plan, node) if plan.node(node.name) else ()
        alone = node.name if seen.control_plane or node.name in servers or node.role is not Role.WORKER else ""
        facts = survey.facts(node.name)
        kubectl = facts.kubectl.version.minor if facts and facts.kubectl else None
        key = (alone, bool(steps), node.moves, _minor(seen), proxies.get(node.name), kubectl)
        group = groups.get(key)
        groups[key] = _Group(node, 1, steps) if group is None else replace(group, size=group.size + 1)
    return tuple(groups.values())


def _minor(node: Node) -> Minor | None:
    return node.kubelet.version.minor if isinstance(node.kubelet, ReportedVersion) else None


def _reduced(report: ClusterReport, groups: tuple[_Group, ...]) -> ClusterReport:
    names = {g.node.name for g in groups}
    proxies = tuple(
        replace(add_on, nodes=tuple(n for n in add_on.nodes if n in names)) for add_on, _ in kube_proxies(report)
    )
    return replace(report, nodes=tuple(n for n in report.nodes if n.name in names), add_ons=proxies)


def _asked_of(survey: Survey, groups: tuple[_Group, ...]) -> Survey:
    names = {g.node.name for g in groups}
    return replace(survey, machines=tuple(m for m in survey.machines if m.name in names))


def _orders(groups: tuple[_Group, ...], stage: Stage) -> tuple[tuple[_Group, ...], ...]:
    """The orders that matter: each node's rules are judged against the API servers, which move in one phase only.

    There kubeadm's first control plane begins; the others may follow in any order, of which both ends are walked.
    """
    going = tuple(g for g in groups if any(s.stage == stage for s in g.steps))
    if all(s.phase is not Phase.CONTROL_PLANE for g in going for s in g.steps if s.stage == stage):
        return (going,)
    first = tuple(g for g in going if g.node.role is Role.FIRST_CONTROL_PLANE)
    others = tuple(g for g in going if g.node.role is not Role.FIRST_CONTROL_PLANE)
    return (*first, *others), (*first, *reversed(others))


def _kubeadm_refuses(state: _State, group: _Group, step: Step, hop: Hop) -> Iterator[Finding]:
    """kubeadm's own rules, at the step where it would ask them."""
    report, node = state.report, group.node
    if step.verb is Verb.INSTALL_KUBEADM:
        yield from _beside_kubeadm(report, node, hop)
    if step.verb is Verb.UPGRADE_NODE and isinstance(report.declared, KubeVersion) and report.declared != hop.target:
        sentence = f"kubeadm-config would declare {report.declared} when {node.name} is to go to {hop.target}."
        yield _stop("config-not-at-target", node.name, sentence, "The first control plane must be in the plan.")
    if step.verb not in _KUBEADM_RUNS or node.role is Role.WORKER:
        return
    running = [v for s in report.api_servers if (v := running_version(s, report))]
    own = [v for s in report.api_servers if s.node == node.name and (v := running_version(s, report))]
    kubelets = tuple((n.name, n.kubelet.version) for n in report.nodes if isinstance(n.kubelet, ReportedVersion))
    if running:
        yield from check_hop(min(running), hop.target, kubelets)
    if own and hop.target < own[0]:
        yield from check_hop(own[0], hop.target, ())


def _beside_kubeadm(report: ClusterReport, node: PlanNode, hop: Hop) -> Iterator[Finding]:
    """A new kubeadm beside the kubelet that is still there."""
    kubeadm, seen = hop.kubeadm.version.minor, report.node(node.name)
    if kubeadm != hop.target.minor:
        sentence = f"The plan has kubeadm {hop.kubeadm} on {node.name} for {hop.target}; it goes to its own minor only."
        yield _stop("kubeadm-of-another-minor", node.name, sentence, f"Name a kubeadm of {hop.target.minor}.")
    if seen is not None and isinstance(seen.kubelet, ReportedVersion):
        behind = hop.target.minors_ahead_of(seen.kubelet.version)
        if behind > lag_at_hop(kubeadm, seen.kubelet.version.minor):
            yield from check_hop(hop.target, hop.target, ((node.name, seen.kubelet.version),))


def _effects(state: _State, node: PlanNode, step: Step, hop: Hop) -> Iterator[_State]:
    """The states that a step passes through, its last one at the end; none for a step that moves no version."""
    target = ReportedVersion(hop.target)
    match step.verb:
        case Verb.APPLY | Verb.UPGRADE_NODE if node.role is not Role.WORKER:
            yield from _static_pods(state, node, target, declares=step.verb is Verb.APPLY)
        case Verb.INSTALL_KUBELET:
            yield replace(state, survey=_with_kubectl(state.survey, node.name, ReportedVersion(hop.kubectl.version)))
        case Verb.RESTART_KUBELET:
            nodes = tuple(replace(n, kubelet=target) if n.name == node.name else n for n in state.report.nodes)
            yield replace(state, report=replace(state.report, nodes=nodes))
        case _:
            return


def _static_pods(state: _State, node: PlanNode, target: ReportedVersion, *, declares: bool) -> Iterator[_State]:
    """kubeadm swaps the API server first, then what speaks with it; kube-proxy follows the last API server."""
    report = state.report
    servers = tuple(_moved_server(s, target) if s.node == node.name else s for s in report.api_servers)
    report = replace(report, api_servers=servers, static_pods=_with_tag(report, node.name, _API_SERVER, target))
    yield replace(state, report=report)
    report = replace(report, static_pods=_with_tag(report, node.name, _CONTROLLERS, target))
    if declares:
        report = replace(report, declared=target.version)
    yield replace(state, report=report)
    if all(running_version(s, report) == target.version for s in servers):
        proxies = tuple(_moved_proxy(a, target) for a in report.add_ons)
        yield replace(state, report=replace(report, add_ons=proxies))


def _moved_server(server: ApiServer, target: ReportedVersion) -> ApiServer:
    """One that emulates an older minor is set up to do so, and goes on with that."""
    old = server.version
    emulates = server.emulation is not None and not isinstance(old, Unread) and server.emulation < old.version.minor
    return replace(server, version=target, emulation=server.emulation if emulates else None)


def _with_tag(
    report: ClusterReport, node: str, components: tuple[str, ...], target: ReportedVersion
) -> tuple[StaticPod, ...]:
    return tuple(
        replace(p, tag=str(target)) if p.node == node and p.component in components else p for p in report.static_pods
    )


def _moved_proxy(add_on: AddOn, target: ReportedVersion) -> AddOn:
    return replace(add_on, image=f"{add_on.image.removesuffix(tag_of(add_on.image))}{target}")


def _with_kubectl(survey: Survey, name: str, version: ReportedVersion) -> Survey:
    machines = tuple(
        replace(m, facts=replace(m.facts, kubectl=version))
        if m.name == name and not isinstance(m.facts, Unread) and m.facts.kubectl is not None
        else m
        for m in survey.machines
    )
    return replace(survey, machines=machines)


def _stop(code: str, subject: str, sentence: str, remedy: str) -> Finding:
    return Finding(code, Severity.BLOCKER, subject, sentence, remedy)
