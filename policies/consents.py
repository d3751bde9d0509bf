"""What a person may consent to by name when asking for a plan; it stands in the plan, and so in its digest."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from cluster.errors import Refused

BLOCKERS = ("no-etcdctl", "two-member-etcd")  # finding codes that become warnings
OPTIONS = {"delete-emptydir": "delete_emptydir", "delete-unmanaged": "delete_unmanaged"}  # word → field of plan.Options


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
    overrides: dict[str, bool | int | str] = {OPTIONS[w]: True for w in wanted if w in OPTIONS}
    return Consents(tuple(w for w in wanted if w in BLOCKERS), overrides)
