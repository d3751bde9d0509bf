"""The demo's story without a browser: ask, approve, watch; every Slack message is printed while it goes."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from bot.plan_card import card_key as plan_key
from cluster.errors import StoreUnavailable
from cluster.findings import blockers
from cluster.operation import Operation, OperationState
from cluster.plan import PlanKind, PlanRecord, PlanStatus
from lab.configuration import CHANNEL
from lab.rig import Rig
from lab.slack.workspace import Change, ChangeKind

ADA, GRACE = "U0ADA", "U0GRACE"

DONE, FAILED, WAITING = 0, 1, 3  # exit codes; 3: stopped, waiting for a person
ANSWER = 60.0  # seconds for an answer in Slack before the story gives up


@dataclass
class Story:
    """One play on one rig; `say` takes each line of it."""

    rig: Rig
    say: Callable[[str], None]
    _changes: queue.Queue[Change | None] = field(default_factory=queue.Queue)
    _blocked: tuple[PlanRecord, ...] = ()  # what the last request came to, where nothing of it can be approved
    _shown: dict[str, list[str]] = field(default_factory=dict)

    def play(self, target: str, *, deadline: float) -> int:
        """Ask for the target, approve what is offered (a revert first), and follow it to its end."""
        self.rig.slack.on_change(self._changes.put)
        printer = threading.Thread(target=self._print_changes, name="story-printer", daemon=True)
        printer.start()
        try:
            self.rig.slack.say(ADA, CHANNEL, "/k8s versions")
            if not self._wait(lambda: self.rig.slack.ephemerals(ADA), ANSWER):
                self.say("The bot did not answer `/k8s versions`.")
                return FAILED
            while True:
                record = self._ask_for_plan(target)
                if record is None:
                    return WAITING if self._refused() or self._told_of_blockers() else FAILED
                operation = self._approve_and_follow(record, deadline)
                if operation is None:
                    return FAILED
                if operation.state is not OperationState.COMPLETED:
                    self.say(f"{operation.id} is {operation.state}: {operation.reason}")
                    return WAITING
                if record.plan.kind is PlanKind.UPGRADE:
                    return DONE
        finally:
            self._changes.put(None)
            printer.join()

    def _ask_for_plan(self, target: str) -> PlanRecord | None:
        """The plan that can be approved: the upgrade, or the revert that must come first."""
        before = {record.id for record in self.rig.store.plans()}
        self._blocked = ()
        self.rig.slack.say(ADA, CHANNEL, f"/k8s plan {target}{self.rig.named}")
        found: list[PlanRecord] = []

        def offered() -> bool:
            new = [r for r in self.rig.store.plans() if r.id not in before and r.status is PlanStatus.PROPOSED]
            found[:] = [r for r in new if self._approve_button(r) is not None]
            if new and not self.rig.store.open_requests() and all(blockers(r.findings) for r in new):
                self._blocked = tuple(new)
            return bool(found or self._blocked) or self._refused()

        self._wait(offered, ANSWER)
        return found[0] if found else None

    def _refused(self) -> bool:
        texts = [self.rig.slack.text(m) for m in self.rig.slack.ephemerals(ADA)]
        return any("cannot be planned" in text or "not offered" in text for text in texts)

    def _told_of_blockers(self) -> bool:
        """Whether every plan that was drafted waits for somebody who clears its blockers; says which."""
        for record in self._blocked:
            codes = ", ".join(dict.fromkeys(f.code for f in blockers(record.findings)))
            self._wait(partial(self.rig.store.message, plan_key(record.id)), ANSWER)
            self.say(f"{record.id} is blocked by {codes}: nobody can approve it before that is cleared.")
        return bool(self._blocked)

    def _approve_button(self, record: PlanRecord) -> str | None:
        """The ts of the message whose Approve button carries this plan."""
        for message in self.rig.slack.messages(CHANNEL):
            for element in buttons(message):
                if element.get("action_id") == "plan_approve" and element.get("value") == record.token:
                    return str(message["ts"])
        return None

    def _approve_and_follow(self, record: PlanRecord, deadline: float) -> Operation | None:
        ts = self._approve_button(record)
        if ts is None:
            return None
        self.rig.slack.click(GRACE, ts, "plan_approve", confirm=True)
        run = self._wait_for_operation(record)
        if run is None:
            self.say("The click on Approve had no effect.")
            return None
        stopped = {OperationState.COMPLETED, OperationState.CANCELLED, OperationState.BLOCKED, OperationState.PARKED}
        self._wait(lambda: self._state(run) in stopped, deadline)
        operation = self.rig.store.operation(run)
        self._wait(lambda: self._last_card_says(operation), ANSWER)
        return operation

    def _wait_for_operation(self, record: PlanRecord) -> str | None:
        found: list[str] = []

        def there() -> bool:
            found[:] = [o.id for o in self.rig.store.operations() if o.plan_id == record.id]
            return bool(found)

        self._wait(there, ANSWER)
        return found[0] if found else None

    def _state(self, operation_id: str) -> OperationState | None:
        return self.rig.store.operation(operation_id).state

    def _last_card_says(self, operation: Operation) -> bool:
        """Whether Slack shows the end: the run's card, and the closing post."""
        words = {"completed": "completed", "blocked": "blocked", "cancelled": "cancelled", "parked": "paused"}
        return words[operation.state.value] in self.last_card().lower()

    def last_card(self) -> str:
        """The newest message of the channel that is not a reply."""
        roots = [m for m in self.rig.slack.messages(CHANNEL) if m.get("thread_ts", m["ts"]) == m["ts"]]
        return self.rig.slack.text(roots[-1]) if roots else ""

    def _wait(self, ready: Callable[[], Any], seconds: float) -> bool:
        """Whether it came true in time; a store that is away for a moment is not an answer."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            time.sleep(0.1)
            try:
                if ready():
                    return True
            except StoreUnavailable:
                continue
        return False

    def _print_changes(self) -> None:
        """One line of Slack after the other; of an edited message, only the lines that are new."""
        while True:
            change = self._changes.get()
            if change is None:
                return
            self._print(change)

    def _print(self, change: Change) -> None:
        message = change.what
        if change.kind not in {ChangeKind.POSTED, ChangeKind.EDITED} or message.get("channel") != CHANNEL:
            return
        lines = self.rig.slack.text(message).splitlines()
        old = self._shown.get(message["ts"], [])
        self._shown[message["ts"]] = lines
        indent = "    " if message.get("thread_ts", message["ts"]) != message["ts"] else ""
        who = f"(only {message['visible_to']} sees this) " if message["visible_to"] else ""
        edited = "(edited) " if change.kind is ChangeKind.EDITED else ""
        for line in lines:
            if line not in old:
                self.say(f"{indent}{who}{edited}{line}")


def buttons(message: dict[str, Any]) -> list[dict[str, Any]]:
    return [e for block in message.get("blocks", ()) if block["type"] == "actions" for e in block["elements"]]
