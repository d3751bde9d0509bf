"""A page in the shape that its reader needs says the same as the whole page; an odd one is read whole."""

from __future__ import annotations

import json
from typing import Any

import pytest

from cluster import excerpts
from cluster.nodes import NODE_SHAPE, fold_nodes
from cluster.pages import decode
from cluster.pods import POD_SHAPE, read_pods
from cluster.sieve import Sieve
from cluster.tally import Tally
from tests.recorded_api import RECORDINGS

PATHS = sorted(RECORDINGS.glob("*-pods.stdout"))
COLUMNS = ("Name", "Status", "Version", "Internal-IP")


def row(name: str, **metadata: Any) -> dict[str, Any]:
    cells = [name, "Ready,SchedulingDisabled", "v1.34.7", "<none>"]
    return {"cells": cells, "object": {"kind": "PartialObjectMetadata", "metadata": {"name": name, **metadata}}}


@pytest.mark.parametrize("path", PATHS, ids=lambda p: p.stem)
def test_recorded_pods_say_the_same_in_their_shape(path):
    """As a real cluster served them; what nobody reads of them is not there."""
    data = path.read_bytes()
    shaped, whole = decode(data, POD_SHAPE), json.loads(data)
    assert read_pods(shaped["items"]) == read_pods(whole["items"])
    assert [i["metadata"]["uid"] for i in shaped["items"]] == [i["metadata"]["uid"] for i in whole["items"]]
    assert len(json.dumps(shaped)) < len(data) / 8


@pytest.mark.parametrize("path", PATHS, ids=lambda p: p.stem)
def test_recorded_pods_weigh_the_same_in_their_shape(path):
    """What a plan is judged by: where they are, what they ask for, and whether they would leave."""
    shaped, whole = Tally(), Tally()
    shaped.take(decode(path.read_bytes(), excerpts.PODS)["items"], shaped.add_pod)
    whole.take(json.loads(path.read_bytes())["items"], whole.add_pod)
    assert (shaped.used, shaped.counts, shaped.daemon_sets) == (whole.used, whole.counts, whole.daemon_sets)
    assert shaped.malformed == 0


def test_recorded_nodes_have_the_same_room_in_their_shape():
    """What they give, and their taints."""
    data = (RECORDINGS / "before-nodes.stdout").read_bytes()
    shaped, whole = Tally(), Tally()
    shaped.take(decode(data, excerpts.NODES)["items"], shaped.add_node)
    whole.take(json.loads(data)["items"], whole.add_node)
    assert shaped.rooms == whole.rooms


@pytest.mark.parametrize(
    "metadata",
    [
        {"uid": "u"},
        {"labels": None, "annotations": None},
        {"labels": {"node-role.kubernetes.io/control-plane": "", "zone": "a"}, "annotations": {"other": "x" * 99}},
        {"annotations": {"lockkeeper.dev/cordoned-by": "op-1"}, "managedFields": [{"fieldsV1": {"f:metadata": {}}}]},
    ],
)
def test_a_row_of_a_node_says_the_same_in_its_shape(metadata):
    """With or without labels and annotations, and whoever cordoned it."""
    page = {"kind": "Table", "metadata": {"continue": "more"}, "rows": [row("w1", **metadata)]}
    shaped = decode(json.dumps(page).encode(), NODE_SHAPE)
    assert shaped["metadata"] == page["metadata"]
    assert fold(shaped) == fold(page)


def fold(page: dict[str, Any]) -> Any:
    rows = ((dict(zip(COLUMNS, r["cells"], strict=True)), r["object"]["metadata"]) for r in page["rows"])
    return fold_nodes(rows, Sieve("Node"))


@pytest.mark.parametrize(
    ("shape", "page"),
    [
        (POD_SHAPE, {"items": {"a": 1}}),
        (POD_SHAPE, {"items": [{"metadata": {"name": "a"}}, None]}),
        (POD_SHAPE, {"items": [{"metadata": {"name": "a"}}, {"metadata": {"name": "b", "labels": 7}}]}),
        (POD_SHAPE, {"items": [{"metadata": {"name": "a"}}, {"metadata": {"name": 5}}]}),
        (POD_SHAPE, {"items": [{"spec": {"containers": [{"image": ["x"]}]}}]}),
        (POD_SHAPE, {"metadata": "none", "items": []}),
        (POD_SHAPE, ["no list"]),
        (NODE_SHAPE, {"kind": "Table", "rows": [{"cells": ["w1", 5]}]}),
        (NODE_SHAPE, {"kind": "Table", "rows": [{"object": {"metadata": {"labels": [1]}}}]}),
        (NODE_SHAPE, {"kind": "Table", "rows": "none"}),
        (NODE_SHAPE, {"kind": 1}),
    ],
)
def test_what_does_not_fit_is_read_as_it_is(shape, page):
    """All of its page: the reader sees the malformed object as it came, and judges it alone."""
    assert decode(json.dumps(page).encode(), shape) == page


@pytest.mark.parametrize("shape", [POD_SHAPE, NODE_SHAPE, excerpts.PODS, excerpts.NODES, excerpts.VOLUMES])
@pytest.mark.parametrize(
    "page",
    [
        {"items": None, "rows": None, "columnDefinitions": None},
        {"items": [], "rows": [], "metadata": {"remainingItemCount": 1, "continue": ""}},
        {"items": [{"metadata": {"labels": None, "ownerReferences": None}}], "rows": [{"object": None}]},
        {},
    ],
)
def test_an_empty_list_written_as_nothing_fits_its_shape(shape, page):
    """As Go writes it: such a page is not read whole for it."""
    assert "other" not in decode(json.dumps({"other": 1, **page}).encode(), shape)


@pytest.mark.parametrize("shape", [None, POD_SHAPE, NODE_SHAPE])
@pytest.mark.parametrize("data", [b"", b"{", b'{"items": [{"metadata": {"name": "a"}}', b"<html>", b"{} {}"])
def test_what_is_no_json_is_an_error_in_any_shape(shape, data):
    """Half a page is never taken for a page."""
    with pytest.raises(ValueError, match=r"."):
        decode(data, shape)
