"""Bodies in Kubernetes' protobuf, which newer kubectl prefers: read into JSON for the few kinds that it creates so."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

MAGIC = b"k8s\0"  # how every protobuf body of the API begins


@dataclass(frozen=True, slots=True)
class Shape:
    """A message: field number → name, with the shape of a nested message, or `str` or `int`."""

    fields: dict[int, tuple[str, Shape | type]]
    repeated: frozenset[str] = field(default_factory=frozenset)


_META = Shape({1: ("name", str), 2: ("generateName", str), 3: ("namespace", str), 5: ("uid", str)})
_PRECONDITIONS = Shape({1: ("uid", str), 2: ("resourceVersion", str)})
_OPTIONS = Shape(
    {
        1: ("gracePeriodSeconds", int),
        2: ("preconditions", _PRECONDITIONS),
        4: ("propagationPolicy", str),
        5: ("dryRun", str),
    },
    frozenset({"dryRun"}),
)
_ATTRIBUTES = Shape(
    {
        1: ("namespace", str),
        2: ("verb", str),
        3: ("group", str),
        4: ("version", str),
        5: ("resource", str),
        6: ("subresource", str),
        7: ("name", str),
    }
)
_TYPE = Shape({1: ("apiVersion", str), 2: ("kind", str)})
_ENVELOPE = Shape({1: ("typeMeta", _TYPE)})
SHAPES = {
    "Eviction": Shape({1: ("metadata", _META), 2: ("deleteOptions", _OPTIONS)}),
    "DeleteOptions": _OPTIONS,
    "SelfSubjectReview": Shape({1: ("metadata", _META)}),
    "SelfSubjectAccessReview": Shape(
        {1: ("metadata", _META), 2: ("spec", Shape({1: ("resourceAttributes", _ATTRIBUTES)}))}
    ),
}
_RAW = 2  # the field of the envelope that holds the object itself


class UnknownBodyError(ValueError):
    """The body is of a kind that the lab reads as JSON only."""


def read_protobuf(body: bytes) -> dict[str, Any]:
    """The object in an envelope, as its JSON would be."""
    envelope = body.removeprefix(MAGIC)
    meaning: dict[str, Any] = _message(envelope, _ENVELOPE).get("typeMeta", {})
    shape = SHAPES.get(meaning.get("kind", ""))
    if shape is None:
        raise UnknownBodyError(f"a body of kind {meaning.get('kind')} is read as JSON only")
    raw = next((value for number, value in _fields(envelope) if number == _RAW), b"")
    return meaning | (_message(raw, shape) if isinstance(raw, bytes) else {})


def _message(raw: bytes, shape: Shape) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for number, value in _fields(raw):
        if number not in shape.fields:
            continue
        name, kind = shape.fields[number]
        read: Any = value
        if isinstance(value, bytes):
            read = _message(value, kind) if isinstance(kind, Shape) else value.decode()
        if name in shape.repeated:
            found.setdefault(name, []).append(read)
        else:
            found[name] = read
    return found


def _fields(raw: bytes) -> Iterator[tuple[int, int | bytes]]:
    place = 0
    while place < len(raw):
        key, place = _varint(raw, place)
        match key & 7:
            case 0:
                number, place = _varint(raw, place)
                # Negative numbers are two's complement of 64 bits: a grace period of -1 means the pod's own.
                yield key >> 3, number - (1 << 64) if number >> 63 else number
            case 2:
                length, place = _varint(raw, place)
                yield key >> 3, raw[place : place + length]
                place += length
            case 1:
                place += 8
            case 5:
                place += 4
            case other:
                raise UnknownBodyError(f"the body has a field of wire type {other}, which protobuf 3 does not have")


def _varint(raw: bytes, place: int) -> tuple[int, int]:
    number = shift = 0
    while True:
        if place >= len(raw):
            raise UnknownBodyError("the body ends in the middle of a number")
        byte = raw[place]
        place += 1
        number |= (byte & 127) << shift
        shift += 7
        if not byte & 128:
            return number, place
