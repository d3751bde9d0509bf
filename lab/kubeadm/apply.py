"""kubeadm upgrade apply and node: preflight, static pods, declarations, the kubelet's settings, add-ons."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

import yaml

from lab.kubeadm.session import NAMESPACE, Session, failure, preflight_failure
from lab.kubeadm.staticupgrade import TMP, StaticUpgrade
from lab.pulling import pull
from lab.staticpods import image, images, minor_of, template

_PULLING = """\
[upgrade/preflight] Pulling images required for setting up a Kubernetes cluster
[upgrade/preflight] This might take a minute or two, depending on the speed of your internet connection
[upgrade/preflight] You can also perform this action beforehand using 'kubeadm config images pull'
"""
_BOOTSTRAP = """\
[upgrade/bootstrap-token] Configuring bootstrap token and cluster-info RBAC rules
[bootstrap-token] Configured RBAC rules to allow Node Bootstrap tokens to get nodes
[bootstrap-token] Configured RBAC rules to allow Node Bootstrap tokens to post CSRs in order for nodes to get long term certificate credentials
[bootstrap-token] Configured RBAC rules to allow the csrapprover controller automatically approve CSRs from a Node Bootstrap Token
[bootstrap-token] Configured RBAC rules to allow certificate rotation for all node client certificates in the cluster
[bootstrap-token] Configured RBAC rules to allow the API server kubelet client certificate to access the kubelet API
"""  # noqa: E501 - kubeadm's own lines
_DRY_RUN = """\
[dryrun] Would upgrade your static Pod-hosted control plane to version "{version}"
[dryrun] Finished dryrunning successfully!
"""


@dataclass(frozen=True, slots=True)
class Options:
    """What the command line of apply or node may say."""

    version: str = ""
    yes: bool = False
    dry_run: bool = False
    ignored: frozenset[str] = field(default_factory=frozenset)


async def apply(session: Session, options: Options) -> int:
    """Upgrade the first control plane, then what the cluster declares."""
    if not options.version:
        raise failure("missing one or more required arguments. Required arguments: [version]")
    session.need_file("/etc/kubernetes/admin.conf")
    session.say_reading("upgrade")
    await session.call.pause(0.2)
    declared = session.configuration("[upgrade] FATAL: ")["kubernetesVersion"]
    session.check_supported(declared, "[upgrade] FATAL: ")
    session.call.out("[upgrade/preflight] Running preflight checks\n[upgrade] Running cluster health checks\n")
    await session.check_health("error execution phase preflight: preflight checks failed")
    _check_version(session, options)
    if options.dry_run:
        await session.call.pause(1)
        session.call.out(_DRY_RUN.format(version=options.version))
        return 0
    await _prepull(session, options.version)
    session.call.out(
        f'[upgrade/control-plane] Upgrading your static Pod-hosted control plane to version "{options.version}" '
        "(timeout: 5m0s)...\n"
    )
    await _static_pods(session, options.version)
    # From here on the cluster declares the new version, whatever becomes of the rest.
    _declare(session, options.version)
    await _kubelet_settings(session, control_plane=True)
    session.call.out(_BOOTSTRAP)
    await session.call.pause(1)
    _addons(session, options.version)
    session.call.out(
        f'\n[upgrade] SUCCESS! A control plane node of your cluster was upgraded to "{options.version}".\n\n'
        "[upgrade] Now please proceed with upgrading the rest of the nodes by following the right order.\n"
    )
    return 0


def _check_version(session: Session, options: Options) -> None:
    target = options.version
    if not re.fullmatch(r"v\d+\.\d+\.\d+", target):
        raise failure(
            f'error execution phase preflight: version "{target}" doesn\'t match patterns for neither semantic version '
            "nor labels (stable, latest, ...)"
        )
    session.call.out(
        f'[upgrade/preflight] You have chosen to upgrade the cluster version to "{target}"\n'
        f"[upgrade/versions] Cluster version: {session.view.served_version(session.machine.name)}\n"
        f"[upgrade/versions] kubeadm version: {session.version}\n"
    )
    fatal, soft = session.skew(target)
    begin = "error execution phase preflight: the version argument is invalid due to these"
    if fatal:
        rows = "".join(f"\t- {text}\n" for text in fatal)
        raise failure(
            f"{begin} fatal errors:\n\n{rows}\nPlease fix the misalignments highlighted above and try upgrading again"
        )
    if soft:
        rows = "".join(f"\t- {text}\n" for text in soft)
        raise failure(f"{begin} errors:\n\n{rows}\nCan be bypassed if you pass the --force flag")
    if not options.yes and not options.dry_run:
        session.call.out("[upgrade] Are you sure you want to proceed? [y/N]: ")
        refusal = "won't proceed; the user didn't answer (Y|y) in order to continue"
        raise failure(f"error execution phase preflight: {refusal}")


async def _prepull(session: Session, version: str) -> None:
    session.call.out(_PULLING)
    for name in images(version):
        problem = await pull(session.call, name)
        if problem:
            raise preflight_failure(
                [("ImagePull", f"failed to pull image {name}: {problem}")],
                "error execution phase preflight: preflight checks failed",
            )


async def _static_pods(session: Session, version: str) -> None:
    kubelet = session.machine.kubelet
    if kubelet is None:
        raise failure("error execution phase control-plane: this machine has no kubelet")
    await StaticUpgrade(session, kubelet, version).run()
    session.call.out("[upgrade/control-plane] The control plane instance for this node was successfully upgraded!\n")


def _declare(session: Session, version: str) -> None:
    store = session.view.store
    data = session.configuration("[upgrade] FATAL: ")
    data["kubernetesVersion"] = version
    store.merge("ConfigMap", "kubeadm-config", NAMESPACE, {"data": {"ClusterConfiguration": yaml.safe_dump(data)}})
    session.call.out(
        '[upload-config] Storing the configuration used in ConfigMap "kubeadm-config" in the "kube-system" Namespace\n'
        '[kubelet] Creating a ConfigMap "kubelet-config" in namespace kube-system with the configuration for the '
        "kubelets in the cluster\n"
    )


async def _kubelet_settings(session: Session, *, control_plane: bool) -> None:
    """The node's kubelet settings come from the cluster's ConfigMap: edits by hand are lost."""
    machine, stamp = session.machine, session.stamp()
    if control_plane:
        session.call.out("[upgrade/kubeconfig] The kubeconfig files for this node were successfully upgraded!\n")
    folder = f"{TMP}/kubeadm-kubelet-config-{stamp}"
    where = "postupgrade.go:105"
    text = "To override it set the environment variable KUBEADM_UPGRADE_DRYRUN_DIR"
    session.klog("W", where, f"Using temporary directory {folder} for kubelet config. {text}")
    session.call.out(f"[upgrade] Backing up kubelet config file to {folder}/config.yaml\n")
    machine.write(f"{folder}/config.yaml", machine.read("/var/lib/kubelet/config.yaml"), 0o600)
    found = session.view.store.get("ConfigMap", "kubelet-config", NAMESPACE)
    settings = found["data"]["kubelet"] if found else template("kubelet-config.yaml")
    endpoint = "containerRuntimeEndpoint: unix:///run/containerd/containerd.sock"
    settings = settings.replace('containerRuntimeEndpoint: ""', endpoint)
    machine.write("/var/lib/kubelet/config.yaml", settings)
    session.call.out(
        '[patches] Applied patch of type "application/strategic-merge-patch+json" to target "kubeletconfiguration"\n'
        '[kubelet-start] Writing kubelet configuration to file "/var/lib/kubelet/config.yaml"\n'
        "[upgrade/kubelet-config] The kubelet configuration for this node was successfully upgraded!\n"
    )
    if minor_of(session.version) == "v1.35":
        # Only kubeadm of this minor takes away the flag that its kubelet no longer knows.
        flags = machine.read("/var/lib/kubelet/kubeadm-flags.env")
        machine.write(
            "/var/lib/kubelet/kubeadm-flags.env", re.sub(r"--pod-infra-container-image=[^\s\"]+ ?", "", flags)
        )


def _addons(session: Session, version: str) -> None:
    """CoreDNS and kube-proxy move with the last control plane only."""
    store, behind = session.view.store, []
    for name in session.view.control_planes():
        pod = store.get("Pod", f"kube-apiserver-{name}", NAMESPACE)
        if pod is None or pod["spec"]["containers"][0]["image"].rpartition(":")[2] != version:
            behind.append(name)
    if behind:
        names = " ".join(behind)
        line = f"because control plane instances [{names}] have not been upgraded\n"
        line = f"[upgrade/addon] Skipping upgrade of addons {line}"
        session.call.out(line * 2)
        return
    for kind, name, title in (("Deployment", "coredns", "CoreDNS"), ("DaemonSet", "kube-proxy", "kube-proxy")):
        found = store.get(kind, name, NAMESPACE)
        if found is not None:
            containers = found["spec"]["template"]["spec"]["containers"]
            containers[0]["image"] = image(name, version)
            store.merge(kind, name, NAMESPACE, {"spec": {"template": {"spec": {"containers": containers}}}})
        session.call.out(f"[addons] Applied essential addon: {title}\n")


async def node(session: Session, options: Options) -> int:
    """Upgrade this node to what the cluster declares; without a manifest a control plane passes for a worker."""
    control_plane = session.machine.path("/etc/kubernetes/manifests/kube-apiserver.yaml").exists()
    session.need_file("/etc/kubernetes/admin.conf" if control_plane else "/etc/kubernetes/kubelet.conf")
    session.say_reading("upgrade")
    await session.call.pause(0.2)
    declared: str = session.configuration("unable to fetch the kubeadm-config ConfigMap: ")["kubernetesVersion"]
    session.check_supported(declared, "")
    session.call.out("[upgrade/preflight] Running pre-flight checks\n")
    if options.dry_run:
        session.call.out(_DRY_RUN.format(version=declared))
        return 0
    if control_plane:
        await _control_plane_node(session, declared)
    else:
        session.call.out(
            "[upgrade/preflight] Skipping prepull. Not a control plane node.\n"
            "[upgrade/control-plane] Skipping phase. Not a control plane node.\n"
            "[upgrade/kubeconfig] Skipping phase. Not a control plane node.\n"
        )
    await _kubelet_settings(session, control_plane=control_plane)
    if control_plane:
        _addons(session, declared)
    else:
        for name in ("coredns", "kube-proxy"):
            session.call.out(f"[upgrade/addon] Skipping the addon/{name} phase. Not a control plane node.\n")
    return 0


async def _control_plane_node(session: Session, version: str) -> None:
    if lost := [p for p in session.health_problems() if p[0] == "StaticPodManifest"]:
        raise preflight_failure(lost, "error execution phase preflight: preflight checks failed")
    await _prepull(session, version)
    session.call.out(
        f'[upgrade/control-plane] Upgrading your Static Pod-hosted control plane instance to version "{version}"...\n'
    )
    await _static_pods(session, version)
