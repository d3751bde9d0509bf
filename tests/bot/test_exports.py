"""`export` in Slack: the file goes where the plan's card is, and nowhere else."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import Any, cast

import pytest
import yaml
from typer.testing import CliRunner

from bot.asked import Asked
from bot.commands import Export
from bot.delivery import SlackRefused
from bot.export_forms import ExportForm
from bot.exports import export
from bot.plan_export import export_plan
from bot.station import Station
from cluster.errors import Refused
from cluster.events import Event, Happened
from cluster.outbox import Posted
from cluster.plan import PlanRecord
from cluster.settings import Settings
from cluster.store import Store
from lockkeeper import app
from tests.bot_desk import ADA, Desk, desk, quiet_desk
from tests.bot_fixture import CHANNEL, NOW, plan, record, settings
from tests.redis_fixture import redis_server, redis_url, store

__all__ = ["desk", "quiet_desk", "redis_server", "redis_url", "store"]

ELSEWHERE = "C0RANDOM"


def test_a_plan_is_put_into_the_thread_of_its_card(desk: Desk) -> None:
    """Asked for from any channel; the person alone is told."""
    made = desk.propose()
    card = desk.card(made)
    desk.slack.say(ADA, ELSEWHERE, "/k8s export p-1a2b3c4d runbook")
    desk.told(ADA, "p-1a2b3c4d-runbook.md` is in the thread of its plan")
    (message,) = (m for m in desk.slack.messages(CHANNEL) if m.get("files"))
    assert (message["thread_ts"], message["files"][0]["name"]) == (card, "p-1a2b3c4d-runbook.md")
    (file,) = desk.slack.workspace.files.values()
    assert bytes(file["content"]).decode() == export_plan(made, ExportForm.RUNBOOK, desk.settings.approvals).text
    assert desk.slack.messages(ELSEWHERE) == []


@dataclass
class PaperStation:
    """What `export` needs of a station, and a memory of what it sent; it is its own store and delivery."""

    known: tuple[PlanRecord, ...] = ()  # newest first
    carded: bool = True
    refusal: str = ""
    settings: Settings = field(default_factory=settings)
    command: str = "/k8s"
    sent: list[tuple[str, str, str]] = field(default_factory=list)

    @property
    def store(self) -> PaperStation:
        return self

    @property
    def delivery(self) -> PaperStation:
        return self

    def person(self, asked: Asked) -> str:
        return asked.user

    def plan(self, plan_id: str) -> PlanRecord:
        return next(r for r in self.known if r.id == plan_id)

    def plans(self, cluster: str, most: int) -> tuple[PlanRecord, ...]:
        return tuple(r for r in self.known if r.plan.cluster == cluster)[:most]

    def message(self, key: str) -> Posted | None:
        return Posted(CHANNEL, f"card of {key}", "") if self.carded else None

    def upload(self, channel: str, thread: str, name: str, text: str) -> None:
        if self.refusal:
            raise SlackRefused(f"Slack refuses: {self.refusal}.", self.refusal)
        assert text
        self.sent.append((channel, thread, name))

    def link(self, *_: str) -> str:
        return ""


def ask(station: PaperStation, *words: Any, channel: str = CHANNEL) -> str:
    asked = Asked("ada", channel, frozenset(), frozenset())
    return export(cast("Station", station), asked, Export(*words)).text


def of_cluster(name: str, plan_id: str, minutes: int = 0) -> PlanRecord:
    made, asked = plan(), NOW + timedelta(minutes=minutes)
    return record(id=plan_id, plan=replace(made, identity=replace(made.identity, name=name)), requested_at=asked)


@pytest.mark.parametrize(
    ("channel", "chosen"), [(CHANNEL, "p-00000002"), ("C0STAGE", "p-00000001"), (ELSEWHERE, "p-00000001")]
)
def test_without_a_name_it_is_the_newest_plan_of_the_channel(channel: str, chosen: str) -> None:
    """Where a channel is of no cluster, the newest of all."""
    known = settings()
    stage = known.clusters["prod"].model_copy(update={"channel": "C0STAGE"})
    both = known.model_copy(update={"clusters": {**known.clusters, "stage": stage}})
    station = PaperStation(
        (of_cluster("stage", "p-00000001", minutes=1), of_cluster("prod", "p-00000002")), settings=both
    )
    assert chosen in ask(station, channel=channel)
    assert station.sent == [(CHANNEL, f"card of plan:{chosen}", f"{chosen}.md")]


@pytest.mark.parametrize(
    ("station", "said"),
    [
        (PaperStation(), "There is no plan yet: make one with `/k8s plan v1.35`."),
        (PaperStation((record(),), carded=False), "no card in Slack whose thread could take a file: type `lockkeeper"),
        (PaperStation((record(),), refusal="missing_scope"), "give it the scope `files:write` and install it anew"),
    ],
)
def test_what_cannot_be_exported_is_said_with_what_to_do(station: PaperStation, said: str) -> None:
    """One sentence, and the way that is left."""
    with pytest.raises(Refused) as refused:
        ask(station, "", ExportForm.JSON)
    assert said in str(refused.value)
    assert station.sent == []


def test_any_other_refusal_of_slacks_is_told_as_it_is() -> None:
    """It is not for want of a scope."""
    with pytest.raises(SlackRefused, match="is_archived"):
        ask(PaperStation((record(),), refusal="is_archived"))


def test_the_command_line_prints_a_plan_or_puts_it_into_a_file(
    store: Store, redis_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same document as in Slack; the sentence goes where the document does not."""
    made = record()
    store.propose(made, Event(Happened.PLAN_PROPOSED, NOW, "prod", "A plan.", plan_id=made.id))
    known = settings()
    config = tmp_path / "lockkeeper.yaml"
    config.write_text(yaml.safe_dump(known.model_dump(mode="json", exclude_none=True)), encoding="utf-8")
    monkeypatch.setenv("REDIS_URL", redis_url)
    words = ["export", made.id, "--config", str(config)]
    for form in ExportForm:
        wanted = export_plan(made, form, known.approvals).text
        assert CliRunner().invoke(app, [*words, "--as", form]).output == wanted
    said = CliRunner().invoke(app, [*words, "--to", str(tmp_path / "plan.md")]).output
    assert said == f"{made.id} is in {tmp_path / 'plan.md'}.\n"
    assert (tmp_path / "plan.md").read_text(encoding="utf-8").startswith("# Upgrade plan: prod to v1.35.4")
