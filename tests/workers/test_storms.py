"""An API that fails while a node is upgraded, and a machine whose clock is wrong: every step comes to its end."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from cluster.errors import ClusterUnreadable
from cluster.procedure import Verb, itinerary
from tests.workers.node_bench import make_bench
from tests.workers.runbook_fixture import Bench, denied, node, pod
from workers.node_script.attempts import AttemptState, parse_jobs
from workers.node_script.survey import parse_facts
from workers.runbook import perform

ANSWERS = {
    "429": denied(429, "Too many requests, please try again later.", retry_after=1),
    "500": denied(500, "etcdserver: request timed out"),
    "503": denied(503, "apiserver is shutting down"),
    "504": denied(504, "the backend timed out"),
    "refused": ClusterUnreadable("The API of lab cannot be reached (connection refused): look at its endpoint."),
}


class Storm:
    """Lets so many of the calls to an API fail, by a seed."""

    def __init__(self, bench: Bench, errors: tuple[Exception, ...], *, share: float, seed: int) -> None:
        self._dice = random.Random(seed)  # noqa: S311 - a simulation
        self._errors, self._share = errors, share
        self._may = bench.api._may
        self.struck = 0

    def __call__(self, method: str, path: str) -> None:
        if self._dice.random() < self._share:
            self.struck += 1
            raise self._dice.choice(self._errors)
        self._may(method, path)


def storm_over(bench: Bench, *errors: Exception, share: float, seed: int) -> Storm:
    storm = Storm(bench, errors, share=share, seed=seed)
    bench.api._may = storm  # type: ignore[method-assign]
    return storm


def walk(bench: Bench, name: str) -> None:
    """Every step of one node, as the engine takes them."""
    found = bench.plan.node(name)
    assert found is not None
    for position, step in enumerate(itinerary(bench.plan, found)):
        site = bench.site(name, step.verb, position=position)
        perform(replace(site, step=step))


def ready(*pods: str) -> Bench:
    """A cluster whose control plane went first."""
    bench = Bench()
    bench.api.pods |= {name: pod(name, "w1") for name in pods}
    for name in ("cp1", "cp2"):
        bench.machines[name].start("before", 1, "apply", "v1.35.4")
    return bench


@pytest.mark.parametrize("answer", ANSWERS)
def test_a_storm_of_errors_stops_no_step(answer: str) -> None:
    """Two calls out of three fail during a worker's whole way: all is asked again, nothing is done twice."""
    bench = ready("a", "b")
    storm = storm_over(bench, ANSWERS[answer], share=0.66, seed=4)
    walk(bench, "w1")
    assert storm.struck > 10
    assert bench.api.nodes["w1"]["status"]["nodeInfo"]["kubeletVersion"] == "v1.35.4"
    assert not bench.api.nodes["w1"]["spec"].get("unschedulable")
    assert not {"a", "b"} & set(bench.api.pods)
    assert len(bench.w1.words) == len(set(bench.w1.words))


def test_an_api_server_that_restarts_under_a_drain_may_have_done_what_it_did_not_answer() -> None:
    """Half of the answers to our writes are lost, and the writes are not: asked again, each is found done."""
    bench, dice, lost = ready("a", "b", "c"), random.Random(7), itertools.count()  # noqa: S311 - a simulation
    for name in ("post", "patch", "delete"):
        setattr(bench.api, name, losing_answers(getattr(bench.api, name), dice, lost))
    walk(bench, "w1")
    assert next(lost) > 2
    assert not bench.api.nodes["w1"]["spec"].get("unschedulable")
    assert bench.api.nodes["w1"]["metadata"]["annotations"] == {}
    assert not {"a", "b", "c"} & set(bench.api.pods)
    assert not [name for name in bench.api.pods if "smoke" in name]


def losing_answers(call: Any, dice: random.Random, lost: Iterator[int]) -> Any:
    def answer(*args: Any, **more: Any) -> Any:
        given = call(*args, **more)
        if dice.random() < 0.5:
            next(lost)
            raise ClusterUnreadable("The API of lab closed the connection before it answered: look at it.")
        return given

    return answer


@pytest.mark.parametrize("shift", ["9 hours ago", "30 hours"])
def test_a_machine_whose_clock_is_wrong_by_hours_is_upgraded_like_any_other(tmp_path: Path, shift: str) -> None:
    """Attempts are told apart by their id and their boot; the machine's time is only written down."""
    bench = make_bench(tmp_path / "m")
    bench.tool("date", f'exec /bin/date -d "{shift}" "$@"')
    assert bench.finish("op-1", "restart-kubelet").code == 0
    bench.program("work", 'while [ ! -e "$B/go" ]; do sleep 0.05; done')
    assert bench.answer("start", "op-2", "2", "restart-kubelet") == "STARTED"
    assert bench.answer("start", "op-2", "2", "restart-kubelet") == "ATTACHED"
    states = {job.attempt: job.state for job in parse_jobs(bench.answer("list"))}
    assert states == {"op-1": AttemptState.DONE, "op-2": AttemptState.RUNNING}
    (bench.home / "go").touch()
    assert bench.await_end("op-2").code == 0
    assert abs((parse_facts(bench.answer("observe")).time - datetime.now(UTC)).total_seconds()) > 8 * 3600


@pytest.mark.parametrize("year", [1970, 2099])
def test_a_kubelet_whose_clock_is_wrong_is_alive_when_its_lease_changes(year: int) -> None:
    """Held against each other and not against our clock."""
    bench = ready()
    bench.api.nodes["w1"] = node("w1", "v1.35.4")
    read, renewals = bench.api.get, itertools.count()

    def late(path: str, *args: Any, **more: Any) -> Any:
        if "/leases/" not in path:
            return read(path, *args, **more)
        return {"spec": {"renewTime": f"{year}-01-01T00:00:{next(renewals) % 60:02}.000000Z"}}

    bench.api.get = late  # type: ignore[method-assign]
    assert perform(bench.site("w1", Verb.VERIFY_NODE)).sentence
