"""A plan as a runbook: every step of every machine in its true order, as a person would type it."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count, groupby

from bot.leg_words import PHASES, say_at_once
from bot.markdown import code, codes, fenced, prose
from bot.plan_card import title as plan_title
from cluster.findings import blockers
from cluster.plan import PlanKind, PlanRecord
from cluster.procedure import DOING
from policies.handwork import Place, Typed, type_leg
from policies.legs import ANY_NUMBER, Leg, legs
from policies.permanence import find_permanent

_DOCUMENTED = "https://kubernetes.io/docs/tasks/administer-cluster/kubeadm/kubeadm-upgrade/"


def write_runbook(record: PlanRecord) -> str:
    """The document; raises Refused for a plan with a node's name that no shell should see."""
    number = count(1)
    lines = [*_head(record)]
    for hop, following in groupby(legs(record.plan), key=lambda leg: leg.hop):
        lines += [f"## Hop {hop + 1}: {record.plan.hops[hop].target}", ""]
        for leg in following:
            lines += _leg(record, leg, number)
    return "\n".join([*lines, *_end(record)]) + "\n"


def _head(record: PlanRecord) -> Iterator[str]:
    yield f"# Runbook: {prose(plan_title(record))}"
    yield ""
    yield f"Plan {code(record.id)} ({record.status}), digest {code(record.digest)},"
    yield "as lockkeeper would carry it out, but typed by hand."
    yield f"The commands are those of <{_DOCUMENTED}>. Stop wherever a check shows something else than it"
    yield "should: what follows relies on it. Only a worker may be left behind: give it its work and its package"
    yield "holds back, go on with the others, and plan for it later. Do not type any of it while lockkeeper itself"
    yield "carries a plan out."
    yield ""
    if stops := blockers(record.findings):
        yield "**This plan is blocked. Type nothing of it before this is cleared and it was planned again:**"
        yield ""
        yield from (f"- {code(f.code)}: {prose(f.sentence)}" for f in stops)
        yield ""
    if lasting := find_permanent(record):
        yield "What cannot be undone:"
        yield ""
        yield from (f"- {prose(p.sentence)}" for p in lasting)
        yield ""


def _leg(record: PlanRecord, leg: Leg, number: count[int]) -> Iterator[str]:
    """Where the nodes go side by side their texts do not differ, so they are typed once for all."""
    pool = f", pool {prose(leg.pool)}" if leg.pool else ""
    yield f"### {PHASES[leg.phase]}{pool}: {say_at_once(leg)}"
    yield ""
    if leg.at_once == ANY_NUMBER:
        where = code(leg.nodes[0]) if len(leg.nodes) == 1 else f"each of {codes(leg.nodes)}"
        yield from _steps(type_leg(record, leg, leg.nodes[0]), where, number)
        return
    for name in leg.nodes:
        yield from (f"#### {prose(name)}", "")
        yield from _steps(type_leg(record, leg, name), code(name), number)


def _steps(steps: Iterator[Typed], where: str, number: count[int]) -> Iterator[str]:
    for step in steps:
        place = f"on {where}" if step.place is Place.MACHINE else "with kubectl"
        yield f"**{next(number)}. {DOING[step.verb].capitalize()}**, {place}"
        yield ""
        if step.commands:
            yield from fenced("\n".join(step.commands))
            yield ""
        for command, shows in step.checks:
            yield f"Check that this shows {prose(shows)}:"
            yield ""
            yield from fenced(command)
            yield ""
        if step.note:
            yield from (prose(step.note), "")


def _end(record: PlanRecord) -> Iterator[str]:
    yield from ("## At the end", "")
    if record.plan.kind is PlanKind.REVERT:
        yield from ("Check that this shows the same version everywhere:", "")
    else:
        yield from (f"Check that this shows every node Ready, with {code(record.plan.target)} as its version:", "")
    yield from fenced("kubectl get nodes")
