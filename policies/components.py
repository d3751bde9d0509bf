"""What is declared for components, and would keep them from starting at the plan's minors."""

from __future__ import annotations

from collections.abc import Iterator

from cluster.declarations import KUBEADM, Declarations, Gate
from cluster.findings import Finding, Severity
from cluster.versions import Minor
from policies.removals import read_file, removed_flags, removed_plugins, why_refused
from policies.wording import some_of

_PLUGINS = "enable-admission-plugins"


def check_components(declared: Declarations, minors: tuple[Minor, ...]) -> Iterator[Finding]:
    """`minors` are those of the plan, in its order; without any, nothing comes that could refuse what is declared."""
    if not minors:
        return
    last = max(minors)
    yield from _api(declared, minors)
    yield from _arguments(declared, last)
    yield from _gates(declared.gates, last)
    yield from _settings(declared, minors)


def _api(declared: Declarations, minors: tuple[Minor, ...]) -> Iterator[Finding]:
    """Where the plan comes by a kubeadm that rewrites the configuration, the later one finds what it reads."""
    for row in read_file().kubeadm_api:
        rewritten = any(row.rewritten_from <= minor < row.removed for minor in minors)
        if declared.api_version == row.version and max(minors) >= row.removed and not rewritten:
            sentence = f"kubeadm-config is written as {row.version}, which kubeadm of {row.removed} does not read."
            remedy = (
                "Let an older kubeadm rewrite it: read it with `kubectl -n kube-system get configmap kubeadm-config`, "
                "pass it through `kubeadm config migrate` of an earlier minor, and put it back."
            )
            yield Finding("kubeadm-config-old", Severity.BLOCKER, "kubeadm-config", sentence, remedy)


def _arguments(declared: Declarations, last: Minor) -> Iterator[Finding]:
    for argument in declared.arguments:
        since = removed_flags(argument.component, last).get(f"--{argument.name}")
        if since is not None:
            sentence = (
                f"kubeadm-config gives {argument.component} --{argument.name}, which is not known from {since} on."
            )
            yield _blocker("removed-argument", argument.component, sentence)
        if argument.name == _PLUGINS:
            named = {plugin.strip() for plugin in argument.value.split(",")}
            for plugin, since in removed_plugins(last).items():
                if plugin in named:
                    sentence = (
                        f"kubeadm-config turns the admission plugin {plugin} on, which is not known from {since} on."
                    )
                    yield _blocker("removed-argument", argument.component, sentence)


def _gates(gates: tuple[Gate, ...], last: Minor) -> Iterator[Finding]:
    unknown: list[Gate] = []
    for gate in gates:
        reason = why_refused(gate, last)
        sentence = f"{_capital(gate.place)} sets the feature gate {gate.name}={gate.value}, {reason}."
        if not reason:
            unknown.append(gate)
        elif gate.component == KUBEADM:
            remedy = "Take it out of kubeadm-config first: kubeadm may refuse the whole of it."
            yield Finding("removed-feature-gate", Severity.WARNING, gate.component, sentence, remedy)
        else:
            yield _blocker("removed-feature-gate", gate.component, sentence)
    if unknown:
        shown = some_of(f"{g.name}={g.value} in {g.place}" for g in unknown)
        sentence = f"Feature gates are set of which nothing is known here for {last}: {shown}."
        remedy = (
            f"Look whether {last} still has them, or starts with these values: "
            "https://kubernetes.io/docs/reference/command-line-tools-reference/feature-gates/"
        )
        yield Finding("feature-gate-unverified", Severity.NOTE, "feature gates", sentence, remedy)


def _settings(declared: Declarations, minors: tuple[Minor, ...]) -> Iterator[Finding]:
    """Only what changes on the way of this plan: whoever is past it has seen it."""
    for row in read_file().kubelet_settings:
        if row.changed in minors and (row.setting, row.value) in declared.kubelet_settings:
            sentence = (
                f"kubelet-config sets {row.setting}: {row.value}, which means {row.now} from {row.changed} on, and "
                f"meant {row.before} before."
            )
            yield Finding("kubelet-setting-changes", Severity.WARNING, row.setting, sentence, row.instead)


def _blocker(code: str, component: str, sentence: str) -> Finding:
    remedy = f"Take it out there first: the new {component} would not start."
    return Finding(code, Severity.BLOCKER, component, sentence, remedy)


def _capital(text: str) -> str:
    return text if text.startswith("kubeadm") else text[:1].upper() + text[1:]
