"""`versions` and `survey` of an unreadable cluster: a report of what its machines told, and no plan is voided by it."""

from __future__ import annotations

import json
import threading
import time
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner, Result

from bot.sights import Sights
from cluster.events import Event, Happened
from cluster.plan import PlanStatus
from cluster.report import Unread
from cluster.store import Store
from lockkeeper import app
from policies.overview import tell_without_nodes
from tests.bot_fixture import NOW, finding, record, report, settings
from tests.policies_fixture import make_survey
from tests.redis_fixture import redis_server, redis_url, store

NODELESS = tell_without_nodes("prod", "forbidden")
__all__ = ["redis_server", "redis_url", "store"]  # pytest finds fixtures by name in this module


@pytest.fixture
def ask(store: Store, redis_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """The command line of an installation whose kubeconfig is not there, and whose machines were asked before."""
    store.save_survey(make_survey())
    monkeypatch.setenv("REDIS_URL", redis_url)
    monkeypatch.setenv("LOGNAME", "ada")
    config = tmp_path / "lockkeeper.yaml"
    known = settings().model_dump(mode="json", exclude_none=True)
    known["clusters"]["prod"]["kubeconfig"] = "/nowhere/kubeconfig"
    known["people"]["ada"]["logins"] = ["ada"]

    def invoke(*words: str, clusters: tuple[str, ...] = ("prod",)) -> Result:
        several = known | {"clusters": dict.fromkeys(clusters, known["clusters"]["prod"])}
        config.write_text(yaml.safe_dump(several), encoding="utf-8")
        return CliRunner().invoke(app, [*words, "--config", str(config)])

    return invoke


def test_a_report_of_an_unreadable_cluster_is_printed_and_ends_with_an_error(ask) -> None:
    """A person reads it, and a script notices."""
    said = ask("versions")
    assert said.exit_code == 1
    assert "not read: the whole cluster: The credentials of `prod` in the kubeconfig /nowhere/kubeconfig" in said.output
    assert "1.34.7-1.1" in next(line for line in said.output.splitlines() if line.startswith("w1 "))
    assert "BLOCKER nodes-unread" in said.output
    assert "IN KUBE-SYSTEM" not in said.output  # no heads of tables without a row


def test_a_list_of_several_clusters_ends_with_it_too(ask) -> None:
    """One of them that nobody can read is enough."""
    said = ask("versions", clusters=("prod", "edge"))
    assert said.exit_code == 1
    assert "unreadable" in said.output


def test_a_survey_of_it_ends_with_the_same_error(ask, store: Store) -> None:
    """The machines told what they could, and all that was found is said; the report after it still has no nodes."""
    worker = threading.Thread(target=_answer_the_next, args=(store,), daemon=True)
    worker.start()
    said = ask("survey", "--timeout", "20")
    worker.join()
    assert said.exit_code == 1
    assert said.output.count("BLOCKER nodes-unread") == 1
    assert "WARNING some-code: Something is off on `w-1`." in said.output


def _answer_the_next(store: Store) -> None:
    """What a worker does when it has asked the machines."""
    deadline = time.monotonic() + 20
    while not (asked := store.open_requests()) and time.monotonic() < deadline:
        time.sleep(0.05)
    for request in asked:
        event = Event(Happened.SURVEY_FINISHED, NOW, "prod", "Asked.", facts={"request": request.id})
        store.answer_request(request.id, findings=(NODELESS, finding()), event=event)


def test_a_program_reads_why_there_are_no_nodes(ask) -> None:
    """The same, as JSON."""
    told = json.loads(ask("versions", "-o", "json").output)
    assert told["report"]["nodes"] == []
    assert "check that file" in told["report"]["nodes_unread"]
    assert [f["code"] for f in told["findings"] if f["severity"] == "blocker"] == ["nodes-unread"]


def test_no_plan_is_voided_by_a_look_that_saw_no_nodes(store: Store) -> None:
    """All of its nodes would seem to have left."""
    made = record()
    store.propose(made, Event(Happened.PLAN_PROPOSED, NOW, "prod", "A plan.", plan_id=made.id))
    later = replace(report(), nodes=(), read_at=NOW + timedelta(minutes=5), identity=made.plan.identity)
    blind = replace(later, nodes_unread="forbidden", unread=(Unread("nodes", "forbidden"),))
    for seen, status in ((blind, PlanStatus.PROPOSED), (later, PlanStatus.VOID)):
        Sights(settings(), store, lambda _, seen=seen: seen, lambda: NOW).overview("prod")
        assert store.plan(made.id).status is status
