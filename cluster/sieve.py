"""Objects that are not as they should be: each costs itself alone, and is said."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, TypeVar

from cluster.report import Unread

MALFORMED = (KeyError, TypeError, ValueError, AttributeError, IndexError)
_NAMED = 5  # objects of one list that are named; the others are a number

T = TypeVar("T")
V = TypeVar("V")


@dataclass
class Sieve:
    """One list of one kind on its way into values; without a vital object the whole list is not to be relied upon."""

    kind: str
    is_vital: Callable[[Any], bool] = lambda _: False
    named: list[Unread] = field(default_factory=list)
    others: int = 0

    def read(self, items: Iterable[T], read_one: Callable[[T], V]) -> Iterator[V]:
        for item in items:
            try:
                value = read_one(item)
            except MALFORMED as error:
                self.note(item, error)
            else:
                yield value

    def note(self, item: object, error: Exception) -> None:
        vital = self._matters(item)
        if len(self.named) < _NAMED or vital:
            self.named.append(Unread(f"the {self.kind} {name_of(item)}", not_understood(error), single=not vital))
        else:
            self.others += 1

    def _matters(self, item: object) -> bool:
        try:
            return self.is_vital(item)
        except MALFORMED:
            return True

    @property
    def unread(self) -> tuple[Unread, ...]:
        """What did not get through."""
        if not self.others:
            return tuple(self.named)
        reason = "They were not understood either."
        return (*self.named, Unread(f"{self.others} more objects of the kind {self.kind}", reason, single=True))


def name_of(item: object) -> str:
    """`namespace/name`, as far as the object says so."""
    metadata: Any = item.get("metadata") if isinstance(item, dict) else None
    told = (metadata.get("namespace"), metadata.get("name")) if isinstance(metadata, dict) else ()
    return "/".join(str(part)[:253] for part in told if part) or "without a name"


def not_understood(error: Exception) -> str:
    reason = " ".join(str(error).split())
    return f"It was not understood ({type(error).__name__}: {reason[:200]})."
