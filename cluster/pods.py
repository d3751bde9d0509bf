"""The pods of kube-system, folded into versions while they stream by: 15,000 whole pods would be gigabytes."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, TypedDict

from cluster.pages import Page, shape_of
from cluster.report import AddOn, StaticPod, Unread
from cluster.sieve import Sieve

PODS = "/api/v1/namespaces/kube-system/pods"
_ENDPOINT = "kubeadm.kubernetes.io/kube-apiserver.advertise-address.endpoint"
_HASH = "kubernetes.io/config.hash"
_ENDED = frozenset({"Succeeded", "Failed"})

_Labels = TypedDict("_Labels", {"tier": str, "component": str, "pod-template-hash": str}, total=False)
_Annotations = TypedDict(
    "_Annotations",
    {
        "kubeadm.kubernetes.io/kube-apiserver.advertise-address.endpoint": str,
        "kubernetes.io/config.hash": str,
    },
    total=False,
)


class _Owner(TypedDict, total=False):
    kind: str
    name: str


class _Metadata(TypedDict, total=False):
    namespace: str
    name: str
    uid: str
    labels: _Labels | None
    annotations: _Annotations | None
    ownerReferences: list[_Owner] | None


class _Container(TypedDict, total=False):
    name: str
    image: str


class _Spec(TypedDict, total=False):
    nodeName: str
    containers: list[_Container]


class _ContainerStatus(TypedDict, total=False):
    ready: bool


class _Status(TypedDict, total=False):
    phase: str
    containerStatuses: list[_ContainerStatus] | None


class _Pod(TypedDict, total=False):
    metadata: _Metadata
    spec: _Spec
    status: _Status


POD_SHAPE = shape_of(Page[_Pod])


@dataclass(frozen=True, slots=True)
class SystemPods:
    """What kube-system's pods tell; `endpoints` is node → host:port of its API server. Not `read`: nothing is known."""

    static: tuple[StaticPod, ...] = ()
    add_ons: tuple[AddOn, ...] = ()
    endpoints: Mapping[str, str] = field(default_factory=dict)
    read: bool = False
    unread: tuple[Unread, ...] = ()  # single pods


def read_pods(
    pods: Iterable[Mapping[str, Any]], on_server: Callable[[str, str], None] = lambda _node, _endpoint: None
) -> SystemPods:
    """`on_server` is told of each API server, its node and endpoint, as soon as its pod has come."""
    static: list[StaticPod] = []
    endpoints: dict[str, str] = {}
    images: defaultdict[tuple[str, str], set[str]] = defaultdict(set)

    def fold(pod: Mapping[str, Any]) -> None:
        metadata, spec = pod["metadata"], pod.get("spec") or {}
        labels, annotations = metadata.get("labels") or {}, metadata.get("annotations") or {}
        node = spec.get("nodeName") or ""
        if _is_of_control_plane(pod):
            static.append(_static_pod(pod, node, labels["component"], annotations))
            if endpoint := annotations.get(_ENDPOINT):
                endpoints[node] = endpoint
                on_server(node, endpoint)
        elif node:
            for name, image in list(_images(pod)):
                images[name, image].add(node)

    sieve = Sieve("Pod", _is_of_control_plane)
    for _ in sieve.read(pods, fold):
        pass
    add_ons = (AddOn(name, image, tuple(sorted(nodes))) for (name, image), nodes in sorted(images.items()))
    return SystemPods(
        tuple(sorted(static, key=lambda s: (s.node, s.component))), tuple(add_ons), endpoints, True, sieve.unread
    )


def _is_of_control_plane(pod: Mapping[str, Any]) -> bool:
    labels = pod["metadata"].get("labels") or {}
    return labels.get("tier") == "control-plane" and bool(labels.get("component"))


def tag_of(image: str) -> str:
    """`v1.34.7` of `registry:5000/kube-proxy:v1.34.7`; "" for an image named by digest or without a tag."""
    name = image.rpartition("/")[2]
    return "" if "@" in name else name.partition(":")[2]


def _static_pod(pod: Mapping[str, Any], node: str, component: str, annotations: Mapping[str, str]) -> StaticPod:
    containers = (pod.get("spec") or {}).get("containers") or [{}]
    image = str(containers[0].get("image", ""))
    statuses = (pod.get("status") or {}).get("containerStatuses") or ()
    ready = bool(statuses) and all(s.get("ready") for s in statuses)
    return StaticPod(node, component, image, tag_of(image), ready, annotations.get(_HASH, ""))


def _images(pod: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """(name, image) of each container of a pod that stays; jobs and ended pods are no add-ons."""
    owners = pod["metadata"].get("ownerReferences") or ()
    if (pod.get("status") or {}).get("phase") in _ENDED or any(o.get("kind") == "Job" for o in owners):
        return
    workload = owners[0]["name"] if owners else pod["metadata"]["name"]
    template = (pod["metadata"].get("labels") or {}).get("pod-template-hash")
    if template:
        workload = workload.removesuffix(f"-{template}")
    containers = (pod.get("spec") or {}).get("containers") or ()
    for container in containers:
        name = workload if len(containers) == 1 else f"{workload}/{container['name']}"
        yield name, str(container.get("image", ""))
