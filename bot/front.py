"""What stands behind bolt's listeners: every payload is acknowledged at once, read, and given to who answers it."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from bot import approvals, controls, dry_runs, exports, forces, listings, plans, reports, sparing, surveys
from bot.answers import Answers
from bot.asked import (
    Asked,
    clicked,
    entered,
    filled,
    from_action,
    from_command,
    from_mention,
    from_view,
    heard,
    metadata,
)
from bot.blocks import Message
from bot.commands import (
    Cancel,
    Command,
    DryRun,
    Export,
    Extend,
    ForceDelete,
    Help,
    IgnoreAlert,
    Pause,
    Plan,
    Resume,
    Retry,
    Rollback,
    Skip,
    Status,
    Survey,
    Versions,
)
from bot.controls import Control
from bot.force_card import ALLOW
from bot.grammar import NotUnderstood, UnknownCommand, parse_command, parse_mention
from bot.plan_card import APPROVE, DETAILS, REJECT
from bot.plan_notes import ticked
from bot.plan_views import REASON_BLOCK, REASON_FIELD
from bot.report_card import FILE, LISTING, SHARE
from bot.run_card import CANCEL, EXTEND, GO_ON, PAUSE, RESUME, RETRY, SKIP
from bot.source_news import SourceNews, render_news
from bot.spare_view import chosen_in
from bot.station import Station, said
from bot.text import clean
from bot.typed import said_to_us, unmarked
from policies.overview import Overview

Body = dict[str, Any]
Ack = Callable[..., Any]
_RUN_ACTIONS = {
    PAUSE: Control.PAUSE,
    RESUME: Control.RESUME,
    CANCEL: Control.CANCEL,
    RETRY: Control.RETRY,
    SKIP: Control.SKIP,
    EXTEND: Control.EXTEND,
}
_READING = frozenset({SHARE, LISTING, FILE})  # clicks that read a cluster, which takes its time
_DECISIONS: dict[str, Callable[[Station, Asked, str], Message | None]] = {APPROVE: approvals.click, ALLOW: forces.allow}
_WINDOWS = {REJECT: approvals.ask_for_reason, DETAILS: approvals.show_details, GO_ON: sparing.ask_for_reason}
_STEERED: dict[type[Command], Control] = {
    Pause: Control.PAUSE,
    Resume: Control.RESUME,
    Cancel: Control.CANCEL,
    Retry: Control.RETRY,
    Skip: Control.SKIP,
}
_Steering = Pause | Resume | Cancel | Retry | Skip | Extend | IgnoreAlert | ForceDelete


@dataclass(frozen=True)
class Front:
    """What stands between bolt's listeners and the work: acknowledge, hand over, answer."""

    station: Station
    work: Executor
    clicks: Executor  # of its own: a window must open within three seconds, however many reports are being read

    @cached_property
    def answers(self) -> Answers:
        return Answers(self.station.delivery)

    def command(self, ack: Ack, body: Body) -> None:
        ack()
        asked = from_command(body)
        text = unmarked(str(body.get("text") or ""))
        self.answers.hand_over(self.work, asked, lambda: self._run(asked, text, mention=False))

    def other_command(self, ack: Ack, body: Body) -> None:
        """The app in Slack and the configuration disagree about the command's name."""
        ack()
        name = clean(body.get("command"), 40)
        ours = self.station.command
        sentence = f"lockkeeper listens to `{ours}` here, not to `{name}`: set `slack.command`, or type `{ours} help`."
        self.answers.hand_over(self.clicks, from_command(body), lambda: said(sentence))

    def mention(self, body: Body) -> None:
        asked, (event_id, text) = from_mention(body), heard(body)
        if text and asked.user:  # bots are not answered: two of them would talk for ever
            self.answers.hand_over(self.work, asked, lambda: self._hear(asked, event_id, text))

    def _hear(self, asked: Asked, event_id: str, text: str) -> Message | None:
        """Slack sends an event again that it thinks lost, to whichever bot; two plans would come of it."""
        if event_id and not self.station.store.hear(event_id):
            return None
        return self._run(asked, said_to_us(text), mention=True)

    def _run(self, asked: Asked, text: str, *, mention: bool) -> Message | None:
        try:
            command = (parse_mention if mention else parse_command)(text, self.station.command)
        except UnknownCommand as error:
            return reports.show_help(self.station, str(error))
        except NotUnderstood as error:
            return said(str(error))
        # only an answer with a response_url can be shared: sharing posts through it
        return self._carry_out(asked, command, share=not mention)

    def _carry_out(self, asked: Asked, command: Command, *, share: bool) -> Message | None:  # noqa: PLR0911 - one a command
        station = self.station
        match command:
            case Help():
                return reports.show_help(station)
            case Versions(cluster):
                return self._report(asked, cluster, share=share)
            case Survey(cluster):
                return surveys.ask_for_survey(station, asked, cluster)
            case Status(cluster):
                return reports.report_status(station, asked, cluster)
            case Plan():
                return plans.ask_for_plan(station, asked, command)
            case Rollback(words):
                return plans.ask_for_rollback(station, asked, words)
            case Export():
                return exports.export(station, asked, command)
            case DryRun(plan):
                return dry_runs.ask_for_dry_run(station, asked, plan)
            case _:
                return self._steer(asked, command)

    @cached_property
    def _news(self) -> SourceNews:
        return SourceNews(self.station)

    def _report(self, asked: Asked, cluster: str | None, *, share: bool) -> Message | None:
        """At once, whatever is known; where the package sources told that long ago, they are asked behind it."""
        seen = reports.look(self.station, asked, cluster)
        self.answers.say(asked, reports.report_versions(self.station, seen, share=share))
        if isinstance(seen, Overview) and self._news.are_due(asked, seen):
            self._news.follow(seen, lambda now: self.answers.say(asked, render_news(seen, now)))
        return None

    def _steer(self, asked: Asked, command: _Steering) -> Message:
        """What is asked of a run."""
        station = self.station
        match command:
            case Retry(words) | Skip(words):
                return controls.steer_node(station, asked, _STEERED[type(command)], words)
            case Extend(node, minutes, cluster):
                return controls.extend_drain(station, asked, node, minutes, cluster)
            case IgnoreAlert():
                return sparing.ignore_alert(station, asked, command)
            case ForceDelete(pod, cluster):
                return forces.ask(station, asked, pod, cluster)
            case Pause(cluster) | Resume(cluster) | Cancel(cluster):
                return controls.steer_cluster(station, asked, _STEERED[type(command)], cluster)

    def action(self, ack: Ack, body: Body) -> None:
        """Every button, also one that an older release left in a channel."""
        ack()
        asked, (name, value) = from_action(body), clicked(body)
        hands = self.work if name in _READING else self.clicks
        self.answers.hand_over(hands, asked, lambda: self._act(asked, name, value))

    def _act(self, asked: Asked, name: str, value: str) -> Message | None:
        station = self.station
        if name in _RUN_ACTIONS:
            return controls.steer_operation(station, asked, _RUN_ACTIONS[name], value)
        if name in _DECISIONS:
            return _DECISIONS[name](station, asked, value)
        if name in _READING:
            return self._read(asked, name, value)
        if name not in _WINDOWS:
            return said("This button is not one that lockkeeper knows any more: look at the newest card, or `status`.")
        _WINDOWS[name](station, asked, value)
        return None

    def _read(self, asked: Asked, name: str, cluster: str) -> Message | None:
        """The report again, in the form of that button."""
        if name == SHARE:
            return self._share(asked, cluster)
        return listings.file_everything(self.station, asked, cluster) if name == FILE else self._list(asked, cluster)

    def _share(self, asked: Asked, cluster: str) -> Message | None:
        seen = reports.look(self.station, asked, cluster)
        if isinstance(seen, Overview) and self._news.are_due(asked, seen) and self._news.post(asked, seen):
            return None
        message = reports.report_versions(self.station, seen, share=False)
        if self.station.delivery.respond(asked.response_url, message, in_channel=True):
            return None
        return said("The report could not be shared: ask for it again and share that one.")

    def _list(self, asked: Asked, cluster: str) -> Message:
        """All parts to the person who clicked; the last one is answered as any answer is."""
        *first, last = reports.list_everything(self.station, asked, cluster)
        for part in first:
            self.answers.say(asked, part)
        return last

    def reason(self, ack: Ack, body: Body) -> None:
        """The modal that asks why a plan is rejected."""
        ack()
        token, channel = approvals.split_metadata(metadata(body))
        asked, why = from_view(body, channel), entered(body, REASON_BLOCK, REASON_FIELD) or "no reason given"
        self.answers.hand_over(self.clicks, asked, lambda: approvals.reject(self.station, asked, token, why))

    def notes(self, ack: Ack, body: Body) -> None:
        """The modal in which an approver confirms to have read the release notes."""
        ack()
        token, channel = approvals.split_metadata(metadata(body))
        asked, notes_read = from_view(body, channel), ticked(filled(body))
        self.answers.hand_over(self.clicks, asked, lambda: approvals.approve(self.station, asked, token, notes_read))

    def spared(self, ack: Ack, body: Body) -> None:
        """The modal that asks why a run may go on in spite of its alerts, and for how long."""
        ack()
        chosen = chosen_in(body)
        asked = from_view(body, chosen.channel)
        self.answers.hand_over(self.clicks, asked, lambda: sparing.go_on(self.station, asked, chosen))
