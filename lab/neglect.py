"""`neglected`: machines that were never looked after, each in its own way."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import yaml

from lab.controllers import lose
from lab.packages import KEYRING, Package, PackageState
from lab.provision import MANIFESTS, SOURCE, put_packages, use_source
from lab.staticpods import REGISTRY, image_of
from lab.toolbox import write_program

if TYPE_CHECKING:
    from lab.machines import Machine
    from lab.site import Site

_ETCD = "3.5.21-0"  # that somebody wrote down once
_CONF = "/etc/lockkeeper-node.conf"
_PATCHES = "/etc/kubernetes/patches"
_OLD_PAUSE = "k8s.gcr.io/pause:3.5"
_DISTRIBUTION = "http://deb.lab/debian"


def neglect(machine: Machine) -> None:
    """What each machine has become, as its own files and tools tell it."""
    _OF_EACH[machine.name](machine)


async def forget_add_ons(site: Site) -> None:
    """What the cluster carries along: a pinned etcd, a plugin of CoreDNS, an old cordon, a worker that is silent."""
    found = site.store.get("ConfigMap", "kubeadm-config", "kube-system")
    body = yaml.safe_load(found["data"]["ClusterConfiguration"]) if found else {}
    body["etcd"]["local"]["imageTag"] = _ETCD
    data = {"ClusterConfiguration": yaml.safe_dump(body)}
    site.store.merge("ConfigMap", "kubeadm-config", "kube-system", {"data": data})
    dns = site.store.get("ConfigMap", "coredns", "kube-system")
    corefile = dns["data"]["Corefile"] if dns else ""
    template = corefile.replace("    errors\n", "    errors\n    template IN A old.internal\n")
    site.store.merge("ConfigMap", "coredns", "kube-system", {"data": {"Corefile": template}})
    site.store.merge("Node", "w3", "", {"spec": {"unschedulable": True}})
    silent = site.machines["w4"]
    if silent.kubelet is not None:
        await silent.kubelet.stop()
    if (unit := silent.units.get("kubelet")) is not None:
        unit.active, unit.sub, unit.result, unit.pid = "failed", "failed", "exit-code", 0
    if (node := site.store.get("Node", "w4")) is not None:
        lose(site.store, node, 0)


def _first(machine: Machine) -> None:
    """A full disk, no etcdctl, certificates that end soon, and manifests that people worked in."""
    machine.faults.no_etcdctl = True
    (machine.tools / "etcdctl").unlink()
    machine.faults.certificate_days, machine.faults.authority_days = 10, 200
    machine.faults.free_kib = 1024
    _swap(machine)
    etcd = machine.read(f"{MANIFESTS}/etcd.yaml")
    machine.write(f"{MANIFESTS}/etcd.yaml", etcd.replace(image_of(etcd), f"{REGISTRY}/etcd:{_ETCD}"), 0o600)
    scheduler = machine.read(f"{MANIFESTS}/kube-scheduler.yaml")
    command = "    - kube-scheduler\n"
    machine.write(f"{MANIFESTS}/kube-scheduler.yaml", scheduler.replace(command, f"{command}    - --v=9\n"), 0o600)
    machine.write(f"{MANIFESTS}/kube-scheduler.yaml.orig", scheduler, 0o600)
    machine.write(_CONF, f"{machine.read(_CONF)}PATCHES_DIR={_PATCHES}\n")


def _second(machine: Machine) -> None:
    """Certificates that nobody renewed, a manifest moved away, an old kernel, a key that nobody named, a mirror."""
    machine.faults.certificate_days, machine.faults.certificates_external = -1, True
    machine.faults.certificates_missing = {"apiserver-etcd-client"}
    machine.path(f"{MANIFESTS}/kube-scheduler.yaml").unlink()
    machine.write("/etc/containerd/certs.d/registry.k8s.io/hosts.toml", 'server = "https://images.lab"\n')
    machine.write("/proc/sys/kernel/osrelease", "4.19.0-27-amd64\n")
    machine.write(SOURCE, machine.read(SOURCE).replace(f"[signed-by={KEYRING}] ", ""))
    machine.write("/etc/apt/trusted.gpg.d/kubernetes.gpg", machine.read(KEYRING))


def _unwatched(machine: Machine) -> None:
    """Packages that are not on hold, the source of another minor, apt killed in the middle, a reboot that is due."""
    put_packages(machine, "v1.33.4", held=False)
    machine.packages.put(Package("kubectl", "1.33.4-1.1", PackageState.UNPACKED))
    use_source(machine, "v1.35")
    machine.hold_packages("unattended-upgr", 2 * 3600)
    machine.write("/etc/apt/apt.conf.d/20auto-upgrades", 'APT::Periodic::Unattended-Upgrade "1";\n')
    machine.write("/etc/apt/preferences.d/kubernetes", "Package: kube*\nPin: version 1.33.*\nPin-Priority: 1001\n")
    machine.write("/run/reboot-required", "*** System restart required ***\n")
    machine.write(f"{_PATCHES}/kubeletconfiguration.yaml", "maxPods: 60\n")
    machine.write(_CONF, f"{machine.read(_CONF)}PATCHES_DIR={_PATCHES}\n")


def _aged(machine: Machine) -> None:
    """cgroup v1, an old containerd, a disk that fills, and a kubelet that was never restarted."""
    machine.path("/sys/fs/cgroup/cgroup.controllers").unlink()
    machine.faults.runtime, machine.faults.free_kib, machine.faults.key_days = "1.7.20", 600 * 1024, 10
    machine.write(
        "/etc/containerd/config.toml", f'[plugins."io.containerd.grpc.v1.cri"]\n  sandbox_image = "{_OLD_PAUSE}"\n'
    )
    put_packages(machine, "v1.33.6", "kubelet")
    config = machine.read("/var/lib/kubelet/config.yaml")
    machine.write("/var/lib/kubelet/config.yaml", f"{config}featureGates:\n  NodeSwap: true\n")
    machine.write(f"{_PATCHES}/kubeletconfiguration.yaml", "maxPods: 60\n")  # and nothing names the folder


def _frozen(machine: Machine) -> None:
    """A repository that was given up, arguments of a kubelet of long ago, a configuration that is not there."""
    machine.write(SOURCE, "deb https://apt.kubernetes.io/ kubernetes-xenial main\n")
    gone = "--pod-infra-container-image=registry.k8s.io/pause:3.9 --feature-gates=SizeMemoryBackedVolumes=true"
    machine.write("/etc/default/kubelet", f'KUBELET_EXTRA_ARGS="{gone}"\n')
    machine.write(_CONF, f"{machine.read(_CONF)}UPGRADE_CONFIG=/etc/kubernetes/upgrade.yaml\n")


def _silent(machine: Machine) -> None:
    """Two sources with an expired key that nothing answers at, another kubeadm first, a /proc that cannot be read."""
    use_source(machine, "v1.34", "/etc/apt/sources.list.d/kubernetes-1.34.list")
    machine.faults.key_days = -1
    if machine.program is not None:
        write_program(machine.tools / "kubeadm", machine.program("kubeadm", "v1.32.13"))
    machine.path("/proc/swaps").unlink()
    machine.repository = replace(machine.repository, reachable=False)


def _makeshift(machine: Machine) -> None:
    """kubeadm copied by hand, packages and the containerd of a distribution, what was left of a control plane."""
    machine.faults.runtime = "1.5.18"
    machine.path(SOURCE).unlink()
    machine.packages.drop("kubeadm")
    if machine.program is not None:
        write_program(machine.tools / "kubeadm", machine.program("kubeadm", "v1.33.4"))
    machine.write("/etc/apt/sources.list.d/distribution.list", f"deb {_DISTRIBUTION} bookworm main\n")
    stanza = "Package: kubelet\nVersion: 1.33.4-1.1\nArchitecture: amd64\n"
    machine.write("/var/lib/apt/lists/deb.lab_debian_Packages", stanza)
    flags = "--pod-infra-container-image=registry.k8s.io/pause:3.10"
    machine.write("/var/lib/kubelet/kubeadm-flags.env", f'KUBELET_KUBEADM_ARGS="{flags}"\n')
    machine.write("/etc/kubernetes/controller-manager.conf", "apiVersion: v1\nkind: Config\n", 0o600)


def _swap(machine: Machine) -> None:
    table = machine.read("/proc/swaps")
    machine.write("/proc/swaps", f"{table}/dev/vda2                               partition\t4194300\t0\t-2\n")


_OF_EACH = {
    "cp1": _first,
    "cp2": _second,
    "w1": _unwatched,
    "w2": _aged,
    "w3": _frozen,
    "w4": _silent,
    "w5": _makeshift,
}
