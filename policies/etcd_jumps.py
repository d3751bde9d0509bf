"""etcd as kubeadm-config declares it, and what should run before a minor changes its line: data/etcd_jumps.yaml."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

from pydantic import BeforeValidator

from cluster.declarations import Declarations
from cluster.findings import Finding, Severity
from cluster.observation import Observation
from cluster.versions import Minor
from policies.data_files import DataFile, Row
from policies.kubeadm_defaults import external_etcd_minimum, images_of
from policies.outside_etcd import describe_outside, oldest_outside
from policies.wording import some_of


def _numbers(text: object) -> object:
    """`3.5.26` as numbers; validation says what is wrong with anything else."""
    return tuple(text.split(".")) if isinstance(text, str) else text


class Jump(Row):
    """One minor whose etcd is of another line than that of the minor before."""

    to: Minor
    line: str  # of the etcd before: "3.5"
    below: Annotated[tuple[int, int, int], BeforeValidator(_numbers)]
    reason: str


class Jumps(DataFile):
    """The whole file."""

    jumps: tuple[Jump, ...]


def read_jumps() -> tuple[Jump, ...]:
    return Jumps.read("etcd_jumps.yaml").jumps


def check_etcd_jumps(seen: Observation, minors: tuple[Minor, ...]) -> Iterator[Finding]:
    """`minors` are those of the plan, in its order."""
    report, declared = seen.report, seen.examination.declared
    if declared.external_etcd:
        yield _external(seen)
        return
    if declared.etcd_tag:
        yield _pinned(declared, minors)
        return  # what is pinned does not change its line
    tags = {p.node: p.tag for p in report.static_pods if p.component == "etcd"}
    for position, minor in enumerate(minors):
        jump = next((j for j in read_jumps() if j.to == minor), None)
        if jump is not None and tags:
            yield from _before(jump, tags if position == 0 else _after(minors[position - 1], tags))


def _external(seen: Observation) -> Finding:
    report, endpoints = seen.report, some_of(seen.examination.declared.external_etcd)
    told, minimum = describe_outside(report, seen.survey), external_etcd_minimum()
    sentence = (
        f"etcd of {report.cluster} is not kubeadm's own ({endpoints}): the plan neither upgrades it nor takes a "
        f"snapshot of it. {f'It told: {told}.' if told else 'It could not be asked what it runs.'}"
    )
    remedy = "Take a snapshot yourself before the first step"
    oldest = _version(oldest_outside(report, seen.survey))
    if oldest is None:
        remedy += f", and see that it is {minimum} or later"
    elif oldest < tuple(map(int, minimum.split("."))):
        remedy += f", and bring it to {minimum} or later: kubeadm takes no older one for a new cluster"
    return Finding("etcd-external", Severity.WARNING, report.cluster, sentence, f"{remedy}.")


def _pinned(declared: Declarations, minors: tuple[Minor, ...]) -> Finding:
    images = images_of(max(minors)) if minors else None
    usual = f", and not to {images.etcd}, which {images.minor} brings" if images else ""
    sentence = f"kubeadm-config pins etcd's image to {declared.etcd_tag}: an upgrade brings etcd to that{usual}."
    remedy = "Take etcd.local.imageTag out of kubeadm-config, unless it is there for this very upgrade."
    return Finding("etcd-image-pinned", Severity.WARNING, "kubeadm-config", sentence, remedy)


def _after(minor: Minor, tags: dict[str, str]) -> dict[str, str]:
    """What the members run after a hop to `minor`; of some minors that is not known."""
    images = images_of(minor)
    return dict.fromkeys(tags, images.etcd) if images else tags


def _before(jump: Jump, tags: dict[str, str]) -> Iterator[Finding]:
    versions = {node: _version(tag) for node, tag in tags.items()}
    old = {node: v for node, v in versions.items() if v is None or (_line(v) == jump.line and v < jump.below)}
    if not old:
        return
    wanted, first = ".".join(map(str, jump.below)), next(iter(old))
    has = f"is {tags[first]}" if old[first] else "cannot be told by its image"
    sentence = f"Before {jump.to}, etcd on {some_of(old)} {has}; it should be {wanted} or later: {jump.reason}."
    remedy = (
        f"Bring etcd to {wanted} or later first, where there is such an image (etcd.local.imageTag in kubeadm-config, "
        f"which is to be taken out again), or make sure that it does not concern this cluster: {jump.sources[0]}"
    )
    yield Finding("etcd-before-jump", Severity.WARNING, str(jump.to), sentence, remedy)


def _version(tag: str) -> tuple[int, ...] | None:
    """(3, 6, 5) of `3.6.5-0`."""
    parts = tag.partition("-")[0].removeprefix("v").split(".")
    return tuple(map(int, parts)) if len(parts) == 3 and all(p.isdecimal() for p in parts) else None  # noqa: PLR2004


def _line(version: tuple[int, ...]) -> str:
    return f"{version[0]}.{version[1]}"
