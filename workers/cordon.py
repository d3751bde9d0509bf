"""Cordon and uncordon, with the owner written on the node: what somebody else cordoned stays theirs."""

from __future__ import annotations

from typing import Any

from cluster.errors import KubeDenied
from cluster.plan import PlanKind
from cluster.report import CORDON_OWNER
from cluster.versions import ReportedVersion
from policies.drained import is_emptied
from workers.daemons import look_before
from workers.patience import CONFLICT, NOT_FOUND, ask_api
from workers.site import Site, StepDone

Raw = dict[str, Any]
_UNREACHABLE = "node.kubernetes.io/unreachable"
_TRIES = 10  # a node's object also changes by its kubelet's status; each conflict is read again


def observe_cordon(site: Site) -> StepDone | None:
    """Done where nothing is to be drained, and where the node is cordoned, by whomever; how it is by now is kept."""
    node = read_node(site)
    if stays_at_work(site, node):
        sentence, facts = f"{site.node.name} is not cordoned: a patch restarts the kubelet in place.", {}
    elif not is_cordoned(node):
        return None
    elif (owner := owner_of(node)) == site.operation_id:
        sentence, facts = f"{site.node.name} is cordoned.", {"cordoned": "ours"}
    else:
        by = f"by {owner}" if owner else "by somebody else"
        after = (
            "when it is well it is uncordoned" if _is_to_be_lifted(site, node) else "it will stay cordoned afterwards"
        )
        sentence = f"{site.node.name} was cordoned {by} before; {after}."
        facts = {"cordoned": "theirs"}
    return StepDone(sentence, facts, look_before(site, node))


def cordon(site: Site) -> None:
    """Take the node from the scheduler, and write down for whom, in one patch."""
    _change(site, unless=is_cordoned, owner=site.operation_id, unschedulable=True)


def observe_uncordon(site: Site) -> StepDone | None:
    """Done where the cordon is not ours."""
    node = read_node(site)
    if _is_to_be_lifted(site, node):
        return None
    if is_cordoned(node):
        return StepDone(f"{site.node.name} stays cordoned, as it was found.", {"cordoned": "theirs"})
    return StepDone(f"{site.node.name} takes pods again.", {"cordoned": "no"})


def uncordon(site: Site) -> bool:
    """Give the node back if its cordon is ours; whether it was."""

    def not_ours(node: Raw) -> bool:
        return owner_of(node) != site.operation_id

    return _change(site, unless=not_ours, owner=None, unschedulable=None)


def lift_cordon(site: Site) -> bool:
    """The same at the end of a node's way, when it is well again; a rollback also lifts what an ended run left."""
    return _change(site, unless=lambda n: not _is_to_be_lifted(site, n), owner=None, unschedulable=None)


def _is_to_be_lifted(site: Site, node: Raw) -> bool:
    owner = owner_of(node)  # with the cluster's lock held there is no other run of ours that it could belong to
    return owner == site.operation_id or (bool(owner) and site.plan.kind is PlanKind.ROLLBACK)


def read_node(site: Site) -> Raw:
    """The node as it is; raises StepBlocked where it is gone or is another one of the same name."""
    try:
        node = ask_api(site, lambda: site.kube().get(site.node_path))
    except KubeDenied as error:
        if error.status != NOT_FOUND:
            raise
        raise site.blocked(
            "node-gone",
            f"The node {site.node.name} is no longer in the cluster.",
            "Look at what became of it, then `retry` or `cancel`.",
        ) from error
    if node["metadata"].get("uid") != site.node.uid:
        raise site.blocked(
            "node-replaced",
            f"The node {site.node.name} is another one than at planning: it was deleted and joined again.",
            "`cancel` this run and make a new plan.",
        )
    return node


def stays_at_work(site: Site, node: Raw) -> bool:
    """Whether this hop restarts its kubelet in place."""
    running = ReportedVersion.read(((node.get("status") or {}).get("nodeInfo") or {}).get("kubeletVersion", ""))
    return not is_emptied(site.plan, site.node, site.step.hop, running.version.minor if running else None)


def is_cordoned(node: Raw) -> bool:
    return bool((node.get("spec") or {}).get("unschedulable"))


def is_unreachable(node: Raw) -> bool:
    """Whether the cluster has given its kubelet up."""
    return any(taint.get("key") == _UNREACHABLE for taint in (node.get("spec") or {}).get("taints") or [])


def owner_of(node: Raw) -> str:
    """The operation that our annotation names; "" for none."""
    return str((node["metadata"].get("annotations") or {}).get(CORDON_OWNER, ""))


def _change(site: Site, *, unless: Any, owner: str | None, unschedulable: bool | None) -> bool:
    for _ in range(_TRIES):
        node = read_node(site)
        if unless(node):
            return False
        # The version makes it one step with what was read: nobody's cordon in between is taken for ours.
        body = {
            "metadata": {
                "resourceVersion": node["metadata"]["resourceVersion"],
                "annotations": {CORDON_OWNER: owner},
            },
            "spec": {"unschedulable": unschedulable},
        }
        try:
            ask_api(site, lambda body=body: _patch(site, body))  # type: ignore[misc]
        except KubeDenied as error:
            if error.status != CONFLICT:
                raise
        else:
            return True
    raise site.blocked(
        "node-contended",
        f"The node {site.node.name} changed between reading and writing {_TRIES} times.",
        "Find out what keeps writing it, then `retry`.",
    )


def _patch(site: Site, body: Raw) -> Raw:
    site.check_lease()
    return site.kube().patch(site.node_path, body)
