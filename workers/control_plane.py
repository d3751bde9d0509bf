"""Whether a control-plane node does its work at the hop's version: its own API server, its static pods, every peer."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import yaml

from cluster.departures import is_ready
from cluster.errors import ClusterUnreadable, InvalidVersion, KubeDenied
from cluster.operation import AsFound
from cluster.versions import KubeVersion
from workers.patience import ask_api
from workers.site import Site, StepDone

Raw = dict[str, Any]
VERSIONED = ("kube-apiserver", "kube-controller-manager", "kube-scheduler")
_READY = 200
_SHOWN = 3  # problems that a sentence names
_ADVERTISED = "kubeadm.kubernetes.io/kube-apiserver.advertise-address.endpoint"
_HASH, _MIRROR = "kubernetes.io/config.hash", "kubernetes.io/config.mirror"
_STATIC = "/api/v1/namespaces/kube-system/pods"
Restarts = Mapping[str, int]  # component → how often its containers have restarted


@dataclass(frozen=True, slots=True)
class _Calm:
    """Since when nothing is wrong, with which containers."""

    since: datetime
    restarts: Restarts

    def tell(self, now: Restarts) -> tuple[str, ...]:
        return tuple(f"{name} restarted" for name in restarted(self.restarts, now))


def await_control_plane(site: Site) -> None:
    """
    Wait until nothing is wrong with it, and its containers have not restarted for the stable time.

    The API's absence right after its own replacement is expected.
    """
    told, since = False, site.now()
    calm: _Calm | None = None
    while True:
        problems, restarts = _problems(site)
        if problems:
            calm = None
        elif calm is None or calm.restarts != restarts:
            problems = calm.tell(restarts) if calm else ()
            calm = _Calm(site.now(), restarts)
        elif site.elapsed(calm.since) >= site.waits.stable:
            return
        if problems and not told:
            told = True
            site.tell(f"The control plane of {site.node.name} is coming up: {problems[0]}; it is waited for.")
        if problems and site.elapsed(since) > site.waits.control_plane:
            raise site.blocked(
                "control-plane-unhealthy",
                f"The control plane of {site.node.name} is not whole at {site.hop.target} after "
                f"{site.waits.control_plane:.0f} s: {'; '.join(problems[:_SHOWN])}.",
                "Look at its static pods and its kubelet's log, then `retry`.",
            )
        site.wait(site.waits.poll if calm is None else min(site.waits.poll, site.waits.stable))


def verified_control_plane(site: Site) -> StepDone:
    target = str(site.hop.target)
    return StepDone(
        f"The control plane of {site.node.name} runs {target}, and every API server is ready.", {"api-server": target}
    )


def read_declared(site: Site) -> KubeVersion | None:
    """The version in kubeadm-config, which `kubeadm upgrade node` follows; None when it names none."""
    cm = site.kube().get("/api/v1/namespaces/kube-system/configmaps/kubeadm-config")
    try:
        configuration = yaml.safe_load((cm.get("data") or {}).get("ClusterConfiguration") or "") or {}
        return KubeVersion.parse(str(configuration.get("kubernetesVersion", "")))
    except (yaml.YAMLError, InvalidVersion, AttributeError):
        return None


def static_pods_on(site: Site) -> dict[str, Raw]:
    """The mirror pods of the node's control-plane components, by component."""
    pods = site.kube().items(_STATIC, {"labelSelector": "tier=control-plane"})
    here = (p for p in pods if (p.get("spec") or {}).get("nodeName") == site.node.name)
    return {(p["metadata"].get("labels") or {}).get("component", ""): p for p in here}


def look_before_replacing(site: Site) -> AsFound:
    """The static pods that kubeadm is about to replace, by the hash of their configuration."""
    pods = ask_api(site, lambda: static_pods_on(site))
    old = (
        (c, _hash(pods[c])) for c in VERSIONED if c in pods and not image_of(pods[c]).endswith(f":{site.hop.target}")
    )
    return AsFound(replaced=tuple((component, known) for component, known in old if known))


def static_pod_problems(site: Site, pods: dict[str, Raw]) -> Iterator[str]:
    """What is wrong with the node's static pods, each as a clause."""
    target, before = str(site.hop.target), dict(site.as_found.replaced)
    for component in VERSIONED:
        pod = pods.get(component)
        if pod is None:
            yield f"{component} has no pod on {site.node.name}"
        elif not (image := image_of(pod)).endswith(f":{target}"):
            yield f"{component} runs {image.rpartition('/')[2] or 'no image'} and not {target}"
        elif component in before and before[component] == _hash(pod):
            yield f"{component} still has the configuration of before ({_HASH} {before[component]})"
        elif not _settled(pod):
            yield f"{component} is not ready"
    if "etcd" in pods and not is_ready(pods["etcd"]):
        yield "etcd is not ready"


def restarts_of(pods: Mapping[str, Raw]) -> Restarts:
    """How often the containers of each have restarted."""
    return {
        name: sum(map(_restarts, (pod.get("status") or {}).get("containerStatuses") or ()))
        for name, pod in pods.items()
    }


def restarted(before: Restarts, after: Restarts) -> tuple[str, ...]:
    """The components that restarted between two looks."""
    return tuple(name for name in after if after[name] != before.get(name))


def image_of(pod: Raw) -> str:
    containers = (pod.get("spec") or {}).get("containers") or [{}]
    return str(containers[0].get("image", ""))


def _restarts(container: Raw) -> int:
    return int(container.get("restartCount") or 0)


def _settled(pod: Raw) -> bool:
    return is_ready(pod) and _hash(pod) == _hash(pod, _MIRROR)


def _hash(pod: Raw, mark: str = _HASH) -> str:
    return str((pod["metadata"].get("annotations") or {}).get(mark, ""))


def _problems(site: Site) -> tuple[tuple[str, ...], Restarts]:
    try:
        pods = static_pods_on(site)
        return tuple(_look(site, pods)), restarts_of(pods)
    except KubeDenied as error:
        # Right after its start an API server refuses what its caches cannot judge yet: 403 and 5xx pass.
        return (f"the API answers with {error.status}",), {}
    except ClusterUnreadable:
        return ("the API cannot be reached",), {}


def _look(site: Site, pods: dict[str, Raw]) -> Iterator[str]:
    endpoints = dict(site.endpoints())
    own = endpoints.pop(site.node.name, "") or _advertised(pods)
    if not own:
        yield f"no address of the API server of {site.node.name} is known"
    else:
        yield from _own_api_problems(site, own)
    yield from static_pod_problems(site, pods)
    declared = read_declared(site)
    if declared != site.hop.target:
        yield f"kubeadm-config declares {declared or 'no version'} and not {site.hop.target}"
    for peer, endpoint in endpoints.items():
        if problem := _readiness(site, endpoint):
            yield f"the API server of {peer} {problem}"


def _own_api_problems(site: Site, endpoint: str) -> Iterator[str]:
    if problem := _readiness(site, endpoint):
        yield f"its API server {problem}"
        return
    version = site.kube().at(endpoint).get("/version").get("gitVersion", "")
    if version != str(site.hop.target):
        yield f"its API server runs {version} and not {site.hop.target}"


def _readiness(site: Site, endpoint: str) -> str:
    # Asked at its own address: a balancer would let a healthy one answer for it. /readyz includes its etcd.
    try:
        status, body = site.kube().at(endpoint).text("/readyz")
    except ClusterUnreadable:
        return "cannot be reached"
    if status == _READY:
        return ""
    failed = [line.removeprefix("[-]").split(" ")[0] for line in body.splitlines() if line.startswith("[-]")]
    return f"is not ready ({', '.join(failed[:_SHOWN]) or status})"


def _advertised(pods: dict[str, Raw]) -> str:
    notes = pods.get("kube-apiserver", {}).get("metadata", {}).get("annotations") or {}
    return str(notes.get(_ADVERTISED, ""))
