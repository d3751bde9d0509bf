"""Hooks, reboots and how pods are treated: what is seen before an approval, and where a hook has stopped a run."""

from dataclasses import replace

import pytest

from bot.plan_card import render_plan
from bot.plan_page import write_page
from bot.plan_views import details_view
from bot.run_card import SKIP, skip_choice
from bot.terminal import render_plan as render_on_terminal
from cluster.hooks import Moment
from cluster.operation import OperationState, RowState
from cluster.options import Options, PodRule, Reboot, Treatment
from cluster.procedure import Verb, itinerary
from tests.bot_fixture import operation, record
from tests.policies.test_hooks import HOOKS
from tests.policies_fixture import draft, make_cluster, make_record

RULES = (PodRule("app=gluster", Treatment.STAY, "storage"), PodRule("app=broker", Treatment.LAST))
OPTIONS = Options(reboot=Reboot.IF_REQUIRED, pod_rules=RULES, surge=True)
SHOWN = make_record(drafted=draft(cluster=make_cluster(hooks=HOOKS), options=OPTIONS))
PODS = ("app=gluster in the namespace storage stay where they are", "app=broker leave when all others have", "second")
FORMS = {
    "card": lambda: str(render_plan(SHOWN).blocks),
    "full plan": lambda: str(details_view(SHOWN)),
    "document": lambda: write_page(SHOWN, ("grace",)),
    "terminal": lambda: render_on_terminal(SHOWN),
}


@pytest.mark.parametrize("form", FORMS)
def test_whoever_approves_sees_the_hooks_the_reboots_and_the_pods(form):
    """By name; of an address the host alone."""
    text = FORMS[form]()
    for words in ("check-backup", "leave-balancer", "https://cmdb.example.org", "reboot", *PODS):
        assert words in text
    assert "t0k3n" not in text


@pytest.mark.parametrize(
    ("name", "verb", "label"),
    [
        ("w-1", Verb.POST_UPGRADE, "Go on without"),
        ("cp-1", Verb.POST_RUN, "Go on without"),
        ("w-1", Verb.INSTALL_KUBELET, "Skip it"),
        ("cp-1", Verb.PRE_RUN, None),
    ],
)
def test_the_button_says_what_is_gone_on_without(name, verb, label):
    """A hook that follows what is done, or a worker; a condition of a control plane has none."""
    made = record()
    hooks = tuple(replace(SHOWN.plan.hooks[0], moment=moment) for moment in Moment)
    made = replace(made, plan=replace(made.plan, hooks=hooks))
    node = made.plan.node(name)
    position = [s.verb for s in itinerary(made.plan, node)].index(verb)
    run = operation(OperationState.BLOCKED)
    row = replace(run.row(name), position=position, state=RowState.BLOCKED)
    buttons = list(skip_choice(made, run, row))
    assert [b["text"]["text"] for b in buttons] == ([label] if label else [])
    assert all(b["action_id"].startswith(SKIP) for b in buttons)
