"""The deletion of a pod that two people asked for by name: exactly that pod, once, while a drain waits for it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from cluster.errors import ClusterUnreadable, KubeDenied, StoreUnavailable
from cluster.findings import Findings
from cluster.force import ForceRequest
from policies.forcing import judge_force
from workers.drain_rules import Fate, PodFate
from workers.patience import CONFLICT, FORBIDDEN, NOT_FOUND, passing
from workers.site import Site

_GONE = {NOT_FOUND: "it was gone already", CONFLICT: "another pod had taken its name: nothing was deleted"}


def delete_allowed(site: Site, going: Iterable[PodFate]) -> None:
    """Whatever the store says: without a good signature nothing is deleted, and that is told."""
    pods = {f.uid: f for f in going}
    try:
        for request in site.forced():
            if request.node == site.node.name and request.approval is not None and not request.outcome:
                _delete(site, request, pods.get(request.uid))
    except StoreUnavailable:  # it is looked for again at the next look
        return


def _delete(site: Site, request: ForceRequest, pod: PodFate | None) -> None:
    if stops := _judge(site, request):
        site.end_force(request, f"refused: {stops[0].sentence} {stops[0].remedy}")
    elif pod is None or pod.pod != request.pod:
        # nor that nothing was deleted: whoever deleted it may have been ended before that was on record
        site.end_force(request, "the drain does not wait for that pod any more")
    elif pod.fate is Fate.LEAVING:
        site.end_force(request, "it is being deleted")
    elif said := _ask(site, pod):
        site.end_force(request, said)


def _judge(site: Site, request: ForceRequest) -> Findings:
    """One that was signed for another run or cluster is as good as one that nobody signed."""
    ours = (request.operation_id, request.cluster) == (site.operation_id, site.cluster)
    return judge_force(request if ours else replace(request, approval=None), site.settings, site.now())


def _ask(site: Site, pod: PodFate) -> str:
    """What became of it; "" where it has to be asked for again. The pod keeps the time to end that it has."""
    site.check_lease()
    path = f"/api/v1/namespaces/{pod.namespace}/pods/{pod.name}"
    try:
        site.kube().delete(path, {"kind": "DeleteOptions", "apiVersion": "v1", "preconditions": {"uid": pod.uid}})
    except KubeDenied as error:
        if error.status in _GONE:
            return _GONE[error.status]
        right = " Give the worker's account the right to delete pods." if error.status == FORBIDDEN else ""
        return "" if passing(error) else f"the API refused it: {error}{right}"
    except ClusterUnreadable:  # it may have been taken: the pod itself will tell
        return ""
    return f"it was deleted, and has {pod.grace} s to end"
