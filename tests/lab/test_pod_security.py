"""Pod Security in the lab: `restricted` takes a pod that asks for nothing, and names each thing that others ask for."""

from __future__ import annotations

from typing import Any

import pytest

from lab.podsecurity import ENFORCE, admit_pod, violations
from lab.statuses import Refusal

SECURE = {
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
    "runAsNonRoot": True,
    "seccompProfile": {"type": "RuntimeDefault"},
}


def spec(own: dict[str, Any] | None = None, **of_pod: Any) -> dict[str, Any]:
    return {"containers": [{"name": "app", "securityContext": SECURE | (own or {})}], **of_pod}


@pytest.mark.parametrize(
    ("made", "words"),
    [
        (spec(hostNetwork=True), "host namespaces"),
        (spec(volumes=[{"name": "root", "hostPath": {"path": "/"}}]), 'restricted volume types (volume "root")'),
        (spec({"privileged": True}), "privileged"),
        (spec({"allowPrivilegeEscalation": None}), "allowPrivilegeEscalation != false"),
        (spec({"capabilities": {}}), "unrestricted capabilities"),
        (spec({"capabilities": {"drop": ["ALL"], "add": ["SYS_ADMIN"]}}), "unrestricted capabilities"),
        (spec({"runAsNonRoot": False}), "runAsNonRoot != true"),
        (spec({"runAsUser": 0}), "runAsUser=0"),
        (spec({"seccompProfile": {"type": "Unconfined"}}), "seccompProfile"),
    ],
)
def test_each_privilege_is_refused_by_its_name(made: dict[str, Any], words: str) -> None:
    """A pod that only lacks one thing is refused for that one alone."""
    against = list(violations(made))
    assert len(against) == 1
    assert against[0].startswith(words)


def test_only_a_namespace_that_enforces_it_refuses() -> None:
    """The label decides; what the pod's own context says counts for its containers."""
    bare = {"metadata": {"name": "a"}, "spec": {"containers": [{"name": "app"}]}}
    admit_pod({"metadata": {"name": "demo"}}, bare)
    with pytest.raises(Refusal, match="violates PodSecurity"):
        admit_pod({"metadata": {"name": "smoke", "labels": {ENFORCE: "restricted"}}}, bare)
    own = {k: SECURE[k] for k in ("runAsNonRoot", "seccompProfile")}
    rest = {k: v for k, v in SECURE.items() if k not in own}
    container = {"name": "app", "securityContext": rest}
    assert list(violations({"containers": [container], "securityContext": own})) == []
