"""Unmodified kubectl against the lab's API."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator

import pytest

from tests.cluster_fixture import RunningCluster, budget, daemon_set, deployment, running_cluster

LEAST_MINOR = 30
Kubectl = Callable[..., subprocess.CompletedProcess[str]]


def installed_minor() -> int:
    """The minor release of the kubectl on PATH; 0 when there is none."""
    tool = shutil.which("kubectl")
    if tool is None:
        return 0
    told = subprocess.run([tool, "version", "--client", "-o", "json"], capture_output=True, text=True, check=False)
    try:
        digits = re.match(r"\d+", json.loads(told.stdout)["clientVersion"]["minor"])
    except (ValueError, KeyError):
        return 0
    return int(digits.group()) if digits else 0


pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(
        installed_minor() < LEAST_MINOR, reason=f"install kubectl 1.{LEAST_MINOR} or newer and put it on PATH"
    ),
]


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningCluster]:
    """A cluster with an app that uses an emptyDir, its budget, and a daemon on every node."""
    with running_cluster(tmp_path_factory.mktemp("cluster")) as cluster:
        cluster.put(deployment("web", 3, volumes=[{"name": "scratch", "emptyDir": {}}]))
        cluster.put(budget("web", "web", minAvailable=2))
        cluster.put(daemon_set("agent"))
        cluster.running("web", 3)
        cluster.running("agent", 5)
        yield cluster


@pytest.fixture(scope="module")
def kubectl(lab: RunningCluster) -> Kubectl:
    """Runs kubectl as admin and gives its output."""

    def run(*words: str) -> subprocess.CompletedProcess[str]:
        command = ["kubectl", "--kubeconfig", str(lab.kubeconfig), *words]
        surroundings = os.environ | {"HOME": str(lab.directory)}
        return subprocess.run(command, capture_output=True, text=True, check=False, env=surroundings, timeout=60)

    return run


def table(text: str) -> list[list[str]]:
    """The cells of kubectl's table."""
    return [re.split(r" {2,}", line.strip()) for line in text.splitlines()]


def test_version_tells_the_servers_version(kubectl):
    """`version` reads /version."""
    told = kubectl("version", "-o", "json")
    assert told.returncode == 0, told.stderr
    assert json.loads(told.stdout)["serverVersion"]["gitVersion"] == "v1.34.7"


def test_get_nodes_wide_prints_every_column(kubectl):
    """The header and a row are those of a kubeadm cluster."""
    told = kubectl("get", "nodes", "-o", "wide")
    rows = table(told.stdout)
    assert told.returncode == 0, told.stderr
    assert rows[0] == [
        "NAME", "STATUS", "ROLES", "AGE", "VERSION", "INTERNAL-IP", "EXTERNAL-IP", "OS-IMAGE", "KERNEL-VERSION",
        "CONTAINER-RUNTIME",
    ]  # fmt: skip
    assert [row[0] for row in rows[1:]] == ["cp1", "cp2", "w1", "w2", "w3"]
    assert (rows[1][1:3], rows[1][4], rows[3][2]) == (["Ready", "control-plane"], "v1.34.7", "<none>")


def test_get_pods_everywhere_prints_what_runs(kubectl):
    """All namespaces, by table."""
    told = kubectl("get", "pods", "-A")
    rows = table(told.stdout)
    assert told.returncode == 0, told.stderr
    assert rows[0] == ["NAMESPACE", "NAME", "READY", "STATUS", "RESTARTS", "AGE"]
    assert len(rows) == 1 + 8
    assert {(row[2], row[3]) for row in rows[1:]} == {("1/1", "Running")}


def test_drain_without_flags_names_what_stands_in_its_way(kubectl):
    """kubectl's own filters find the DaemonSet and the emptyDir; the node stays cordoned until uncordon."""
    told = kubectl("drain", "w1", "--timeout=20s")
    assert told.returncode == 1
    assert "cannot delete DaemonSet-managed Pods (use --ignore-daemonsets to ignore)" in told.stderr
    assert "cannot delete Pods with local storage (use --delete-emptydir-data to override)" in told.stderr
    assert kubectl("uncordon", "w1").stdout == "node/w1 uncordoned\n"
    assert kubectl("uncordon", "w1").stdout == "node/w1 already uncordoned\n"


def test_drain_empties_the_node_and_uncordon_opens_it(lab, kubectl):
    """Evicted pods run elsewhere, daemons stay, and the budget is kept."""
    told = kubectl("drain", "w2", "--ignore-daemonsets", "--delete-emptydir-data", "--timeout=60s")
    assert told.returncode == 0, told.stderr
    assert told.stdout.startswith("node/w2 cordoned\n")
    assert told.stdout.endswith("node/w2 drained\n")
    assert "SchedulingDisabled" in kubectl("get", "node", "w2").stdout
    assert {pod["spec"]["nodeName"] for pod in lab.running("web", 3)} <= {"w1", "w3"}
    assert any(pod["spec"]["nodeName"] == "w2" for pod in lab.running("agent", 5))
    assert kubectl("uncordon", "w2").stdout == "node/w2 uncordoned\n"
    assert "SchedulingDisabled" not in kubectl("get", "node", "w2").stdout


def test_drain_waits_for_a_budget_and_gives_up_at_its_deadline(lab, kubectl):
    """The words of the server are what kubectl prints."""
    lab.put(deployment("strict", 1))
    lab.put(budget("strict", "strict", minAvailable=1))
    node = lab.running("strict", 1)[0]["spec"]["nodeName"]
    told = kubectl("drain", node, "--ignore-daemonsets", "--delete-emptydir-data", "--timeout=2s")
    assert told.returncode == 1
    assert "Cannot evict pod as it would violate the pod's disruption budget." in told.stderr
    assert kubectl("uncordon", node).returncode == 0


def test_a_node_that_is_not_there_is_named(kubectl):
    """As recorded."""
    assert kubectl("drain", "w9").stderr == 'Error from server (NotFound): nodes "w9" not found\n'


def test_get_watches_with_tables(lab, kubectl):
    """`get -w` prints the first state and ends with its request time-out."""
    told = kubectl("get", "nodes", "-w", "--request-timeout=2s")
    assert [row[0] for row in table(told.stdout)][:6] == ["NAME", "cp1", "cp2", "w1", "w2", "w3"]


def test_create_is_validated_by_the_server(lab, kubectl):
    """`create` finds in the OpenAPI document that the server validates fields."""
    document = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "made"}, "data": {"a": "1"}}
    path = lab.directory / "made.json"
    path.write_text(json.dumps(document))
    told = kubectl("create", "-f", str(path))
    assert told.stdout == "configmap/made created\n", told.stderr
    held = lab.get("ConfigMap", "made", "default")
    assert held is not None
    assert held["data"] == {"a": "1"}


def test_kubectl_asks_what_it_may(kubectl):
    """Newer kubectl sends this review, and others, as protobuf."""
    assert kubectl("auth", "can-i", "create", "pods/eviction").stdout == "yes\n"
    assert kubectl("auth", "can-i", "create", "bananas").stdout == "no\n"
    assert "kubernetes-admin" in kubectl("auth", "whoami").stdout
