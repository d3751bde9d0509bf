"""Lists: selectors, pages with continue tokens, and tables."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping
from typing import Any

from lab.objects import ObjectStore
from lab.resources import Resource
from lab.selectors import BadSelectorError, Matcher, read_field_selector, read_label_selector
from lab.statuses import bad_request, expired
from lab.table import TableForm

INCONSISTENT = -1  # the number in a token that goes on after its list was compacted away


def list_objects(
    store: ObjectStore,
    resource: Resource,
    namespace: str,
    query: Mapping[str, str],
    *,
    table: TableForm | None,
) -> dict[str, Any]:
    """The answer to a GET of a collection."""
    items, metadata = _page(store, resource, namespace, query)
    if table is not None:
        return table.render(resource, items, metadata, query)
    return {
        "kind": f"{resource.kind}List",
        "apiVersion": resource.api_version,
        "metadata": metadata,
        # Items of a typed list carry no kind of their own.
        "items": [{key: value for key, value in item.items() if key not in {"kind", "apiVersion"}} for item in items],
    }


def matcher(kind: str, query: Mapping[str, str]) -> Matcher:
    """Both selectors of a query."""
    try:
        labels = read_label_selector(query.get("labelSelector", ""))
        fields = read_field_selector(kind, query.get("fieldSelector", ""))
    except BadSelectorError as error:
        raise bad_request(str(error)) from error
    return lambda obj: labels(obj) and fields(obj)


def _page(
    store: ObjectStore, resource: Resource, namespace: str, query: Mapping[str, str]
) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    limit = _number(query.get("limit", "0"))
    token = query.get("continue", "")
    if token:
        number, start = _read_token(token)
        rest = _resume(store, resource, namespace, query, (number, start))
    else:
        number = store.version
        matches = matcher(resource.kind, query)
        rest = [obj for obj in store.each(resource.kind, namespace or None) if matches(obj)]
    metadata: dict[str, Any] = {"resourceVersion": str(number if number != INCONSISTENT else store.version)}
    if not limit or len(rest) <= limit:
        return rest, metadata
    page, rest = rest[:limit], rest[limit:]
    metadata["continue"] = _write_token(store.snapshot(rest), _key(page[-1]))
    if not query.get("labelSelector") and not query.get("fieldSelector"):
        metadata["remainingItemCount"] = len(rest)
    return page, metadata


def _resume(
    store: ObjectStore, resource: Resource, namespace: str, query: Mapping[str, str], token: tuple[int, str]
) -> list[dict[str, Any]]:
    """What is left of a list: the remembered rest, or after a compaction what is there now behind the same key."""
    number, start = token
    kept = store.recall(number)
    if kept is not None:
        return kept
    if number != INCONSISTENT:
        raise expired(_write_token(INCONSISTENT, start))
    matches = matcher(resource.kind, query)
    return [obj for obj in store.each(resource.kind, namespace or None) if _key(obj) > start and matches(obj)]


def _key(obj: dict[str, Any]) -> str:
    return f"{obj['metadata'].get('namespace', '')}/{obj['metadata']['name']}"


def _number(text: str) -> int:
    if not text.isdecimal():
        raise bad_request(f'invalid limit "{text}": it must be a non-negative integer')
    return int(text)


def _write_token(number: int, start: str) -> str:
    text = json.dumps({"v": "meta.k8s.io/v1", "rv": number, "start": start}, separators=(",", ":"))
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def _read_token(token: str) -> tuple[int, str]:
    try:
        read = json.loads(base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)))
        return int(read["rv"]), str(read["start"])
    except (binascii.Error, ValueError, KeyError, TypeError) as error:
        raise bad_request("continue key is not valid: " + str(error)) from error
