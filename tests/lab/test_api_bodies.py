"""Patches and protobuf bodies, read without a server."""

from __future__ import annotations

import pytest

from lab.patches import BadPatchError, json_patch, merge_patch, strategic_patch
from lab.protobuf import MAGIC, UnknownBodyError, read_protobuf


def field(number: int, value: bytes | int) -> bytes:
    """One field on the wire; every length and number here is below 128."""
    if isinstance(value, int):
        return bytes([number << 3, value])
    return bytes([number << 3 | 2, len(value)]) + value


def envelope(kind: bytes, raw: bytes) -> bytes:
    """A protobuf body as kubectl sends it."""
    return MAGIC + field(1, field(1, b"policy/v1") + field(2, kind)) + field(2, raw)


@pytest.mark.parametrize(
    ("target", "patch", "expected"),
    [
        ({"a": "b"}, {"a": "c"}, {"a": "c"}),
        ({"a": "b"}, {"a": None}, {}),
        ({"a": ["b"]}, {"a": ["c", "d"]}, {"a": ["c", "d"]}),
        ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
        ({"a": "b"}, {"a": {"b": {"c": None}}}, {"a": {"b": {}}}),
        ({"a": [{"b": "c"}]}, {"a": [1]}, {"a": [1]}),
    ],
)
def test_a_merge_patch_follows_rfc_7386(target, patch, expected):
    """The cases that the standard itself lists."""
    assert merge_patch(target, patch) == expected


def test_a_strategic_patch_merges_containers_by_name():
    """One container changes, one goes, one comes; the target is not touched."""
    target = {"containers": [{"name": "a", "image": "1", "x": 1}, {"name": "b", "image": "1"}]}
    patch = {
        "$setElementOrder/containers": [{"name": "a"}, {"name": "c"}],
        "containers": [{"name": "a", "image": "2"}, {"name": "b", "$patch": "delete"}, {"name": "c", "image": "1"}],
    }
    patched = strategic_patch(target, patch)
    assert patched == {"containers": [{"name": "a", "image": "2", "x": 1}, {"name": "c", "image": "1"}]}
    assert len(target["containers"]) == 2


def test_a_json_patch_tests_before_it_writes():
    """A failed test leaves everything as it was."""
    target = {"metadata": {"annotations": {"a/b": "1"}}, "list": [1, 2]}
    path = "/metadata/annotations/a~1b"
    changed = json_patch(
        target,
        [
            {"op": "test", "path": path, "value": "1"},
            {"op": "replace", "path": path, "value": "2"},
            {"op": "remove", "path": "/list/0"},
            {"op": "add", "path": "/list/-", "value": 3},
        ],
    )
    assert changed == {"metadata": {"annotations": {"a/b": "2"}}, "list": [2, 3]}
    with pytest.raises(BadPatchError, match="the test of"):
        json_patch(target, [{"op": "test", "path": path, "value": "2"}])


def test_an_eviction_in_protobuf_is_read_whole():
    """Name, uid precondition, dry run and a negative grace period, which means the pod's own."""
    minus_one = bytes([1 << 3]) + b"\xff" * 9 + b"\x01"
    options = minus_one + field(2, field(1, b"an-uid")) + field(5, b"All")
    raw = field(1, field(1, b"web-1") + field(3, b"demo")) + field(2, options)
    assert read_protobuf(envelope(b"Eviction", raw)) == {
        "apiVersion": "policy/v1",
        "kind": "Eviction",
        "metadata": {"name": "web-1", "namespace": "demo"},
        "deleteOptions": {"gracePeriodSeconds": -1, "preconditions": {"uid": "an-uid"}, "dryRun": ["All"]},
    }


@pytest.mark.parametrize("body", [envelope(b"ConfigMap", b""), MAGIC, MAGIC + b"\x80", envelope(b"Eviction", b"\x0b")])
def test_a_protobuf_body_of_another_kind_is_refused(body):
    """So is one that is broken; the server then asks for JSON."""
    with pytest.raises(UnknownBodyError):
        read_protobuf(body)
