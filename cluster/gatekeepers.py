"""Read who has a say in the API's writes: webhooks with the endpoints that answer for them, and unavailable APIs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from typing import Any

from cluster.admission import SYSTEM, UnavailableApi, Webhook, read_ready, read_unavailable, read_webhooks
from cluster.errors import KubeDenied
from cluster.inquiry import ONE_READ, Inquiry
from cluster.kube import Kube
from cluster.report import Unread
from cluster.sieve import name_of

_ADMISSION = "/apis/admissionregistration.k8s.io/v1"
_CONFIGURATIONS = {
    "ValidatingWebhookConfiguration": f"{_ADMISSION}/validatingwebhookconfigurations",
    "MutatingWebhookConfiguration": f"{_ADMISSION}/mutatingwebhookconfigurations",
}
_API_SERVICES = "/apis/apiregistration.k8s.io/v1/apiservices"
_OF_SERVICE = "kubernetes.io/service-name"
_LIST = 10.0  # seconds; there are a few dozen of each
_SERVICES = 100  # whose endpoints are looked at
_NOT_FOUND = 404

Ready = tuple[str, ...] | None


def read_hooks(ask: Inquiry) -> tuple[Webhook, ...]:
    """Those that fail closed and are asked about an upgrade's writes; who answers for them is not known yet."""
    usual = {"kubernetes.io/metadata.name": SYSTEM}
    system = ask.attempt("labels of kube-system", partial(_labels, ask.kube), usual)
    found: list[Webhook] = []
    for kind, path in _CONFIGURATIONS.items():
        nothing: tuple[dict[str, Any], ...] = ()
        for raw in ask.attempt(f"each {kind}", partial(_all, ask.kube, path), nothing):
            found += ask.attempt(f"the {kind} {name_of(raw)}", partial(_of_one, kind, raw, system), ())
    return tuple(found)


def read_answers(ask: Inquiry, webhooks: Iterable[Webhook], each: Callable[..., Iterator[Ready]]) -> dict[str, Ready]:
    """The ready endpoints by service; None where they are not in the cluster, or were not read. `each` is a map."""
    services = list(dict.fromkeys(w.service for w in webhooks if w.service))
    for left in services[_SERVICES:]:
        ask.unread.append(Unread(f"endpoints of {left}", f"Those of {_SERVICES} services were looked at, and no more."))
    asked = services[:_SERVICES]
    read = each(lambda s: ask.attempt(f"endpoints of {s}", partial(_ready, ask.kube, s), None), asked)
    return dict(zip(asked, read, strict=True))


def read_unavailable_apis(kube: Kube) -> tuple[UnavailableApi, ...]:
    read = (read_unavailable(raw) for raw in kube.items(_API_SERVICES, timeout=_LIST))
    return tuple(api for api in read if api is not None)


def _all(kube: Kube, path: str) -> tuple[dict[str, Any], ...]:
    return tuple(kube.items(path, timeout=_LIST))


def _of_one(kind: str, raw: Mapping[str, Any], system: Mapping[str, str]) -> tuple[Webhook, ...]:
    return tuple(read_webhooks(kind, raw, system))


def _labels(kube: Kube) -> dict[str, str]:
    return dict(kube.get(f"/api/v1/namespaces/{SYSTEM}", timeout=ONE_READ)["metadata"].get("labels") or {})


def _ready(kube: Kube, service: str) -> Ready:
    namespace, _, name = service.partition("/")
    path = f"/apis/discovery.k8s.io/v1/namespaces/{namespace}/endpointslices"
    ready = read_ready(kube.items(path, {"labelSelector": f"{_OF_SERVICE}={name}"}, timeout=ONE_READ))
    return None if not ready and _is_elsewhere(kube, namespace, name) else ready


def _is_elsewhere(kube: Kube, namespace: str, name: str) -> bool:
    """A service that stands for a name outside the cluster has no endpoints, and may answer all the same."""
    try:
        found = kube.get(f"/api/v1/namespaces/{namespace}/services/{name}", timeout=ONE_READ)
    except KubeDenied as error:
        if error.status == _NOT_FOUND:
            return False
        raise
    return (found.get("spec") or {}).get("type") == "ExternalName"
