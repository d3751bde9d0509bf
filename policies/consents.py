"""What a person may consent to by name when asking for a plan; it stands in the plan, and so in its digest."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from cluster.errors import Refused
from cluster.findings import Finding, Severity
from cluster.options import Reboot, WorkerMoves
from cluster.plan import UpgradePlan

BLOCKERS = ("no-etcdctl", "removed-api-in-use", "two-member-etcd")  # finding codes that become warnings
OPTIONS: dict[str, tuple[str, bool | str]] = {  # word → field of Options, and what it becomes
    "delete-emptydir": ("delete_emptydir", True),
    "delete-unmanaged": ("delete_unmanaged", True),
    "workers-every-hop": ("workers", WorkerMoves.EVERY_HOP.value),
    "workers-within-skew": ("workers", WorkerMoves.WITHIN_SKEW.value),
    "reboot-never": ("reboot", Reboot.NEVER.value),
    "reboot-if-required": ("reboot", Reboot.IF_REQUIRED.value),
    "reboot-always": ("reboot", Reboot.ALWAYS.value),
    "surge": ("surge", True),
    "no-surge": ("surge", False),
}
_ONE_BY_ONE = frozenset({"daemonset-not-ready"})  # accepted for its subject alone, since verification spares that one


@dataclass(frozen=True, slots=True)
class Consents:
    """The codes of findings, and the plan's options, that somebody took upon themselves."""

    accepted: tuple[str, ...] = ()
    overrides: dict[str, bool | int | str] = field(default_factory=dict)


def read_consents(words: Iterable[str]) -> Consents:
    """Words into consents; raises Refused that names those there are."""
    wanted = sorted({part for word in words for part in word.lower().split(",") if part})
    for word in wanted:
        if word not in BLOCKERS and word not in OPTIONS:
            known = ", ".join(f"`{w}`" for w in (*BLOCKERS, *OPTIONS))
            raise Refused(f"`{word[:40]}` is nothing that a plan can be made to accept: name some of {known}.")
    overrides: dict[str, bool | int | str] = {}
    for word in (w for w in wanted if w in OPTIONS):
        option, value = OPTIONS[word]
        if overrides.setdefault(option, value) != value:
            other = next(w for w in wanted if w in OPTIONS and OPTIONS[w][0] == option)
            raise Refused(f"`{other}` and `{word}` contradict each other: name one of them.")
    return Consents(tuple(w for w in wanted if w in BLOCKERS), overrides)


def words_of(overrides: Mapping[str, bool | int | str]) -> tuple[str, ...]:
    """The options of a request, by the words that ask for them."""
    return tuple(word for word, (option, value) in OPTIONS.items() if overrides.get(option) == value)


def consents_of(plan: UpgradePlan, asked: tuple[str, ...] = ()) -> tuple[str, ...]:
    """The words that ask for the same once more; `asked` are those that also say no to what is the default."""
    options = plan.options
    taken = [w for w in BLOCKERS if w in plan.accepted]
    taken += ["delete-emptydir"] if options.delete_emptydir else []
    taken += ["delete-unmanaged"] if options.delete_unmanaged else []
    taken += [f"reboot-{options.reboot}"] if options.reboot is not Reboot.NEVER else []
    taken += ["surge"] if options.surge else []
    taken += [f"workers-{options.workers}"] if len(plan.hops) > 1 else []
    return tuple(dict.fromkeys((*taken, *asked)))


def acceptances(findings: Iterable[Finding]) -> tuple[str, ...]:
    """Every warning that the card shows: whoever approves the digest approves them with it."""
    return tuple(sorted({_acceptance(f) for f in findings if f.severity is Severity.WARNING}))


def _acceptance(finding: Finding) -> str:
    return f"{finding.code}:{finding.subject}" if finding.code in _ONE_BY_ONE else finding.code
