"""Hooks of a plan: what is approved is what the file has, on machines that have it."""

from dataclasses import replace

import pytest
from pydantic import ValidationError

from cluster.findings import blockers
from cluster.hooks import Moment, OnFailure
from cluster.inventory import Hook
from cluster.procedure import Verb
from policies.differences import find_difference
from policies.drafting import recheck
from policies.handwork import type_leg
from policies.hooks import check_hooks, check_webhooks, tell_hooks
from policies.legs import legs
from tests.policies_fixture import FACTS, draft, make_cluster, make_record, make_report, make_survey, see

WEBHOOK = {"webhook": "https://cmdb.example.org/hooks/t0k3n", "secret": {"env": "CMDB_SECRET"}}
HOOKS = {
    "pre-run": [{"command": "check-backup"}],
    "pre-drain": [{"command": "leave-balancer", "timeout": "2m"}],
    "post-run": [{**WEBHOOK, "on_failure": "go-on"}],
}
EVERY = frozenset(n.name for n in make_report().nodes)


def told(**hooks):
    """The findings about a survey in which machines have these hooks; None: their script does not tell."""
    survey = make_survey(
        facts={n: replace(FACTS, hooks=hooks.get(n, ("check-backup", "leave-balancer"))) for n in EVERY}
    )
    plan = draft(cluster=make_cluster(hooks=HOOKS)).plan
    return {(f.code, f.subject) for f in check_hooks(plan, survey)}


def test_a_plan_has_the_hooks_of_its_cluster():
    """In the order of their moments; of a webhook's address only the host is shown."""
    plan = draft(cluster=make_cluster(hooks=HOOKS)).plan
    assert [(h.moment, h.name, h.timeout, h.on_failure) for h in plan.hooks] == [
        (Moment.PRE_RUN, "check-backup", 300, OnFailure.BLOCK),
        (Moment.PRE_DRAIN, "leave-balancer", 120, OnFailure.BLOCK),
        (Moment.POST_RUN, "https://cmdb.example.org", 10, OnFailure.GO_ON),
    ]
    assert "t0k3n" not in repr(plan)
    assert tell_hooks(plan.hooks) == (
        "pre-run: `check-backup` on the first control plane, at most 300 s; a failure stops its node",
        "pre-drain: `leave-balancer` on each machine, at most 120 s; a failure stops its node",
        "post-run: webhook https://cmdb.example.org, at most 10 s; a failure is told, and the run goes on",
    )


@pytest.mark.parametrize(
    ("hooks", "found"),
    [
        ({}, set()),
        ({"w1": None}, {("hook-missing", "w1")}),
        ({"w1": ()}, {("hook-missing", "w1")}),
        ({"w1": ("leave-balancer",), "cp1": ("leave-balancer",)}, {("hook-missing", "cp1")}),  # once, on the first
    ],
)
def test_a_command_has_to_be_on_the_machines_that_run_it(hooks, found):
    """Otherwise the run would stop half way."""
    assert told(**hooks) == found


def test_a_missing_hook_blocks_the_plan_and_its_beginning():
    """At planning, and once more before the first step."""
    cluster = make_cluster(hooks=HOOKS)
    drafted = draft(cluster=cluster)
    assert {f.code for f in blockers(drafted.findings)} >= {"hook-missing"}
    assert "hook-missing" in {f.code for f in recheck(drafted.plan, see(), cluster)}


@pytest.mark.parametrize("change", [{"webhook": "https://cmdb.example.org/hooks/other"}, {"tries": 5}, {"timeout": 3}])
def test_a_webhook_that_changed_since_the_approval_blocks_the_beginning(change):
    """Another address is another plan, although nobody sees it."""
    plan = draft(cluster=make_cluster(hooks=HOOKS)).plan
    assert not list(check_webhooks(plan, make_cluster(hooks=HOOKS)))
    hook = {**WEBHOOK, "on_failure": "go-on", **change}
    other = make_cluster(hooks={**HOOKS, "post-run": [hook]})
    assert [f.code for f in check_webhooks(plan, other)] == ["hook-changed"]
    assert draft(cluster=other).plan.digest != plan.digest
    assert "hook-changed" in {f.code for f in recheck(plan, see(), other)}


def test_a_plan_says_what_its_hooks_do_another_way_than_the_one_before():
    """The address itself is not told."""
    other = {**HOOKS, "post-run": [{**WEBHOOK, "webhook": "https://cmdb.example.org/other", "on_failure": "go-on"}]}
    old, new = (make_record(drafted=draft(cluster=make_cluster(hooks=h))) for h in (HOOKS, other))
    made = find_difference(old, new)
    assert made is not None
    assert [c.subject for c in made.changes] == ["hook post-run https://cmdb.example.org"]


def test_a_person_would_run_the_same_by_hand():
    """Root's own, with the words that they are given; of a webhook whom to tell."""
    record = make_record(drafted=draft(cluster=make_cluster(hooks=HOOKS)))
    typed = {(leg.phase, t.verb): t.commands for leg in legs(record.plan) for t in type_leg(record, leg, leg.nodes[0])}
    by_verb = {verb: commands for (_, verb), commands in typed.items()}
    assert by_verb[Verb.PRE_RUN] == ('sudo "$HOOKS/check-backup" pre-run v1.35.4',)
    assert by_verb[Verb.PRE_DRAIN] == ('sudo "$HOOKS/leave-balancer" pre-drain v1.35.4',)
    assert by_verb[Verb.POST_RUN] == ("# tell https://cmdb.example.org",)


@pytest.mark.parametrize(
    ("hook", "why"),
    [
        ({}, "exactly one of"),
        ({"command": "a", **WEBHOOK}, "exactly one of"),
        ({"webhook": WEBHOOK["webhook"]}, "needs a `secret`"),
        ({"command": "a", "secret": {"env": "X"}}, "needs a `secret`"),
        ({**WEBHOOK, "webhook": "http://cmdb.example.org"}, "https"),
        ({"command": "../sh"}, "name of a file"),
        ({"command": "before-apply"}, "name of a file"),
        ({"command": "a", "timeout": "2h"}, "less than or equal"),
    ],
)
def test_a_hook_that_cannot_be_is_refused_with_what_to_write(hook, why):
    """When the file is read."""
    with pytest.raises(ValidationError, match=why):
        Hook.model_validate(hook)


def test_a_moment_that_there_is_not_is_refused():
    """And those that there are, are named."""
    with pytest.raises(ValidationError, match="pre-run"):
        make_cluster(hooks={"before": [{"command": "a"}]})


def test_a_webhook_on_this_host_needs_no_certificate():
    """Its messages leave no host."""
    hook = Hook.model_validate({**WEBHOOK, "webhook": "http://127.0.0.1:8080/x"}).planned(Moment.PRE_RUN)
    assert (hook.name, hook.is_webhook, hook.tries) == ("http://127.0.0.1:8080", True, 3)
