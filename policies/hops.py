"""Where an upgrade goes: the target resolved to one release, and one hop per minor on the way there."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from cluster.errors import Refused
from cluster.facts import Offer, OfferState
from cluster.findings import Finding, Findings, Severity
from cluster.plan import Hop
from cluster.report import Unread
from cluster.survey import Survey
from cluster.versions import KubeVersion, Minor, PackageVersion, Relative, Target
from policies.left_out import BLOCKED
from policies.releases import PatchFirst
from policies.wording import NAMED, some_of

FARTHEST = 8  # minors that a survey asks the package sources for; nobody goes farther in one plan


@dataclass(frozen=True, slots=True)
class Offered:
    """What every machine that could be asked offers of one minor."""

    versions: tuple[PackageVersion, ...]  # at all of them, to the revision; oldest first
    differing: tuple[KubeVersion, ...]  # releases that all of them have, but with different revisions


def minors_to_survey(base: KubeVersion, target: Target) -> tuple[Minor, ...]:
    """The lines whose offers decide: the current one, and each up to the target's; raises Refused."""
    last, current = line_of(target, base.minor), base.minor
    if last < current:
        raise _downgrade(target, base)
    steps = (last.major - current.major) * 1000 + last.minor - current.minor
    if steps > FARTHEST:
        raise Refused(f"{target} is {steps} minors ahead of {base}: name one that is at most {FARTHEST} ahead.")
    return tuple(current.after(i) for i in range(steps + 1))


def line_of(target: Target, current: Minor) -> Minor:
    """The minor that a target is of; `latest-patch` stays in the running one, `next` goes on by one."""
    match target:
        case KubeVersion():
            return target.minor
        case Minor():
            return target
        case Relative.LATEST_PATCH:
            return current
        case Relative.NEXT:
            return current.after()


def offered(survey: Survey, minor: Minor) -> Offered:
    """The intersection over all machines that answered; those that did not are findings elsewhere."""
    lists = [o.versions for _, o in offers_of(survey, minor) if o.state is OfferState.OFFERED]
    if not lists:
        return Offered((), ())
    versions = tuple(v for v in lists[0] if all(v in other for other in lists[1:]))
    releases = {v.version for v in lists[0]}.intersection(*({v.version for v in other} for other in lists[1:]))
    return Offered(versions, tuple(sorted(releases - {v.version for v in versions})))


def resolve(target: Target, current: KubeVersion, survey: Survey) -> KubeVersion:
    """`v1.35` is its newest release that every machine offers; raises Refused for whatever cannot be a target."""
    if isinstance(target, KubeVersion):
        _forward(target, current)
        _demand_offered(target.minor, survey, target)
        return target
    minor = line_of(target, current.minor)
    _demand_offered(minor, survey, None)
    choice = offered(survey, minor)
    return _forward(max({v.version for v in choice.versions} | set(choice.differing)), current)


def chain(
    target: KubeVersion, current: KubeVersion, survey: Survey, advice: PatchFirst | None = None
) -> tuple[tuple[Hop, ...], Findings]:
    """
    One hop per minor from `current`, each to the newest release between; raises Refused where one is missing.

    With `advice`, and where its machines offer one, first to the newest patch of the current minor.
    """
    releases = [
        target if minor == target.minor else resolve(minor, current, survey)
        for minor in way_of(current.minor, target.minor)
    ]
    newest = newer_patch(current, survey) if advice and target.minor != current.minor else None
    made = [hop_to(release, survey) for release in ([newest] if newest else []) + releases]
    told = [_newest_first(newest, advice)] if newest and advice else []
    return tuple(hop for hop, _ in made), (*told, *(f for _, found in made for f in found))


def check_left_patch(hops: tuple[Hop, ...], current: KubeVersion, survey: Survey) -> Findings:
    """Whether the plan leaves the running minor from an older patch than it could."""
    newest = newer_patch(current, survey)
    if newest is None or any(h.target.minor == current.minor for h in hops):
        return ()
    sentence = f"{newest} is offered while {current} runs: a minor is best left from its newest patch."
    remedy = "To take it on the way, plan `latest-patch` first."
    return (Finding("patches-behind", Severity.NOTE, str(newest), sentence, remedy),)


def newer_patch(current: KubeVersion, survey: Survey) -> KubeVersion | None:
    """The newest patch of the running minor that all machines offer, where it does not run already."""
    newest = max((v.version for v in offered(survey, current.minor).versions), default=current)
    return newest if newest > current else None


def _newest_first(newest: KubeVersion, advice: PatchFirst) -> Finding:
    sentence = f"The plan goes to {newest} first, the newest patch of {newest.minor}: {advice.reason}."
    return Finding("patch-first", Severity.NOTE, str(newest), sentence, f"Read {advice.source}")


def way_of(current: Minor, target: Minor) -> tuple[Minor, ...]:
    """The minors to go through; the current one alone when only the patch changes."""
    if current == target:
        return (target,)
    return tuple(current.after(i + 1) for i in range(target.minor - current.minor))


def hop_to(release: KubeVersion, survey: Survey) -> tuple[Hop, Findings]:
    """The hop with the packages of a release that all these machines offer, be it with different revisions."""
    choice = offered(survey, release.minor)
    exact = [v for v in choice.versions if v.version == release]
    if exact:
        return Hop(release, exact[-1], exact[-1], exact[-1]), ()
    seen = {
        name: next(v for v in reversed(o.versions) if v.version == release)
        for name, o in offers_of(survey, release.minor)
        if any(v.version == release for v in o.versions)
    }
    shown = ", ".join(f"{package} on {name}" for name, package in sorted(seen.items())[:6])
    finding = Finding(
        "package-differs",
        Severity.BLOCKER,
        str(release),
        f"The packages of {release} are not the same everywhere: {shown}.",
        "Point every machine at the same package source, and refresh its mirror.",
    )
    package = max(seen.values())
    return Hop(release, package, package, package), (finding,)


def _forward(target: KubeVersion, current: KubeVersion) -> KubeVersion:
    if target < current:
        raise _downgrade(target, current)
    return target


def _downgrade(target: Target, current: KubeVersion) -> Refused:
    sentence = f"{target} would be a downgrade: the cluster runs {current}, and Kubernetes supports going forward only."
    remedy = (
        f"Name a version newer than that, `latest-patch` for the newest of {current.minor}, or `next` for "
        f"{current.minor.after()}."
    )
    found = Finding("downgrade", Severity.BLOCKER, str(target), sentence, remedy)
    return Refused(f"{sentence} {remedy}", (found,))


def _demand_offered(minor: Minor, survey: Survey, release: KubeVersion | None) -> None:
    """Every machine that answers must offer it; raises Refused that names those that do not."""
    answers = tuple(offers_of(survey, minor))
    what = release or minor
    if not answers:
        reason = next((m.facts.reason for m in survey.machines if isinstance(m.facts, Unread)), "no machine is known")
        raise Refused(f"What is offered of {what} cannot be read: {reason}")
    lacking = [(name, offer) for name, offer in answers if _lacks(offer, release)]
    if lacking:
        raise _not_offered(what, minor, lacking, survey)
    if all(offer.state is OfferState.UNREACHABLE for _, offer in answers):
        raise Refused(f"No machine can reach its package source for {minor} ({answers[0][1].reason}): mend the source.")
    if release is None:
        choice = offered(survey, minor)
        if not choice.versions and not choice.differing:
            raise Refused(f"No release of {minor} is offered by all machines: bring their package sources in line.")


def _lacks(offer: Offer, release: KubeVersion | None) -> bool:
    """Whether a source that answered has no such release, or none of that minor at all."""
    has = offer.versions if release is None else any(v.version == release for v in offer.versions)
    return offer.state is not OfferState.UNREACHABLE and not has


def _not_offered(what: KubeVersion | Minor, minor: Minor, lacking: list[tuple[str, Offer]], survey: Survey) -> Refused:
    """With what to type where all of them are workers: a control plane cannot be left out."""
    by_reason: dict[str, list[str]] = {}
    for name, offer in lacking:
        reason = f"its newest of {minor} is {offer.newest.version}" if offer.newest else _why(offer)
        by_reason.setdefault(reason, []).append(name)
    told = "; ".join(f"{some_of(names)} ({why})" for why, names in by_reason.items())
    one, names = len(lacking) == 1, " ".join(name for name, _ in lacking)
    facts = [survey.facts(name) for name, _ in lacking]
    ways = ["name one that is", "mend that source" if one else "mend these sources"]
    if all(f is not None and not f.control_plane for f in facts):
        words = names if len(lacking) <= NAMED else BLOCKED
        ways.append(f"leave {'that worker' if one else 'these workers'} out (`without {words}`)")
    *first, last = ways
    sentence = f"{what} is not offered by the package source of {told}"
    remedy = f"{', '.join(first)}{',' * (len(first) > 1)} or {last}."
    found = Finding("package-not-offered", Severity.BLOCKER, str(what), f"{sentence}.", _capital(remedy))
    return Refused(f"{sentence}: {remedy}", (found,))


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _why(offer: Offer) -> str:
    words = {
        OfferState.ABSENT: f"it has no {offer.minor}",
        OfferState.UNSIGNED: f"its {offer.minor} is not signed",
        OfferState.EXPIRED_KEY: f"the key of its {offer.minor} has expired",
    }
    return words.get(offer.state, f"it has no release of {offer.minor}")


def offers_of(survey: Survey, minor: Minor) -> Iterator[tuple[str, Offer]]:
    """By machine, of those that answered."""
    for machine in survey.machines:
        if (offer := machine.offer(minor)) is not None:
            yield machine.name, offer
