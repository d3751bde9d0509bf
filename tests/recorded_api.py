"""The API of a real cluster as it was recorded, read by the product's own `observe`."""

from __future__ import annotations

import json
import re
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from cluster.errors import KubeDenied
from cluster.observe import observe
from cluster.report import ClusterReport

RECORDINGS = Path(__file__).parent / "recordings" / "cluster"
READ_AT = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
STAGES = (
    "before",
    "applied",
    "half",
    "after",
    "drift",
    "ha-before",
    "mixed",
    "ha-second",
    "evictions",
    "notready",
    "cp-notready",
)
_LATER = ("evictions", "notready", "cp-notready")  # of the cluster `before`, minutes later
_COLUMNS = {"NAME": "Name", "STATUS": "Status", "VERSION": "Version", "INTERNAL-IP": "Internal-IP"}
_COLUMNS |= {"OS-IMAGE": "OS-Image", "KERNEL-VERSION": "Kernel-Version", "CONTAINER-RUNTIME": "Container-Runtime"}


class RecordedKube:
    """One stage of the recorded upgrade; what was not recorded of it is taken from before, or is an empty list."""

    name, ca_hash, server = "real", "0" * 64, "https://10.77.0.1:6443"

    def __init__(self, stage: str, address: str = "") -> None:
        self.stage, self.address = stage, address

    @contextmanager
    def at(self, endpoint: str) -> Any:
        yield RecordedKube(self.stage, endpoint.partition(":")[0])

    def get(self, path: str, *_: object, **__: object) -> dict[str, Any]:
        if path == "/version":
            return self._version()
        if path.endswith("configmaps/kubeadm-config"):
            read = json.loads(self._text("kubeadm-cm"))
            found = [i for i in read.get("items", [read]) if i["metadata"]["name"] == "kubeadm-config"]
            return dict(found[0])
        if path.endswith("namespaces/kube-system"):
            return {"metadata": {"uid": "kube-system-uid"}}
        raise KubeDenied(f"{path} was not recorded", status=404, body={})

    def text(self, *_: object, **__: object) -> tuple[int, str]:
        return 200, "ok"

    def rows(self, *_: object, **__: object) -> Any:
        metadata = {n["metadata"]["name"]: n["metadata"] for n in json.loads(self._text("nodes"))["items"]}
        head, *lines = self._text("nodes-wide").splitlines()
        starts = [m.start() for m in re.finditer(r"\S+", head)]
        for line in lines:
            cells = [line[a:b].strip() for a, b in zip(starts, [*starts[1:], None], strict=True)]
            named = dict(zip(head.split(), cells, strict=True))
            yield {_COLUMNS[k]: v for k, v in named.items() if k in _COLUMNS}, metadata[named["NAME"]]

    def items(self, path: str, *_: object, **__: object) -> Any:
        if path.endswith("/pods"):
            pods = json.loads(self._text("pods"))["items"]
            return iter([p for p in pods if p["metadata"]["namespace"] == "kube-system"])
        if path.endswith("/daemonsets") and self._is_known("deploy-ds"):
            return iter([i for i in json.loads(self._text("deploy-ds"))["items"] if i["kind"] == "DaemonSet"])
        if path.endswith("/poddisruptionbudgets") and self._is_known("pdb"):
            return iter(json.loads(self._text("pdb"))["items"])
        return iter(())

    def _version(self) -> dict[str, Any]:
        text = self._text("version")
        if text.startswith("{"):
            return dict(json.loads(text))
        by_address = {r["a"]: r["gitVersion"] for r in map(json.loads, (t for t in text.splitlines() if t[0] == "{"))}
        return {"gitVersion": by_address[self.address]}

    def _is_known(self, what: str) -> bool:
        """A cluster of its own, as that of three control planes, has nothing of the one before."""
        return self._is_recorded(what) or self.stage in _LATER

    def _is_recorded(self, what: str) -> bool:
        return (RECORDINGS / f"{self.stage}-{what}.stdout").exists()

    def _text(self, what: str) -> str:
        stage = self.stage if self._is_recorded(what) else "before"
        return (RECORDINGS / f"{stage}-{what}.stdout").read_text(encoding="utf-8")


def recorded_report(stage: str) -> ClusterReport:
    return observe("real", None, now=READ_AT, kube=RecordedKube(stage))  # type: ignore[arg-type]
