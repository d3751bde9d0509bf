"""Deletions that people asked for by name: each is asked for, allowed and done by one conditional write."""

from __future__ import annotations

from dataclasses import replace

from cluster.errors import StaleMove, UnknownThing
from cluster.events import Event
from cluster.force import ForceApproval, ForceRequest
from cluster.store.ledger import Check, Ledger, key, new_token, reading, record_events
from cluster.store.records import FORCE


class Forces(Ledger):
    """One hash per operation. What stands here allows nothing: the worker judges the signature."""

    def forces(self, operation_id: str) -> tuple[ForceRequest, ...]:
        """All of an operation that can be read."""
        texts = self.fields(_place(operation_id))

        def read(force_id: str) -> ForceRequest:
            with reading(force_id):
                return FORCE.validate_json(texts[force_id])

        return tuple(self.each(read, texts))

    def force(self, operation_id: str, force_id: str) -> ForceRequest:
        text = self.field(_place(operation_id), force_id)
        if text is None:
            raise UnknownThing(f"There is no deletion `{force_id[:40]}` in {operation_id[:40]}: ask for it anew.")
        with reading(force_id):
            return FORCE.validate_json(text)

    def ask_force(self, request: ForceRequest, event: Event) -> None:
        self._put(None, request, event)

    def approve_force(self, request: ForceRequest, approval: ForceApproval, event: Event) -> ForceRequest:
        """Raises StaleMove where somebody was quicker."""
        return self._put(request, replace(request, approval=approval), event)

    def end_force(self, request: ForceRequest, outcome: str, event: Event) -> None:
        """Note what became of it; nothing where that has been noted."""
        try:
            self._put(request, replace(request, outcome=outcome), event)
        except StaleMove:
            return

    def _put(self, before: ForceRequest | None, after: ForceRequest, event: Event) -> ForceRequest:
        place, expected = _place(after.operation_id), ""
        if before is not None:
            expected = self.field(place, before.id) or "-"
            if expected == "-" or FORCE.validate_json(expected) != before:
                raise _stale(before)
        effect = ("HSET", place, after.id, FORCE.dump_json(after).decode())
        checks = [Check("force", place, expected, after.id)]
        if self.commit(token=new_token(), checks=checks, effects=[effect, *record_events(event)]).refused:
            raise _stale(after)
        return after


def _place(operation_id: str) -> str:
    return key("forces", operation_id)


def _stale(request: ForceRequest) -> StaleMove:
    return StaleMove(f"The deletion {request.id} was decided meanwhile: nothing was changed.")
