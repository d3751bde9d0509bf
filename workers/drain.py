"""Drain: kubectl's choice of pods, evictions only, an end to the waiting, and the node given back on failure."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from cluster.errors import ClusterUnreadable, KubeDenied
from cluster.operation import ITS_OWN_END
from policies.wording import some_of
from workers.cordon import cordon, is_cordoned, is_unreachable, read_node, stays_at_work, uncordon
from workers.databases import Leaders
from workers.drain_rules import Fate, PodFate, judge_pods, refusals
from workers.eviction import EvictionAnswer, Said, budgets_of, evict
from workers.forcing import delete_allowed
from workers.holding import Holding
from workers.patience import JUST_STARTED, LONGEST_PAUSE, api_refused, ask_api
from workers.residents import DaemonSets, pods_lately_on, pods_on
from workers.site import API_LOOK, Site, StepBlocked, StepDone
from workers.surge import Surge
from workers.volumes import await_volumes

Raw = dict[str, Any]
AT_ONCE = 8  # evictions asked for side by side
_NAMED = 5  # pods that a sentence names
_GOING = frozenset({Fate.LEAVES, Fate.LEAVING, Fate.FINISHES})


@dataclass
class Round:
    """What is known between two looks at the node: when each pod is asked for again, and what was said of it."""

    daemon_sets: DaemonSets
    here: frozenset[str] = frozenset()  # uids of the first look
    due: dict[str, datetime] = field(default_factory=dict)
    said: dict[str, EvictionAnswer] = field(default_factory=dict)
    told: set[str] = field(default_factory=set)
    refused_since: dict[str, datetime] = field(default_factory=dict)
    holding: Holding = field(default_factory=Holding)
    leaders: Leaders = field(default_factory=Leaders)

    def leaving(self, fates: list[PodFate]) -> list[PodFate]:
        """Who must still go; what came since in spite of the cordon stays: evicted, it would only come again."""
        going = (f for f in fates if f.fate in _GOING)
        return [f for f in going if f.uid in self.here or not f.tolerates]


def observe_drain(site: Site) -> StepDone | None:
    if stays_at_work(site, read_node(site)):
        return StepDone(f"{site.node.name} is not drained: a patch restarts the kubelet in place.")
    return None


def drain(site: Site) -> None:
    """Empty the node; on failure give it back, as long as its kubelet is untouched, and raise StepBlocked."""
    round_ = Round(_daemon_sets(site), holding=Holding(site.held))
    # not cordoned: given back by a failure whose record was lost, or by a person
    if not _unwanted(site, round_) and not is_cordoned(read_node(site)):
        cordon(site)
    surge = Surge(site)
    try:
        _check_wanted(site, round_)
        fates = _fates(site, round_)
        _ask_consent(site, fates)
        _tell_slow(site, fates)
        _tell_finishing(site, fates)
        round_.here = frozenset(f.uid for f in fates)
        if site.plan.options.surge:
            surge.up(fates)
        _empty(site, round_)
        await_volumes(site)
        surge.down()
    except (StepBlocked, KubeDenied) as error:
        blocked = error if isinstance(error, StepBlocked) else api_refused(site, error)
        # Nothing of the node was changed yet: it goes on working while people look at it.
        given_back = uncordon(site)
        surge.down()
        raise StepBlocked(blocked.finding, uncordoned=given_back) from error


def verify_drain(site: Site) -> StepDone:
    staying = sum(f.fate is Fate.STAYS for f in _fates(site, Round(_daemon_sets(site))))
    return StepDone(f"{site.node.name} is drained (pods that stay, of DaemonSets or static: {staying}).")


def _empty(site: Site, round_: Round) -> None:
    def ask(pod: PodFate) -> EvictionAnswer:
        site.check_lease()
        return evict(site.kube(), pod)

    def holder(pod: PodFate) -> tuple[str, str]:
        return _holder(site, pod, round_.said.get(pod.uid, _UNASKED))

    began = site.now()
    with ThreadPoolExecutor(AT_ONCE, thread_name_prefix=f"evict-{site.node.name}") as pool:
        while going := _going(site, round_):
            _check_wanted(site, round_)
            now = site.now()
            turn = min((f.turn for f in going if f.fate is not Fate.FINISHES), default=0)
            leaves = [f for f in going if f.fate is Fate.LEAVES and f.turn == turn]
            asked = [f for f in leaves if round_.due.get(f.uid, now) <= now]
            due = [f for f in asked if not round_.leaders.stay(site, f, going)]
            for pod, answer in zip(due, pool.map(ask, due), strict=True):
                _note(site, round_, pod, answer)
            round_.holding.tell(site, going, holder)
            if round_.holding.lasts:
                delete_allowed(site, going)
            if site.drain_is_over():
                raise _timed_out(site, round_, going)
            site.wait(min(site.pause(began, API_LOOK), site.waits.eviction_retry))
    if round_.holding.has_lasted:  # what was allowed meanwhile is not needed any more, and its card is to say so
        delete_allowed(site, ())
    round_.holding.tell(site, (), holder)
    _check_wanted(site, round_)


def _unwanted(site: Site, round_: Round) -> str:
    """Of a drain that was held up, who wants it no more; nobody asks for that before."""
    return site.unwanted() if round_.holding.has_lasted else ""


def _check_wanted(site: Site, round_: Round) -> None:
    if why := _unwanted(site, round_):
        raise site.blocked("drain-given-up", f"The drain of {site.node.name} is given up, as {why}.", "")


def _going(site: Site, round_: Round) -> list[PodFate]:
    """Who must still go; that nobody is left is asked of etcd, all else of what an API server remembers."""
    going = round_.leaving(_fates(site, round_, pods_lately_on))
    known = [f for f in going if round_.said.get(f.uid, _UNASKED).said is not Said.GONE]
    return known or round_.leaving(_fates(site, round_))


def _tell_slow(site: Site, fates: list[PodFate]) -> None:
    """A pod that may take longer to end than the drain may: its time-out would be no surprise."""
    limit = site.plan.options.drain_timeout
    slow = [f"{f.pod} ({f.grace} s)" for f in fates if f.fate in {Fate.LEAVES, Fate.LEAVING} and f.grace > limit]
    if slow:
        site.tell(f"Some pods of {site.node.name} may take longer to end than its drain of {limit} s: {some_of(slow)}.")


def _tell_finishing(site: Site, fates: list[PodFate]) -> None:
    if finishing := [f.pod for f in fates if f.fate is Fate.FINISHES]:
        site.tell(f"The drain of {site.node.name} waits until these end by themselves: {some_of(finishing)}.")


def _note(site: Site, round_: Round, pod: PodFate, answer: EvictionAnswer) -> None:
    round_.said[pod.uid] = answer
    round_.holding.note(pod, now=site.now(), waits=answer.said in _HELD)
    if answer.said is not Said.REFUSED:
        round_.refused_since.pop(pod.uid, None)
    if answer.said is Said.NEVER or _is_refused_for_good(site, round_, pod, answer):
        raise site.blocked(
            "drain-blocked",
            f"{pod.pod} cannot be evicted from {site.node.name}: {answer.why}{_two_budgets(site, pod, answer)}.",
            "Correct that, or move the pod by hand, then `retry`.",
        )
    if answer.said in _HELD and pod.uid not in round_.told:
        round_.told.add(pod.uid)
        held = f"its PodDisruptionBudget {_budget(site, pod, answer)}" if answer.said is Said.BUDGET else "the API"
        site.tell(f"{pod.pod} cannot leave yet and waits for {held}: {answer.why}.")
    pause = site.waits.eviction_retry if answer.again_after is None else min(answer.again_after, LONGEST_PAUSE)
    round_.due[pod.uid] = site.now() + timedelta(seconds=pause)


def _is_refused_for_good(site: Site, round_: Round, pod: PodFate, answer: EvictionAnswer) -> bool:
    if answer.said is not Said.REFUSED:
        return False
    return site.elapsed(round_.refused_since.setdefault(pod.uid, site.now())) > JUST_STARTED


def _timed_out(site: Site, round_: Round, going: Iterable[PodFate]) -> StepBlocked:
    going = sorted(going, key=lambda f: round_.said.get(f.uid, _UNASKED).said is not Said.BUDGET)
    reasons = [_reason(site, f, round_.said.get(f.uid, _UNASKED)) for f in going[:_NAMED]]
    more = f", and {len(going) - _NAMED} more" if len(going) > _NAMED else ""
    refused = any(round_.said.get(f.uid, _UNASKED).said is Said.BUDGET for f in going)
    unready = any(not f.ready and round_.said.get(f.uid, _UNASKED).said is Said.BUDGET for f in going)
    remedy = "Let the budget allow a disruption (one more replica, or another budget)" if refused else "See why"
    if unready:
        remedy = "Mend the pods that are not ready, or give their budget `unhealthyPodEvictionPolicy: AlwaysAllow`"
    unreachable = " The node is unreachable: no pod ends on it." if is_unreachable(read_node(site)) else ""
    return site.blocked(
        "drain-blocked",
        f"{site.node.name} could not be drained within {site.drain_seconds} s: "
        f"{'; '.join(reasons)}{more}.{unreachable}",
        f"{remedy}, then `retry`.",
    )


_UNASKED = EvictionAnswer(Said.ACCEPTED)
_HELD = frozenset({Said.BUDGET, Said.LATER, Said.REFUSED})


def _holder(site: Site, pod: PodFate, answer: EvictionAnswer) -> tuple[str, str]:
    """What keeps a pod, and why in the server's words."""
    if pod.fate is Fate.LEAVING:
        return ITS_OWN_END, pod.why
    by = f"the PodDisruptionBudget {_budget(site, pod, answer)}" if answer.said is Said.BUDGET else "the API"
    return by, answer.why


def _reason(site: Site, pod: PodFate, answer: EvictionAnswer) -> str:
    match answer.said:
        case Said.BUDGET:
            return f"{pod.pod} is held by the PodDisruptionBudget {_budget(site, pod, answer)} ({answer.why})"
        case Said.LATER | Said.REFUSED:
            return f"{pod.pod} could not be evicted ({answer.why})"
        case _ if pod.fate is Fate.FINISHES:
            return f"{pod.pod} is waited for until it ends by itself ({pod.why})"
        case _ if pod.fate is Fate.LEAVING:
            return f"{pod.pod} is {pod.why}"
        case Said.REPLACED:
            return f"{pod.pod} is replaced by another one of its name again and again ({answer.why})"
        case _:
            return f"{pod.pod} was evicted and has not ended"


def _budget(site: Site, pod: PodFate, answer: EvictionAnswer) -> str:
    if answer.budget:
        return f"{pod.namespace}/{answer.budget}"
    return ", ".join(f"{pod.namespace}/{name}" for name in _budgets(site, pod)) or f"in {pod.namespace}"


def _two_budgets(site: Site, pod: PodFate, answer: EvictionAnswer) -> str:
    names = _budgets(site, pod) if "PodDisruptionBudget" in answer.why else ()
    return f" ({', '.join(names)})" if names else ""


def _budgets(site: Site, pod: PodFate) -> tuple[str, ...]:
    kube, space = site.kube(), pod.namespace
    try:
        raw = kube.get(f"/api/v1/namespaces/{space}/pods/{pod.name}")
        found = tuple(kube.items(f"/apis/policy/v1/namespaces/{space}/poddisruptionbudgets"))
    except ClusterUnreadable:  # only a name is lost, the server's own words are told anyway
        return ()
    return budgets_of(raw, ({**b, "metadata": {"namespace": space, **b["metadata"]}} for b in found))


def _ask_consent(site: Site, fates: list[PodFate]) -> None:
    if not (refused := refusals(fates)):
        return
    named = "; ".join(f"{f.pod} ({f.why})" for f in refused[:_NAMED])
    more = f", and {len(refused) - _NAMED} more" if len(refused) > _NAMED else ""
    words = " ".join(sorted({f.fate.value.removeprefix("needs ").replace("_", "-") for f in refused}))
    raise site.blocked(
        "drain-needs-consent",
        f"Draining {site.node.name} would lose pods that nobody consented to lose: {named}{more}.",
        f"Move them, then `retry`; or `cancel` and ask for the plan with `accept {words}`.",
    )


def _fates(site: Site, round_: Round, read: Callable[[Site], Iterable[Raw]] = pods_on) -> list[PodFate]:
    pods = ask_api(site, lambda: tuple(read(site)))
    return judge_pods(pods, options=site.plan.options, daemon_set_exists=round_.daemon_sets.exists)


def _daemon_sets(site: Site) -> DaemonSets:
    return DaemonSets(lambda path: ask_api(site, lambda: site.kube().get(path)))
