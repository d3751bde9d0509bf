"""Surge: a Deployment of one replica gets a second one elsewhere before its pod is evicted, and gives it back after."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from cluster.departures import claim_of
from cluster.errors import ClusterUnreadable, KubeDenied
from policies.wording import some_of
from workers.drain_rules import Fate, PodFate
from workers.patience import CONFLICT, NOT_FOUND, ask_api, passing
from workers.site import Api, Site, StepBlocked

Raw = dict[str, Any]
MARK = "lockkeeper.dev/surged-by"  # annotation: the operation that a second replica is there for
_PLENTY = 2
_SHARE, _LONGEST = 0.3, 300.0  # of a drain's time, and seconds, that the second replicas may take to be ready
_TRIES = 5
_SHARED = "ReadWriteMany"


@dataclass(frozen=True, slots=True)
class _Single:
    """A Deployment of one replica whose pod the drain would move."""

    path: str
    place: str  # namespace/name
    raw: Raw


class Surge:
    """What one drain scaled up: on record before it is done, and taken back however the drain ends."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._raised: dict[str, None] = dict.fromkeys(site.surged)

    def up(self, fates: Iterable[PodFate]) -> None:
        """Scale up whom a drain would leave without a pod, and wait for the second ones, but not for ever."""
        try:
            self._raise_all(fates)
        except KubeDenied as error:  # it is a courtesy: no drain fails for want of a right to it
            self._site.tell(f"No second replicas on behalf of the drain of {self._site.node.name}: {error}")
        self._await()

    def _raise_all(self, fates: Iterable[PodFate]) -> None:
        site, told = self._site, []
        for pod in (f for f in fates if f.fate is Fate.LEAVES):
            single = ask_api(site, lambda pod=pod: _single(site.kube(), pod))  # type: ignore[misc]
            if single is None or single.place in self._raised:
                continue
            if why := ask_api(site, lambda single=single, pod=pod: _unfit(site.kube(), single.raw, pod)):  # type: ignore[misc]
                told.append(f"{single.place} ({why})")
                continue
            self._raise(single)
        if told:
            site.tell(f"No second replica on behalf of the drain of {site.node.name} for {some_of(told)}.")

    def down(self) -> None:
        """Take every second replica back; what cannot be taken back now stays on record for the end of the run."""
        site = self._site
        if not self._raised:
            return
        try:
            ask_api(site, lambda: take_back(site.kube(), site.operation_id, tuple(self._raised), site.check_lease))
        except (ClusterUnreadable, StepBlocked) as error:
            site.tell(f"The second replicas of {some_of(self._raised)} could not be taken back yet: {error}")
            return
        self._raised.clear()
        site.record_surge(())

    def _raise(self, single: _Single) -> None:
        site, raw = self._site, single.raw
        self._raised[single.place] = None
        site.record_surge(tuple(self._raised))
        for _ in range(_TRIES):
            body = _scaled(raw, 1, _PLENTY, site.operation_id)
            site.check_lease()
            try:
                ask_api(site, lambda body=body: site.kube().patch(single.path, body))  # type: ignore[misc]
            except KubeDenied as error:
                if error.status != CONFLICT:
                    site.tell(f"{single.place} gets no second replica: {error}")
                    return
            else:
                return
            found = ask_api(site, lambda: _read(site.kube(), single.path))
            if found is None or found["spec"].get("replicas", 1) != 1:
                return  # somebody decides on it, or our own change had come through and its answer was lost
            raw = found
        site.tell(f"{single.place} gets no second replica: it changed between reading and writing {_TRIES} times.")

    def _await(self) -> None:
        site, since = self._site, self._site.now()
        while waiting := [p for p in self._raised if not ask_api(site, lambda p=p: _is_doubled(site.kube(), p))]:  # type: ignore[misc]
            if site.elapsed(since) > min(_LONGEST, site.drain_seconds * _SHARE):
                site.tell(f"The second replicas of {some_of(waiting)} are not ready, and not waited for any longer.")
                return
            site.wait(site.waits.poll)


def take_back(kube: Api, operation: str, places: Iterable[str], check: Any = None) -> None:
    """Scale each Deployment back that still carries the mark of this operation; raises ClusterUnreadable."""
    refused: KubeDenied | None = None
    for place in places:
        try:
            _take_back(kube, operation, place, check)
        except KubeDenied as error:
            if passing(error):
                raise
            refused = error  # of this one: the others need not stay at two as well
    if refused is not None:
        raise refused


def _take_back(kube: Api, operation: str, place: str, check: Any) -> None:
    for _ in range(_TRIES):
        raw = _read(kube, _path_of(place))
        if raw is None or (raw["metadata"].get("annotations") or {}).get(MARK) != operation:
            return
        if check is not None:
            check()
        try:
            kube.patch(_path_of(place), _scaled(raw, _PLENTY, 1, None))
        except KubeDenied as error:
            if error.status != CONFLICT:
                raise
        else:
            return
    raise ClusterUnreadable(f"The Deployment {place} changed between reading and writing {_TRIES} times.")


def _scaled(raw: Raw, before: int, after: int, mark: str | None) -> Raw:
    """One step with what was read; whoever scaled it meanwhile has the last word."""
    body: Raw = {
        "metadata": {"resourceVersion": raw["metadata"]["resourceVersion"], "annotations": {MARK: mark}},
    }
    if raw["spec"].get("replicas", 1) == before:
        body["spec"] = {"replicas": after}
    return body


def _single(kube: Api, pod: PodFate) -> _Single | None:
    """The Deployment of one replica that the pod is of, if it is."""
    kind, _, name = pod.owner.partition("/")
    if kind != "ReplicaSet":
        return None
    replica_set = _read(kube, f"/apis/apps/v1/namespaces/{pod.namespace}/replicasets/{name}")
    owner = _controller(replica_set or {})
    if owner is None or owner.get("kind") != "Deployment":
        return None
    place = f"{pod.namespace}/{owner['name']}"
    raw = _read(kube, _path_of(place))
    if raw is None or raw["spec"].get("replicas", 1) != 1:
        return None
    return _Single(_path_of(place), place, raw)


def _unfit(kube: Api, raw: Raw, pod: PodFate) -> str:
    """Why a Deployment must not, or cannot, have two replicas; "" where it may."""
    return next(_objections(kube, raw, pod), "")


def _objections(kube: Api, raw: Raw, pod: PodFate) -> Iterator[str]:
    spec, meta = raw["spec"], raw["metadata"]
    template = spec["template"]["spec"]
    if (spec.get("strategy") or {}).get("type") == "Recreate":
        yield "its strategy is Recreate"
    if spec.get("paused"):
        yield "it is paused"
    if (owner := _controller(raw)) is not None:
        yield f"{owner.get('kind')} {owner.get('name')} decides on it"
    if pod.tolerates:
        yield "its pods tolerate the cordon"
    for volume in template.get("volumes") or ():
        claim = claim_of({"metadata": {"name": ""}}, volume) if "persistentVolumeClaim" in volume else ""
        if claim and not _is_shared(kube, meta["namespace"], claim):
            yield f"its volume {claim} is for one node"
    if scaler := _scaler(kube, meta["namespace"], meta["name"]):
        yield f"the HorizontalPodAutoscaler {scaler} decides on it"


def _is_shared(kube: Api, namespace: str, claim: str) -> bool:
    found = _read(kube, f"/api/v1/namespaces/{namespace}/persistentvolumeclaims/{claim}")
    return found is not None and _SHARED in ((found.get("spec") or {}).get("accessModes") or ())


def _scaler(kube: Api, namespace: str, name: str) -> str:
    try:
        scalers = tuple(kube.items(f"/apis/autoscaling/v2/namespaces/{namespace}/horizontalpodautoscalers"))
    except KubeDenied as error:
        if error.status != NOT_FOUND:
            raise
        return ""  # a cluster that does not serve them
    for scaler in scalers:
        target = (scaler.get("spec") or {}).get("scaleTargetRef") or {}
        if (target.get("kind"), target.get("name")) == ("Deployment", name):
            return str(scaler["metadata"]["name"])
    return ""


def _is_doubled(kube: Api, place: str) -> bool:
    """Whether its second replica is ready; or whether there is nothing to wait for, since somebody scaled it back."""
    raw = _read(kube, _path_of(place))
    if raw is None or raw["spec"].get("replicas", 1) != _PLENTY:
        return True
    status = raw.get("status") or {}
    is_seen = status.get("observedGeneration", 0) >= raw["metadata"].get("generation", 0)
    return bool(is_seen and status.get("availableReplicas", 0) >= _PLENTY)


def _read(kube: Api, path: str) -> Raw | None:
    try:
        return kube.get(path)
    except KubeDenied as error:
        if error.status != NOT_FOUND:
            raise
        return None


def _path_of(place: str) -> str:
    namespace, _, name = place.partition("/")
    return f"/apis/apps/v1/namespaces/{namespace}/deployments/{name}"


def _controller(raw: Raw) -> Raw | None:
    owners = (raw.get("metadata") or {}).get("ownerReferences") or ()
    return next((o for o in owners if o.get("controller")), None)
