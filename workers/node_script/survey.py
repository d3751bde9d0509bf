"""The node script's answers to `observe` and `offers`, read into the facts of a machine."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from datetime import UTC, datetime

from cluster.errors import InvalidVersion
from cluster.facts import (
    UPGRADED_PACKAGES,
    EtcdTool,
    KubeletUnit,
    MachineFacts,
    Manifest,
    Offer,
    OfferState,
    Package,
    PackageSource,
    Room,
)
from cluster.packages import OldSource
from cluster.report import Unread
from cluster.runtime import Runtime
from cluster.versions import Minor, PackageVersion, ReportedVersion
from workers.node_script.lines import Lines, UnreadableAnswer
from workers.node_script.origins import read_keys, read_locks, read_origins, read_pins
from workers.node_script.readings import OUTSIDE, Readings, read_certificates, read_drift, read_etcd, read_outside_etcd

# What a script tells since it says this number of itself; one that tells less is of an earlier release.
_NEWS = (
    (2, "certificates, package origins, its container runtime and, on a control plane, etcd and drift"),
    (3, "who holds the locks of its packages, and an etcd that runs elsewhere"),
    (4, "what its UpgradeConfiguration lets kubeadm leave out, and a dpkg that the run could finish"),
)
_OLDER = "its node script is older than this release: install the output of `lockkeeper node-script` there"


def parse_facts(text: str) -> MachineFacts:
    """Read the whole answer of `observe`; UnreadableAnswer when it is cut or a number in it is none."""
    lines = Lines(text)
    if lines.first("end") != "observe":
        raise UnreadableAnswer("The machine's answer to `observe` is cut: run the survey again.")
    try:
        return _facts(lines)
    except (ValueError, TypeError, OverflowError, IndexError, InvalidVersion) as error:
        raise UnreadableAnswer(
            f"The machine's answer to `observe` cannot be read ({error}): install this release's node script."
        ) from error


def _facts(lines: Lines) -> MachineFacts:
    readings = Readings(lines)
    facts = _with_packages(_host(lines), lines, readings)
    facts = _with_kubernetes(facts, lines)
    facts = _with_kubelet(facts, lines)
    facts = _with_control_plane(facts, lines, readings)
    return replace(facts, unread=(*_unread(lines), *readings.unread))  # last: what is read above may add to it


def _unread(lines: Lines) -> Iterator[Unread]:
    for what, _, reason in _parted(lines, "unreadable", " "):
        yield Unread(what, reason)
    for name in UPGRADED_PACKAGES:
        told = lines.first(name)
        if told not in {None, "none"} and _version(told) is None:
            yield Unread(name, f"`{told}` is no version")
    told_since = int(lines.first("tells") or 1)
    yield from (Unread(what, _OLDER) for since, what in _NEWS if told_since < since)


def _missing(lines: Lines) -> set[str]:
    return {what for what, _, _ in _parted(lines, "unreadable", " ")}


def _host(lines: Lines) -> MachineFacts:
    swap = lines.first("swap")
    return MachineFacts(
        protocol=lines.number("protocol"),
        time=datetime.fromtimestamp(lines.number("time"), UTC),
        boot_id=lines.first("boot-id") or "",
        fence=lines.number("fence"),
        control_plane=lines.first("control-plane") == "yes",
        hostname=lines.first("hostname"),
        os=lines.first("os"),
        kernel=lines.first("kernel"),
        arch=lines.first("arch"),
        cgroup=lines.first("cgroup"),
        swap=None if swap is None else swap == "on",
        reboot_required={"yes": True, "no": False}.get(lines.first("reboot-required") or ""),
        room=tuple(map(_room, lines.words("disk"))),
    )


def _with_packages(facts: MachineFacts, lines: Lines, readings: Readings) -> MachineFacts:
    dpkg, missing = lines.first("dpkg") or "", _missing(lines)
    return replace(
        facts,
        packages=tuple(Package(*words[:3]) for words in lines.words("package")),
        held=None if "holds" in missing else lines.all("hold"),
        dpkg_problem="" if dpkg == "clean" or "dpkg" in missing else dpkg.partition(" ")[2] or "unknown",
        package_locks=readings.of("package-locks", read_locks),
        sources=tuple(PackageSource(f, b, Minor.parse(m), k) for f, b, m, k in lines.words("source")),
        pins=lines.all("pin"),
        pin_rules=readings.of("pins", read_pins) or (),
        origins=readings.of("origins", read_origins),
        old_sources=tuple(OldSource(*words) for words in lines.words("old-source")),
        keys=readings.of("keys", read_keys) or (),
        unchecked_keys=tuple(value.partition(" ")[2] for value in lines.all("key-unchecked")),
        unattended_upgrades=lines.first("unattended-upgrades") == "on",
    )


def _with_kubernetes(facts: MachineFacts, lines: Lines) -> MachineFacts:
    return replace(
        facts,
        kubeadm=_version(lines.first("kubeadm")),
        kubelet=_version(lines.first("kubelet")),
        kubectl=_version(lines.first("kubectl")),
        kubelet_unit=None if "kubelet-unit" in _missing(lines) else _unit(lines.words("kubelet-unit")),
        manifests=tuple(_manifest(words) for words in lines.words("manifest")),
        missing_manifests=lines.all("missing-manifest"),
        stray_manifests=lines.all("stray-manifest"),
        patches=lines.first("patches") or "none",
        upgrade_config=lines.first("upgrade-config") or "",
        passed_over=tuple((setting, names) for setting, _, names in _parted(lines, "passed-over", " ")),
        hooks=None if lines.first("hooks") is None else lines.all("hook"),
        tools=tuple(words[0] for words in lines.words("tool") if words[1] == "yes"),
        etcdctl=EtcdTool(lines.first("etcdctl") or "none"),
    )


def _with_kubelet(facts: MachineFacts, lines: Lines) -> MachineFacts:
    gates = tuple((name, value) for name, _, value in _parted(lines, "feature-gate", "="))
    return replace(
        facts,
        kubelet_flags=lines.first("kubelet-flags"),
        kubelet_extra_args=lines.first("kubelet-extra-args") or "",
        kubelet_arguments=tuple((file, words) for file, _, words in _parted(lines, "kubelet-arguments", " ")),
        feature_gates=None if lines.first("kubelet-config") is None else gates,
        kubelet_settings=tuple((name, value) for name, _, value in _parted(lines, "kubelet-setting", "=")),
        runtime=next((Runtime(*words) for words in lines.words("runtime")), None),
        runtime_endpoint=lines.first("runtime-endpoint") or "",
        sandbox_image=lines.first("sandbox-image") or "",
    )


def _with_control_plane(facts: MachineFacts, lines: Lines, readings: Readings) -> MachineFacts:
    etcd_size = lines.first("etcd-size")
    return replace(
        facts,
        snapshots=next(map(_room, lines.words("snapshots")), None),
        snapshot_export={"yes": True, "no": False}.get(lines.first("snapshot-export") or ""),
        etcd_data=lines.first("etcd-data") or "/var/lib/etcd",
        etcd_size_kib=int(etcd_size) if etcd_size else None,
        etcd=readings.of("etcd", read_etcd),
        outside_etcd=readings.of(OUTSIDE, read_outside_etcd) or (),
        certificates=readings.of("certificates", read_certificates),
        drift=readings.of("drift", read_drift),
    )


def _version(text: str | None) -> ReportedVersion | None:
    try:
        return ReportedVersion.parse((text or "").removeprefix("Kubernetes "))
    except InvalidVersion:
        return None


def _parted(lines: Lines, key: str, at: str) -> list[tuple[str, str, str]]:
    return [value.partition(at) for value in lines.all(key)]


def _manifest(words: list[str]) -> Manifest:
    # A manifest without a readable image has two words: component and hash.
    return Manifest(words[0], words[1] if len(words) > 2 else "", words[-1])  # noqa: PLR2004 - said above


def _room(words: list[str]) -> Room:
    place, total, free, *mount = words
    return Room(place, int(total), int(free), " ".join(mount))


def _unit(rows: list[list[str]]) -> KubeletUnit:
    shown = {words[0]: " ".join(words[1:]) for words in rows}
    return KubeletUnit(
        # systemd calls a unit that does not exist inactive with success: only LoadState tells.
        loaded=shown.get("LoadState") == "loaded",
        active=shown.get("ActiveState") == "active",
        state=shown.get("SubState", ""),
        restarts=int(shown.get("NRestarts") or 0),
        started=shown.get("ExecMainStartTimestamp", ""),
    )


def parse_offers(text: str, minors: Iterable[Minor]) -> tuple[Offer, ...]:
    """Read the whole answer of `offers`, one Offer for each minor asked for."""
    lines = Lines(text)
    if lines.first("end") != "offers":
        raise UnreadableAnswer("The machine's answer to `offers` is cut: run the survey again.")
    return tuple(_offer(lines, minor) for minor in minors)


def _offer(lines: Lines, minor: Minor) -> Offer:
    for state in (OfferState.ABSENT, OfferState.UNREACHABLE, OfferState.UNSIGNED, OfferState.EXPIRED_KEY):
        for value in lines.all(state):
            named, _, reason = value.partition(" ")
            if named == str(minor):
                return Offer(minor, state, reason=reason)
    by_package = {
        name: {v for m, p, v in lines.words("offer") if m == str(minor) and p == name} for name in UPGRADED_PACKAGES
    }
    shared = set.intersection(*by_package.values())
    if not shared:
        return Offer(minor, OfferState.ABSENT, reason="it has no version of all three packages")
    return Offer(minor, OfferState.OFFERED, versions=tuple(sorted(PackageVersion.parse(v) for v in shared)))
