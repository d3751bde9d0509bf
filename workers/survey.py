"""Ask every machine of a cluster what it is and what its package source offers, a few at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from datetime import datetime

from cluster.errors import LockkeeperError
from cluster.facts import Offer, OfferState
from cluster.inventory import Cluster, Machine
from cluster.report import Unread
from cluster.survey import Survey, SurveyedMachine
from cluster.versions import Minor
from workers.machine import NodeMachine
from workers.ssh import SshShell, SshTarget

PARALLEL = 8  # a survey hurries nobody, and every machine asks the package mirror something
_MOST = 64  # each is a connection and its threads; more of them only wait for this process
_ROUNDS = 80  # a large cluster is asked wider, so that its survey is not older than the plan made from it

Reach = Callable[[str, Machine], AbstractContextManager[NodeMachine]]


@contextmanager
def reach(name: str, machine: Machine) -> Iterator[NodeMachine]:
    """One machine over SSH, for as long as it takes to ask it."""
    with SshShell(SshTarget.of(name, machine)) as shell:
        yield NodeMachine(shell, machine.node_script, name=name)


def run_survey(name: str, cluster: Cluster, minors: tuple[Minor, ...], now: datetime, connect: Reach = reach) -> Survey:
    """Every machine of the inventory; an unknown host key or a dead link is that machine's answer, in its words."""
    with ThreadPoolExecutor(parallel(len(cluster.machines))) as pool:
        asked = pool.map(lambda item: _ask(item[0], item[1], minors, connect), cluster.machines.items())
        return Survey(name, now, tuple(asked))


def parallel(machines: int) -> int:
    """How many are asked at once."""
    return min(_MOST, max(PARALLEL, machines // _ROUNDS))


def _ask(name: str, machine: Machine, minors: tuple[Minor, ...], connect: Reach) -> SurveyedMachine:
    try:
        with connect(name, machine) as node:
            node.version()
            facts = node.observe()
            return SurveyedMachine(name, facts, _offers(node, minors))
    except LockkeeperError as error:
        return SurveyedMachine(name, Unread(f"machine {name}", str(error)))


def _offers(node: NodeMachine, minors: tuple[Minor, ...]) -> tuple[Offer, ...]:
    try:
        return node.offers(minors)
    except LockkeeperError as error:
        return tuple(Offer(minor, OfferState.UNREACHABLE, reason=str(error)) for minor in minors)
