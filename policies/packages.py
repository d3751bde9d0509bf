"""The Kubernetes packages on one machine: whole, the ones that run, and moved by nobody else."""

from __future__ import annotations

from collections.abc import Iterator

from cluster.errors import InvalidVersion
from cluster.facts import UPGRADED_PACKAGES, MachineFacts, Offer, OfferState
from cluster.findings import Finding, Severity
from cluster.packages import PackageLock
from cluster.report import Node
from cluster.versions import KubeVersion, PackageVersion
from policies.wording import count_of, some_of

GOES_BACK = 1000  # above this priority apt installs an older version too
_BEYOND_REPAIR = ("in a mess", "half installed")  # in dpkg's words: only installing them anew ends it
_PATIENCE = 5 * 60  # seconds that a step waits for another package manager, as the node script does


def check_packages(node: Node, facts: MachineFacts, offers: tuple[Offer, ...]) -> Iterator[Finding]:
    yield from _interrupted(node, facts)
    if away := [offer for offer in offers if offer.state is OfferState.UNREACHABLE]:
        minors = some_of(str(offer.minor) for offer in away)
        sentence = f"{node.name} cannot reach its package source for {minors} ({away[0].reason[:200]})."
        yield _stop("source-unreachable", node, sentence, "Mend its network, proxy or mirror, and plan again.")
    if offers:  # for a plan; in a report of hours later it would not be true any more
        yield from _locks(node, facts)
    yield from _binaries(node, facts)
    yield from _others(node, facts)


def _interrupted(node: Node, facts: MachineFacts) -> Iterator[Finding]:
    """What `dpkg --configure -a` may finish is finished by the run; what it cannot is for a person."""
    broken = [p for p in facts.packages if p.name in UPGRADED_PACKAGES and not p.whole]
    if not facts.dpkg_problem and not broken:
        return
    what = facts.dpkg_problem or f"{', '.join(p.name for p in broken)} is not installed whole"
    sentence = f"dpkg on {node.name} was interrupted ({what[:200]})."
    if any(words in facts.dpkg_problem for words in _BEYOND_REPAIR) or not all(p.begun for p in broken):
        remedy = "Install these packages anew there, then run: sudo dpkg --configure -a"
        yield _stop("dpkg-interrupted", node, sentence, remedy)
    else:
        remedy = (
            "An upgrade finishes that first when this machine's turn has come; to have it done now, run there: "
            "sudo dpkg --configure -a"
        )
        yield _warn("dpkg-interrupted", node, sentence, remedy)


def _locks(node: Node, facts: MachineFacts) -> Iterator[Finding]:
    """Who works with packages there; one that was at it for longer than a step waits may well be so at the step."""
    holders = {lock.pid: lock for lock in facts.package_locks or ()}
    if not holders:
        return
    files = some_of(dict.fromkeys(lock.file for lock in facts.package_locks or ()))
    who = some_of(map(_holder, holders.values()))
    sentence = f"Packages on {node.name} are locked by {who}: {files}."
    remedy = "A step there waits five minutes for it, and fails then. Let it finish, or see what keeps it"
    if pids := ",".join(str(pid) for pid in holders if pid):
        remedy += f": ps -fp {pids}"
    brief = all(lock.seconds is not None and lock.seconds < _PATIENCE for lock in holders.values())
    yield Finding("packages-locked", Severity.NOTE if brief else Severity.WARNING, node.name, sentence, f"{remedy}.")


def _holder(lock: PackageLock) -> str:
    if not lock.pid:
        return "a process that the machine does not show"
    since = "" if lock.seconds is None else f", begun {_span(lock.seconds)} ago"
    return f"{lock.command or 'a process'} (pid {lock.pid}{since})"


def _span(seconds: int) -> str:
    for size, unit in ((86400, "day"), (3600, "hour"), (60, "minute")):
        if seconds >= size:
            return count_of(seconds // size, unit)
    return count_of(seconds, "second")


def _binaries(node: Node, facts: MachineFacts) -> Iterator[Finding]:
    if any(u.what == "packages" for u in facts.unread):
        return
    for name, binary in (("kubeadm", facts.kubeadm), ("kubelet", facts.kubelet)):
        package = facts.package(name)
        if binary is None:
            continue
        if package is None:
            sentence = (
                f"{name} {binary} on {node.name} belongs to no package that dpkg knows: it was put there by hand."
            )
            remedy = (
                f"Install {name} of that version from a package source; an upgrade by packages would not replace it."
            )
            yield _stop("binary-without-package", node, sentence, remedy)
        elif package.whole and (installed := _release(package.version)) not in {None, binary.version}:
            sentence = f"{node.name} finds {name} {binary} first, while its package {name} is {installed}."
            remedy = f"Look there with: command -v {name}. Take the other one away: it hides what the package brings."
            # The kubelet's service names its program by path; kubeadm is the one that the PATH finds.
            yield (
                _stop("another-binary", node, sentence, remedy)
                if name == "kubeadm"
                else _warn("another-binary", node, sentence, remedy)
            )


def _release(version: str) -> KubeVersion | None:
    try:
        return PackageVersion.parse(version).version
    except InvalidVersion:
        return None


def _others(node: Node, facts: MachineFacts) -> Iterator[Finding]:
    """What else may move these packages: a pin, or upgrades that nobody watches."""
    if facts.pins:
        rules = some_of(map(str, facts.pin_rules)) or some_of(facts.pins)
        sentence = f"{node.name} pins Kubernetes packages ({rules[:300]}); exact versions override it."
        remedy = "Move the pin to the new version afterwards"
        if any(pin.priority > GOES_BACK for pin in facts.pin_rules):
            remedy += ": with that priority any apt-get upgrade goes back to the old one"
        yield Finding("version-pinned", Severity.NOTE, node.name, sentence, f"{remedy}.")
    if not facts.unattended_upgrades:
        return
    free = [p for p in UPGRADED_PACKAGES if facts.package(p) and facts.held is not None and p not in facts.held]
    if free:
        verb = "is" if len(free) == 1 else "are"
        sentence = f"{node.name} has unattended upgrades, and {some_of(free)} {verb} not on hold there."
        yield _warn("unattended-upgrades", node, sentence, f"Hold them: apt-mark hold {' '.join(free)}")
    else:
        sentence = f"{node.name} has unattended upgrades; Kubernetes packages are on hold during the run."
        yield Finding("unattended-upgrades", Severity.NOTE, node.name, sentence, "Keep Kubernetes out of them.")


def _stop(code: str, node: Node, sentence: str, remedy: str) -> Finding:
    return Finding(code, Severity.BLOCKER, node.name, sentence, remedy)


def _warn(code: str, node: Node, sentence: str, remedy: str) -> Finding:
    return Finding(code, Severity.WARNING, node.name, sentence, remedy)
