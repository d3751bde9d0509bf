"""What a plan is judged by of each pod, node and volume: the rest of 150,000 pods is never made into objects."""

from __future__ import annotations

from typing import Any, TypedDict

from cluster.pages import Page, shape_of

_Annotations = TypedDict("_Annotations", {"kubernetes.io/config.mirror": Any}, total=False)


class _Owner(TypedDict, total=False):
    apiVersion: str
    kind: str
    name: str
    controller: bool


class _PodMetadata(TypedDict, total=False):
    namespace: str
    name: str
    uid: str
    labels: dict[str, str] | None
    annotations: _Annotations | None
    ownerReferences: list[_Owner] | None
    deletionTimestamp: Any


class _Resources(TypedDict, total=False):
    requests: Any


class _Container(TypedDict, total=False):
    restartPolicy: str
    resources: _Resources | None


class _Volume(TypedDict, total=False):
    name: str
    persistentVolumeClaim: Any
    ephemeral: Any
    emptyDir: Any


class _PodSpec(TypedDict, total=False):
    nodeName: str
    containers: list[_Container]
    initContainers: list[_Container] | None
    resources: _Resources | None
    overhead: Any
    nodeSelector: Any
    affinity: Any
    tolerations: Any
    topologySpreadConstraints: Any
    volumes: list[_Volume] | None


class _PodStatus(TypedDict, total=False):
    phase: str


class _Pod(TypedDict, total=False):
    metadata: _PodMetadata
    spec: _PodSpec
    status: _PodStatus


class _Metadata(TypedDict, total=False):
    name: str
    uid: str


class _NodeSpec(TypedDict, total=False):
    taints: Any


class _NodeStatus(TypedDict, total=False):
    allocatable: Any


class _Node(TypedDict, total=False):
    metadata: _Metadata
    spec: _NodeSpec
    status: _NodeStatus


class _VolumeSpec(TypedDict, total=False):
    claimRef: Any
    nodeAffinity: Any


class _PersistentVolume(TypedDict, total=False):
    metadata: _Metadata
    spec: _VolumeSpec


PODS, NODES, VOLUMES = map(shape_of, (Page[_Pod], Page[_Node], Page[_PersistentVolume]))
