"""Facts about Kubernetes releases, from data/releases.yaml; shown with the day on which they were verified."""

from __future__ import annotations

from datetime import date
from typing import Literal

from cluster.findings import Finding, Findings, Severity
from cluster.versions import KubeVersion, Minor
from policies.data_files import DataFile, Facts, Row


class PatchFirst(Facts):
    """What speaks for going to the newest patch of a minor before leaving it."""

    below: KubeVersion  # from this patch on it is not needed
    concerns: Literal["etcd"]  # the part that must be kubeadm's own for it to matter
    reason: str
    source: str


class Release(Row):
    """One minor release line."""

    minor: Minor
    ga: date
    eol_planned: date
    eol_actual: date | None
    latest_patch_seen: KubeVersion
    changelog: str
    urgent_notes: str | None = None
    cleans: tuple[str, ...] = ()
    needs_flags: tuple[KubeVersion, ...] = ()
    patch_first: PatchFirst | None = None
    note: str = ""

    @property
    def eol(self) -> date:
        return self.eol_actual or self.eol_planned


class Releases(DataFile):
    """The whole file."""

    sources: tuple[str, ...]
    verified_on: date
    releases: tuple[Release, ...]


def read_file() -> Releases:
    return Releases.read("releases.yaml")


def read_releases() -> tuple[Release, ...]:
    return read_file().releases


def release_of(minor: Minor) -> Release | None:
    return next((r for r in read_releases() if r.minor == minor), None)


def patch_first(running: KubeVersion, *, stacked_etcd: bool) -> PatchFirst | None:
    """The advice to take the newest patch of the running minor before leaving it, where there is one."""
    release = release_of(running.minor)
    advice = release.patch_first if release else None
    return advice if advice is not None and running < advice.below and stacked_etcd else None


def check_support(target: KubeVersion, today: date) -> Findings:
    """Whether the target still gets fixes; a minor that the file does not know is said to be unknown."""
    release, verified = release_of(target.minor), read_file().verified_on
    if release is None:
        sentence = f"{target.minor} is newer than what this lockkeeper knows of releases (as of {verified})."
        return (Finding("release-unknown", Severity.NOTE, str(target), sentence, "Read its release notes first."),)
    if release.eol <= today:
        sentence = f"{target.minor} gets no more fixes since {release.eol} (as of {verified})."
        return (Finding("release-ended", Severity.WARNING, str(target), sentence, "Plan to go on to a later minor."),)
    return ()
