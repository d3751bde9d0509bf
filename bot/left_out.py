"""Workers that a plan leaves out, and the command that leaves out those that block it, in words."""

from __future__ import annotations

from bot.text import clean, listing
from cluster.plan import PlanKind, PlanRecord
from policies.consents import consents_of
from policies.left_out import BLOCKED

_MOST_NAMED = 20  # more workers are not typed one by one
_WIDTH = 1200  # characters, nor are very long names


def left_out_words(record: PlanRecord, most: int) -> str:
    """`w3 (node not ready), w17 and 5 more`; "" where nobody is left out, as nobody is of a rollback."""
    if record.plan.kind is PlanKind.ROLLBACK:
        return ""
    told = dict(record.left_out_for)
    names = (n.name for n in record.plan.left_out)
    return listing(tuple(clean(f"{n} ({told[n]})" if told.get(n) else n, 120) for n in names), most)


def words_without(record: PlanRecord) -> str:
    """What asks for the same plan without the workers that block this one, as typed in Slack; "" where none do."""
    if not record.blocked_workers:
        return ""
    consents = consents_of(record.plan, record.asked)
    accept = ["accept", *consents] if consents else []
    return " ".join((*_target(record), "without", *_names(record), *accept))


def options_without(record: PlanRecord) -> str:
    """The same for a terminal."""
    if not record.blocked_workers:
        return ""
    options = [f"--without {name}" for name in _names(record)]
    options += [f"--accept {word}" for word in consents_of(record.plan, record.asked)]
    return " ".join(("lockkeeper", *_target(record), *options))


def _target(record: PlanRecord) -> tuple[str, ...]:
    return "plan", str(record.plan.target), record.plan.cluster


def _names(record: PlanRecord) -> tuple[str, ...]:
    left_out = tuple(n.name for n in record.plan.left_out)
    names = (*left_out, *record.blocked_workers)
    if not _is_typed(names):
        names = (*left_out, BLOCKED) if _is_typed(left_out) else (BLOCKED,)
    return tuple(clean(n, 253) for n in names)


def _is_typed(names: tuple[str, ...]) -> bool:
    return len(names) <= _MOST_NAMED and sum(map(len, names)) <= _WIDTH
