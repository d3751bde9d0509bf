"""What an administrator and kubeadm put on a machine of the lab: packages, their source, and what the kubelet reads."""

from __future__ import annotations

from lab.machines import Machine
from lab.packages import KEYRING, KEYRING_TEXT, KUBE_PACKAGES, Package
from lab.staticpods import Seat, images, minor_of, render, template
from workers.node_script import render as render_script

NODE_SCRIPT = "usr/local/sbin/lockkeeper-node"
MANIFESTS = "/etc/kubernetes/manifests"
SOURCE = "/etc/apt/sources.list.d/kubernetes.list"
_OTHERS = {
    "containerd": "2.1.9+ds1-5",
    "cri-tools": "1.34.0-1.1",
    "kubernetes-cni": "1.7.1-1.1",
    "runc": "1.1.5+ds1-1+deb12u1",
}


def install(machine: Machine, version: str) -> None:
    """Packages, package source and the node script, as an administrator left them."""
    put_packages(machine, version)
    machine.packages.put(*(Package(name, other) for name, other in _OTHERS.items()))
    machine.write(KEYRING, KEYRING_TEXT)
    machine.write("/var/lib/kubelet/pki/kubelet-client-current.pem", "the kubelet's certificate\n", 0o600)
    use_source(machine, minor_of(version))
    machine.images.update(images(version))
    machine.write("/var/lib/kubelet/config.yaml", template("kubelet-config.yaml"))
    machine.write("/var/lib/kubelet/kubeadm-flags.env", 'KUBELET_KUBEADM_ARGS=""\n')
    machine.write("/etc/kubernetes/kubelet.conf", "apiVersion: v1\nkind: Config\n", 0o600)
    script = render_script(root=str(machine.root), tools=str(machine.tools))
    machine.write(f"/{NODE_SCRIPT}", script, 0o755)


def put_packages(machine: Machine, version: str, *names: str, held: bool = True) -> None:
    """The Kubernetes packages of one release, or some of them."""
    full = f"{version.removeprefix('v')}-{machine.repository.revision}"
    machine.packages.put(*(Package(name, full, held=held) for name in names or KUBE_PACKAGES))


def use_source(machine: Machine, minor: str, file: str = SOURCE) -> None:
    """Name the repository of one minor, and fetch its list."""
    base = machine.repository.base
    machine.write(file, f"deb [signed-by={KEYRING}] {base}/{minor}/deb/ /\n")
    name = f"{base}/{minor}/deb".removeprefix("http://").replace("/", "_")
    machine.write(f"/var/lib/apt/lists/{name}_Packages", machine.repository.packages(minor))


def run_kubelet(machine: Machine, version: str) -> None:
    """A node as it was when that version was new."""
    put_packages(machine, version)
    use_source(machine, minor_of(version))
    if machine.kubelet is not None:
        machine.kubelet.agent.version = version


def write_manifests(machine: Machine, seat: Seat, version: str) -> None:
    """The static pods as kubeadm of that version writes them."""
    for component in seat.components:
        machine.write(f"{MANIFESTS}/{component}.yaml", render(component, version, seat), 0o600)
