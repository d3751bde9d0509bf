"""A report in Slack comes at once; what the package sources offer by then is asked for behind it, and said."""

from __future__ import annotations

import threading
from dataclasses import replace
from datetime import timedelta
from types import SimpleNamespace
from typing import cast

from bot.asked import Asked
from bot.report_card import SHARE
from bot.sights import Sights
from bot.source_news import SourceNews, render_news
from bot.sources import Sources
from bot.station import Station
from cluster.facts import Offer, OfferState
from cluster.offers import SourceAnswer, SourcesTold, WantedOffers
from cluster.queues import JobName, Wakeups
from cluster.store.ledger import key
from cluster.versions import Minor
from lab.slack.lint import lint_blocks
from tests.bot_desk import ADA, GRACE, LINUS, Desk, desk, quiet_desk
from tests.bot_fixture import CHANNEL, NASTY, NOW, overview
from tests.policies_fixture import make_offers
from tests.redis_fixture import redis_server, redis_url, store

__all__ = ["desk", "quiet_desk", "redis_server", "redis_url", "store"]

OFFERS = make_offers("1.34.7-1.1", "1.34.10-1.1")


def wanted(desk: Desk) -> WantedOffers:
    """What a worker finds, once it was asked for."""
    return desk.slack.wait_for(lambda _: desk.store.wanted_offers("prod"))


def answer(desk: Desk, *, reason: str = "") -> None:
    """As a worker does."""
    asked = wanted(desk)
    offers = () if reason else OFFERS
    answers = tuple(SourceAnswer(s.place, s.machines[0], offers, reason) for s in asked.sources)
    desk.store.save_sources(SourcesTold(asked.id, "prod", desk.now(), answers))


def queued(desk: Desk) -> int:
    waiting = Wakeups.connect(desk.redis_url).queue.get_job_ids()
    return sum(job.startswith("offers-prod-") for job in waiting)


def followers(others: set[threading.Thread]) -> int:
    """How many reports wait for what the sources tell, beside those that others wait for."""
    return sum(t.name == "sources-prod" for t in set(threading.enumerate()) - others)


def test_the_report_comes_at_once_and_what_the_sources_offer_after_it(desk: Desk) -> None:
    """To the person who asked, who can do nothing but wait for it; the next report knows it, and asks nobody."""
    desk.slack.say(ADA, CHANNEL, "/k8s versions prod")
    assert "not surveyed" in desk.told(ADA, "Versions in prod")
    assert [s.machines for s in wanted(desk).sources] == [("cp-1", "cp-2"), ("w-1", "w-2")]
    desk.slack.wait_for(lambda _: (JobName.OFFERS, "prod") in Wakeups.connect(desk.redis_url).queued())
    answer(desk)
    said = desk.told(ADA, "asked for the report")
    assert "the newest patch on offer of v1.34 is v1.34.10 (offered on " in said
    assert "where the report says" in said
    desk.slack.say(GRACE, CHANNEL, "/k8s versions prod")
    assert "v1.34.10 (offered on " in desk.told(GRACE, "Versions in prod")
    assert (desk.store.wanted_offers("prod"), queued(desk)) == (None, 1)


def test_two_who_ask_at_once_are_one_ask_and_both_are_told(desk: Desk) -> None:
    """Whichever bot they asked."""
    asking = (ADA, GRACE, LINUS)
    others = set(threading.enumerate())
    for person in asking:
        desk.slack.say(person, CHANNEL, "/k8s versions prod")
        desk.told(person, "Versions in prod")
    desk.slack.wait_for(lambda _: followers(others) == len(asking))
    first = wanted(desk)
    answer(desk)
    for person in asking:
        desk.told(person, "asked for the report")
    assert queued(desk) == 1
    assert desk.store.sources("prod").id == first.id  # type: ignore[union-attr]


def test_a_report_that_was_shared_meanwhile_is_edited(desk: Desk) -> None:
    """It is one message, which says in the end what is known in the end."""
    desk.slack.say(ADA, CHANNEL, "/k8s versions prod")
    desk.told(ADA, "Versions in prod")
    desk.slack.click(ADA, desk.slack.ephemerals(ADA)[0], SHARE)
    desk.slack.wait_for(lambda it: it.messages(CHANNEL))
    answer(desk)
    desk.slack.wait_for(lambda it: "v1.34.10 (offered on " in it.text(it.messages(CHANNEL)[0]))
    (shared,) = desk.slack.messages(CHANNEL)
    assert not [b for b in shared["blocks"] if b["type"] == "actions"]


def test_sources_that_were_asked_in_vain_are_said_with_the_reason(desk: Desk) -> None:
    """The report stands as it was."""
    desk.slack.say(ADA, CHANNEL, "/k8s versions prod")
    answer(desk, reason="cp-1: cannot be reached")
    said = desk.told(ADA, "asked for the report")
    assert "the package source of the control planes could not be read: asked in vain" in said
    assert "cp-1: cannot be reached" in said
    assert "never told" in said


def test_where_no_worker_is_at_work_the_report_says_so_in_the_end(desk: Desk) -> None:
    """With the day of the last answer, and what to start."""
    seen = overview()
    old = SourcesTold("a-0", "prod", NOW - timedelta(days=2), (SourceAnswer("x", "cp-1", OFFERS),))
    desk.store.save_sources(old)
    sources = Sources(_sights(desk), Wakeups.connect(desk.redis_url), patience=0.1)
    before = sources.sights.again(seen)
    after = sources.renew(before)
    (unread,) = after.support.unasked
    assert unread.reason.startswith("they last told on 2026-10-12: no worker answered")
    assert "start one with `lockkeeper worker`" in unread.reason
    assert replace(after, support=replace(after.support, unasked=())) == before
    said = render_news(before, after).text
    assert "no worker answered" in said
    assert "newest patch" not in said


def test_while_a_run_is_in_hand_nobody_is_asked(desk: Desk) -> None:
    """Versions move, and machines are away; whoever asks for it on a terminal is told so."""
    sources = Sources(_sights(desk), Wakeups.connect(desk.redis_url), patience=0.1)
    assert sources.are_due(overview(), desk.now())
    desk.store.ask(lambda r: r.set(key("lock", "prod"), "op-1"))
    assert not sources.are_due(overview(), desk.now())
    (unread,) = sources.renew(overview()).support.unasked
    assert "op-1 is in hand there" in unread.reason
    assert desk.store.wanted_offers("prod") is None


def test_a_guest_sends_nobody_to_the_machines(desk: Desk) -> None:
    """They look, and asking is work that others pay for."""
    sources = Sources(_sights(desk), Wakeups.connect(desk.redis_url))
    for is_guest in (True, False):
        person = SimpleNamespace(is_guest=is_guest)
        station = SimpleNamespace(
            check_home=lambda _, person=person: person,
            sights=sources.sights,
            wakeups=sources.wakeups,
            clock=desk.now,
        )
        news = SourceNews(cast("Station", station))
        assert news.are_due(Asked("U0GUS", CHANNEL, frozenset(), frozenset()), overview()) is not is_guest


def _sights(desk: Desk) -> Sights:
    return Sights(desk.settings, desk.store, desk.observe, desk.now)


def test_no_text_from_a_source_controls_the_message() -> None:
    """Reasons come from machines; many of them still fit."""
    for text in NASTY:
        silent = tuple(
            SourceAnswer(text, "w-1", (Offer(Minor(1, 34), OfferState.UNREACHABLE),), text) for _ in range(8)
        )
        told = SourcesTold("a-1", "prod", NOW, silent)
        message = render_news(overview(), overview(told=told))
        assert lint_blocks(list(message.blocks), "message") == ()
