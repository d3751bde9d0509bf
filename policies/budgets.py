"""What disruption budgets will say to a drain: two over one pod, none allowed, a status that cannot be relied upon."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby

from cluster.findings import Finding, Severity
from cluster.observation import Observation
from cluster.options import DatabaseRule
from cluster.report import Budget
from cluster.workloads import Guard, Workload
from policies.databases import Database, is_primary, operator_of
from policies.wording import count_of, some_of

_ONE = 1  # budgets that an eviction puts up with


def check_budgets(
    seen: Observation, databases: tuple[Database, ...], rules: tuple[DatabaseRule, ...], *, drained: bool
) -> Iterator[Finding]:
    """Every budget that holds up a drain; the report's alone where nobody read whom they guard."""
    moved = {(d.namespace, d.name) for d in databases if d.is_replicated and d.operator.moves_on_cordon}
    guards = {(g.namespace, g.name): g for g in seen.examination.workloads.guards}
    guarded = _guarded(seen.examination.workloads.groups)
    if drained:
        yield from _doubled(seen.examination.workloads.groups)
    yield from (_lagging(g) for key, g in guards.items() if g.lag and key in guarded)
    for budget in seen.report.budgets:
        guard = guards.get((budget.namespace, budget.name))
        pods = guarded.get((budget.namespace, budget.name), [])
        if budget.allowed > 0 or (guard and guard.lag) or _is_handed_over(pods, moved, rules):
            continue
        if guard and _is_deadlocked(guard):
            yield _deadlocked(guard, pods)
        else:
            yield _none_allowed(budget, guard, pods)


def _guarded(groups: tuple[Workload, ...]) -> dict[tuple[str, str], list[Workload]]:
    found: dict[tuple[str, str], list[Workload]] = {}
    for group in groups:
        for name in group.budgets:
            found.setdefault((group.namespace, name), []).append(group)
    return found


def _doubled(groups: tuple[Workload, ...]) -> Iterator[Finding]:
    """The server answers such an eviction with 500, today and tomorrow."""

    def budgets(group: Workload) -> tuple[str, tuple[str, ...]]:
        return group.namespace, group.budgets

    doubled = sorted((g for g in groups if len(g.budgets) > _ONE and g.running), key=budgets)
    for (namespace, names), some in groupby(doubled, key=budgets):
        pods = list(some)
        sentence = (
            f"The disruption budgets {' and '.join(names)} of {namespace} both guard {_told(pods)}: "
            "the API evicts no pod that more than one budget selects."
        )
        remedy = "Narrow the selector of one of them, or delete it; then plan again."
        yield Finding("two-budgets", Severity.BLOCKER, f"{namespace}/{' and '.join(names)}", sentence, remedy)


def _lagging(guard: Guard) -> Finding:
    sentence = f"The status of the disruption budget {guard.place} cannot be relied upon: {guard.lag}."
    remedy = (
        f"Look with: kubectl -n {guard.namespace} describe poddisruptionbudget {guard.name}. "
        "Until it is current, the API lets none of its pods go."
    )
    return Finding("budget-not-observed", Severity.WARNING, guard.place, sentence, remedy)


def _is_handed_over(pods: list[Workload], moved: set[tuple[str, str]], rules: tuple[DatabaseRule, ...]) -> bool:
    """Whether it guards primaries alone, of databases whose operators move them away from a cordoned node."""
    operators = [(operator_of(p, rules), p) for p in pods]
    return bool(pods) and all(
        o is not None and is_primary(p, o) and (p.namespace, dict(p.labels)[o.cluster]) in moved for o, p in operators
    )


def _is_deadlocked(guard: Guard) -> bool:
    """Too few are healthy, and so not even those that are not may be evicted."""
    return guard.healthy < guard.needed < guard.expected and not guard.lets_unhealthy_go


def _deadlocked(guard: Guard, pods: list[Workload]) -> Finding:
    sick = guard.expected - guard.healthy
    sentence = (
        f"The disruption budget {guard.place} has {guard.healthy} healthy pods and needs {guard.needed}: none may be "
        f"evicted, not even {count_of(sick, 'pod')} that {'is' if sick == 1 else 'are'} not ready.{_where(pods)}"
    )
    remedy = (
        "Bring its pods back to health, or set `unhealthyPodEvictionPolicy: AlwaysAllow` in it, which lets those go "
        "that serve nobody."
    )
    return Finding("budget-guards-unhealthy", Severity.WARNING, guard.place, sentence, remedy)


def _none_allowed(budget: Budget, guard: Guard | None, pods: list[Workload]) -> Finding:
    place, always = f"{budget.namespace}/{budget.name}", budget.needed >= budget.expected
    sentence = f"The disruption budget {place} demands {budget.needed} of {budget.expected} pods: " + (
        "none of them may ever be evicted." if always else "none of them may be evicted now."
    )
    remedy = "A drain of their nodes waits, and gives the node back at its time-out: " + _way_out(guard, always=always)
    return Finding("budget-allows-none", Severity.WARNING, place, sentence + _where(pods), remedy)


def _way_out(guard: Guard | None, *, always: bool) -> str:
    if not always:
        return "bring its pods back to health."
    if guard is not None and (guard.demand.startswith("maxUnavailable") or guard.demand.endswith("%")):
        return f"relax the budget; with `{guard.demand}` more replicas do not help."
    return "scale up, or relax the budget."


def _where(pods: list[Workload]) -> str:
    return f" It guards {_told(pods)}." if pods else ""


def _told(pods: list[Workload]) -> str:
    nodes = sorted({node for p in pods for node, _ in p.nodes})
    return some_of(sorted({p.place for p in pods})) + (f" on {some_of(nodes)}" if nodes else "")
