"""Clusters at both ends of what there is: one of long ago, and one of the newest minors with settings of before."""

from __future__ import annotations

from typing import TYPE_CHECKING

import yaml

if TYPE_CHECKING:
    from lab.machines import Machine
    from lab.site import Site

_CONF, _FILE = "/etc/lockkeeper-node.conf", "/etc/kubernetes/upgrade.yaml"
_UPGRADE = "apiVersion: kubeadm.k8s.io/v1beta4\nkind: UpgradeConfiguration\n"


def configure_early(machine: Machine) -> None:
    """`bygone`: kubeadm is to be given a configuration of a kind that it does not know yet."""
    machine.write(_FILE, _UPGRADE, 0o600)
    machine.write(_CONF, f"{machine.read(_CONF)}UPGRADE_CONFIG={_FILE}\n")


async def keep_settings(site: Site) -> None:
    """`newest`: kubeadm-config in the words of an older kubeadm, and a kubelet setting that changes its meaning."""
    for name, field, changes in (
        ("kubeadm-config", "ClusterConfiguration", {"apiVersion": "kubeadm.k8s.io/v1beta3"}),
        ("kubelet-config", "kubelet", {"eventRecordQPS": 0}),
    ):
        found = site.store.get("ConfigMap", name, "kube-system")
        body = yaml.safe_load(found["data"][field]) if found else {}
        data = {field: yaml.safe_dump(body | changes)}
        site.store.merge("ConfigMap", name, "kube-system", {"data": data})
