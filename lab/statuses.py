"""Status objects: the words in which a Kubernetes API server refuses."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from lab.resources import Resource


@dataclass
class Refusal(Exception):  # noqa: N818 - an answer, not an accident
    """An answer other than success."""

    code: int
    message: str
    reason: str = ""
    details: dict[str, Any] | None = None
    metadata: dict[str, Any] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)

    def status(self) -> dict[str, Any]:
        """The Status object, its fields in the server's order."""
        body: dict[str, Any] = {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": self.metadata,
            "status": "Failure",
            "message": self.message,
        }
        if self.reason:
            body["reason"] = self.reason
        if self.details is not None:
            body["details"] = self.details
        return body | {"code": self.code}


def details_of(resource: Resource, name: str) -> dict[str, Any]:
    """The `details` of most answers about one object."""
    details: dict[str, Any] = {}
    if name:
        details["name"] = name
    if resource.group:
        details["group"] = resource.group
    return details | {"kind": resource.plural}


def not_found(resource: Resource, name: str) -> Refusal:
    return Refusal(404, f'{resource.qualified} "{name}" not found', "NotFound", details_of(resource, name))


def no_such_resource() -> Refusal:
    return Refusal(404, "the server could not find the requested resource", "NotFound", {})


def already_exists(resource: Resource, name: str) -> Refusal:
    return Refusal(409, f'{resource.qualified} "{name}" already exists', "AlreadyExists", details_of(resource, name))


def conflict(resource: Resource, name: str, why: str) -> Refusal:
    message = f'Operation cannot be fulfilled on {resource.qualified} "{name}": {why}'
    return Refusal(409, message, "Conflict", details_of(resource, name))


def stale(resource: Resource, name: str) -> Refusal:
    why = "the object has been modified; please apply your changes to the latest version and try again"
    return conflict(resource, name, why)


def wrong_uid(resource: Resource, name: str, wanted: str, found: str) -> Refusal:
    why = f"Precondition failed: UID in precondition: {wanted}, UID in object meta: {found}"
    return conflict(resource, name, why)


def forbidden(user: str, verb: str, resource: Resource, subresource: str, *, namespace: str, name: str) -> Refusal:
    """The authorizer's words."""
    what = f"{resource.plural}/{subresource}" if subresource else resource.plural
    subject = f'{resource.qualified} "{name}"' if name else resource.qualified
    scope = f'in the namespace "{namespace}"' if namespace else "at the cluster scope"
    message = (
        f'{subject} is forbidden: User "{user}" cannot {verb} resource "{what}" in API group "{resource.group}" {scope}'
    )
    return Refusal(403, message, "Forbidden", details_of(resource, name))


def forbidden_path(user: str, verb: str, path: str) -> Refusal:
    return Refusal(403, f'forbidden: User "{user}" cannot {verb} path "{path}"', "Forbidden", {})


def unauthorized() -> Refusal:
    return Refusal(401, "Unauthorized", "Unauthorized")


def unsupported(accepted: str) -> Refusal:
    message = f"the body of the request was in an unknown format - accepted media types include: {accepted}"
    return Refusal(415, message, "UnsupportedMediaType", {})


def not_allowed() -> Refusal:
    return Refusal(405, "the server does not allow this method on the requested resource", "MethodNotAllowed", {})


def bad_request(message: str) -> Refusal:
    return Refusal(400, message, "BadRequest")


def terminating(resource: Resource, name: str, namespace: str) -> Refusal:
    """Nothing is created in a namespace that is going away."""
    message = (
        f'{resource.qualified} "{name}" is forbidden: unable to create new content in namespace {namespace} '
        "because it is being terminated"
    )
    cause = {
        "reason": "NamespaceTerminating",
        "message": f"namespace {namespace} is being terminated",
        "field": "metadata.namespace",
    }
    return Refusal(403, message, "Forbidden", details_of(resource, name) | {"causes": [cause]})


def expired(token: str) -> Refusal:
    """A continue token from before the compaction; the answer carries one that goes on, inconsistently."""
    message = (
        "The provided continue parameter is too old to display a consistent list result. You can start a new list "
        "without the continue parameter, or use the continue token in this response to retrieve the remainder of "
        "the results. Continuing with the provided token results in an inconsistent list - objects that were created, "
        "modified, or deleted between the time the first chunk was returned and now may show up in the list."
    )
    return Refusal(410, message, "Expired", metadata={"continue": token})


def success(code: int) -> dict[str, Any]:
    return {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": code}


def deleted(resource: Resource, name: str, uid: str) -> dict[str, Any]:
    return {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Success",
        "details": details_of(resource, name) | {"uid": uid},
    }
