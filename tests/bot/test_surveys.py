"""`survey`: the machines are asked anew, and what they told is said to the person who asked."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bot.blocks import BUDGET, text_size
from bot.notifier import items_for
from bot.survey_text import render_survey
from cluster.errors import Refused
from cluster.events import Event, Happened
from cluster.report import Unread
from cluster.requests import request_survey
from cluster.survey import Survey, SurveyedMachine
from lab.slack.lint import lint_blocks
from tests.bot_desk import ADA, GUS, Desk, desk, quiet_desk
from tests.bot_fixture import CHANNEL, NASTY, NOW, finding, settings
from tests.policies_fixture import FACTS, make_survey
from tests.redis_fixture import redis_server, redis_url, store

__all__ = ["desk", "quiet_desk", "redis_server", "redis_url", "store"]


def test_a_survey_asked_for_in_slack_is_told_to_the_one_who_asked(desk: Desk) -> None:
    """Also in another channel; the cluster's own sees nothing of it."""
    desk.slack.say(ADA, "C0RANDOM", "/k8s survey prod")
    desk.told(ADA, "Asking 7 machines of `prod`")
    (request,) = desk.store.open_requests()
    assert (request.kind, request.cluster, request.person) == ("survey", "prod", "ada")
    lost = SurveyedMachine("w2", Unread("machine w2", "refused"))
    whole = make_survey()
    desk.store.save_survey(replace(whole, machines=(*whole.machines[:-1], lost)))
    event = Event(Happened.SURVEY_FINISHED, desk.now(), "prod", "Asked.", facts={"request": request.id})
    desk.store.answer_request(request.id, findings=(finding(),), event=event)
    said = desk.told(ADA, "4 machines of `prod` told how they are; not read: w2.")
    assert "Something is off on w-1." in said
    assert "/k8s versions prod" in said
    assert desk.slack.messages(CHANNEL) == []


def test_a_guest_may_not_send_lockkeeper_to_the_machines(desk: Desk) -> None:
    """It is read-only, and still work that others pay for."""
    desk.slack.say(GUS, CHANNEL, "/k8s survey")
    assert desk.told(GUS, "guest")
    assert desk.store.open_requests() == ()


def test_a_cluster_without_machines_cannot_be_asked() -> None:
    """In one sentence that says what to add."""
    place = settings().clusters["prod"].model_copy(update={"machines": {}})
    with pytest.raises(Refused, match=r"add clusters\.edge\.machines to lockkeeper\.yaml"):
        request_survey("edge", place, "r-1", "ada", NOW)


def test_a_survey_that_ended_is_one_private_message() -> None:
    """By the request, so that it is told once."""
    event = Event(Happened.SURVEY_FINISHED, NOW, "prod", "Asked.", facts={"request": "r-1"})
    assert [(i.id, i.card_key) for i in items_for("1-0", event, CHANNEL)] == [("post:survey:r-1", "survey:r-1")]


@pytest.mark.parametrize("text", NASTY)
def test_no_text_from_a_machine_controls_the_message(text: str) -> None:
    """Names and reasons are data; thousands of silent machines fit."""
    silent = tuple(SurveyedMachine(f"{text}{n}", Unread(text, text)) for n in range(3000))
    made = Survey(text or "prod", NOW, (SurveyedMachine("w1", FACTS), *silent))
    message = render_survey(made, tuple(replace(finding(text=text), code=f"c-{n}") for n in range(30)), "/k8s")
    assert "22 more findings: a plan finds them too" in str(message.blocks)
    assert lint_blocks(list(message.blocks), "message") == ()
    assert text_size(message.blocks) < BUDGET
