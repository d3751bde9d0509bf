"""Our mark in the target cluster: a Lease object that names installation and operation; no second one starts then."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from cluster.errors import KubeDenied, UnknownThing
from cluster.findings import Finding, Severity
from cluster.observe import LEASE
from cluster.operation import Operation
from cluster.store import Store
from workers.run import Run
from workers.site import Api

_NOT_FOUND, _CONFLICT = 404, 409
_TRIES = 5  # somebody else may write between our reading and our writing


@dataclass(frozen=True, slots=True)
class Claim:
    """One operation's claim on its cluster; every call may raise ClusterUnreadable."""

    installation: str
    operation: Operation
    kube: Callable[[], Api]
    store: Store

    @property
    def holder(self) -> str:
        return f"{self.installation}/{self.operation.id}"

    def acquire(self, now: datetime, may_begin: Callable[[], Finding | None]) -> Finding | None:
        """
        Write our name; None when it stands there, else who or what stands in the way.

        Our name there is the one witness outside Redis that this run has begun: `may_begin` is asked before it is
        written, so that nobody starts an old run again by rewriting its record.
        """
        for _ in range(_TRIES):
            found = self._read()
            held_by = _holder(found)
            if held_by == self.holder:
                return None
            if held_by and (obstacle := self._judge(held_by)) is not None:
                return obstacle
            if (too_late := may_begin()) is not None:
                return too_late
            if self._write(found, now):
                return None
        return self._blocker("cluster-lock-contended", "Somebody else writes the Lease lockkeeper all the time.")

    def release(self) -> None:
        """Take our name away; anybody else's stays."""
        found = self._read()
        if found is None or _holder(found) != self.holder:
            return
        version = str(found["metadata"].get("resourceVersion", ""))
        try:
            self.kube().delete(LEASE, {"kind": "DeleteOptions", "preconditions": {"resourceVersion": version}})
        except KubeDenied as error:
            if error.status not in {_NOT_FOUND, _CONFLICT}:
                raise

    def _read(self) -> dict[str, Any] | None:
        try:
            return self.kube().get(LEASE)
        except KubeDenied as error:
            if error.status == _NOT_FOUND:
                return None
            raise

    def _write(self, found: dict[str, Any] | None, now: datetime) -> bool:
        spec = {"holderIdentity": self.holder, "acquireTime": now.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")}
        try:
            if found is None:
                metadata = {"name": "lockkeeper", "namespace": "kube-system"}
                body = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": metadata, "spec": spec}
                self.kube().post(LEASE.rpartition("/")[0], body)
            else:  # with the version that was read, so that of two writers one fails
                version = found["metadata"].get("resourceVersion")
                self.kube().patch(LEASE, {"metadata": {"resourceVersion": version}, "spec": spec})
        except KubeDenied as error:
            if error.status in {_CONFLICT, _NOT_FOUND}:
                return False
            raise
        return True

    def _judge(self, held_by: str) -> Finding | None:
        """Whether another name is in the way; one of our own operations that has ended is not."""
        installation, _, operation_id = held_by.partition("/")
        if installation != self.installation:
            return self._blocker(
                "cluster-locked-elsewhere",
                f"The cluster {self.operation.cluster} is being upgraded by another installation, `{held_by}`.",
            )
        try:
            other = self.store.operation(operation_id)
        except UnknownThing:
            return self._blocker(
                "traces-without-record",
                f"The cluster {self.operation.cluster} carries the mark of `{held_by}`, of which nothing is recorded: "
                "Redis may have lost its data.",
            )
        if other.ended:
            return None
        return self._blocker("cluster-locked-elsewhere", f"The cluster is held by the operation {operation_id}.")

    def _blocker(self, code: str, sentence: str) -> Finding:
        remedy = (
            "Make sure that nothing works on it any more; delete its Lease `lockkeeper` in kube-system, then `resume`."
        )
        return Finding(code, Severity.BLOCKER, self.operation.cluster, sentence, remedy)


def claim_of(run: Run, operation: Operation) -> Claim:
    crew = run.crew
    return Claim(crew.settings.installation, operation, crew.kube, crew.store)


def _holder(found: dict[str, Any] | None) -> str:
    return str(((found or {}).get("spec") or {}).get("holderIdentity") or "")
