"""The kinds that the lab's Kubernetes API knows, and where each is served."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

VERBS = ("create", "delete", "get", "list", "patch", "update", "watch")


@dataclass(frozen=True, slots=True)
class Resource:
    """One row of discovery."""

    kind: str
    plural: str
    group: str = ""
    version: str = "v1"
    namespaced: bool = True
    short: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    subresources: tuple[str, ...] = ()

    @property
    def api_version(self) -> str:
        """``apps/v1``, or ``v1`` for the core group."""
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def qualified(self) -> str:
        """``deployments.apps``, as error texts name it."""
        return f"{self.plural}.{self.group}" if self.group else self.plural

    @property
    def root(self) -> str:
        """The path of the group version."""
        return f"/apis/{self.api_version}" if self.group else f"/api/{self.version}"


ALL = ("all",)
RESOURCES: tuple[Resource, ...] = (
    Resource("Namespace", "namespaces", namespaced=False, short=("ns",), subresources=("status",)),
    Resource("Node", "nodes", namespaced=False, short=("no",), subresources=("status",)),
    Resource("Pod", "pods", short=("po",), categories=ALL, subresources=("status", "eviction")),
    Resource("ConfigMap", "configmaps", short=("cm",)),
    Resource("Secret", "secrets"),
    Resource("ServiceAccount", "serviceaccounts", short=("sa",)),
    Resource("Event", "events", short=("ev",)),
    Resource("Service", "services", short=("svc",), categories=ALL, subresources=("status",)),
    Resource("Endpoints", "endpoints", short=("ep",)),
    Resource("PersistentVolume", "persistentvolumes", namespaced=False, short=("pv",), subresources=("status",)),
    Resource("PersistentVolumeClaim", "persistentvolumeclaims", short=("pvc",), subresources=("status",)),
    Resource("DaemonSet", "daemonsets", "apps", short=("ds",), categories=ALL, subresources=("status",)),
    Resource("Deployment", "deployments", "apps", short=("deploy",), categories=ALL, subresources=("status",)),
    Resource("ReplicaSet", "replicasets", "apps", short=("rs",), categories=ALL, subresources=("status",)),
    Resource("StatefulSet", "statefulsets", "apps", short=("sts",), categories=ALL, subresources=("status",)),
    Resource("Job", "jobs", "batch", categories=ALL, subresources=("status",)),
    Resource("Lease", "leases", "coordination.k8s.io"),
    Resource("PodDisruptionBudget", "poddisruptionbudgets", "policy", short=("pdb",), subresources=("status",)),
    Resource("VolumeAttachment", "volumeattachments", "storage.k8s.io", namespaced=False, subresources=("status",)),
    Resource("CSINode", "csinodes", "storage.k8s.io", namespaced=False),
    Resource("VolumeAttributesClass", "volumeattributesclasses", "storage.k8s.io", namespaced=False, short=("vac",)),
    Resource("EndpointSlice", "endpointslices", "discovery.k8s.io"),
    Resource(
        "ValidatingWebhookConfiguration",
        "validatingwebhookconfigurations",
        "admissionregistration.k8s.io",
        namespaced=False,
    ),
    Resource(
        "MutatingWebhookConfiguration",
        "mutatingwebhookconfigurations",
        "admissionregistration.k8s.io",
        namespaced=False,
    ),
    Resource("CustomResourceDefinition", "customresourcedefinitions", "apiextensions.k8s.io", namespaced=False),
    Resource("APIService", "apiservices", "apiregistration.k8s.io", namespaced=False),
)
REVIEWS: tuple[Resource, ...] = (
    Resource("SelfSubjectReview", "selfsubjectreviews", "authentication.k8s.io", namespaced=False),
    Resource("SelfSubjectAccessReview", "selfsubjectaccessreviews", "authorization.k8s.io", namespaced=False),
)

BY_KIND = {resource.kind: resource for resource in RESOURCES}
BY_PATH = {(resource.api_version, resource.plural): resource for resource in RESOURCES}


def groups() -> dict[str, list[str]]:
    """Every named group with its versions."""
    found: dict[str, list[str]] = {}
    for resource in (*RESOURCES, *REVIEWS):
        if resource.group and resource.version not in found.setdefault(resource.group, []):
            found[resource.group].append(resource.version)
    return found


def served_by(api_version: str) -> list[dict[str, Any]]:
    """The rows of APIResourceList.resources for one group version."""
    rows: list[dict[str, Any]] = []
    for resource in RESOURCES:
        if resource.api_version == api_version:
            rows.extend(_rows(resource))
    rows.extend(_row(review, review.plural, ("create",)) for review in REVIEWS if review.api_version == api_version)
    return rows


def _rows(resource: Resource) -> list[dict[str, Any]]:
    rows = [_row(resource, resource.plural, VERBS)]
    for subresource in resource.subresources:
        name = f"{resource.plural}/{subresource}"
        if subresource == "eviction":
            row = _row(resource, name, ("create",))
            row |= {"kind": "Eviction", "group": "policy", "version": "v1"}
        else:
            row = _row(resource, name, ("get", "patch", "update"))
        row["singularName"] = ""
        row.pop("shortNames", None)
        row.pop("categories", None)
        rows.append(row)
    return rows


def _row(resource: Resource, name: str, verbs: tuple[str, ...]) -> dict[str, Any]:
    row: dict[str, Any] = {
        "name": name,
        "singularName": resource.kind.lower(),
        "namespaced": resource.namespaced,
        "kind": resource.kind,
        "verbs": list(verbs),
    }
    if resource.short:
        row["shortNames"] = list(resource.short)
    if resource.categories:
        row["categories"] = list(resource.categories)
    return row
