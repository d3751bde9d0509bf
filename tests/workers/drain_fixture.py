"""A cordoned node with pods on it, for whatever drains it."""

from __future__ import annotations

from typing import Any

from cluster.options import Options
from cluster.procedure import Verb
from tests.workers.runbook_fixture import Bench
from workers.runbook import perform

STRICT = "The disruption budget strict needs 1 healthy pods and has 1 currently"


def changed(made: dict[str, Any], **metadata: Any) -> dict[str, Any]:
    return {**made, "metadata": {**made["metadata"], **metadata}}


EMPTY_DIR = [{"name": "scratch", "emptyDir": {"medium": "Memory"}}]


def cordoned_bench(*pods: dict[str, Any], options: Options | None = None) -> Bench:
    bench = Bench(options=options)
    bench.api.pods |= {p["metadata"]["name"]: p for p in pods}
    perform(bench.site("w1", Verb.CORDON))
    return bench
