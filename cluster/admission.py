"""Who has a say before a write is taken: webhooks that refuse by their silence, and APIs that others serve."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from cluster.labels import LabelSelector, read_selector

SYSTEM = "kube-system"
HEARTBEATS = "kube-node-lease"
EVENTS = "events"
EVICTIONS = "evictions"
ELSEWHERE = "evictions in other namespaces"
_ALL = "*"


@dataclass(frozen=True, slots=True)
class _Write:
    """Something that an upgrade, or a node that goes through it, writes; `namespace` is "" for what has none."""

    name: str
    group: str
    resource: str
    operations: frozenset[str]
    namespace: str = ""


_WRITES = (
    _Write("pods", "", "pods", frozenset({"CREATE", "UPDATE", "DELETE"}), SYSTEM),
    _Write("the status of pods", "", "pods/status", frozenset({"UPDATE"}), SYSTEM),
    _Write("nodes", "", "nodes", frozenset({"UPDATE"})),
    _Write("the status of nodes", "", "nodes/status", frozenset({"UPDATE"})),
    _Write("leases", "coordination.k8s.io", "leases", frozenset({"CREATE", "UPDATE"}), SYSTEM),
    _Write("heartbeats of nodes", "coordination.k8s.io", "leases", frozenset({"CREATE", "UPDATE"}), HEARTBEATS),
    _Write(EVICTIONS, "", "pods/eviction", frozenset({"CREATE"}), SYSTEM),
    _Write(EVENTS, "", "events", frozenset({"CREATE", "UPDATE"}), SYSTEM),
    _Write(EVENTS, "events.k8s.io", "events", frozenset({"CREATE", "UPDATE"}), SYSTEM),
)
_ELSEWHERE = _Write(ELSEWHERE, "", "pods/eviction", frozenset({"CREATE"}), _ALL)


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule of a webhook: the writes that it is asked about."""

    operations: frozenset[str]
    groups: frozenset[str]
    resources: frozenset[str]
    scope: str = _ALL

    def covers(self, write: _Write) -> bool:
        scopes = {_ALL, "Namespaced" if write.namespace else "Cluster"}
        if self.scope not in scopes or not self.groups & {_ALL, write.group}:
            return False
        return bool(self.operations & {_ALL, *write.operations}) and self._names(write.resource)

    def _names(self, resource: str) -> bool:
        """`*` is every resource without its subresources, `pods/*` is every subresource, `*/*` is everything."""
        main, slash, sub = resource.partition("/")
        known = {"*/*", resource, *({f"{main}/*", f"*/{sub}"} if slash else {_ALL})}
        return bool(self.resources & known)


@dataclass(frozen=True, slots=True)
class Webhook:
    """One webhook that fails closed: where it does not answer, the API server refuses the write."""

    kind: str  # of its configuration: "ValidatingWebhookConfiguration"
    configuration: str
    name: str
    asked: tuple[str, ...]  # the writes of an upgrade that it is asked about
    narrowed: bool = False  # asked about some of these objects only, by their labels or a condition
    service: str = ""  # namespace/name; "" for one that is called by URL
    url: str = ""
    ready: tuple[str, ...] | None = None  # the node of each ready endpoint; None where they are not in the cluster


@dataclass(frozen=True, slots=True)
class UnavailableApi:
    """An API of the aggregation layer that its server does not serve."""

    name: str  # "v1beta1.metrics.k8s.io"
    service: str
    reason: str


def read_webhooks(kind: str, raw: Mapping[str, Any], system: Mapping[str, str]) -> Iterator[Webhook]:
    """Those that fail closed and are asked about an upgrade's writes; `system` are the labels of kube-system."""
    for hook in raw.get("webhooks") or ():
        if hook.get("failurePolicy", "Fail") != "Fail":
            continue
        rules = [_read_rule(rule) for rule in hook.get("rules") or ()]
        asked = tuple(dict.fromkeys(_asked(rules, read_selector(hook.get("namespaceSelector") or {}), system)))
        if not asked:
            continue
        client = hook.get("clientConfig") or {}
        service = client.get("service") or {}
        yield Webhook(
            kind=kind,
            configuration=str(raw["metadata"]["name"]),
            name=str(hook["name"]),
            asked=asked,
            narrowed=_is_narrowed(hook),
            service=f"{service['namespace']}/{service['name']}" if service else "",
            url=str(client.get("url") or ""),
        )


def _read_rule(raw: Mapping[str, Any]) -> Rule:
    operations, groups, resources = (frozenset(raw.get(k) or ()) for k in ("operations", "apiGroups", "resources"))
    return Rule(operations, groups, resources, str(raw.get("scope") or _ALL))


def _asked(rules: list[Rule], namespaces: LabelSelector | None, system: Mapping[str, str]) -> Iterator[str]:
    """A selector of namespaces says nothing of nodes, which are in none; a drain evicts in any namespace."""
    labels = {SYSTEM: dict(system), HEARTBEATS: {"kubernetes.io/metadata.name": HEARTBEATS}}
    spared = {n for n, own in labels.items() if namespaces is not None and not namespaces.selects(own)}
    for write in _WRITES:
        if write.namespace not in spared and any(rule.covers(write) for rule in rules):
            yield write.name
    if SYSTEM in spared and any(rule.covers(_ELSEWHERE) for rule in rules):
        yield ELSEWHERE


def _is_narrowed(hook: Mapping[str, Any]) -> bool:
    objects = hook.get("objectSelector") or {}
    return bool(objects.get("matchLabels") or objects.get("matchExpressions") or hook.get("matchConditions"))


def read_ready(slices: Iterable[Mapping[str, Any]]) -> tuple[str, ...]:
    """The node of each ready endpoint of a service, each once for both address families; "" for one on no node."""
    found: dict[str, str] = {}
    for item in slices:
        for endpoint in item.get("endpoints") or ():
            if (endpoint.get("conditions") or {}).get("ready") is False:  # absent counts as ready
                continue
            target = (endpoint.get("targetRef") or {}).get("uid") or (endpoint.get("addresses") or [""])[0]
            found[str(target)] = str(endpoint.get("nodeName") or "")
    return tuple(sorted(found.values()))


def read_unavailable(raw: Mapping[str, Any]) -> UnavailableApi | None:
    """None for one that is served, by whomever."""
    conditions = (raw.get("status") or {}).get("conditions") or ()
    told = next((c for c in conditions if c.get("type") == "Available" and c.get("status") == "False"), None)
    if told is None:
        return None
    service = (raw.get("spec") or {}).get("service") or {}
    place = f"{service.get('namespace')}/{service.get('name')}" if service else ""
    reason = str(told.get("message") or told.get("reason") or "no reason given")
    return UnavailableApi(str(raw["metadata"]["name"]), place, reason)
