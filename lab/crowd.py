"""`crowded`: pods that a drain would strand, budgets that hold it up, and another installation that has the lock."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lab.defaults import complete_pod
from lab.inhabitants import APP_IMAGE, deployment
from lab.podlife import UNREADY
from lab.scenarios import POSTGRES, App

if TYPE_CHECKING:
    from lab.site import Site

_ALONE = (("cnpg.io/podRole", "instance"), ("cnpg.io/cluster", "billing"), ("cnpg.io/instanceRole", "primary"))


def _member(name: str, role: str) -> tuple[tuple[str, str], ...]:
    return (*POSTGRES, ("cluster-name", name), ("role", role))


_APPS = (
    App("billing", 1, labels=_ALONE, node="w2"),
    App("stock", 2, labels=_member("stock", "replica"), node="w1"),
    App("carts-0", 1, labels=_member("carts", "replica"), node="w2"),
    App("carts-1", 1, labels=_member("carts", "replica"), node="w3"),
    App("mail", 1),
)


async def crowd(site: Site) -> None:
    """Put all of it into a cluster that is settled, and wait until it runs."""
    store = site.store
    for app in _APPS:
        store.put(deployment(app))
    broken = deployment(App("mail-new", 2, labels=(("app", "mail"),)))
    broken["spec"]["selector"]["matchLabels"] = {"app": "mail", "version": "new"}
    template = broken["spec"]["template"]["metadata"]
    template["labels"], template["annotations"] = {"app": "mail", "version": "new"}, {UNREADY: "yes"}
    store.put(broken)
    store.put(_budget("mail", {"minAvailable": 2}))
    tool = {"kind": "Pod", "metadata": {"name": "tool", "namespace": "demo", "labels": {"app": "tool"}}}
    tool["spec"] = {"containers": [{"name": "app", "image": APP_IMAGE}]}
    complete_pod(tool)
    store.put(tool)
    store.put(_budget("tool", {"maxUnavailable": 1}))
    _keep_on(site, "archive", "w3")
    _leave_behind(site)
    await site.settled()


def _leave_behind(site: Site) -> None:
    """A pod whose DaemonSet was deleted without it, a volume without a spec, and the Lease of somebody else."""
    owner = {"apiVersion": "apps/v1", "kind": "DaemonSet", "name": "probe", "uid": "uid-probe", "controller": True}
    probe = {"kind": "Pod", "metadata": {"name": "probe-x7k2p", "namespace": "demo", "ownerReferences": [owner]}}
    probe["spec"] = {"containers": [{"name": "app", "image": APP_IMAGE}], "nodeName": "w2"}
    complete_pod(probe)
    site.store.put(probe)
    site.store.put({"kind": "PersistentVolume", "metadata": {"name": "torn"}})
    holder = {"holderIdentity": "another-installation/op-0badcafe"}
    site.store.put({"kind": "Lease", "metadata": {"name": "lockkeeper", "namespace": "kube-system"}, "spec": holder})


def _budget(app: str, rule: dict[str, int]) -> dict[str, Any]:
    spec = {**rule, "selector": {"matchLabels": {"app": app}}}
    return {
        "kind": "PodDisruptionBudget",
        "metadata": {"name": app, "namespace": "demo"},
        "spec": spec,
        "status": {},
    }


def _keep_on(site: Site, name: str, node: str) -> None:
    """An application with a volume on the disk of one node."""
    match = {"key": "kubernetes.io/hostname", "operator": "In", "values": [node]}
    affinity = {"required": {"nodeSelectorTerms": [{"matchExpressions": [match]}]}}
    claim = {"kind": "PersistentVolumeClaim", "name": name, "namespace": "demo"}
    spec = {"capacity": {"storage": "10Gi"}, "claimRef": claim, "local": {"path": "/srv"}, "nodeAffinity": affinity}
    site.store.put({"kind": "PersistentVolume", "metadata": {"name": name}, "spec": spec, "status": {"phase": "Bound"}})
    site.store.put(
        {
            "kind": "PersistentVolumeClaim",
            "metadata": {"name": name, "namespace": "demo"},
            "spec": {"accessModes": ["ReadWriteOnce"], "volumeName": name},
            "status": {"phase": "Bound"},
        }
    )
    app = deployment(App(name, 1, node=node))
    app["spec"]["template"]["spec"]["volumes"] = [{"name": "data", "persistentVolumeClaim": {"claimName": name}}]
    site.store.put(app)
