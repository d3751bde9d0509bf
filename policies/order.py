"""Which worker goes when, and why: zones spread, database primaries after the others, our own node last of all."""

from __future__ import annotations

from collections.abc import Iterator

from cluster.inventory import Cluster
from cluster.observation import Observation
from cluster.plan import PlanPool, Role, UpgradePlan
from cluster.report import ClusterReport
from cluster.workloads import Workloads
from policies.databases import Database, configured, find_databases, primary_nodes
from policies.drift import edited_nodes, running_version
from policies.pace import tell_budget, tell_pace
from policies.pools import form_pools, zone_of
from policies.wording import count_of, some_of

_OURS = ("app.kubernetes.io/name", "lockkeeper")  # as the chart labels its pods


def ordered_pools(seen: Observation, cluster: Cluster, left_out: frozenset[str] = frozenset()) -> tuple[PlanPool, ...]:
    """The pools of a plan, each in its order."""
    found = seen.examination.workloads
    last = primary_nodes(find_databases(found, configured(cluster)))
    return form_pools(seen.report, cluster, last=last, own=own_nodes(found), left_out=left_out)


def own_nodes(found: Workloads) -> frozenset[str]:
    """Where lockkeeper itself runs: whoever drains such a node stops a worker of ours, or the bot."""
    return frozenset(name for g in found.groups if _OURS in g.labels for name, _ in g.nodes)


def own_workers(seen: Observation, pools: tuple[PlanPool, ...]) -> tuple[str, ...]:
    """Those of the plan, in its order."""
    own = own_nodes(seen.examination.workloads)
    return tuple(n.name for p in pools for n in p.nodes if n.name in own and n.role is Role.WORKER)


def tell_order(plan: UpgradePlan, seen: Observation) -> tuple[str, ...]:
    """The order of the plan, a sentence for each reason."""
    return tuple(_reasons(plan, seen.report, find_databases(seen.examination.workloads, plan.options.databases)))


def _reasons(plan: UpgradePlan, report: ClusterReport, databases: tuple[Database, ...]) -> Iterator[str]:
    masters = [n.name for n in plan.nodes if n.role is not Role.WORKER]
    if len(masters) > 1:
        yield f"{masters[0]} begins, since `kubeadm upgrade apply` runs on one of them; the others follow by name."
    yield from _done_again(plan, report)
    workers = tuple(p for p in plan.pools if any(n.role is Role.WORKER for n in p.nodes))
    if workers:
        yield "Workers follow when every control plane is there: by name, and each pool within its own limit."
    for pool in workers:
        yield from _steps_up(pool)
        yield from _zones(pool, report)
    moving = {n.name for p in workers for n in p.nodes} - set(plan.last)
    for database in databases:
        if database.is_replicated and (nodes := [n for n in database.primaries if n in moving]):
            goes = "goes" if len(nodes) == 1 else "go"
            yield f"{some_of(nodes)} {goes} after the others of the pool: the primary of {database.place} is there."
    if plan.last:
        goes = "goes" if len(plan.last) == 1 else "go"
        yield f"{some_of(plan.last)} {goes} last of all: lockkeeper itself runs there, and so it moves only once."


def _done_again(plan: UpgradePlan, report: ClusterReport) -> Iterator[str]:
    """Of an upgrade that was left in the middle: whose control plane had its turn, and has it once more."""
    first, edited = next((h.target for h in plan.hops if h.whole), None), edited_nodes(report)
    servers = (s for s in report.api_servers if plan.node(s.node) and s.node not in edited)
    if done := [s.node for s in servers if running_version(s, report) == first]:
        runs, goes = ("runs", "goes") if len(done) == 1 else ("run", "go")
        yield (
            f"{some_of(done)} {runs} a control plane of {first} already and {goes} the whole way again: only the end "
            "of kubeadm itself tells that it was through."
        )


def _steps_up(pool: PlanPool) -> Iterator[str]:
    if pace := tell_pace(pool):
        yield f"The pool {pool.name} is not taken at once: {pace}."
    if budget := tell_budget(pool):
        again = "whoever could not be drained is tried once more when the others are through"
        yield f"Of the pool {pool.name} {budget}; {again}."


def _zones(pool: PlanPool, report: ClusterReport) -> Iterator[str]:
    """Said of pools in several zones; and where so many may be away that it does not help."""
    places: dict[str, list[int]] = {}
    for index, node in enumerate(pool.nodes):
        seen = report.node(node.name)
        if seen is not None and (zone := zone_of(seen)):
            places.setdefault(zone, []).append(index)
    if len(places) in {1, sum(map(len, places.values()))}:  # nothing to spread over, or a node in each anyway
        return
    told = some_of(f"{zone} ({count_of(len(at), 'node')})" for zone, at in sorted(places.items()))
    whole = [z for z, at in sorted(places.items()) if len(at) > 1 and at[-1] - at[0] < pool.max_unavailable]
    but = f"; {pool.max_unavailable} away at once may be all of {some_of(whole)}" if whole else ""
    yield f"The pool {pool.name} takes its zones in turn, so that none is without all its nodes at once: {told}{but}."
