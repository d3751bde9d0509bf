"""The kubelet on one machine: whether it runs what is installed, and would start as the target's."""

from __future__ import annotations

import re
from collections.abc import Iterator

from cluster.declarations import KUBELET, Declarations, Gate, read_gates
from cluster.facts import MachineFacts
from cluster.findings import Finding, Severity
from cluster.report import Node
from cluster.versions import Minor, ReportedVersion
from policies.releases import read_releases
from policies.removals import removed_flags, why_refused
from policies.wording import some_of

CGROUP_V2_ONLY = Minor(1, 35)  # from here on the kubelet refuses cgroup v1 by default
FLAGS_OF_KUBEADM = "/var/lib/kubelet/kubeadm-flags.env"
EXTRA_ARGS = "/etc/default/kubelet"
GATES = "--feature-gates"
_ANY_CGROUP = "--fail-cgroupv1=false"
_CHECK = "systemverification"  # kubeadm's, which refuses cgroup v1 whatever its kubelet may do; its case does not count
_IGNORES = "ignorePreflightErrors"
_ITS_OWN = frozenset({"containerRuntimeEndpoint", "resolvConf"})  # what kubeadm itself writes by the machine
_UNITS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "ns": 1e-9}
_PART = re.compile(r"(\d+(?:\.\d+)?)(h|ms|us|ns|m|s)")
_DURATION = re.compile(rf"(?:{_PART.pattern})+")


def check_kubelet(
    node: Node, facts: MachineFacts, last: Minor | None, declared: Declarations | None = None
) -> Iterator[Finding]:
    """`last` is the newest minor that the plan brings; None where there is no plan."""
    unit = facts.kubelet_unit
    if unit is not None and not (unit.loaded and unit.active):
        sentence = f"The kubelet's service on {node.name} is {unit.state or 'not loaded'}."
        yield _stop("kubelet-not-running", node, sentence, "Look there with: journalctl -u kubelet")
    if facts.kubelet and isinstance(node.kubelet, ReportedVersion) and facts.kubelet.version != node.kubelet.version:
        sentence = f"{node.name} runs the kubelet {node.kubelet} while {facts.kubelet} is installed."
        yield _warn("installed-not-running", node, sentence, "The next restart of the kubelet changes its version.")
    if last is None:
        return
    if facts.cgroup == "v1" and last >= CGROUP_V2_ONLY:
        yield _cgroup(node, facts, declared or Declarations())
    yield from _removed_flags(node, facts, last)
    yield from _removed_gates(node, facts, last)
    if declared is not None and declared.kubelets_read:
        yield from _lost_edits(node, facts, declared)


def _cgroup(node: Node, facts: MachineFacts, declared: Declarations) -> Finding:
    """It stops the kubelet for certain only where its configuration is known, and no patch may change it here."""
    sentence = f"{node.name} uses cgroup v1, which the kubelet of {CGROUP_V2_ONLY} and later refuses by default"
    file = next((file for file, arguments in _arguments(facts) if _ANY_CGROUP in arguments.split()), "")
    if declared.fail_cgroup_v1 is False or file:
        setting = f"{_ANY_CGROUP} in {file}" if file else "failCgroupV1: false in kubelet-config"
        told = f"{sentence}; {setting} lets it start all the same."
        remedy = "Move the host to cgroup v2 when you can: this setting is for the time until then."
        return _warn("cgroup-v1", node, told, f"{remedy}{_check_of_kubeadm(facts)}")
    remedy = "Set failCgroupV1: false in the kubelet-config ConfigMap first, or move the host to cgroup v2."
    remedy += _check_of_kubeadm(facts)
    if not declared.kubelets_read or facts.patches.startswith("present"):
        return _warn("cgroup-v1", node, f"{sentence}.", remedy)
    return _stop("cgroup-v1", node, f"{sentence}, and nothing in kubelet-config says otherwise.", remedy)


def _check_of_kubeadm(facts: MachineFacts) -> str:
    """What the kubelet's setting is no answer to; "" where the machine's own configuration is."""
    passed = {n.lower() for setting, names in facts.passed_over for n in names.split(",") if setting == _IGNORES}
    if passed & {_CHECK, "all"}:
        return ""
    return (
        f" While it has cgroup v1 kubeadm of {CGROUP_V2_ONLY} and later stops there at its own check, too: name "
        "SystemVerification in ignorePreflightErrors of apply and node, in the file of UPGRADE_CONFIG."
    )


def _removed_flags(node: Node, facts: MachineFacts, last: Minor) -> Iterator[Finding]:
    """By file; one that kubeadm writes is cleaned by the kubeadm of some minors, so what they take out is none."""
    gone = removed_flags(KUBELET, last).keys()
    before = node.kubelet.version.minor if isinstance(node.kubelet, ReportedVersion) else last
    cleaned = {flag for r in read_releases() if before < r.minor <= last for flag in r.cleans}
    for file, arguments in _arguments(facts):
        found = {word.partition("=")[0] for word in arguments.split()} & gone
        if file == FLAGS_OF_KUBEADM:
            found -= cleaned
        for flag in sorted(found):
            sentence = f"{file} on {node.name} sets {flag}, which the kubelet of {last} does not know."
            yield _stop("removed-flag", node, sentence, f"Take it out of {file}: the new kubelet would not start.")


def _arguments(facts: MachineFacts) -> tuple[tuple[str, str], ...]:
    """What the kubelet is started with, by file."""
    files = {EXTRA_ARGS: facts.kubelet_extra_args, **dict(facts.kubelet_arguments)}
    return (*files.items(), (FLAGS_OF_KUBEADM, facts.kubelet_flags or ""))


def _removed_gates(node: Node, facts: MachineFacts, last: Minor) -> Iterator[Finding]:
    """Of its arguments, which nobody rewrites; those of its configuration come from the ConfigMap at an upgrade."""
    for file, arguments in _arguments(facts):
        words = (word.partition("=") for word in arguments.split())
        for name, value in (pair for flag, _, text in words if flag == GATES for pair in read_gates(text)):
            if reason := why_refused(Gate(KUBELET, file, name, value), last):
                sentence = f"{file} on {node.name} sets the feature gate {name}={value}, {reason}."
                yield _stop("removed-feature-gate", node, sentence, "Take it out: the new kubelet would not start.")
    if facts.patches.startswith("present"):
        yield from _kept_gates(node, facts, last)


def _kept_gates(node: Node, facts: MachineFacts, last: Minor) -> Iterator[Finding]:
    """Of its configuration on disk: only one of kubeadm's patches would carry them over to the new kubelet."""
    for name, value in facts.feature_gates or ():
        if reason := why_refused(Gate(KUBELET, "", name, value.lower()), last):
            sentence = (
                f"The kubelet's configuration on {node.name} sets the feature gate {name}={value}, {reason}; a patch "
                "may set it again after the upgrade."
            )
            remedy = "Look through kubeadm's patches there, and take it out: the new kubelet would not start with it."
            yield _warn("removed-feature-gate", node, sentence, remedy)


def _lost_edits(node: Node, facts: MachineFacts, declared: Declarations) -> Iterator[Finding]:
    """An upgrade writes the kubelet's configuration from the ConfigMap, with the patches that there may be."""
    shared = {gate.name: gate.value for gate in declared.gates if gate.component == KUBELET}
    own = {name: value.lower() for name, value in facts.feature_gates or ()}
    edited = [f"feature gate {name}={value}" for name, value in sorted(own.items()) if shared.get(name) != value]
    edited += _edited_settings(dict(facts.kubelet_settings), dict(declared.kubelet_settings))
    if edited and not facts.patches.startswith("present"):
        sentence = (
            f"The kubelet's configuration on {node.name} has what kubelet-config does not: {some_of(edited)}. The "
            "upgrade writes it anew from there."
        )
        remedy = "Put that into the ConfigMap kubelet-config, or into kubeadm's patches, where it is to stay."
        yield _warn("kubelet-edit-lost", node, sentence, remedy)


def _edited_settings(own: dict[str, str], shared: dict[str, str]) -> list[str]:
    differing = (name for name in sorted(own) if name not in _ITS_OWN and not _same(own[name], shared.get(name)))
    return [f"{name}: {own[name]}" for name in differing]


def _same(own: str, shared: str | None) -> bool:
    """kubeadm writes durations anew: the `2m` of the ConfigMap is a machine's `2m0s`."""
    if shared is None or own == shared:
        return own == shared
    seconds = _seconds(own)
    return seconds is not None and seconds == _seconds(shared)


def _seconds(text: str) -> float | None:
    """Of a duration as Go writes it."""
    if not _DURATION.fullmatch(text):
        return None
    return sum(float(number) * _UNITS[unit] for number, unit in _PART.findall(text))


def _stop(code: str, node: Node, sentence: str, remedy: str) -> Finding:
    return Finding(code, Severity.BLOCKER, node.name, sentence, remedy)


def _warn(code: str, node: Node, sentence: str, remedy: str) -> Finding:
    return Finding(code, Severity.WARNING, node.name, sentence, remedy)
