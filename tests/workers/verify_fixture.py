"""A cluster whose upgrade only has to be verified."""

from __future__ import annotations

import pytest

from cluster.procedure import Verb
from tests.workers.runbook_fixture import COMPONENTS, Bench, node, static_pod
from workers.runbook import StepBlocked, perform

TARGET = "v1.35.4"


def upgraded() -> Bench:
    """A cluster whose control plane and w1's kubelet are at the target."""
    bench = Bench()
    for name in ("cp1", "cp2"):
        for component in COMPONENTS:
            bench.api.pods[f"{component}-{name}"] = static_pod(component, name, TARGET)
        bench.api.versions[f"{name}:6443"] = TARGET
    bench.api.declared = TARGET
    bench.api.nodes["w1"] = node("w1", TARGET)
    return bench


def blocked_by(bench: Bench, name: str, verb: Verb) -> str:
    with pytest.raises(StepBlocked) as blocked:
        perform(bench.site(name, verb))
    return blocked.value.finding.sentence


PODS = "/api/v1/namespaces/lockkeeper-smoke/pods"
