"""The version skew policy, live: which versions may run side by side, and which step would break that."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from cluster.findings import Finding, Findings, Severity
from cluster.pods import tag_of
from cluster.report import AddOn, ClusterReport, Node
from cluster.survey import Survey
from cluster.versions import KubeVersion, Minor, ReportedVersion
from policies.wording import some_of

KUBELET_LAG = 3  # minors behind the newest API server, since 1.28 with nodes of 1.25 and newer
OLD_KUBELET_LAG = 2
OLD_KUBELET = Minor(1, 25)  # kubelets and kube-proxies before this one have the old bound
API_SERVERS_APART = 1
CONTROLLER_LAG = 1
KUBECTL_APART = 1
KUBEADM_WITH_LAG = Minor(1, 29)  # kubeadm before this allowed kubelets one minor back only
OLD_KUBEADM_LAG = 1
_CONTROLLERS = ("kube-controller-manager", "kube-scheduler", "cloud-controller-manager")


@dataclass(frozen=True, slots=True)
class ApiRange:
    """The oldest and the newest API server of a cluster; every bound is narrowed by both."""

    oldest: Minor
    newest: Minor


def lag_of(minor: Minor) -> int:
    """How many minors a kubelet or kube-proxy of this minor may be behind."""
    return KUBELET_LAG if minor >= OLD_KUBELET else OLD_KUBELET_LAG


def lag_at_hop(target: Minor, kubelet: Minor) -> int:
    """How many minors behind `target` its kubeadm lets a kubelet be: its own preflight counts every node."""
    return lag_of(kubelet) if target >= KUBEADM_WITH_LAG else OLD_KUBEADM_LAG


def api_range(report: ClusterReport) -> ApiRange | None:
    """None where no API server's version is known. One that does not answer counts with its pod's image."""
    tags = {p.node: p.version for p in report.static_pods if p.component == "kube-apiserver"}
    low: list[Minor] = []
    high: list[Minor] = []
    for server in report.api_servers:
        version = server.version if isinstance(server.version, ReportedVersion) else tags.get(server.node)
        if version is not None:
            low.append(server.emulation or version.version.minor)  # a newer binary may behave like an older minor
            high.append(version.version.minor)
    return ApiRange(min(low), max(high)) if low else None


def check_skew(report: ClusterReport, survey: Survey | None = None) -> Findings:
    """Every pair of versions that must not run side by side, as the cluster is now."""
    api = api_range(report)
    if api is None:
        sentence = f"No API server of {report.cluster} told its version."
        return (_stop("api-version-unread", report.cluster, sentence, "Bring the API back, and look again."),)
    found = [*_api_servers(api, report), *_kubelets(api, report), *_proxies(api, report), *_controllers(api, report)]
    return (*found, *(_kubectls(api, survey) if survey else ()))


def _api_servers(api: ApiRange, report: ClusterReport) -> Iterator[Finding]:
    if minors_between(api.newest, api.oldest) > API_SERVERS_APART:
        sentence = (
            f"API servers run {api.oldest} and {api.newest}; they may be {API_SERVERS_APART} minor apart at most."
        )
        remedy = f"Bring the oldest ones forward to {api.oldest.after()} first."
        yield _stop("api-servers-apart", report.cluster, sentence, remedy)


def _kubelets(api: ApiRange, report: ClusterReport) -> Iterator[Finding]:
    for node in report.nodes:
        if isinstance(node.kubelet, ReportedVersion):
            yield from _node_part("kubelet", node.name, node.kubelet.version.minor, api, report)


def _proxies(api: ApiRange, report: ClusterReport) -> Iterator[Finding]:
    for add_on, minor in kube_proxies(report):
        for name in add_on.nodes:
            yield from _node_part("kube-proxy", name, minor, api, report)
            yield from _beside_kubelet(minor, report.node(name))


def kube_proxies(report: ClusterReport) -> Iterator[tuple[AddOn, Minor]]:
    """Each kube-proxy image whose minor can be told, with the nodes that run it."""
    for add_on in report.add_ons:
        seen = ReportedVersion.of_tag(tag_of(add_on.image))
        if seen is not None and _image_name(add_on.image) == "kube-proxy":
            yield add_on, seen.version.minor


def _node_part(part: str, node: str, minor: Minor, api: ApiRange, report: ClusterReport) -> Iterator[Finding]:
    """A kubelet or a kube-proxy against all API servers: the intersection of what each allows."""
    if minor > api.oldest:
        sentence = f"The {part} of {node} runs {minor}, newer than an API server of {api.oldest}."
        remedy = _forward(minor, report) or f"Bring every API server to {minor} before any {part}."
        yield _stop(f"{part}-newer", node, sentence, remedy)
    if minors_between(api.newest, minor) > lag_of(minor):
        sentence = (
            f"The {part} of {node} runs {minor}; beside an API server of {api.newest} it may be "
            f"{lag_of(minor)} minors older at most."
        )
        yield _stop(f"{part}-too-old", node, sentence, f"Bring {node} forward before the control plane goes on.")


def _forward(minor: Minor, report: ClusterReport) -> str:
    """What brings the API servers that are behind to a minor that another one has already, as the cluster declares."""
    seen = {s.node: s.version.version.minor for s in report.api_servers if isinstance(s.version, ReportedVersion)}
    behind = sorted(name for name, has in seen.items() if has < minor)
    if not behind or not isinstance(report.declared, KubeVersion) or report.declared.minor != minor:
        return ""
    if minor not in seen.values():
        return ""
    turn = "" if len(behind) == 1 else ", one after the other"
    return f"Run `kubeadm upgrade node` with kubeadm {report.declared} on {some_of(behind)} first{turn}."


def _beside_kubelet(proxy: Minor, node: Node | None) -> Iterator[Finding]:
    if node is None or not isinstance(node.kubelet, ReportedVersion):
        return
    kubelet = node.kubelet.version.minor
    if abs(minors_between(kubelet, proxy)) > lag_of(proxy):
        most = lag_of(proxy)
        sentence = f"On {node.name} kube-proxy {proxy} runs beside a kubelet of {kubelet}; {most} minors are the most."
        yield _stop("kube-proxy-kubelet-apart", node.name, sentence, f"Bring both on {node.name} to one version.")


def _controllers(api: ApiRange, report: ClusterReport) -> Iterator[Finding]:
    """Controller manager and scheduler speak with the API server of their own node (kubeadm, since 1.20)."""
    own = {s.node: s.version.version.minor for s in report.api_servers if isinstance(s.version, ReportedVersion)}
    for pod in report.static_pods:
        if pod.component not in _CONTROLLERS or pod.version is None:
            continue
        minor, beside = pod.version.version.minor, own.get(pod.node)
        newest, oldest = beside or api.newest, beside or api.oldest
        if minor > oldest:
            sentence = f"The {pod.component} on {pod.node} runs {minor}, newer than its API server of {oldest}."
            yield _stop("controller-newer", pod.node, sentence, "Bring that API server forward first.")
        elif minors_between(newest, minor) > CONTROLLER_LAG:
            sentence = (
                f"The {pod.component} on {pod.node} runs {minor}, more than {CONTROLLER_LAG} minor behind its API "
                f"server of {newest}."
            )
            yield _stop("controller-too-old", pod.node, sentence, f"Bring {pod.component} to {newest}.")


def _kubectls(api: ApiRange, survey: Survey) -> Iterator[Finding]:
    for machine in survey.machines:
        facts = survey.facts(machine.name)
        if facts is None or facts.kubectl is None:
            continue
        minor = facts.kubectl.version.minor
        if max(abs(minors_between(api.newest, minor)), abs(minors_between(api.oldest, minor))) > KUBECTL_APART:
            sentence = f"kubectl on {machine.name} is {minor}; it may be {KUBECTL_APART} minor from every API server."
            remedy = "The upgrade installs the matching one; until then use another machine's."
            yield Finding("kubectl-apart", Severity.WARNING, machine.name, sentence, remedy)


def check_way_back(target: KubeVersion, node: str, report: ClusterReport) -> Findings:
    """A kubelet that goes back to `target`, against every API server as it is now."""
    api = api_range(report)
    return tuple(_node_part("kubelet", node, target.minor, api, report)) if api else ()


def check_hop(base: KubeVersion, target: KubeVersion, kubelets: Iterable[tuple[str, KubeVersion]]) -> Findings:
    """kubeadm's own, tighter rules for one hop from `base` (the oldest API server), with the kubeadm of `target`."""
    steps = target.minors_ahead_of(base)
    if steps > 1:
        sentence = f"kubeadm goes one minor at a time; {base} → {target} is {steps}."
        return (_stop("hop-skips-a-minor", str(target), sentence, f"Go to {base.minor.after()} first."),)
    if target < base:
        sentence = f"{base} → {target} would be a downgrade, which kubeadm does not support."
        return (_stop("downgrade", str(target), sentence, f"Name a version newer than {base}."),)
    return tuple(_kubelets_for_hop(target, kubelets))


def _kubelets_for_hop(target: KubeVersion, kubelets: Iterable[tuple[str, KubeVersion]]) -> Iterator[Finding]:
    for name, kubelet in kubelets:
        most = lag_at_hop(target.minor, kubelet.minor)
        behind = target.minors_ahead_of(kubelet)
        if behind > most:
            sentence = f"The kubelet of {name} runs {kubelet}, {behind} minors behind {target}; {most} are the most."
            remedy = f"First plan a version at which it may be: {target.minor.after(-1)} brings it forward."
            yield _stop("kubelet-too-old-for-hop", name, sentence, remedy)
        if behind < 0:
            sentence = f"The kubelet of {name} runs {kubelet}, newer than the hop's {target}."
            yield _stop("kubelet-newer", name, sentence, "Plan at least the version that it runs.")


def minors_between(newer: Minor, older: Minor) -> int:
    """Minors from `older` up to `newer`; a major counts as more than any bound."""
    return (newer.major - older.major) * 1000 + newer.minor - older.minor


def _image_name(image: str) -> str:
    return image.rpartition("/")[2].partition("@")[0].partition(":")[0]


def _stop(code: str, subject: str, sentence: str, remedy: str) -> Finding:
    return Finding(code, Severity.BLOCKER, subject, sentence, remedy)
