"""Whether a plan's hooks can run: each command on its machines, each webhook as it was approved."""

from __future__ import annotations

from collections.abc import Iterator

from cluster.findings import Finding, Severity
from cluster.hooks import PER_RUN, PlanHook
from cluster.inventory import Cluster
from cluster.plan import PlanNode, Role, UpgradePlan
from cluster.survey import Survey
from policies.wording import some_of


def check_hooks(plan: UpgradePlan, survey: Survey) -> Iterator[Finding]:
    """Of the machines that could be read; a hook that is not there would stop the run half way."""
    for node in plan.nodes:
        facts, wanted = survey.facts(node.name), _commands(plan, node)
        if facts is None or not wanted:
            continue
        if facts.hooks is None:
            sentence = f"The node script of {node.name} is of an earlier release: it runs no hooks that are asked for."
            remedy = "Install the output of `lockkeeper node-script` there, and plan again."
            yield Finding("hook-missing", Severity.BLOCKER, node.name, sentence, remedy)
        elif lacking := [name for name in wanted if name not in facts.hooks]:
            sentence = f"{node.name} has no hook of the name {some_of(lacking)}, which the plan runs there."
            remedy = "Put it, as root and mode 0755, into the folder of HOOKS in /etc/lockkeeper-node.conf there."
            yield Finding("hook-missing", Severity.BLOCKER, node.name, sentence, remedy)


def check_webhooks(plan: UpgradePlan, cluster: Cluster) -> Iterator[Finding]:
    """Those of the plan stand in the file as they were when it was made."""
    known = cluster.planned_hooks
    for hook in plan.hooks:
        if hook.is_webhook and hook not in known:
            sentence = f"The {hook} that the plan has for {hook.moment} is no longer in lockkeeper.yaml as it was."
            remedy = "Put it back, or plan again."
            yield Finding("hook-changed", Severity.BLOCKER, plan.cluster, sentence, remedy)


def tell_hooks(hooks: tuple[PlanHook, ...]) -> tuple[str, ...]:
    """A sentence for each, as whoever approves them wants them."""
    return tuple(
        f"{hook.moment}: {hook}{_where(hook)}, at most {hook.timeout} s; a failure "
        f"{'stops its node' if hook.on_failure == 'block' else 'is told, and the run goes on'}"
        for hook in hooks
    )


def _where(hook: PlanHook) -> str:
    if hook.is_webhook:
        return ""
    return " on the first control plane" if hook.moment in PER_RUN else " on each machine"


def _commands(plan: UpgradePlan, node: PlanNode) -> tuple[str, ...]:
    """Names of what runs on this machine."""
    first = node.role is Role.FIRST_CONTROL_PLANE
    mine = (h.name for h in plan.hooks if not h.is_webhook and (first or h.moment not in PER_RUN))
    return tuple(dict.fromkeys(mine))
