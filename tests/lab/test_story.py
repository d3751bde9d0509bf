"""The demo's story on a lab's Slack: what it makes of an answer that is no plan to approve."""

from __future__ import annotations

import threading
from types import SimpleNamespace

import pytest

from cluster.errors import InvalidVersion
from cluster.events import Event, Happened
from cluster.findings import Severity
from lab.demo import judge_end, run_demo
from lab.story import WAITING, Story
from tests.bot_desk import desk, quiet_desk
from tests.bot_fixture import finding, record
from tests.redis_fixture import redis_server, redis_url, store

__all__ = ["desk", "quiet_desk", "redis_server", "redis_url", "store"]


def answer(desk):
    """A worker that drafts a blocked plan."""
    desk.slack.wait_for(lambda _: desk.store.open_requests())
    (request,) = desk.store.open_requests()
    made = record(requested_at=desk.now(), findings=(finding(Severity.BLOCKER),))
    desk.store.propose(made, Event(Happened.PLAN_PROPOSED, desk.now(), "prod", "A plan.", plan_id=made.id))
    desk.store.answer_request(request.id, plan_ids=(made.id,))


def test_a_blocked_plan_ends_the_story_at_once_with_the_code_for_a_person(desk):
    """There is nothing to wait for: somebody must clear the cause first."""
    said = []
    worker = threading.Thread(target=answer, args=(desk,))
    worker.start()
    code = Story(SimpleNamespace(slack=desk.slack, store=desk.store, named=" prod"), said.append).play(
        "v1.35.4", deadline=5
    )
    worker.join(10)
    assert code == WAITING
    assert any("p-1a2b3c4d is blocked by some-code" in line for line in said)


def test_a_target_that_is_no_version_starts_nothing():
    """A lab takes its time to start, and an answer in Slack to come."""
    with pytest.raises(InvalidVersion, match="`banana` is not a version"):
        run_demo(scenario="healthy", target="banana", headless=True, chaos=None, speed=0, port=0)


@pytest.mark.parametrize("target", ["v1.35", "next"])
def test_the_end_is_judged_by_what_the_target_meant(target):
    """`next` is a version once it is planned."""
    machines = {"w1": {"kubelet": "v1.35.4", "apiserver": "v1.35.4", "cordoned": False, "holds": ()}}
    world = SimpleNamespace(snapshot=lambda: machines)
    assert list(judge_end(world, machines, target, "Completed: lab runs v1.35.4", planned="v1.35.4")) == []
    assert list(judge_end(world, machines, target, "Completed: lab runs v1.35.9", planned="v1.35.9"))
