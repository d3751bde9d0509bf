"""A small lab cluster in its own thread, for the tests of its API."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from kubernetes import client, config

from lab.clock import LabClock
from lab.cluster import Cluster

T = TypeVar("T")
VERSION = "v1.34.7"
PATIENCE = 30.0  # seconds; generous, for a machine that does other things too


class RunningCluster:
    """Two control planes and three workers; every touch of the cluster goes through its own loop."""

    def __init__(self, directory: Path, speed: float) -> None:
        self.directory = directory
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self._thread.start()
        self.cluster: Cluster = self.run(self._build(speed))
        self.kubeconfig = self.cluster.write_admin_kubeconfig(directory / "admin.conf")

    async def _build(self, speed: float) -> Cluster:
        cluster = Cluster(LabClock(speed), self.directory)
        for name in ("cp1", "cp2"):
            cluster.add_server(name, VERSION)
            cluster.add_agent(name, VERSION, ("control-plane",))
        for name in ("w1", "w2", "w3"):
            cluster.add_agent(name, VERSION)
        await cluster.start()
        return cluster

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine in the cluster's loop."""
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(PATIENCE)

    def call(self, work: Callable[[], T]) -> T:
        """Run a function in the cluster's loop."""

        async def wrapped() -> T:
            return work()

        return self.run(wrapped())

    def put(self, obj: dict[str, Any]) -> dict[str, Any]:
        """Put an object past the API."""
        return self.call(lambda: self.cluster.store.put(obj))

    def get(self, kind: str, name: str, namespace: str = "") -> dict[str, Any] | None:
        """Read an object past the API."""
        return self.call(lambda: self.cluster.store.get(kind, name, namespace))

    def pods(self, app: str) -> list[dict[str, Any]]:
        """The pods with that label."""
        held = self.call(lambda: self.cluster.store.list("Pod"))
        return [pod for pod in held if pod["metadata"].get("labels", {}).get("app") == app]

    def running(self, app: str, count: int) -> list[dict[str, Any]]:
        """The same, when that many are ready and none is left over."""

        def ready() -> list[dict[str, Any]] | None:
            pods = self.pods(app)
            up = [pod for pod in pods if any(c["type"] == "Ready" for c in pod["status"].get("conditions", ()))]
            return up if len(up) == len(pods) == count else None

        return self.eventually(ready)

    def eventually(self, read: Callable[[], T | None]) -> T:
        """The first true value that `read` gives."""
        deadline = time.monotonic() + PATIENCE
        while not (value := read()):
            assert time.monotonic() < deadline, "it never came true"
            time.sleep(0.02)
        return value

    def api(self, path: Path | None = None) -> client.ApiClient:
        """The real Kubernetes client, as admin unless another kubeconfig is named."""
        made = config.new_client_from_config(str(path or self.kubeconfig))
        made.configuration.retries = False
        return made

    def close(self) -> None:
        """Stop the cluster and its thread."""
        self.run(self.cluster.stop())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(PATIENCE)
        self.loop.close()


@contextmanager
def running_cluster(directory: Path, speed: float = 50) -> Iterator[RunningCluster]:
    """A cluster for one test or one module."""
    cluster = RunningCluster(directory, speed)
    try:
        yield cluster
    finally:
        cluster.close()


def deployment(name: str, replicas: int, **spec: Any) -> dict[str, Any]:
    """A Deployment whose pods carry the label app=NAME."""
    pod = {"containers": [{"name": "app", "image": "registry.example/app:1"}], **spec}
    return {
        "kind": "Deployment",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": {"app": name}},
            "template": {"metadata": {"labels": {"app": name}}, "spec": pod},
        },
    }


def budget(name: str, app: str, **spec: Any) -> dict[str, Any]:
    """A PodDisruptionBudget over the pods of one app."""
    selector = {"matchLabels": {"app": app}}
    return {
        "kind": "PodDisruptionBudget",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {"selector": selector, **spec},
    }


def daemon_set(name: str) -> dict[str, Any]:
    """A DaemonSet on every node."""
    pod = {
        "containers": [{"name": "agent", "image": "registry.example/agent:1"}],
        "tolerations": [{"operator": "Exists"}],
    }
    return {
        "kind": "DaemonSet",
        "metadata": {"name": name, "namespace": "kube-system"},
        "spec": {
            "selector": {"matchLabels": {"app": name}},
            "template": {"metadata": {"labels": {"app": name}}, "spec": pod},
        },
    }
