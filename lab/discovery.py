"""Everything that is not a resource: discovery, versions, health, metrics, and reviews of oneself."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from aiohttp import web

from lab.clock import stamp
from lab.identity import Ask, Identities, User
from lab.objects import ObjectStore
from lab.resources import BY_PATH, RESOURCES, REVIEWS, Resource, groups, served_by
from lab.statuses import Refusal, no_such_resource

READY_CHECKS = (
    "ping", "log", "etcd", "etcd-readiness", "informer-sync",
    "poststarthook/start-apiserver-admission-initializer",
    "poststarthook/generic-apiserver-start-informers",
    "poststarthook/priority-and-fairness-config-consumer",
    "poststarthook/rbac/bootstrap-roles",
    "poststarthook/start-kube-aggregator-informers",
    "poststarthook/apiservice-registration-controller",
    "poststarthook/apiservice-openapiv3-controller",
)  # fmt: skip
DEPRECATED_METRICS = """\
# HELP apiserver_requested_deprecated_apis [STABLE] Gauge of deprecated APIs that have been requested, broken out by \
API group, version, resource, subresource, and removed_release.
# TYPE apiserver_requested_deprecated_apis gauge
apiserver_requested_deprecated_apis{group="",removed_release="",resource="componentstatuses",subresource="",\
version="v1"} 1
apiserver_requested_deprecated_apis{group="",removed_release="",resource="endpoints",subresource="",version="v1"} 1
"""
Removed = tuple[str, str, str, str]  # group, version, resource, and the release that does not serve it any more
COMMIT = "1" * 40
BUILD_DATE = "2026-08-01T00:00:00Z"


def answer(
    path: str,
    version: str,
    accept: str,
    store: ObjectStore,
    *,
    verbose: bool = False,
    asked_for: Iterable[Removed] = (),
    emulates: str = "",
) -> web.Response:
    """
    The answer to a path without a resource.

    `asked_for` are deprecated APIs that clients of this server use; `emulates` is the minor that it behaves like.
    """
    if path in {"/readyz", "/livez", "/healthz"}:
        return web.Response(text=check_lines(path) if verbose else "ok")
    if path == "/metrics":
        used = "".join(_deprecated_metric(*removed) for removed in sorted(asked_for))
        return web.Response(text=DEPRECATED_METRICS + used + _objects_metric(store))
    body = _document(path, version, accept, emulates)
    return web.Response(text=json.dumps(body, separators=(",", ":")), content_type="application/json")


def check_lines(path: str) -> str:
    """``/readyz?verbose``."""
    lines = [f"[+]{check} ok\n" for check in READY_CHECKS]
    return "".join(lines) + f"{path[1:]} check passed\n"


def version_info(version: str, emulates: str = "") -> dict[str, str]:
    """``GET /version``; the emulated version is the server's own, unless it is told another one."""
    major, minor, _ = version.removeprefix("v").split(".")
    emulated = emulates.partition(".")[2] or minor
    return {
        "major": major,
        "minor": minor,
        "emulationMajor": major,
        "emulationMinor": emulated,
        "minCompatibilityMajor": major,
        "minCompatibilityMinor": str(int(emulated) - 1),
        "gitVersion": version,
        "gitCommit": COMMIT,
        "gitTreeState": "clean",
        "buildDate": BUILD_DATE,
        "goVersion": "go1.27.3",
        "compiler": "gc",
        "platform": "linux/amd64",
    }


def _document(path: str, version: str, accept: str, emulates: str) -> dict[str, Any]:
    served = {resource.root: resource.api_version for resource in (*RESOURCES, *REVIEWS)}
    if path in served:
        return {
            "kind": "APIResourceList",
            "apiVersion": "v1",
            "groupVersion": served[path],
            "resources": served_by(served[path]),
        }
    documents: dict[str, dict[str, Any]] = {
        "/version": version_info(version, emulates),
        "/api": {"kind": "APIVersions", "versions": ["v1"], "serverAddressByClientCIDRs": []},
        "/apis": {"kind": "APIGroupList", "apiVersion": "v1", "groups": [_group(name) for name in groups()]},
        "/openapi/v2": _openapi_v2(version),
        "/openapi/v3": {"paths": {root[1:]: {"serverRelativeURL": f"/openapi/v3{root}"} for root in served}},
    }
    documents |= {f"/apis/{name}": {"kind": "APIGroup", "apiVersion": "v1", **_group(name)} for name in groups()}
    documents |= {f"/openapi/v3{root}": _openapi_v3(root, version) for root in served}
    if path not in documents:
        raise no_such_resource()
    if path == "/openapi/v2" and "json" not in accept and "*/*" not in accept:
        # Old validation wants protobuf here; 406 makes clients fall back or skip.
        raise Refusal(406, "only the following media types are accepted: application/json", "NotAcceptable", {})
    return documents[path]


def _group(name: str) -> dict[str, Any]:
    versions = [{"groupVersion": f"{name}/{version}", "version": version} for version in groups()[name]]
    return {"name": name, "versions": versions, "preferredVersion": versions[0]}


def _openapi_v2(version: str) -> dict[str, Any]:
    return {"swagger": "2.0", "info": {"title": "Kubernetes", "version": version}, "paths": {}, "definitions": {}}


def _openapi_v3(root: str, version: str) -> dict[str, Any]:
    """Just enough for kubectl to leave validation to the server: PATCH takes `fieldValidation`."""
    paths: dict[str, Any] = {}
    for resource in RESOURCES:
        if resource.root != root:
            continue
        where = "namespaces/{namespace}/" if resource.namespaced else ""
        meaning = {"group": resource.group, "kind": resource.kind, "version": resource.version}
        parameters = [{"name": name, "in": "query"} for name in ("fieldValidation", "dryRun")]
        paths[f"{root}/{where}{resource.plural}/{{name}}"] = {
            "patch": {"x-kubernetes-group-version-kind": meaning, "parameters": parameters}
        }
    return {"openapi": "3.0.0", "info": {"title": "Kubernetes", "version": version}, "paths": paths}


def _deprecated_metric(group: str, version: str, resource: str, removed: str) -> str:
    labels = {"group": group, "removed_release": removed, "resource": resource, "subresource": "", "version": version}
    text = ",".join(f'{name}="{value}"' for name, value in labels.items())
    return f"apiserver_requested_deprecated_apis{{{text}}} 1\n"


def _objects_metric(store: ObjectStore) -> str:
    lines = ["# TYPE apiserver_storage_objects gauge\n"]
    for resource in RESOURCES:
        count = sum(1 for _ in store.each(resource.kind))
        lines.append(f'apiserver_storage_objects{{resource="{resource.qualified}"}} {count}\n')
    return "".join(lines)


def review(resource: Resource, user: User, spec: dict[str, Any], identities: Identities) -> dict[str, Any]:
    """Who am I, and may I: the two reviews that every authenticated user may make."""
    answered: dict[str, Any] = {
        "kind": resource.kind,
        "apiVersion": resource.api_version,
        "metadata": {"creationTimestamp": stamp()},
    }
    if resource.kind == "SelfSubjectReview":
        return answered | {"status": {"userInfo": {"username": user.name, "groups": list(user.groups)}}}
    wanted = spec.get("resourceAttributes") or {}
    api_version = "/".join(part for part in (wanted.get("group", ""), "v1") if part)
    known = BY_PATH.get((api_version, wanted.get("resource", "")))
    allowed = known is not None and identities.may(
        user,
        Ask(
            wanted.get("verb", ""),
            known,
            wanted.get("subresource", ""),
            wanted.get("namespace", ""),
            wanted.get("name", ""),
        ),
    )
    return answered | {"spec": spec, "status": {"allowed": allowed}}
