"""From a pod's spec to where the scheduler may put it and what it asks for; raises as a malformed spec makes it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from cluster.labels import LabelSelector, read_labels, read_requirements, read_selector
from cluster.quantities import THOUSANDTHS, parse_quantity
from cluster.workloads import Amounts, Apart, NodeChoice, NodeTerm, Placement, Spread, Taint, Toleration

Raw = Mapping[str, Any]
_REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"


def read_placement(pod: Raw, volumes: tuple[NodeChoice, ...]) -> Placement:
    spec, labels = pod["spec"], pod["metadata"].get("labels") or {}
    affinity = spec.get("affinity") or {}
    required = (affinity.get("nodeAffinity") or {}).get(_REQUIRED)
    apart = (affinity.get("podAntiAffinity") or {}).get(_REQUIRED) or ()
    chosen = spec.get("nodeSelector")
    return Placement(
        tolerations=tuple(map(_toleration, spec.get("tolerations") or ())),
        selector=(NodeTerm(read_labels(chosen)),) if chosen else (),
        affinity=read_choice(required),
        volumes=volumes,
        spreads=tuple(_spreads(spec.get("topologySpreadConstraints") or (), labels)),
        apart=tuple(_aparts(apart, pod["metadata"]["namespace"], labels)),
    )


def read_choice(raw: Raw | None) -> NodeChoice:
    """A node selector's terms; () where there is none."""
    terms = (raw or {}).get("nodeSelectorTerms") or ()
    return tuple(
        NodeTerm(read_requirements(t.get("matchExpressions")), read_requirements(t.get("matchFields"))) for t in terms
    )


def read_taints(spec: Raw) -> tuple[Taint, ...]:
    """The taints that keep pods away; a cordon's own is left out, as it says the same as the cordon."""
    taints = (
        Taint(str(t["key"]), str(t.get("value") or ""), str(t["effect"]))
        for t in spec.get("taints") or ()
        if t["key"] != "node.kubernetes.io/unschedulable"
    )
    return tuple(t for t in taints if t.effect in {"NoSchedule", "NoExecute"})


def read_amounts(raw: Raw | None) -> Amounts:
    return tuple(sorted((str(name), parse_quantity(str(amount))) for name, amount in (raw or {}).items()))


def read_requests(spec: Raw) -> Amounts:
    """What the scheduler counts for a pod: its containers together, or an init container that needs more."""
    total = {"pods": THOUSANDTHS}
    for container in spec["containers"]:
        _join(total, container)
    started: dict[str, int] = {}  # sidecars so far: an init container runs beside those that precede it
    peaks: dict[str, int] = {}
    for container in spec.get("initContainers") or ():
        if container.get("restartPolicy") == "Always":
            _join(total, container)
            _join(started, container)
        else:
            beside = dict(started)
            _join(beside, container)
            peaks = {k: max(peaks.get(k, 0), beside.get(k, 0)) for k in {*peaks, *beside}}
    total |= {k: max(total.get(k, 0), amount) for k, amount in peaks.items()}
    total |= dict(read_amounts((spec.get("resources") or {}).get("requests")))  # those of the whole pod win
    for name, amount in read_amounts(spec.get("overhead")):
        total[name] = total.get(name, 0) + amount
    return tuple(sorted(total.items()))


def _join(into: dict[str, int], container: Raw) -> None:
    for name, amount in ((container.get("resources") or {}).get("requests") or {}).items():
        into[name] = into.get(name, 0) + parse_quantity(str(amount))


def _toleration(raw: Raw) -> Toleration:
    return Toleration(
        key=str(raw.get("key") or ""),
        value=str(raw.get("value") or ""),
        effect=str(raw.get("effect") or ""),
        exists=raw.get("operator") == "Exists",
    )


def _spreads(raw: Iterable[Raw], labels: Mapping[str, str]) -> Iterable[Spread]:
    for one in raw:
        selector = _selector(one, labels)
        if selector is not None and one.get("whenUnsatisfiable", "DoNotSchedule") == "DoNotSchedule":
            yield Spread(str(one["topologyKey"]), int(one["maxSkew"]), selector)


def _aparts(raw: Iterable[Raw], namespace: str, labels: Mapping[str, str]) -> Iterable[Apart]:
    for one in raw:
        selector = _selector(one, labels)
        if selector is None or one.get("namespaceSelector") is not None:
            continue  # the latter depends on the labels of namespaces, which nobody reads here
        namespaces = tuple(sorted(map(str, one.get("namespaces") or ()))) or (namespace,)
        yield Apart(str(one["topologyKey"]), selector, namespaces)


def _selector(raw: Raw, labels: Mapping[str, str]) -> LabelSelector | None:
    """With `matchLabelKeys`, which ask for the pod's own values; None selects nobody, and so demands nothing."""
    read = read_selector(raw.get("labelSelector"))
    own = {key: labels[key] for key in raw.get("matchLabelKeys") or () if key in labels}
    return LabelSelector((*read.requirements, *read_labels(own))) if read else None
