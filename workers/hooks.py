"""A moment's hooks, one after the other: root's own executables on the machine, and signed messages to webhooks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cluster.errors import InvalidConfig, LockkeeperError
from cluster.hooks import PER_RUN, Moment, OnFailure, PlanHook
from cluster.inventory import Hook
from workers.complaint import find_complaint
from workers.cordon import read_node, stays_at_work
from workers.crashpoints import around
from workers.remote import await_running, run_remote
from workers.site import Site, StepBlocked, StepDone
from workers.webhook import send


class HookFailed(LockkeeperError):  # noqa: N818 - reads as a fact, as in cluster/errors.py
    """One hook did not do what it is for; the text says which and why."""


def run_hooks(site: Site) -> StepDone:
    """Each of this moment's, once per attempt; raises StepBlocked at the first that fails, unless the run may go on."""
    moment = Moment(site.step.verb)
    if moment is Moment.PRE_DRAIN and stays_at_work(site, read_node(site)):
        return StepDone(f"{site.node.name} is not drained, so that no hook runs before it.")
    ran, failed = [], []
    for index, hook in enumerate(h for h in site.plan.hooks if h.moment is moment):
        try:
            _run(site, hook, f"-h{index}")
        except HookFailed as error:
            if hook.on_failure is OnFailure.BLOCK:
                raise _blocked(site, moment, str(error)) from error
            site.tell(f"{str(error).rstrip('.')}. The run goes on, as this hook is configured.")
            failed.append(str(hook))
        else:
            ran.append(str(hook))
    where = "" if moment in PER_RUN else f" on {site.node.name}"
    sentence = f"Hooks {moment}{where}: {', '.join(ran) or 'none'} ran"
    sentence += f"; {', '.join(failed)} failed." if failed else "."
    return StepDone(sentence, {"hooks": ", ".join(ran)} | ({"failed": ", ".join(failed)} if failed else {}))


def _blocked(site: Site, moment: Moment, why: str) -> StepBlocked:
    remedy = "Mend that, then `retry`: all hooks of this moment run anew."
    if moment in {Moment.POST_UPGRADE, Moment.POST_RUN}:
        remedy += f" Or `skip {site.node.name}` to go on without them."
    return site.blocked("hook-failed", why, remedy)


def _run(site: Site, hook: PlanHook, suffix: str) -> None:
    attempt = f"{site.attempt_id}{suffix}"
    if hook.is_webhook:
        _send(site, hook, attempt)
        return
    words = ("hook", hook.name, hook.moment, str(site.hop.target), str(hook.timeout))
    outcome = await_running(site, suffix) or run_remote(site, *words, attempt=attempt)
    if outcome.code != 0:
        why = find_complaint(outcome.output) or "it printed nothing"
        raise HookFailed(f"The hook {hook} failed on {site.node.name} (exit {outcome.code}): {why}")


def _send(site: Site, hook: PlanHook, name: str) -> None:
    """At least once per attempt: a receiver tells by its name whether it had the message before."""
    known, number = _configured(site, hook), 0
    while True:
        number += 1
        site.check_lease()
        try:
            refusal = around(
                site.step.verb,
                site.node.name,
                lambda: send(
                    known, _message(site, hook), name=name, timeout=hook.timeout, now=lambda: site.now().timestamp()
                ),
            )
        except InvalidConfig as error:  # its secret is not there
            raise HookFailed(f"The message to the {hook} could not be signed: {error}") from error
        if refusal is None:
            return
        if not refusal.passing or number >= hook.tries:
            tries = f" at each of {number} tries" if number > 1 else ""
            raise HookFailed(f"The {hook} {refusal.why}{tries}.")
        site.wait(site.waits.poll * 2 ** (number - 1))


def _configured(site: Site, hook: PlanHook) -> Hook:
    """Where to, and signed with what, stands in the file alone; it has to be the one that was approved."""
    for known in site.settings.clusters[site.cluster].hooks.get(hook.moment, ()):
        if known.planned(hook.moment) == hook:
            return known
    raise site.blocked(
        "hook-changed",
        f"The {hook} that was approved is no longer in lockkeeper.yaml as it was.",
        "Put it back and start the workers anew, then `retry`; or `cancel`, and plan again.",
    )


def _message(site: Site, hook: PlanHook) -> Mapping[str, Any]:
    plan = site.plan
    data: dict[str, Any] = {
        "cluster": site.cluster,
        "operation": site.operation_id,
        "plan_digest": plan.digest,
        "target": str(plan.target),
        "attempt": site.attempt,
    }
    if hook.moment not in PER_RUN:
        hop = {"number": site.step.hop + 1, "of": len(plan.hops), "target": str(site.hop.target)}
        data |= {"node": site.node.name, "role": site.node.role.value, "hop": hop}
    if hook.moment is Moment.POST_RUN:
        data["ends_as"] = site.ends_as()
    return {"type": f"lockkeeper.{hook.moment}", "timestamp": site.started_at.isoformat(), "data": data}
