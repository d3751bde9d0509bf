"""Operations and their rows; every move names what it was made from, and is refused when that has changed."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from enum import StrEnum
from itertools import islice

from cluster.errors import Fenced, RecordUnreadable, Refused, StaleMove, UnknownThing
from cluster.events import Event
from cluster.operation import NodeRow, Operation, OperationState, RowState, Wish, check_operation_move
from cluster.plan import UpgradePlan
from cluster.steering import extended, gone_on, resumed, retried, skipped, spared, wished
from cluster.store.changes import READ, Kept, changes_of, note_change, renew
from cluster.store.ledger import MOST, Check, Commit, Effect, Ledger, key, new_token, reading, record_events
from cluster.store.records import OPERATION, ROW

_RACES = 50  # a driver makes a few moves a second; losing against it this often means something else is wrong


class Moved(StrEnum):
    """What became of a move; `again`: it had been made before."""

    DONE = "done"
    AGAIN = "again"


@dataclass
class Operations(Ledger):
    """
    One hash per operation: its head, one field per row, and the fence of its last driver; beside it the names of the
    fields that each move changed, so that a reader who knows an older state reads those alone.
    """

    _kept: dict[str, Kept] = field(default_factory=dict, repr=False)

    def operation(self, operation_id: str) -> Operation:
        place = key("operation", operation_id)
        kept = self._kept.get(operation_id)
        kept = kept if kept and kept.is_fit else None
        began = time.monotonic()
        at, fence, names, texts = self.run(READ, [place, changes_of(place)], [kept.at if kept else ""])
        if fence is None:
            raise UnknownThing(f"There is no operation `{operation_id[:40]}`: look with `status`.")
        changed = dict(zip(names, texts, strict=True))
        with reading(operation_id):
            if kept is None or "nodes" in changed:
                rows = tuple(ROW.validate_json(changed[f"row:{n}"]) for n in json.loads(changed["nodes"]))
                operation = replace(OPERATION.validate_json(changed["head"]), rows=rows, fence=int(fence))
            else:
                operation = renew(kept.operation, changed, int(fence))
        if at and not operation.ended:  # without a moment it must be read whole again
            self._kept[operation_id] = Kept(at, operation, kept.whole_at if kept else began)
        else:
            self._kept.pop(operation_id, None)
        return operation

    def operations(self, cluster: str | None = None, most: int = MOST) -> tuple[Operation, ...]:
        """The newest ones, of one cluster or of all, newest first."""
        return tuple(islice(self.each(self.operation, self.operation_ids(cluster)), most))

    def operation_ids(self, cluster: str | None = None) -> Iterator[str]:
        """All there ever were, newest first, read as far as somebody looks."""
        return self.newest_first(key("operations") if cluster is None else key("operations", "of", cluster))

    def ended(self, cluster: str, most: int) -> tuple[Operation, ...]:
        """The newest of a cluster that have ended, without their rows: thousands of them say nothing any more."""
        found: list[Operation] = []
        for operation_id in self.operation_ids(cluster):
            if len(found) == most:
                break
            with suppress(ValueError):  # of a release that wrote it another way
                operation = OPERATION.validate_json(self.field(key("operation", operation_id), "head") or "")
                if operation.ended:
                    found.append(operation)
        return tuple(found)

    def states(self, operation_ids: Iterable[str]) -> dict[str, OperationState]:
        """The state of each of them that is on record."""
        found = {}
        for operation_id in operation_ids:
            with suppress(UnknownThing, RecordUnreadable):
                found[operation_id] = self.operation(operation_id).state
        return found

    def active(self) -> tuple[str, ...]:
        """Operations that have not ended."""
        return self.members(key("active"))

    def active_operations(self) -> tuple[Operation, ...]:
        """The same, as far as they can be read."""
        return tuple(self.each(self.operation, self.active()))

    def lock_holder(self, cluster: str) -> str | None:
        """The operation that holds the cluster's lock."""
        return self.text(key("lock", cluster))

    def move(
        self, before: Operation, after: Operation, *, fence: int | None, events: tuple[Event, ...], token: str
    ) -> Moved:
        """
        Change what differs between `before` and `after`, if nobody has changed it since, and record the events.

        A driver gives its fence and must hold the cluster's lock; people's moves have none. Raises Fenced, StaleMove.
        """
        if before.state is not after.state:
            check_operation_move(before.state, after.state)
        place = key("operation", after.id)
        checks = [Check("lock", key("lock", after.cluster), after.id)]
        if fence is not None:
            checks.append(Check("fence", place, str(fence), "fence"))
        changes = _changes(before, after)
        checks += self._unchanged(before, tuple(dict.fromkeys((*changes, *_grounds(before, after)))))
        effects: list[Effect] = [("HSET", place, name, new) for name, new in changes.items()]
        effects += note_change(place, tuple(changes))
        if after.ended and not before.ended:
            effects += _freeing(after.cluster, after.id)
        effects += record_events(*events)
        return _judge(self.commit(token=token, checks=checks, effects=effects), after, driven=fence is not None)

    def _unchanged(self, before: Operation, names: tuple[str, ...]) -> list[Check]:
        """Checks that these fields still say what `before` says; their text is compared, whichever release wrote it."""
        if not names:
            return []
        place = key("operation", before.id)
        stored = dict(zip(names, self.some_fields(place, names), strict=True))
        for name in names:
            if (text := stored[name]) is None or _parse(name, text) != _part(before, name):
                self._kept.pop(before.id, None)
                raise StaleMove(f"The operation {before.id} moved on meanwhile: look at it again with `status`.")
        return [Check("record", place, text or "", name) for name, text in stored.items()]

    def wish(self, operation_id: str, wish: Wish, person: str, event: Event) -> Operation:
        """Ask to pause or cancel; the driver does it after the nodes in hand. Refused where it makes no sense."""
        return self._steer(operation_id, replace(event, person=person), lambda o: wished(o, wish, person))

    def resume(self, operation_id: str, person: str, event: Event) -> Operation:
        """Go on: a pause is over, every blocked row begins a new attempt."""
        return self._steer(operation_id, replace(event, person=person), resumed)

    def go_on(self, operation_id: str, event: Event) -> Operation:
        """By itself, as the moment has come that its record names; raises Refused where that is not so any more."""
        return self._steer(operation_id, event, lambda o: gone_on(o, event.at))

    def retry(self, operation_id: str, node: str | None, person: str, event: Event) -> Operation:
        """A new attempt of the blocked step of one node, or of every blocked one."""
        return self._steer(operation_id, replace(event, person=person), lambda o: retried(o, node))

    def skip(self, operation_id: str, plan: UpgradePlan, node: str, person: str, event: Event) -> Operation:
        """Go on without one worker; `plan` is the operation's own."""
        return self._steer(operation_id, replace(event, person=person), lambda o: skipped(o, plan, node, person))

    def extend(self, operation_id: str, plan: UpgradePlan, node: str, minutes: int, event: Event) -> Operation:
        """More time for the drain of one node; `plan` is the operation's own, and the event names the person."""
        return self._steer(operation_id, event, lambda o: extended(o, plan, node, minutes))

    def spare(  # noqa: PLR0917 - what was chosen, part by part
        self, operation_id: str, alerts: tuple[str, ...], person: str, reason: str, minutes: int, event: Event
    ) -> Operation:
        """Go on in spite of these alerts, counted from the event's moment."""
        told = replace(event, person=person)
        return self._steer(operation_id, told, lambda o: spared(o, alerts, person, reason, minutes, event.at))

    def release(self, cluster: str, operation_id: str, person: str, event: Event) -> None:
        """End an operation by hand and free its cluster; its driver, if there is one, is fenced off."""
        fence = self.ask(lambda r: r.incr(key("fence", cluster)))
        try:
            operation = self.operation(operation_id)
        except UnknownThing:
            self._free(cluster, operation_id, (), event)
            return
        ended = replace(
            operation,
            state=OperationState.CANCELLED,
            wish=Wish.NONE,
            reason=f"its lock was released by {person}",
            ended_at=event.at,
        )
        place = key("operation", operation_id)
        more = (
            ("HSET", place, "head", _head(ended)),
            ("HSET", place, "fence", str(fence)),
            *note_change(place, ("head",)),
        )
        self._free(cluster, operation_id, more, event)

    def _free(self, cluster: str, operation_id: str, more: tuple[Effect, ...], event: Event) -> None:
        effects = [*more, *_freeing(cluster, operation_id), *record_events(event)]
        checks = [Check("lock", key("lock", cluster), operation_id)]
        done = self.commit(token=new_token(), checks=checks, effects=effects)
        if done.refused:
            raise StaleMove(f"The lock of {cluster} is not held by {operation_id} any more: look with `status`.")

    def _steer(self, operation_id: str, event: Event, change: Callable[[Operation], Operation]) -> Operation:
        """A person's move, made again on the newest record while a driver changes it at the same time."""
        token = new_token()
        for _ in range(_RACES):
            before = self.operation(operation_id)
            after = change(before)
            try:
                self.move(before, after, fence=None, events=(event,), token=token)
            except StaleMove:
                continue
            return after
        raise StaleMove(f"The operation {operation_id} changes faster than it can be steered: try again.")


def create_operation(operation: Operation) -> list[Effect]:
    """The effects that begin an operation."""
    place = key("operation", operation.id)
    rows = [("HSET", place, f"row:{r.node}", ROW.dump_json(r).decode()) for r in operation.rows]
    indexes = (key("operations"), key("operations", "of", operation.cluster))
    return [
        ("HSET", place, "head", _head(operation)),
        ("HSET", place, "cluster", operation.cluster),
        ("HSET", place, "fence", "0"),
        ("HSET", place, "nodes", json.dumps([r.node for r in operation.rows])),
        *rows,
        *note_change(place, ("nodes",)),
        ("SADD", key("active"), operation.id),
        *(("ZADD", index, str(operation.created_at.timestamp()), operation.id) for index in indexes),
    ]


def _head(operation: Operation) -> str:
    return OPERATION.dump_json(replace(operation, rows=(), fence=0)).decode()


def _part(operation: Operation, name: str) -> Operation | NodeRow:
    if name == "head":
        return replace(operation, rows=(), fence=0)
    return operation.row(name.removeprefix("row:"))


def _parse(name: str, text: str) -> Operation | NodeRow:
    return OPERATION.validate_json(text) if name == "head" else ROW.validate_json(text)


def _changes(before: Operation, after: Operation) -> dict[str, str]:
    """Field → new text, of what differs."""
    changes = {f"row:{r.node}": ROW.dump_json(r).decode() for r in after.rows if r != before.row(r.node)}
    if _part(before, "head") != _part(after, "head"):
        changes["head"] = _head(after)
    return changes


def _grounds(before: Operation, after: Operation) -> tuple[str, ...]:
    """Fields that a move rests on and leaves alone: the nodes for whose sake an operation stands still."""
    if after.state is not OperationState.BLOCKED or before.state is OperationState.BLOCKED:
        return ()
    return tuple(f"row:{r.node}" for r in before.rows if r.state is RowState.BLOCKED)


def _judge(done: Commit, operation: Operation, *, driven: bool) -> Moved:
    if not done.refused:
        return Moved(done.outcome)
    if done.failed == "fence" or (driven and done.failed == "lock"):
        raise Fenced(f"Another driver has {operation.id} now (fence {done.actual or 'none'}): this one stops.")
    if done.failed == "lock":
        raise Refused(f"The operation {operation.id} has ended: there is nothing to steer.")
    raise StaleMove(f"The operation {operation.id} moved on meanwhile: look at it again with `status`.")


def _freeing(cluster: str, operation_id: str) -> list[Effect]:
    return [("DEL", key("lock", cluster)), ("SREM", key("active"), operation_id)]
