"""The API of a cluster of any size, over TLS: every page is made beforehand, so that what is timed is the reading."""

from __future__ import annotations

import copy
import json
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from cluster.inventory import Cluster
from lab.pki import Authority, server_context, write_kubeconfig
from tests.scale_fixture import MASTERS, OLD, names, settings

_ENDPOINT = "kubeadm.kubernetes.io/kube-apiserver.advertise-address.endpoint"
_COLUMNS = ("Name", "Status", "Roles", "Age", "Version")
_WIDE = ("Internal-IP", "External-IP", "OS-Image", "Kernel-Version", "Container-Runtime")
_PADDING = "x" * 1500  # what the managedFields of a node weigh
_RECORDED = Path(__file__).parent / "recordings" / "cluster" / "before-pods.stdout"
_COMPONENTS = ("etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler")
AGENTS = ("kube-proxy", "cni", "csi")  # a pod of each on every node
_CONFIG = f"kubernetesVersion: {OLD}\nimageRepository: registry.k8s.io\n"


def _metadata(name: str, **more: Any) -> dict[str, Any]:
    return {"name": name, "uid": f"uid-{name}", "resourceVersion": "1", **more}


def _row(name: str) -> dict[str, Any]:
    role = {"node-role.kubernetes.io/control-plane": ""} if name in MASTERS else {"pool": "general"}
    labels = {"kubernetes.io/hostname": name, **role}
    wide = ("10.0.0.1", "<none>", "Debian GNU/Linux 12", "6.1.0", "containerd://2.1.9")
    cells = (name, "Ready", "<none>", "5d", OLD, *wide)
    padding = {"annotations": {"example.org/padding": _PADDING}}
    kind = {"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1"}
    metadata = {**kind, "metadata": _metadata(name, labels=labels, **padding)}
    return {"cells": cells, "object": metadata}


def _recorded_pods() -> dict[str, dict[str, Any]]:
    """One pod of each kind, as a real cluster served it, without managedFields: kubectl hid them."""
    items = json.loads(_RECORDED.read_text(encoding="utf-8"))["items"]
    labels = [item["metadata"].get("labels", {}) for item in items]
    kinds = (label.get("component") or label.get("k8s-app") or label.get("app") for label in labels)
    return dict(zip(kinds, items, strict=True))


def _static_pods(recorded: dict[str, dict[str, Any]], endpoint: str) -> Iterator[bytes]:
    for node in MASTERS:
        for component in _COMPONENTS:
            pod = copy.deepcopy(recorded[component])
            name = f"{component}-{node}"
            pod["metadata"] |= {"name": name, "uid": f"uid-{name}"}
            pod["spec"]["nodeName"] = node
            if component == "kube-apiserver":
                pod["metadata"]["annotations"][_ENDPOINT] = endpoint
            yield _json(pod)


def _agents(recorded: dict[str, Any], nodes: tuple[str, ...]) -> Iterator[bytes]:
    """Of each kind one on every node: kube-proxy's under other names."""
    for agent in AGENTS:
        yield from _copies(recorded, "kube-proxy", agent, nodes)


def _copies(recorded: dict[str, Any], was: str, name: str, nodes: Iterable[str]) -> Iterator[bytes]:
    """The recorded pod on each of these nodes, `name` wherever it said `was`."""
    metadata = recorded["metadata"]
    text = _json(recorded).decode().replace(metadata["uid"], "uid-$name").replace(metadata["name"], "$name")
    text = text.replace(f'"{recorded["spec"]["nodeName"]}"', '"$node"').replace(was, name)
    for node in nodes:
        yield text.replace("$name", f"{name}-{node}").replace("$node", node).encode()


def page_of_pods(nodes: Iterable[str]) -> bytes:
    """A page of an application's pods, one on each of these nodes."""
    return b'{"kind":"PodList","metadata":{},"items":[%b]}' % b",".join(
        _copies(_recorded_pods()["web"], "web", "shop", nodes)
    )


def _json(value: Any) -> bytes:
    """Without blanks, as an API server writes it."""
    return json.dumps(value, separators=(",", ":")).encode()


def _discovery() -> dict[str, _Answer]:
    """As much as kubectl asks for before it lists nodes and pods."""
    resources = [
        {"name": name, "kind": kind, "namespaced": namespaced, "singularName": kind.lower(), "verbs": ["get", "list"]}
        for name, kind, namespaced in (("nodes", "Node", False), ("pods", "Pod", True))
    ]
    answers = {
        "/api": {"kind": "APIVersions", "versions": ["v1"]},
        "/apis": {"kind": "APIGroupList", "apiVersion": "v1", "groups": []},
        "/api/v1": {"kind": "APIResourceList", "groupVersion": "v1", "resources": resources},
    }
    return {path: _one(answer) for path, answer in answers.items()}


@dataclass(frozen=True)
class _Answer:
    """A list with every item made beforehand; without a key, one answer."""

    head: bytes
    key: str = ""
    items: tuple[bytes, ...] = ()

    def page(self, start: int, limit: int) -> bytes:
        if not self.key:
            return self.head
        end = start + limit
        token = {"continue": str(end) if end < len(self.items) else ""}
        before = f',"metadata":{json.dumps(token)},"{self.key}":['.encode()
        return b"".join((self.head[:-1], before, b",".join(self.items[start:end]), b"]}"))


def _list(key: str, rows: Iterable[bytes], **head: Any) -> _Answer:
    return _Answer(_json({"apiVersion": "v1", "kind": "List", **head}), key, tuple(rows))


def _one(answer: dict[str, Any]) -> _Answer:
    return _Answer(_json(answer))


@dataclass
class BigApi:
    """What is asked is counted by path; `bytes` is what was sent."""

    size: int
    pause: float = 0.0  # seconds that an object takes it: a real one reads and encodes first
    asked: dict[str, int] = field(default_factory=dict)
    sent: int = 0
    answers: dict[str, _Answer] = field(default_factory=dict)

    def fill(self, endpoint: str) -> None:
        nodes = names(self.size)
        shown = ((_COLUMNS, 0), (_WIDE, 1))  # priority 1: with `-o wide` alone
        columns = [{"name": c, "type": "string", "priority": p} for names_, p in shown for c in names_]
        table = {"kind": "Table", "apiVersion": "meta.k8s.io/v1", "columnDefinitions": columns}
        recorded = _recorded_pods()
        pods = (*_static_pods(recorded, endpoint), *_agents(recorded["kube-proxy"], nodes))
        namespace = {"metadata": _metadata("kube-system")}
        self.answers = {
            "/api/v1/nodes": _list("rows", (_json(_row(n)) for n in nodes), **table),
            "/api/v1/namespaces/kube-system/pods": _list("items", pods, kind="PodList"),
            "/api/v1/namespaces/kube-system": _one(namespace),
            "/api/v1/namespaces/kube-system/configmaps/kubeadm-config": _one(
                {"data": {"ClusterConfiguration": _CONFIG}}
            ),
            "/apis/policy/v1/poddisruptionbudgets": _list("items", []),
            "/apis/apps/v1/daemonsets": _list("items", []),
            "/version": _one({"gitVersion": OLD}),
            "/readyz": _Answer(b"ok"),
            **_discovery(),
        }

    def answer(self, target: str) -> tuple[int, bytes]:
        parts = urlsplit(target)
        self.asked[parts.path] = self.asked.get(parts.path, 0) + 1
        query, found = parse_qs(parts.query), self.answers.get(parts.path)
        start, limit = (int(query.get(key, [usual])[0]) for key, usual in (("continue", "0"), ("limit", "100000")))
        if found and found.key:
            time.sleep(self.pause * min(limit, len(found.items) - start))
        status, body = (
            (200, found.page(start, limit)) if found else (404, b'{"kind":"Status","message":"not found","code":404}')
        )
        self.sent += len(body)
        return status, body


@contextmanager
def big_api(size: int, directory: Path, pause: float = 0.0) -> Iterator[tuple[BigApi, Cluster]]:
    """The API and the settings of the cluster that it serves."""
    api, authority = BigApi(size, pause), Authority()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True  # as every API server does: else each small answer waits for 40 ms

        def do_GET(self) -> None:
            status, body = api.answer(self.path)
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class names it
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    context = server_context(authority, authority.serve(("127.0.0.1",)), directory)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    where = f"127.0.0.1:{server.server_port}"
    api.fill(where)
    kubeconfig = write_kubeconfig(directory / "admin.conf", f"https://{where}", authority, authority.identify("admin"))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield api, settings(len(MASTERS)).clusters["prod"].model_copy(update={"kubeconfig": kubeconfig})
    finally:
        server.shutdown()
        server.server_close()
