"""A rig with the gestures of its people: what the stories of the product are written in."""

import time

import pytest

from cluster.plan import PlanStatus
from lab.configuration import CHANNEL
from lab.story import buttons

PATIENCE = 60.0  # seconds; generous, since the machines that run tests are busy


class Office:
    """A rig with the gestures of its people."""

    def __init__(self, made):
        self.rig = made
        self.slack = made.slack
        self.store = made.store
        self.world = made.world

    def until(self, ready, patience=PATIENCE):
        """The first true answer; fails with what Slack shows when there is none in time."""
        end = time.monotonic() + patience
        while time.monotonic() < end:
            if found := ready():
                return found
            time.sleep(0.1)
        shown = "\n".join(self.slack.text(m) for m in self.slack.messages(CHANNEL)[-5:])
        logs = "\n".join(f"--- {p.name}\n" + "\n".join(p.log.read_text().splitlines()[-15:]) for p in self.rig.parts)
        pytest.fail(f"it did not come true within {patience} s; Slack shows:\n{shown}\n{logs}")

    def whispered(self, user, gesture):
        """What only this person is told because of the gesture."""
        before = len(self.slack.ephemerals(user))
        gesture()
        return self.slack.text(self.until(lambda: self.slack.ephemerals(user)[before:])[-1])

    def type(self, user, text, channel=CHANNEL):
        return self.whispered(user, lambda: self.slack.say(user, channel, text))

    def plan(self, target="v1.35.4", user="U0ADA"):
        """Ask for a plan and wait for its card; returns the record and the card's ts."""
        known = {r.id for r in self.store.plans()}
        self.slack.say(user, CHANNEL, f"/k8s plan {target}")
        record = self.until(
            lambda: next((r for r in self.store.plans() if r.id not in known and r.status is PlanStatus.PROPOSED), None)
        )
        return record, self.until(lambda: self.card(record))

    def card(self, record):
        for message in self.slack.messages(CHANNEL):
            if any(e.get("value") == record.token for e in buttons(message)):
                return message["ts"]
        return None

    def click(self, user, ts, action):
        return self.whispered(user, lambda: self.slack.click(user, ts, action))
