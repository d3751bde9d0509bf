"""The periodic report is looked at in time, kept once whoever sends, and posted through the outbox."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from bot.blocks import BUDGET, text_size
from bot.bulletin_card import card_key, render_bulletin
from bot.bulletins import Bulletins
from bot.outbox import Sender
from bot.rounds import Round
from bot.sights import Sights
from cluster.bulletin import Bulletin
from cluster.errors import ClusterUnreadable
from cluster.events import Happened
from cluster.settings import Digest
from lab.slack.lint import lint_blocks
from tests.bot_fixture import NASTY, report, settings
from tests.redis_fixture import redis_server, redis_url, store

__all__ = ["redis_server", "redis_url", "store"]

DIGEST = Digest(every="daily", at="09:00")
MORNING = datetime(2026, 11, 25, 9, 0, tzinfo=UTC)


def at_once(work):
    work()


class Delivery:
    """Takes every post and remembers it."""

    def __init__(self):
        self.posts = []

    def post(self, channel, message, thread=""):
        self.posts.append((channel, message.text, thread))
        return f"{len(self.posts)}.0"


class Bench:
    """Bots on one store; each has its own clock argument, and the cluster is what `seen` says."""

    def __init__(self, store):
        self.store, self.seen, self.looks = store, report("prod"), 0
        self.delivery = Delivery()

    def bot(self, begin=at_once):
        """A bot that was just started."""
        sights = Sights(settings(), self.store, self.observe, lambda: MORNING)
        return Bulletins(DIGEST, "C0NEWS", self.store, sights, begin)

    def observe(self, _):
        self.looks += 1
        if self.seen is None:
            raise ClusterUnreadable("prod does not answer.")
        return self.seen

    def send(self, now):
        Sender(settings(), self.store, self.delivery, lambda _: None).send_due(now)
        return [text for _, text, _ in self.delivery.posts]


@pytest.fixture
def bench(store):
    return Bench(store)


def test_it_is_posted_once_a_period_to_its_channel(bench):
    """However often a bot looks at the clock, and after a restart."""
    for minute in range(5):
        bench.bot().step(MORNING + timedelta(minutes=minute))
        bench.send(MORNING + timedelta(minutes=minute))
    assert bench.looks == 1
    assert [(c, t) for c, _, t in bench.delivery.posts] == [("C0NEWS", "")]
    assert "1 in the first report. prod: " in bench.delivery.posts[0][1]


def test_the_next_period_tells_only_what_changed(bench):
    """A quiet one says that it is quiet."""
    bot = bench.bot()
    bot.step(MORNING)
    bench.send(MORNING)
    bot.step(MORNING + timedelta(days=1))
    assert bench.send(MORNING + timedelta(days=1))[-1] == "Clusters on 2026-11-26: nothing changed since 2026-11-25."
    bench.seen = replace(bench.seen, nodes=bench.seen.nodes[:-1])
    bot.step(MORNING + timedelta(days=2))
    assert bench.send(MORNING + timedelta(days=2))[-1].endswith("changed since 2026-11-26. prod: nodes: 7 \u2192 6")


def test_two_bots_that_look_at_the_same_time_tell_it_once(bench):
    """The lease may have changed hands in the middle: what is kept first stays."""
    works = []
    for _ in range(2):
        bench.bot(begin=works.append).step(MORNING)
    for work in works:
        work()
    assert bench.looks == 2
    assert len(bench.store.outbox_pending()) == 1
    assert len(bench.send(MORNING)) == 1


def test_a_look_that_takes_long_is_not_begun_twice(bench):
    """The sender goes on meanwhile."""
    works = []
    bot = bench.bot(begin=works.append)
    for minute in range(3):
        bot.step(MORNING + timedelta(minutes=minute))
    assert len(works) == 1
    works[0]()
    bot.step(MORNING + timedelta(minutes=4))
    assert len(works) == 1


def test_nothing_is_told_before_its_hour(bench):
    """Of a day whose report was told."""
    bot = bench.bot()
    bot.step(MORNING)
    bench.send(MORNING)
    bot.step(MORNING + timedelta(hours=23, minutes=59))
    assert bench.looks == 1


def test_a_cluster_that_cannot_be_read_is_told_and_keeps_nothing_up(bench):
    """It is a line like any other."""
    bench.seen = None
    bench.bot().step(MORNING)
    assert "unreadable: prod does not answer." in bench.send(MORNING)[0]


class Workers:
    """Answers each survey that it is woken for, unless it sleeps; `asked` remembers them."""

    def __init__(self, store, *, asleep=False):
        self.store, self.asleep, self.asked = store, asleep, []

    def ask_for_survey(self, request_id):
        self.asked.append(self.store.request(request_id))
        if not self.asleep:
            self.store.answer_request(request_id)


def test_where_it_is_wanted_the_machines_are_asked_before(bench):
    """Once a period, whichever bot looks; the newest patches on offer are those of that moment."""
    workers = Workers(bench.store)
    for _ in range(2):
        Round(settings(), bench.store, workers).go("2026-11-25", MORNING)
    assert [(r.kind, r.cluster, r.person) for r in workers.asked] == [("survey", "prod", "")] * 2
    assert len({r.id for r in workers.asked}) == 1
    assert len([e for _, e in bench.store.feed() if e.kind is Happened.SURVEY_ASKED]) == 1


def test_workers_that_are_away_do_not_keep_the_report_up(bench):
    """What was known of the machines is told with its age then."""
    workers = Workers(bench.store, asleep=True)
    bot = bench.bot()
    bot.ask_machines = Round(settings(), bench.store, workers, patience=0.02).go
    bot.step(MORNING)
    assert len(workers.asked) == 1
    assert len(bench.send(MORNING)) == 1


def test_a_mistake_is_tried_again_after_a_while(bench, caplog):
    """And does not end the thread of whoever sends."""
    broken = bench.store.keep_bulletin
    bench.store.keep_bulletin = None
    bot = bench.bot()
    bot.step(MORNING)
    bench.store.keep_bulletin = broken
    bot.step(MORNING + timedelta(minutes=1))
    assert bench.store.bulletin() is None
    bot.step(MORNING + timedelta(minutes=6))
    assert bench.store.bulletin().period == "2026-11-25"
    assert "could not be made" in caplog.text


def test_one_that_a_later_one_overtook_is_not_posted(bench):
    """Slack was away for a day: nobody needs yesterday's news twice."""
    bot = bench.bot()
    bot.step(MORNING)
    bot.step(MORNING + timedelta(days=1))
    assert bench.send(MORNING + timedelta(days=1)) == ["Clusters on 2026-11-26: nothing changed since 2026-11-25."]


@pytest.mark.parametrize("text", NASTY)
def test_a_report_with_any_text_in_it_is_taken(text):
    """However many clusters changed however much."""
    news = tuple((f"{text}-{n}", tuple(f"{text} {m}" for m in range(40))) for n in range(50))
    message = render_bulletin(Bulletin("2026-11-25", MORNING, "2026-11-24", news, 3, ()), "/k8s")
    assert lint_blocks(list(message.blocks), "message") == ()
    assert text_size(message.blocks) < BUDGET
    assert message.text.strip()


def test_its_card_is_named_by_its_day():
    """That is what makes it one."""
    assert card_key("2026-11-25") == "bulletin:2026-11-25"
