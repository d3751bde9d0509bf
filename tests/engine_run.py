"""One run of an engine test: the machines that it is about, its driver, what its steps do, and what it told."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from cluster.events import Happened
from cluster.findings import Finding, Severity
from cluster.store import Store
from tests.engine_fixture import approve, plan, record
from tests.engine_yard import Driving, Yard
from workers.site import Site

OP = "op-1"
SMALL = plan(("cp-1",), ("w-1", "w-2"), max_unavailable=1)


@pytest.fixture
def yard(tmp_path: Path) -> Yard:
    """Three and four machines that do as they are told."""
    return Yard(record(), tmp_path / "log")


@pytest.fixture
def small(tmp_path: Path) -> Yard:
    """One and two machines, of which one worker may be away."""
    return Yard(record(SMALL), tmp_path / "log")


def begin(yard: Yard, store: Store) -> Driving:
    approve(store, yard.record, OP)
    return Driving(yard, store, OP)


def kinds(store: Store) -> list[Happened]:
    return [e.kind for _, e in store.events(OP)]


def blocked(site: Site) -> None:
    raise site.blocked("broken", f"{site.node.name} is broken.", "Mend it, then `retry`.")


def hold(gate: threading.Event) -> Callable[[Site], None]:
    """A step that goes on until the gate opens, and yields when asked to."""

    def wait(site: Site) -> None:
        while not gate.is_set():
            site.wait(0.02)

    return wait


def stop_with(code: str) -> Finding:
    return Finding(code, Severity.BLOCKER, "w-1", "Something is in the way.", "Clear it.")
