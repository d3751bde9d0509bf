"""The same story on a terminal alone: no Slack anywhere, and approvals signed with SSH keys."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from lab.rig import rig

ROOT = Path(__file__).parent.parent.parent
pytestmark = [pytest.mark.story, pytest.mark.timeout(300)]


class Terminal:
    """A person at a shell: who they are is their login."""

    def __init__(self, made):
        self.rig = made

    def type(self, *words, login=None, expect=0):
        environment = self.rig.environment()
        if login:
            environment["LOGNAME"] = login
        command = [sys.executable, "-m", "lockkeeper", *words]
        done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT, env=environment)
        assert done.returncode == expect, f"{words}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done.stdout if expect in {0, 3} else done.stderr

    def ask(self, *words, expect=0):
        return json.loads(self.type(*words, "-o", "json", expect=expect))


@pytest.fixture(scope="module")
def terminal():
    with rig("small", speed=100, workers=1, with_slack=False) as made:
        yield Terminal(made)


def test_the_report_says_what_runs_where(terminal):
    """Text for people, JSON with a schema for programs; what only the machines tell is said to be missing."""
    said = terminal.type("versions")
    assert "v1.34.7" in said
    assert "NOTE not-surveyed: The machines of lab were never asked" in said
    answer = terminal.ask("versions")
    assert answer["schema"] == 1
    assert {s["version"] for s in answer["report"]["api_servers"]} == {"v1.34.7"}


def test_a_survey_asks_the_machines_and_the_report_tells_it(terminal):
    """Packages, holds and where they come from, without any plan."""
    answer = terminal.ask("survey")
    assert {m["name"] for m in answer["survey"]["machines"]} == {"cp1", "w1", "w2"}
    assert {o["kind"] for o in answer["origins"]} == {"mirror"}
    said = terminal.type("versions")
    assert "on hold: all" in said
    assert "leader" in said


def test_the_package_sources_are_asked_before_the_report_where_somebody_wants_it(terminal):
    """At one machine; what all of them told at the survey stays as it was."""
    answer = terminal.ask("versions", "--ask-sources")
    (minor,) = answer["support"]["running"]
    assert minor["offered_at"] == answer["support"]["asked_at"] > answer["survey"]["read_at"]
    assert {m["name"] for m in answer["survey"]["machines"]} == {"cp1", "w1", "w2"}
    assert answer["support"]["unasked"] == []


def test_a_sound_installation_passes_the_doctor(terminal):
    """Redis, the cluster and every machine are looked at; the configuration is sound."""
    said = terminal.type("doctor")
    assert all(name in said for name in ("cp1", "w1", "w2"))
    assert "sound" in terminal.type("config", "check")


@pytest.mark.parametrize(
    ("words", "answer"),
    [
        (("plan", "banana"), "`banana` is not a version"),
        (("plan", "v1.34.1"), "downgrade"),
        (("plan", "v1.35.99"), "not offered"),
        (("versions", "nowhere"), "no cluster `nowhere`"),
        (("approve", "p-00000000", "--yes", "--key", "/nowhere"), "p-00000000"),
        (("status", "op-00000000"), "op-00000000"),
        (("release", "lab", "--confirm", "op-1"), "nothing to release"),
        (("release", "lab"), "nothing to release"),
        (("release", "nowhere"), "no cluster `nowhere`"),
    ],
)
def test_a_wrong_word_is_one_sentence_and_exit_1(terminal, words, answer):
    """Nothing is half done, and there is never a traceback."""
    said = terminal.type(*words, expect=1)
    assert answer in said
    assert "Traceback" not in said
    assert len(said.strip().splitlines()) == 1


def test_every_verb_but_demo_refuses_without_a_redis(terminal):
    """The state is never kept anywhere else by accident."""
    environment = {k: v for k, v in terminal.rig.environment().items() if k != "REDIS_URL"}
    for verb in ("versions", "status", "worker"):
        command = [sys.executable, "-m", "lockkeeper", verb]
        done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT, env=environment)
        assert done.returncode == 1
        assert "REDIS_URL is empty" in done.stderr


def test_an_upgrade_is_planned_approved_and_carried_out(terminal):
    """Pause and resume in the middle; the requester cannot approve, a stranger's key neither."""
    directory = terminal.rig.directory
    plan = terminal.ask("plan", "v1.35")["plan"]
    assert plan["plan"]["hops"][-1]["target"] == "v1.35.4"
    tried = terminal.ask("dry-run", plan["id"])["dry_run"]
    assert [(n["node"], n["hindrances"]) for n in tried["nodes"]] == [("cp1", []), ("w1", []), ("w2", [])]
    refused = terminal.type("approve", plan["id"], "--yes", "--key", str(directory / "bot.key"), expect=1)
    assert "cannot be read" in refused or "belongs to nobody" in refused
    operation = json.loads(
        terminal.type("approve", plan["id"], "--yes", "--key", str(directory / "grace.key"), "-o", "json")
    )["operation"]
    again = terminal.type("approve", plan["id"], "--yes", "--key", str(directory / "linus.key"), expect=1)
    assert "approved" in again.lower()
    terminal.type("pause")
    wait_for_state(terminal, operation["id"], {"parked"})
    assert terminal.ask("status", expect=3)["operation"]["reason"]
    assert "NOTE run-in-hand: The run" in terminal.type("versions")
    terminal.type("resume")
    wait_for_state(terminal, operation["id"], {"completed"})
    kinds = [e["kind"] for e in terminal.ask("events", operation["id"])["events"]]
    assert kinds[0] == "plan-approved"
    assert {"pause-asked", "operation-parked", "resume-asked", "operation-completed"} <= set(kinds)
    assert {m["kubelet"] for m in terminal.rig.world.snapshot().values()} == {"v1.35.4"}
    runbook = terminal.type("restore-runbook")
    (stored,) = (directory / "snapshots" / "lab").glob("*.db.age")
    assert f"age --decrypt --identity keys.txt --output etcd.db {stored}" in runbook
    assert "--initial-cluster cp1=https://" in runbook
    assert "nothing" in terminal.type("plan", "v1.35.4", expect=1).lower()


def wait_for_state(terminal, operation_id, states, patience=120):
    end = time.monotonic() + patience
    state = ""
    while time.monotonic() < end:
        state = terminal.rig.store.operation(operation_id).state.value
        if state in states:
            return
        assert state != "blocked", terminal.rig.store.operation(operation_id).reason
        time.sleep(0.2)
    logs = [part.log.read_text()[-3000:] for part in terminal.rig.parts]
    pytest.fail(f"{operation_id} is {state}, not {states}: {logs}, {os.getpid()}")
