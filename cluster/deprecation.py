"""APIs that a later release no longer serves, as far as API servers count who asks for them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from cluster.errors import ClusterUnreadable, InvalidVersion
from cluster.versions import Minor

GAUGE = "apiserver_requested_deprecated_apis"
APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
_LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')
COUNTS = "use of deprecated APIs"  # how what could not be counted is called
_NAMED = 3  # objects of one caller that are kept
_OURS = "# TYPE apiserver_"  # some line of every API server's page


@dataclass(frozen=True, slots=True, order=True)
class DeprecatedApi:
    """One resource of one version of a group, and the minor that does not serve it any more."""

    group: str  # "" for the core group
    version: str
    resource: str
    removed: Minor

    @property
    def api_version(self) -> str:
        return f"{self.group}/{self.version}" if self.group else self.version

    def __str__(self) -> str:
        return f"{self.resource} of {self.api_version}"


@dataclass(frozen=True, slots=True)
class Caller:
    """Who wrote objects in this version, as the objects themselves say, and some of them."""

    name: str
    objects: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class DeprecatedUse:
    """A deprecated API that somebody asked for since these API servers were started."""

    api: DeprecatedApi
    servers: tuple[str, ...]
    callers: tuple[Caller, ...] = ()


def read_gauge(lines: Iterable[str]) -> frozenset[DeprecatedApi]:
    """What one API server's metrics count, of what has a release that removes it; raises ClusterUnreadable."""
    found, is_ours, inside = set(), False, False
    for line in lines:
        is_ours = is_ours or line.startswith(_OURS)
        if line.startswith(GAUGE + "{"):
            inside = True
            if (api := _read_sample(line)) is not None:
                found.add(api)
        elif inside and not line.startswith("#"):
            break  # the samples of one metric stand together
    if not is_ours:
        raise ClusterUnreadable("What answers there shows no metrics of an API server: look at what is between.")
    return frozenset(found)


def _read_sample(line: str) -> DeprecatedApi | None:
    labels = dict(_LABEL.findall(line))
    removed = labels.get("removed_release")
    if not removed or float(line.rpartition(" ")[2]) == 0:  # deprecated without a release that removes it
        return None
    try:
        return DeprecatedApi(labels["group"], labels["version"], labels["resource"], Minor.parse(removed))
    except (InvalidVersion, KeyError) as error:
        raise ClusterUnreadable(f"Its metrics have a line that cannot be read: {line[:200]}") from error


def find_callers(api: DeprecatedApi, metadata: Iterable[Mapping[str, Any]]) -> tuple[Caller, ...]:
    """By the managers of fields, and by what was last applied, of objects that were written in this version."""
    found: dict[str, list[str]] = {}
    for of in metadata:
        place = "/".join(str(of[key]) for key in ("namespace", "name") if of.get(key))
        for name in dict.fromkeys(_writers(api, of)):
            found.setdefault(name, []).append(place)
    return tuple(Caller(name, tuple(places[:_NAMED])) for name, places in sorted(found.items()))


def _writers(api: DeprecatedApi, metadata: Mapping[str, Any]) -> Iterator[str]:
    for entry in metadata.get("managedFields") or ():
        if entry.get("apiVersion") == api.api_version:
            yield str(entry.get("manager") or "somebody without a name")
    applied = (metadata.get("annotations") or {}).get(APPLIED, "")
    try:
        document = json.loads(applied) if applied else {}
    except ValueError:
        return
    if isinstance(document, dict) and document.get("apiVersion") == api.api_version:
        yield "kubectl apply"
