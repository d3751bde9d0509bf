"""What a plan is another way than the one before it: kept beside the intent, for whoever read the older one."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Part(StrEnum):
    """The part of a plan that a change is in, in the order in which people are told."""

    HOPS = "hops"
    PACKAGES = "packages"
    MACHINE = "machine"
    POOL = "pool"
    VERSION = "version"  # what runs now
    OPTION = "option"
    CONSENT = "consent"
    FINDING = "finding"
    ESTIMATE = "estimate"


@dataclass(frozen=True, slots=True)
class Change:
    """One thing, before and after; "" where it was not there, or is not there any more."""

    part: Part
    subject: str
    before: str
    after: str


@dataclass(frozen=True, slots=True)
class Difference:
    """All changes since the plan before; none where the same would be done in the same way."""

    plan_id: str
    changes: tuple[Change, ...] = ()
