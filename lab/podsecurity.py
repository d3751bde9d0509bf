"""Pod Security admission: what the level `restricted` has against a pod, in the words of a real server."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from lab.resources import BY_KIND
from lab.statuses import Refusal, details_of

ENFORCE = "pod-security.kubernetes.io/enforce"
RESTRICTED = "restricted"
_VOLUMES = frozenset(
    {"configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "persistentVolumeClaim", "projected", "secret"}
)
_PROFILES = ("RuntimeDefault", "Localhost")


def admit_pod(namespace: Mapping[str, Any], pod: Mapping[str, Any]) -> None:
    """Raises Refusal where the namespace asks for more than the pod gives; other levels take every pod of the lab."""
    if namespace["metadata"].get("labels", {}).get(ENFORCE) != RESTRICTED:
        return
    if against := list(violations(pod["spec"])):
        name = pod["metadata"]["name"]
        message = f'pods "{name}" is forbidden: violates PodSecurity "{RESTRICTED}:latest": {", ".join(against)}'
        raise Refusal(403, message, "Forbidden", details_of(BY_KIND["Pod"], name))


def violations(spec: Mapping[str, Any]) -> Iterator[str]:
    """Every control of `restricted` that a pod fails."""
    for host in ("hostNetwork", "hostPID", "hostIPC"):
        if spec.get(host):
            yield f"host namespaces ({host}=true)"
    for volume in spec.get("volumes", ()):
        if not _VOLUMES.intersection(volume):
            yield f'restricted volume types (volume "{volume["name"]}")'
    own = spec.get("securityContext") or {}
    for container in spec["containers"]:
        yield from _of_container(container, own)


def _of_container(container: Mapping[str, Any], pod: Mapping[str, Any]) -> Iterator[str]:
    name, own = container["name"], container.get("securityContext") or {}
    if own.get("privileged"):
        yield f'privileged (container "{name}" must not set securityContext.privileged=true)'
    if own.get("allowPrivilegeEscalation") is not False:
        wanted = "securityContext.allowPrivilegeEscalation=false"
        yield f'allowPrivilegeEscalation != false (container "{name}" must set {wanted})'
    capabilities = own.get("capabilities") or {}
    if "ALL" not in capabilities.get("drop", ()) or set(capabilities.get("add", ())) - {"NET_BIND_SERVICE"}:
        yield f'unrestricted capabilities (container "{name}" must set securityContext.capabilities.drop=["ALL"])'
    if own.get("runAsNonRoot", pod.get("runAsNonRoot")) is not True:
        yield f'runAsNonRoot != true (pod or container "{name}" must set securityContext.runAsNonRoot=true)'
    if own.get("runAsUser", pod.get("runAsUser")) == 0:
        yield "runAsUser=0 (must not set runAsUser=0)"
    if (own.get("seccompProfile") or pod.get("seccompProfile") or {}).get("type") not in _PROFILES:
        wanted = 'securityContext.seccompProfile.type to "RuntimeDefault" or "Localhost"'
        yield f'seccompProfile (pod or container "{name}" must set {wanted})'
