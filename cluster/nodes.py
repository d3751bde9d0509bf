"""The nodes as a Table's rows tell them: display columns and metadata are all that a report of 5,000 needs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from typing import Any, TypedDict

from cluster.errors import InvalidVersion
from cluster.pages import Column, ListMeta, shape_of
from cluster.report import CORDON_OWNER, Node, Unread
from cluster.sieve import MALFORMED, Sieve, not_understood
from cluster.versions import ReportedVersion

NODES = "/api/v1/nodes"
_CONTROL_PLANE = "node-role.kubernetes.io/control-plane"
_BLANK = {"<none>": "", "<unknown>": ""}
parse_version = lru_cache(256)(ReportedVersion.parse)  # thousands of nodes share a few versions

_Annotations = TypedDict("_Annotations", {"lockkeeper.dev/cordoned-by": str}, total=False)


class _Metadata(TypedDict, total=False):
    name: str
    uid: str
    labels: dict[str, str] | None
    annotations: _Annotations | None


class _Object(TypedDict, total=False):
    metadata: _Metadata


class _Row(TypedDict, total=False):
    cells: list[str]
    object: _Object | None


class _Page(TypedDict, total=False):
    """What is read of a page of them."""

    kind: str
    metadata: ListMeta
    columnDefinitions: list[Column] | None  # with the first page alone
    rows: list[_Row] | None


NODE_SHAPE = shape_of(_Page)


Row = tuple[Mapping[str, str], Mapping[str, Any]]  # cells by column, and the object's metadata


def fold_nodes(rows: Iterable[Row], sieve: Sieve) -> tuple[Node, ...]:
    """Control plane first."""
    nodes: Iterator[Node] = sieve.read(rows, lambda row: _node(*row))
    return tuple(sorted(nodes, key=lambda n: (not n.control_plane, n.name)))


def _node(cells: Mapping[str, str], metadata: Mapping[str, Any]) -> Node:
    """What its row says; of a node whose row is not as it should be its name, and that it was not understood."""
    name = cells.get("Name") or str(metadata["name"])
    try:
        return _whole_node(name, cells, metadata)
    except MALFORMED as error:
        unread = Unread(f"kubelet of {name}", f"The node {name} was not read. {not_understood(error)}")
        return Node(
            name, str(metadata.get("uid", "")), control_plane=False, kubelet=unread, ready=False, cordoned=False
        )


def _whole_node(name: str, cells: Mapping[str, str], metadata: Mapping[str, Any]) -> Node:
    labels, annotations = metadata.get("labels") or {}, metadata.get("annotations") or {}
    ready, cordoned = _status(cells.get("Status", ""))
    return Node(
        name=name,
        uid=str(metadata.get("uid", "")),
        control_plane=_CONTROL_PLANE in labels,
        kubelet=_kubelet(name, cells.get("Version", "")),
        ready=ready,
        cordoned=cordoned,
        cordoned_by=str(annotations.get(CORDON_OWNER, "")),
        labels=tuple(sorted(labels.items())),
        address=_shown(cells.get("Internal-IP", "")),
        os_image=_shown(cells.get("OS-Image", "")),
        kernel=_shown(cells.get("Kernel-Version", "")),
        runtime=_shown(cells.get("Container-Runtime", "")),
    )


@lru_cache(256)
def _status(cell: str) -> tuple[bool, bool]:
    """Whether a node is ready, and whether cordoned: "Ready", "NotReady", "Ready,SchedulingDisabled"."""
    said = cell.split(",")
    return "Ready" in said, "SchedulingDisabled" in said


def _shown(cell: str) -> str:
    return _BLANK.get(cell, cell)


def _kubelet(name: str, text: str) -> ReportedVersion | Unread:
    try:
        return parse_version(text)
    except InvalidVersion as error:
        return Unread(f"kubelet of {name}", str(error))
