"""Who asks the lab's API, and what they may: client certificates, bearer tokens and RBAC rules."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from lab.resources import Resource
from lab.statuses import forbidden, forbidden_path, unauthorized

ALMIGHTY = frozenset({"system:masters", "kubeadm:cluster-admins"})
PUBLIC_PATHS = ("/version", "/healthz", "/livez", "/readyz")
# What every authenticated user may read (system:discovery), and may ask about itself (system:basic-user).
DISCOVERY_PATHS = (*PUBLIC_PATHS, "/api", "/apis", "/openapi")


@dataclass(frozen=True, slots=True)
class User:
    """One authenticated user."""

    name: str
    groups: tuple[str, ...] = ()


ANONYMOUS = User("system:anonymous", ("system:unauthenticated",))


@dataclass(frozen=True, slots=True)
class Ask:
    """One request, as the authorizer sees it."""

    verb: str
    resource: Resource
    subresource: str = ""
    namespace: str = ""
    name: str = ""


@dataclass
class Identities:
    """Tokens, and the rules granted to users; rules are those of a ClusterRole, word for word."""

    tokens: dict[str, User] = field(default_factory=dict)
    grants: dict[str, list[Mapping[str, Any]]] = field(default_factory=dict)
    asked: dict[tuple[str, Ask | str], bool] = field(default_factory=dict)  # what each of them wanted; whether it may

    def admit(self, token: str, user: str, rules: Sequence[Mapping[str, Any]]) -> None:
        """Give a service account a token and its rules."""
        self.tokens[token] = User(user, ("system:serviceaccounts", "system:authenticated"))
        self.grants.setdefault(user, []).extend(rules)

    def authenticate(self, authorization: str, certificate: Mapping[str, Any] | None) -> User:
        """A client certificate first, then a bearer token; neither is anonymous, a wrong token is 401."""
        if certificate:
            pairs = [pair for name in certificate.get("subject", ()) for pair in name]
            name = next((value for key, value in pairs if key == "commonName"), "")
            groups = tuple(value for key, value in pairs if key == "organizationName")
            return User(name, (*groups, "system:authenticated"))
        if authorization.startswith("Bearer "):
            user = self.tokens.get(authorization.removeprefix("Bearer ").strip())
            if user is None:
                raise unauthorized()
            return user
        return ANONYMOUS

    def may(self, user: User, ask: Ask) -> bool:
        """Whether some rule allows it."""
        if ALMIGHTY.intersection(user.groups):
            return True
        return any(_allows(rule, ask) for rule in self.grants.get(user.name, ()))

    def check(self, user: User, ask: Ask) -> None:
        """Refuse in the words of a real server."""
        allowed = self.may(user, ask)
        self._note(user, ask, allowed=allowed)
        if not allowed:
            raise forbidden(user.name, ask.verb, ask.resource, ask.subresource, namespace=ask.namespace, name=ask.name)

    def check_path(self, user: User, verb: str, path: str) -> None:
        """The same for paths without resources."""
        if ALMIGHTY.intersection(user.groups):
            return
        allowed = DISCOVERY_PATHS if "system:authenticated" in user.groups else PUBLIC_PATHS
        urls = [url for rule in self.grants.get(user.name, ()) for url in rule.get("nonResourceURLs", ())]
        if any(path == root or path.startswith(root + "/") for root in allowed):
            return
        granted = any(url == path or (url.endswith("*") and path.startswith(url[:-1])) for url in urls)
        self._note(user, path, allowed=granted)
        if not granted:
            raise forbidden_path(user.name, verb, path)

    def _note(self, user: User, wish: Ask | str, *, allowed: bool) -> None:
        if user.name in self.grants:
            self.asked[user.name, wish] = allowed


def _allows(rule: Mapping[str, Any], ask: Ask) -> bool:
    what = f"{ask.resource.plural}/{ask.subresource}" if ask.subresource else ask.resource.plural
    namespace = rule.get("namespace")  # of a RoleBinding; a ClusterRoleBinding has none
    names = rule.get("resourceNames")
    return (
        _listed(rule.get("verbs", ()), ask.verb)
        and _listed(rule.get("apiGroups", ()), ask.resource.group)
        and _listed(rule.get("resources", ()), what)
        and (not names or ask.name in names)
        and (namespace is None or namespace == ask.namespace)
    )


def _listed(allowed: Sequence[str], value: str) -> bool:
    return "*" in allowed or value in allowed
