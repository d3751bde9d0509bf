"""Read who still uses what a later release does not serve: each API server's own count, and the objects' writers."""

from __future__ import annotations

import re
from functools import partial
from itertools import islice

from cluster.deprecation import COUNTS, Caller, DeprecatedApi, DeprecatedUse, find_callers, read_gauge
from cluster.errors import ClusterUnreadable, KubeDenied
from cluster.inquiry import ONE_READ, Inquiry
from cluster.kube import Kube
from cluster.report import ApiServer

_METRICS_TIME = 60.0  # seconds; those of a large cluster's API server take some
_METRICS_SIZE = 256 * 1024 * 1024  # bytes; they stream by
_SEARCHED = 2000  # objects of one API whose writers are looked at
_STABLE = re.compile(r"v\d+", re.ASCII)
_NOT_THERE = (403, 404)


def read_counted(ask: Inquiry, server: ApiServer) -> frozenset[DeprecatedApi]:
    """What somebody asked this API server for since it was started; through a balancer any one might answer."""
    what = f"{COUNTS} on {server.node or server.endpoint}"
    return ask.attempt(what, partial(_counted, ask.kube, server), frozenset())


def _counted(kube: Kube, server: ApiServer) -> frozenset[DeprecatedApi]:
    if not server.endpoint:
        raise ClusterUnreadable("Its address is not known.")
    with kube.at(server.endpoint) as own:
        return read_gauge(own.lines("/metrics", most=_METRICS_SIZE, timeout=_METRICS_TIME))


def by_api(counted: dict[str, frozenset[DeprecatedApi]]) -> tuple[DeprecatedUse, ...]:
    """Each API once, with the API servers, by node, that were asked for it."""
    found = sorted(frozenset().union(*counted.values()))
    return tuple(DeprecatedUse(api, tuple(n for n, apis in counted.items() if api in apis)) for api in found)


def read_callers(ask: Inquiry, api: DeprecatedApi) -> tuple[Caller, ...]:
    """By the first objects of it; () where they are not to be had, which says nothing of who reads them."""
    return ask.attempt(f"writers of {api}", partial(_callers, ask.kube, api), ())


def _callers(kube: Kube, api: DeprecatedApi) -> tuple[Caller, ...]:
    """Listed in a stable version: asking for the deprecated one would be counted as a use of it."""
    try:
        served = kube.get(f"/apis/{api.group}", timeout=ONE_READ).get("versions") or () if api.group else ()
        stable = next((str(v["version"]) for v in served if _STABLE.fullmatch(str(v["version"]))), "")
        if stable in {"", api.version}:
            return ()
        rows = kube.rows(f"/apis/{api.group}/{stable}/{api.resource}")
        return find_callers(api, (metadata for _, metadata in islice(rows, _SEARCHED)))
    except KubeDenied as error:
        if error.status in _NOT_THERE:
            return ()
        raise
