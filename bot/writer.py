"""What an item of the outbox says: written when it is sent, from the records as they are then."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from bot.blocks import Message, section
from bot.bulletin_card import render_bulletin
from bot.dry_run_text import render_dry_run
from bot.force_card import FORCE, render_force
from bot.plan_card import render_plan
from bot.run_card import render_run
from bot.run_thread import ENDINGS, render_line, render_result
from bot.stop_card import REMINDER, STOP_CARDS, render_over, render_reminder, render_stop
from bot.survey_text import render_survey
from bot.text import code, escape
from cluster.errors import UnknownThing
from cluster.events import Event, Happened
from cluster.outbox import OutboxItem
from cluster.plan import PlanRecord
from cluster.report import ClusterReport
from cluster.settings import Settings
from cluster.store import Store
from policies.stops import stops_of

REFUSAL, SURVEY = "refusal", "survey"  # card keys of their own: told to one person, kept nowhere
WHISPERED = frozenset({REFUSAL, SURVEY})
_LATE = timedelta(minutes=2)  # a result that is told later says so


@dataclass(frozen=True, slots=True)
class Writer:
    """`look` reads the cluster as it is now; None when it cannot be read in time."""

    settings: Settings
    store: Store
    look: Callable[[str], ClusterReport | None]

    def write(self, item: OutboxItem, now: datetime) -> Message | None:
        """The message; None where there is nothing to say any more. Raises UnknownThing for a record that is gone."""
        kind, _, name = item.card_key.partition(":")
        if kind in {"plan", "run", "bulletin", FORCE, *STOP_CARDS}:
            return self._card(kind, name, now)
        if item.event is None:
            return None
        if kind == "result":
            return self._result(item.event, now)
        if kind in WHISPERED:
            return self._survey(name, item.event) if kind == SURVEY else self._refusal(name, item.event)
        if item.event.kind is Happened.DRY_RUN_FINISHED:
            return self._dry_run(item.event)
        return render_line(item.event, self._record(item.event))

    def _card(self, kind: str, name: str, now: datetime) -> Message | None:
        """As its record is now; None for a periodic report that a later one has taken the place of."""
        if kind == "plan":
            return render_plan(self.store.plan(name))
        if kind in STOP_CARDS:
            return self._stop(kind, name)
        if kind == FORCE:
            operation_id, _, force_id = name.partition("/")
            return render_force(self.store.force(operation_id, force_id))
        if kind == "run":
            operation = self.store.operation(name)
            return render_run(self.store.plan(operation.plan_id), operation, now)
        bulletin, slack = self.store.bulletin(), self.settings.slack
        if bulletin is None or bulletin.period != name:
            return None
        return render_bulletin(bulletin, slack.command if slack else "/k8s")

    def _stop(self, kind: str, name: str) -> Message | None:
        """A stop as it is by now, or the reminder of all of an operation; None where nothing stands still any more."""
        operation = self.store.operation(name.partition("/")[0])
        record, stops = self.store.plan(operation.plan_id), stops_of(operation)
        on_call = self.settings.on_call(operation.cluster)
        if kind == REMINDER:
            return render_reminder(record, operation, stops, on_call) if stops and on_call else None
        stop = next((s for s in stops if s.key == name), None)
        if stop is None:
            return render_over(record, operation, name)
        return render_stop(record, operation, stop, on_call)

    def _result(self, event: Event, now: datetime) -> Message:
        operation = self.store.operation(event.operation_id)
        record = self.store.plan(operation.plan_id)
        people = [self.settings.people.get(n) for n in dict.fromkeys((record.requester, operation.approved_by))]
        mention = tuple(p.slack for p in people if p is not None and p.slack)
        after = self.look(operation.cluster) if event.kind in ENDINGS else None
        late = now - event.at > _LATE
        return render_result(event, record, operation, after=after, mention=mention, delayed=late)

    def _dry_run(self, event: Event) -> Message | None:
        """In full while its answer is kept, which is for days."""
        answer = self.store.answer(event.facts.get("request", ""))
        return render_dry_run(answer.dry_run) if answer and answer.dry_run else None

    def _survey(self, request_id: str, event: Event) -> Message | None:
        """Of the last survey of that cluster, which is this one or a newer one."""
        survey, answer, slack = self.store.survey(event.cluster), self.store.answer(request_id), self.settings.slack
        if survey is None or answer is None:
            return None
        return render_survey(survey, answer.findings, slack.command if slack else "/k8s")

    def _refusal(self, request_id: str, event: Event) -> Message:
        request = self.store.request(request_id)
        target = escape(request.target or f"A {request.kind}", 40)
        cannot = {"dry-run": "cannot be tried", "survey": "cannot be made"}.get(request.kind, "cannot be planned")
        text = f"{target} on {code(event.cluster)} {cannot}: {escape(event.sentence, 1000)}"
        return Message(text, (section(text),))

    def _record(self, event: Event) -> PlanRecord | None:
        try:
            return self.store.plan(event.plan_id) if event.plan_id else None
        except UnknownThing:
            return None
