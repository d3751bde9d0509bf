"""A whole bot on the lab's Slack and a real Redis, with a scripted cluster behind it."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from bot.plan_card import APPROVE, card_key
from bot.serve import build_bot, run
from cluster.events import Event, Happened
from cluster.plan import PlanRecord
from cluster.queues import Wakeups
from cluster.report import ClusterReport
from cluster.settings import Settings
from cluster.signing import public_line
from cluster.store import Store
from lab.slack import LabSlack
from tests.bot_fixture import CHANNEL, record, report, settings

PATIENCE = 30.0  # seconds; generous, since the machines that run tests are busy
ADA, GRACE, LINUS, GUS, OLGA = "U0ADA", "U0GRACE", "U0LINUS", "U0GUS", "U0OLGA"


@dataclass
class Desk:
    """The bot's surroundings; `start_bot` may be called again after `stop_bot`."""

    slack: LabSlack
    store: Store
    redis_url: str
    settings: Settings
    offset: timedelta = timedelta(0)
    lease: str = ""
    observe_error: Exception | None = None
    _bots: list[tuple[threading.Thread, threading.Event]] = field(default_factory=list)

    def name_clusters(self, *names: str) -> None:
        """The same cluster under several names, for a bot that is started afterwards."""
        clusters = dict.fromkeys(names, self.settings.clusters["prod"])
        self.settings = self.settings.model_copy(update={"clusters": clusters})

    def now(self) -> datetime:
        return datetime.now(UTC) + self.offset

    def observe(self, name: str) -> ClusterReport:
        if self.observe_error is not None and name == "prod":
            raise self.observe_error
        return replace(report(name), read_at=self.now())

    def start_bot(self) -> None:
        stop = threading.Event()
        bot = build_bot(
            self.settings,
            self.store,
            Wakeups.connect(self.redis_url),
            clock=self.now,
            observe=self.observe,
            lease_holder=lambda _: self.lease,
        )
        before = self.slack.sockets.count
        thread = threading.Thread(target=run, args=(bot, stop), daemon=True)
        self._bots.append((thread, stop))
        thread.start()
        self.slack.wait_for(lambda it: it.sockets.count > before)

    def stop_bot(self) -> None:
        for thread, stop in self._bots:
            stop.set()
            self.slack.cut_sockets()  # else the client waits out a read of three seconds
            thread.join(30)
        self._bots.clear()

    def propose(self, **changes: object) -> PlanRecord:
        made = record(requested_at=self.now(), expires_at=self.now() + timedelta(hours=1), **changes)
        event = Event(Happened.PLAN_PROPOSED, self.now(), "prod", "A plan.", plan_id=made.id)
        self.store.propose(made, event)
        self.slack.wait_for(lambda _: self.card(made))
        self._await_record(made)
        return made

    def _await_record(self, made: PlanRecord) -> None:
        """Slack has the card a moment before the bot has noted where it hangs."""
        deadline = time.monotonic() + PATIENCE
        while self.store.message(card_key(made.id)) is None:
            assert time.monotonic() < deadline, f"the card of {made.id} was not noted within {PATIENCE} s"
            time.sleep(0.01)

    def card(self, made: PlanRecord) -> str:
        """The ts of the plan's message; "" while there is none."""
        named = [m for m in self.slack.messages(CHANNEL) if made.id in self.slack.text(m) and "thread_ts" not in m]
        return str(named[0]["ts"]) if named else ""

    def told(self, user: str, words: str) -> str:
        """Wait until this person alone was told something with these words."""

        def find(slack: LabSlack) -> str:
            texts = [slack.text(m) for m in slack.ephemerals(user)]
            return next((t for t in texts if words.lower() in t.lower()), "")

        return self.slack.wait_for(find)

    def approve(self, user: str, made: PlanRecord) -> None:
        self.slack.click(user, self.card(made), APPROVE)


@pytest.fixture
def quiet_desk(store: Store, redis_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Desk]:
    """Everything but the bot."""
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    key = Ed25519PrivateKey.generate()
    form = serialization.PrivateFormat.OpenSSH
    text = key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption()).decode()
    with LabSlack() as slack:
        monkeypatch.setenv("LOCKKEEPER_TEST_BOT_TOKEN", slack.bot_token)
        monkeypatch.setenv("LOCKKEEPER_TEST_APP_TOKEN", slack.app_token)
        monkeypatch.setenv("LOCKKEEPER_TEST_SIGNING_KEY", text)
        chosen = settings(
            approvals={
                "approvers": ["grace", "gus", "ada"],
                "user_groups": ["S0KEEPERS"],
                "signing_key": {"env": "LOCKKEEPER_TEST_SIGNING_KEY"},
                "public_key": public_line(key),
            },
            slack={
                "bot_token": {"env": "LOCKKEEPER_TEST_BOT_TOKEN"},
                "app_token": {"env": "LOCKKEEPER_TEST_APP_TOKEN"},
                "team_id": "T0LAB",
                "api_url": slack.api_url,
            },
        )
        slack.unlimited()
        desk = Desk(slack, store, redis_url, chosen)
        yield desk
        desk.stop_bot()


@pytest.fixture
def desk(quiet_desk: Desk) -> Desk:
    """A bot at work."""
    quiet_desk.start_bot()
    return quiet_desk
