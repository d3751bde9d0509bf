"""lockkeeper.yaml: read once, at start; a wrong file is refused with every mistake in it, each with its path."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import yaml
from pydantic import Field, ValidationError, model_validator

from cluster.errors import InvalidConfig, UnknownThing
from cluster.fields import (
    ChannelId,
    Clock,
    CommandName,
    GroupId,
    KeyLine,
    Model,
    Name,
    PersonId,
    Seconds,
    Secret,
    TeamId,
    Timezone,
    Weekday,
)
from cluster.inventory import Cluster, OnCall
from cluster.mistakes import list_mistakes, told_of
from cluster.references import lost_references

_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # thousands of machines: a tenth of the time
CONFIG_ENV = "LOCKKEEPER_CONFIG"
DEFAULT_PATH = Path("lockkeeper.yaml")


class Person(Model):
    """One human being: the same person whether they click in Slack or sign on a terminal."""

    slack: PersonId | None = None
    ssh_keys: tuple[KeyLine, ...] = ()  # lines as in authorized_keys: "ssh-ed25519 AAAA… comment"
    logins: tuple[str, ...] = ()  # local login names, so that the command line knows who types


class Approvals(Model):
    """Who may approve; an empty list is refused at start, nobody is ever approver by default."""

    approvers: tuple[Name, ...] = ()
    user_groups: tuple[GroupId, ...] = ()
    expire_after: Seconds = 3600
    confirm_release_notes: bool = False  # whoever approves confirms to have read those of each hop
    signing_key: Secret | None = None  # the bot's Ed25519 private key (OpenSSH or PEM); only the bot has it
    public_key: KeyLine | None = None  # its public half, "ssh-ed25519 AAAA…"; what workers verify with

    @model_validator(mode="after")
    def _somebody(self) -> Self:
        if not self.approvers and not self.user_groups:
            raise ValueError("name at least one of `approvers` and `user_groups`: without them nobody could approve")
        return self


class Slack(Model):
    """How the bot speaks with Slack."""

    mode: Literal["socket", "http"] = "socket"
    bot_token: Secret
    app_token: Secret | None = None
    signing_secret: Secret | None = None
    team_id: TeamId
    command: CommandName = "/k8s"
    api_url: str = "https://slack.com/api/"
    http_port: Annotated[int, Field(ge=1, le=65535)] = 3000
    default_channel: ChannelId | None = None
    on_call: OnCall | None = None

    @model_validator(mode="after")
    def _enough_for_its_mode(self) -> Self:
        if self.mode == "socket" and self.app_token is None:
            raise ValueError("`mode: socket` needs `app_token` (xapp-…, with connections:write)")
        if self.mode == "http" and self.signing_secret is None:
            raise ValueError("`mode: http` needs `signing_secret`: without it anybody could post commands")
        if not self.api_url.startswith("https://") and not re.match(
            r"http://(127\.0\.0\.1|localhost|\[::1\])[:/]", self.api_url
        ):
            raise ValueError("`api_url` must be https, or http on this host: the token is sent there")
        return self


class Digest(Model):
    """The periodic report to a channel: only what changed since the last one."""

    every: Literal["daily", "weekly"] = "weekly"
    day: Weekday = "monday"  # if weekly
    at: Clock = "09:00"
    timezone: Timezone = "UTC"
    channel: ChannelId | None = None  # a Slack channel id; default: slack.default_channel
    survey: bool = False  # whether every machine is asked anew before


class Waits(Model):
    """Every wait of the product, in seconds, with its real default; the demo shortens them openly."""

    poll: Seconds = 2.0  # between two looks at a remote command
    eviction_retry: Seconds = 5.0  # after a PDB's refusal, as kubectl does
    stable: Seconds = 30.0  # how long a restarted kubelet must stay up
    node_ready: Seconds = 300.0  # from a restart to Ready with a fresh lease
    reboot: Seconds = 1200.0  # until a machine is back, also from a silence in a command; bare metal takes 15 minutes
    control_plane: Seconds = 600.0  # how long the API may stay unreadable in our own control-plane step
    smoke: Seconds = 120.0
    remote_step: Seconds = (
        3600.0  # after this a remote command is told as stuck, and a person called; it is never killed
    )
    place: Seconds = 1800.0  # how long nobody may find a place in a pool, before a person is asked
    alerts: Seconds = 15.0  # between two looks at the firing alerts
    survey_fresh: Seconds = 600.0  # a plan demands a survey not older than this
    offers_fresh: Seconds = 600.0  # package sources that told longer ago are asked anew behind a report
    slack_edit: Annotated[float, Field(ge=0.2)] = 3.0  # between two edits of one message


class Redis(Model):
    """Where the state lives; the URL comes from REDIS_URL unless it is named here."""

    url: Secret = Secret(env="REDIS_URL")


class Settings(Model):
    """The whole file."""

    installation: Name = "lockkeeper"  # the name under which this installation locks clusters
    clusters: Annotated[dict[Name, Cluster], Field(min_length=1)]
    people: dict[Name, Person] = Field(default_factory=dict)
    approvals: Approvals
    slack: Slack | None = None
    digest: Digest | None = None
    redis: Redis = Redis()
    waits: Waits = Waits()

    def cluster(self, name: str | None) -> tuple[str, Cluster]:
        """The named cluster, or the only one; raises UnknownThing with the names that exist."""
        names = ", ".join(f"`{n}`" for n in self.clusters)
        if name is None:
            if len(self.clusters) == 1:
                return next(iter(self.clusters.items()))
            raise UnknownThing(f"There are {len(self.clusters)} clusters: name one of {names}.")
        if name not in self.clusters:
            raise UnknownThing(f"There is no cluster `{name[:40]}` in the configuration: name one of {names}.")
        return name, self.clusters[name]

    def person_of_slack(self, user_id: str) -> str | None:
        return next((n for n, p in self.people.items() if p.slack == user_id), None)

    @property
    def digest_channel(self) -> str | None:
        """Where the periodic report goes; None where it goes nowhere."""
        if self.digest is None or self.slack is None:
            return None
        return self.digest.channel or self.slack.default_channel

    def channel(self, cluster: str) -> str | None:
        """Where a cluster is told of; nowhere for one that is not in the configuration, or not any more."""
        if cluster not in self.clusters:
            return None
        return self.clusters[cluster].channel or (self.slack.default_channel if self.slack else None)

    def on_call(self, cluster: str) -> OnCall | None:
        """Whom a stop of this cluster is for; nobody for one that is not in the configuration any more."""
        if cluster not in self.clusters:
            return None
        return self.clusters[cluster].on_call or (self.slack.on_call if self.slack else None)


def load_settings(path: Path | None = None) -> Settings:
    """Read and check the file; raises InvalidConfig that lists every mistake with its path."""
    path = path or Path(os.environ.get(CONFIG_ENV, DEFAULT_PATH))
    try:
        data = yaml.load(path.read_text(encoding="utf-8"), Loader=_LOADER)  # noqa: S506 - both are safe loaders
    except OSError as error:
        raise InvalidConfig(
            f"The configuration {path} cannot be read ({error.strerror}): name it with --config."
        ) from error
    except UnicodeDecodeError as error:
        raise InvalidConfig(f"{path} is not text in UTF-8: look whether it is the right file.") from error
    except yaml.YAMLError as error:
        raise InvalidConfig(f"{path} is not YAML: {' '.join(str(error).split())}.") from error
    return parse_settings(data, str(path))


def parse_settings(data: Any, source: str = "lockkeeper.yaml") -> Settings:
    """Check a parsed file; `source` names it in errors. Raises InvalidConfig that lists every mistake with its path."""
    lost = [("(top level)", words) for words in lost_references(data)]
    try:
        settings = Settings.model_validate(data)
    except ValidationError as error:
        raise InvalidConfig(list_mistakes(source, [*told_of(error), *lost])) from error
    if lost:
        raise InvalidConfig(list_mistakes(source, lost))
    return settings
