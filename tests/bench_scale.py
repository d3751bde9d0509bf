"""Print what docs/scale.md says, measured here: `python -m tests.bench_scale 500 5000`."""

from __future__ import annotations

import multiprocessing
import resource
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from multiprocessing.synchronize import Event
from pathlib import Path
from typing import Any

from bot.plan_card import render_plan
from bot.report_card import render_report
from bot.run_card import render_run
from bot.terminal import render_operation
from cluster import excerpts
from cluster.events import Happened
from cluster.kube import PAGE, Kube
from cluster.observe import observe
from cluster.pages import decode
from cluster.procedure import itinerary
from cluster.store import Store
from cluster.store.records import PLAN, SURVEY
from cluster.tally import Tally
from lab.redis import RedisServer
from policies.gate import check_gate
from policies.overview import look_over
from policies.simulation import simulate
from tests import scale_fixture as scale
from tests.scale_api import big_api, page_of_pods
from workers.progress import begin
from workers.schedule import find_runnable

Said = list[tuple[str, str]]
PODS = 30  # on each node


def timed(said: Said, what: str, work: Callable[[], Any]) -> Any:
    """What `work` gives; its least time of three is said."""
    spent, result = [], None
    for _ in range(3):
        began = time.perf_counter()
        result = work()
        spent.append(time.perf_counter() - began)
    said.append((what, f"{min(spent) * 1000:.1f} ms"))
    return result


def serve(size: int, directory: Path, addresses: Any, stop: Event) -> None:
    """The API in a process of its own: what it costs is not the reader's."""
    with big_api(size, directory) as (api, cluster):
        addresses.put(cluster.kubeconfig)
        stop.wait()
        addresses.put((sum(api.asked.values()), api.sent))


def read_cluster(said: Said, size: int, directory: Path) -> None:
    addresses: Any = multiprocessing.Queue()
    stop = multiprocessing.Event()
    server = multiprocessing.Process(target=serve, args=(size, directory, addresses, stop))
    server.start()
    cluster = scale.settings(3).clusters["prod"].model_copy(update={"kubeconfig": addresses.get()})
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with Kube.connect("prod", cluster) as kube:
        timed(
            said, "read the cluster (3 system pods a node)", lambda: observe("prod", cluster, now=scale.NOW, kube=kube)
        )
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    stop.set()
    requests, sent = addresses.get()
    server.join()
    said.append(("... requests, megabytes, memory", f"{requests // 3}, {sent / 3e6:.0f} MB, +{grown:.0f} MB"))


def weigh(said: Said, size: int) -> None:
    """Without the network: what makes of each page what a plan is judged by."""
    page = page_of_pods(scale.names(PAGE))

    def work() -> None:
        tally = Tally()
        for _ in range(size * PODS // PAGE):
            tally.take(decode(page, excerpts.PODS)["items"], tally.add_pod)

    timed(said, f"weigh all pods ({PODS} a node), from the bytes of their pages", work)


def judge(said: Said, size: int) -> None:
    survey = scale.survey(size)
    record, report = timed(said, "draft a plan", lambda: scale.record(size, survey)), scale.report(size)
    said.append(
        (
            "plan, survey as JSON",
            f"{len(PLAN.dump_json(record)) / 1e6:.2f} MB, {len(SURVEY.dump_json(survey)) / 1e6:.2f} MB",
        )
    )
    timed(said, "walk a plan through (part of the draft)", lambda: simulate(record.plan, report, survey))
    run, node, settings = scale.in_the_middle(record), record.plan.nodes[-1], scale.settings(3)
    step, approved = itinerary(record.plan, node)[run.rows[-1].position], scale.approval(record)
    timed(said, "who may go on (each look of a driver)", lambda: find_runnable(record.plan, run, report, now=scale.NOW))
    timed(
        said,
        "gate (each step)",
        lambda: check_gate(
            record=record,
            approval=approved,
            operation=run,
            report=report,
            step=step,
            node=node,
            settings=settings,
            now=scale.NOW,
        ),
    )
    seen = timed(
        said,
        "judge a report",
        lambda: look_over(
            report, survey, scale.settings(size).clusters["prod"], installation="lockkeeper", known={}, now=scale.NOW
        ),
    )
    timed(said, "card: report", lambda: render_report(seen))
    timed(said, "card: plan", lambda: render_plan(record))
    timed(said, "card: run", lambda: render_run(record, run, scale.NOW))
    timed(said, "terminal: run", lambda: render_operation(run, record))


def store_and_move(said: Said, size: int, url: str) -> None:
    store, record = Store.connect(url), scale.record(size)
    run, node = scale.operation(record), record.plan.nodes[-1]
    store.propose(record, scale.told(Happened.PLAN_PROPOSED, plan_id=record.id))
    told = scale.told(Happened.PLAN_APPROVED, plan_id=record.id, operation_id=run.id)
    began = time.perf_counter()
    store.approve(record, scale.approval(record, run.id), run, told, scale.NOW)
    said.append(("approve: one call, a row for each node", f"{(time.perf_counter() - began) * 1000:.1f} ms"))
    began = time.perf_counter()
    now = store.operation(run.id)
    said.append(("read a run whole", f"{(time.perf_counter() - began) * 1000:.1f} ms"))
    timed(said, "read a run again", lambda: store.operation(run.id))
    made = begin(now, now.rows[-1], itinerary(record.plan, node)[0], scale.NOW)
    began = time.perf_counter()
    store.move(now, replace(made.after), fence=None, events=made.events, token="bench")
    said.append(("move one node a step", f"{(time.perf_counter() - began) * 1000:.1f} ms"))
    timed(said, "read a plan", lambda: store.plan(record.id))
    survey = scale.survey(size)
    timed(said, "keep a survey", lambda: store.save_survey(survey))
    began = time.perf_counter()
    store.survey("prod")
    said.append(("read a survey", f"{(time.perf_counter() - began) * 1000:.1f} ms"))
    timed(said, "read a survey again", lambda: store.survey("prod"))
    store.close()


def main() -> None:
    sizes = [int(word) for word in sys.argv[1:]] or [500, 5000]
    columns = []
    for size in sizes:
        said: Said = []
        with tempfile.TemporaryDirectory(prefix="lk-") as folder:
            read_cluster(said, size, Path(folder))
        weigh(said, size)
        judge(said, size)
        with tempfile.TemporaryDirectory(prefix="lk-") as folder, RedisServer.start(Path(folder)) as server:
            store_and_move(said, size, server.url)
        columns.append(said)
    table = [f"| what | {' | '.join(f'{s:,} nodes' for s in sizes)} |", "|---|" + "---|" * len(sizes)]
    table += [f"| {lines[0][0]} | {' | '.join(value for _, value in lines)} |" for lines in zip(*columns, strict=True)]
    sys.stdout.write("\n".join(table) + "\n")


if __name__ == "__main__":
    main()
