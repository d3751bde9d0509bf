"""Everything that a listener may touch, and the checks on a person that every command shares."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from bot.asked import Asked
from bot.blocks import Message, section
from bot.delivery import Delivery
from bot.people import People
from bot.sights import Sights
from bot.text import escape
from cluster.errors import Refused
from cluster.events import Event, Happened
from cluster.operation import Operation
from cluster.queues import Wakeups
from cluster.report import ClusterReport
from cluster.settings import Settings
from cluster.store import Store
from policies.approvals import SlackUser


@dataclass(frozen=True, slots=True)
class Station:
    """One bot's tools; `observe` and `lease_holder` read the named cluster and may take seconds."""

    settings: Settings
    store: Store
    wakeups: Wakeups
    delivery: Delivery
    people: People
    clock: Callable[[], datetime]
    observe: Callable[[str], ClusterReport]
    lease_holder: Callable[[str], str]
    signing_key: Ed25519PrivateKey | None = None

    @property
    def sights(self) -> Sights:
        """The same reads, judged with what is on record."""
        return Sights(self.settings, self.store, self.observe, self.clock)

    @property
    def command(self) -> str:
        return self.settings.slack.command if self.settings.slack else "/k8s"

    def check_home(self, asked: Asked, *, fresh: bool = False) -> SlackUser:
        """The account; raises Refused for whoever is not of our workspace: bots, deleted ones, strangers included."""
        slack = self.settings.slack
        user = self.people.user(asked.user, fresh=fresh) if slack and asked.is_home(slack.team_id) else None
        if user is None or user.is_bot or user.deleted or user.is_stranger:
            raise Refused("lockkeeper answers people of its own workspace only: ask a colleague there.")
        return user

    def person(self, asked: Asked) -> str:
        """The name of who asked in `people:`; raises Refused for a guest and for somebody not in it."""
        if self.check_home(asked).is_guest:
            raise Refused("A guest of this workspace may look, but change nothing: ask a member.")
        name = self.settings.person_of_slack(asked.user)
        if name is None:
            raise Refused(
                f"Your Slack account `{asked.user[:30]}` belongs to nobody in `people` of lockkeeper.yaml: "
                "have yourself added there."
            )
        return name

    def approver_groups(self, person: str) -> Mapping[str, frozenset[str]]:
        """The members of Slack's groups of approvers; none are asked for where this person is listed by name."""
        approvals = self.settings.approvals
        return {} if person in approvals.approvers else self.people.groups(approvals.user_groups)

    def evidence(self, asked: Asked, person: str, groups: Mapping[str, frozenset[str]]) -> str:
        """How the right to approve was seen, for what is signed."""
        if person in self.settings.approvals.approvers:
            return "approver list"
        group = next((g for g, members in groups.items() if asked.user in members), "")
        return f"user group {group} at {self.clock():%H:%M} UTC"

    def event(self, kind: Happened, operation: Operation, sentence: str, person: str) -> Event:
        """What a person asked of a running operation."""
        return Event(
            kind,
            self.clock(),
            operation.cluster,
            sentence,
            plan_id=operation.plan_id,
            operation_id=operation.id,
            person=person,
        )


def said(sentence: str) -> Message:
    """A one-sentence answer; names in our sentences stand in backticks, so mrkdwn is kept and only escaped."""
    text = escape(sentence, 1500)
    return Message(text, (section(text),))


def new_id(prefix: str) -> str:
    return f"{prefix}-{secrets.token_hex(4)}"
