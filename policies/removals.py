"""What minors take away from components: flags, feature gates, admission plugins, by data/removals.yaml."""

from __future__ import annotations

from datetime import date

from cluster.declarations import KUBEADM, Gate
from cluster.versions import Minor
from policies.data_files import DataFile, Row


class RemovedFlags(Row):
    """Command-line flags of one component."""

    removed: Minor
    component: str
    flags: tuple[str, ...]


class RemovedPlugins(Row):
    """Admission plugins of the API server."""

    removed: Minor
    plugins: tuple[str, ...]


class RemovedGates(Row):
    """Feature gates that nobody knows any more."""

    removed: Minor
    gates: tuple[str, ...]


class LockedGates(Row):
    """Feature gates of which one value is left."""

    locked: Minor
    gates: dict[str, bool]


class RemovedApi(Row):
    """A version of kubeadm's configuration; kubeadm from `rewritten_from` on writes a later one in its place."""

    version: str
    rewritten_from: Minor
    removed: Minor


class ChangedSetting(Row):
    """A setting of the kubelet's configuration whose value means something else than before."""

    changed: Minor
    setting: str
    value: str
    before: str
    now: str
    instead: str


class Removals(DataFile):
    """The whole file."""

    sources: tuple[str, ...]
    verified_on: date
    flags: tuple[RemovedFlags, ...]
    admission_plugins: tuple[RemovedPlugins, ...]
    gates: tuple[RemovedGates, ...]
    locked: tuple[LockedGates, ...]
    kubeadm_gates: tuple[RemovedGates, ...]
    kubeadm_api: tuple[RemovedApi, ...]
    kubelet_settings: tuple[ChangedSetting, ...]


def read_file() -> Removals:
    return Removals.read("removals.yaml")


def removed_flags(component: str, last: Minor) -> dict[str, Minor]:
    """The flags that the component of `last` does not know, each with the minor that took it away."""
    rows = (r for r in read_file().flags if r.component == component and r.removed <= last)
    return {flag: row.removed for row in rows for flag in row.flags}


def removed_plugins(last: Minor) -> dict[str, Minor]:
    rows = (r for r in read_file().admission_plugins if r.removed <= last)
    return {plugin: row.removed for row in rows for plugin in row.plugins}


def why_refused(gate: Gate, last: Minor) -> str:
    """Why the component of `last` does not take this gate; "" where nothing is known against it."""
    file = read_file()
    gone = file.kubeadm_gates if gate.component == KUBEADM else file.gates
    if (row := next((r for r in gone if r.removed <= last and gate.name in r.gates), None)) is not None:
        return f"which is not known from {row.removed} on"
    for locked in file.locked:
        only = str(locked.gates.get(gate.name, gate.value)).lower()
        if locked.locked <= last and gate.value != only:
            return f"which is locked to {only} from {locked.locked} on"
    return ""
