"""Facts about Kubernetes releases, from data/releases.yaml; shown with the day on which they were verified."""

from __future__ import annotations

from datetime import date
from functools import cache
from importlib import resources
from typing import Literal

import yaml
from pydantic import BaseModel, ConfigDict

from cluster.findings import Finding, Findings, Severity
from cluster.versions import KubeVersion, Minor


class PatchFirst(BaseModel):
    """What speaks for going to the newest patch of a minor before leaving it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    below: KubeVersion  # from this patch on it is not needed
    concerns: Literal["etcd"]  # the part that must be kubeadm's own for it to matter
    reason: str
    source: str


class Release(BaseModel):
    """One minor release line."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    minor: Minor
    ga: date
    eol_planned: date
    eol_actual: date | None
    latest_patch_seen: KubeVersion
    etcd: str
    coredns: str
    pause: str
    changelog: str
    urgent_notes: str | None = None
    cleans: tuple[str, ...] = ()
    patch_first: PatchFirst | None = None
    note: str = ""

    @property
    def eol(self) -> date:
        return self.eol_actual or self.eol_planned


class Releases(BaseModel):
    """The whole file."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    sources: tuple[str, ...]
    verified_on: date
    releases: tuple[Release, ...]


@cache
def read_file() -> Releases:
    text = resources.files("policies").joinpath("data/releases.yaml").read_text(encoding="utf-8")
    return Releases.model_validate(yaml.safe_load(text))


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
