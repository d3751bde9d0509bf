"""An etcd that is not well, and what that does to the API servers above it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cluster.report import CORDON_OWNER
from lab.controllers import lose
from lab.discovery import check_lines
from lab.faults import Fault

if TYPE_CHECKING:
    from lab.machines import Machine
    from lab.site import Site

LEFT, FORGOTTEN = "op-0badcafe", "op-0badf00d"  # runs of this installation
_READYZ = check_lines("/readyz").replace("[+]etcd ok", "[-]etcd failed: reason withheld").replace("passed", "failed")


def sicken(machine: Machine) -> None:
    """`ailing-etcd`: a full database, a member that lags behind, and one that was added and never started."""
    faults = machine.faults
    faults.etcd_learner = True
    match machine.name:
        case "cp1":
            faults.etcd_alarms, faults.etcd_bytes, faults.etcd_behind = ("NOSPACE",), 2047 << 20, 62_000
        case "cp2":
            machine.path("/etc/kubernetes/pki/etcd/healthcheck-client.key").unlink()


def lose_sight(machine: Machine) -> None:
    """`external-etcd`: one member lags, another does not answer, and the control plane has no etcdctl."""
    if machine.control_plane:
        (machine.tools / "etcdctl").unlink()
        machine.faults.etcd_behind, machine.faults.etcd_away = 62_000, {"10.1.0.7:2379"}


async def lose_one(site: Site) -> None:
    """`ailing-etcd`: a control plane is off, an API server misses its etcd, kubeadm-config is gone, runs were left."""
    site.cluster.servers["cp2"].faults.add(Fault("^/readyz", code=500, body=_READYZ, times=None))
    site.store.delete("ConfigMap", "kubeadm-config", "kube-system")
    for server in site.cluster.servers.values():
        server.faults.fail("^/api/v1/persistentvolumes", 500, times=None)
    _leave_runs(site)
    machine = site.machines["cp3"]
    machine.up = False
    if machine.ssh is not None:
        machine.ssh.power_off()
    if machine.kubelet is not None:
        await machine.kubelet.power_off()
    node = site.store.get("Node", "cp3")
    if node is not None:
        lose(site.store, node, 0)


def _leave_runs(site: Site) -> None:
    """The Lease and the cordons of runs that nobody saw to their end."""
    holder = {"holderIdentity": f"demo/{LEFT}"}
    site.store.put({"kind": "Lease", "metadata": {"name": "lockkeeper", "namespace": "kube-system"}, "spec": holder})
    for node, operation in (("w1", LEFT), ("w2", FORGOTTEN)):
        ours = {"metadata": {"annotations": {CORDON_OWNER: f"demo/{operation}"}}, "spec": {"unschedulable": True}}
        site.store.merge("Node", node, "", ours)
