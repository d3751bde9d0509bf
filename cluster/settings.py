"""lockkeeper.yaml: read once, at start; a wrong file is refused with every mistake in it, each with its path."""

from __future__ import annotations

import base64
import binascii
import os
import re
from datetime import date
from pathlib import Path
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import pyrage
import yaml
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from cluster.errors import InvalidConfig, UnknownThing
from cluster.plan import DrainMode, WorkerMoves
from cluster.references import lost_references

_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # thousands of machines: a tenth of the time
CONFIG_ENV = "LOCKKEEPER_CONFIG"
DEFAULT_PATH = Path("lockkeeper.yaml")
_NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?")
_FINGERPRINT = re.compile(r"SHA256:[A-Za-z0-9+/]{43}")
_SHORTEST_KEY = 36  # bytes of an Ed25519 key after its kind
_SPAN, _UNITS = re.compile(r"(\d{1,6})(s|m|h)"), {"s": 1, "m": 60, "h": 3600}
_LOCAL_OR_TLS = re.compile(r"https://|http://(127\.0\.0\.1|localhost|\[::1\])([:/]|$)")
_PERCENT = re.compile(r"(100|[1-9]?[0-9])%")


def _name(value: str) -> str:
    if not _NAME.fullmatch(value):
        raise ValueError("must be 1 to 40 of a-z, 0-9 and -, starting and ending with a letter or digit")
    return value


def _like(pattern: str, words: str) -> AfterValidator:
    """A text of this form; whoever writes another one is told what is meant, and not the pattern."""

    def check(value: str) -> str:
        if not re.fullmatch(pattern, value):
            raise ValueError(f"must be {words}")
        return value

    return AfterValidator(check)


def _key_line(value: str) -> str:
    """A key is its kind and the blob that begins with it; one that was cut or never filled in would verify nothing."""
    kind, blob, *_ = [*value.split(), "", ""]
    try:
        inside = base64.b64decode(blob, validate=True)
    except (ValueError, binascii.Error):
        inside = b""
    named = len(kind).to_bytes(4) + kind.encode()
    if not inside.startswith(named) or len(inside) < len(named) + _SHORTEST_KEY:
        raise ValueError("must be a whole public key like `ssh-ed25519 AAAA…`, as the file id_ed25519.pub has it")
    return value


def _fingerprint(value: str) -> str:
    if not _FINGERPRINT.fullmatch(value):
        raise ValueError(
            "must be a fingerprint like SHA256:… with 43 characters after the colon; print it on the machine with: "
            "ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub"
        )
    return value


def _recipient(value: str) -> str:
    if value.upper().startswith("AGE-SECRET-KEY-"):
        raise ValueError(
            "is a secret key, which belongs nowhere here: take the line that `age-keygen -y` prints for it"
        )
    try:
        pyrage.x25519.Recipient.from_str(value)
    except pyrage.RecipientError as error:
        raise ValueError(f"must be an age recipient like age1…, and `{value[:20]}` is none: take a new copy") from error
    return value


def _absolute(value: Path) -> Path:
    if not value.is_absolute() or ".." in value.parts:
        raise ValueError("must be an absolute path: begin it with /, and leave out ..")
    return value


def _clock(value: object) -> object:
    """YAML reads 10:30 without quotation marks as a number of sixtieths."""
    return f"{value // 60:02}:{value % 60:02}" if isinstance(value, int) and not isinstance(value, bool) else value


def _timezone(value: str) -> str:
    try:
        ZoneInfo(value)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise ValueError("must be a time zone that this system knows, such as UTC or Europe/Berlin") from error
    return value


def _span(value: object) -> object:
    """Seconds, also as `90s`, `15m`, `2h`."""
    found = _SPAN.fullmatch(value) if isinstance(value, str) else None
    return int(found[1]) * _UNITS[found[2]] if found else value


def _web_address(value: str) -> str:
    parts = urlsplit(value)
    if parts.scheme not in {"http", "https"} or not parts.hostname or parts.query or parts.fragment or parts.username:
        raise ValueError("must be an address like https://monitoring.example.org, without a login or a query")
    return value.rstrip("/")


def _pattern(value: str) -> str:
    try:
        re.compile(value)
    except re.error as error:
        raise ValueError(f"must be a regular expression: {error}") from error
    return value


def _how_many(value: int | str) -> int | str:
    if isinstance(value, int) and value >= 1:
        return value
    if isinstance(value, str) and _PERCENT.fullmatch(value) and value != "0%":
        return value
    raise ValueError("must be a whole number of at least 1, or a percentage like 10%")


Name = Annotated[str, AfterValidator(_name)]
Fingerprint = Annotated[str, AfterValidator(_fingerprint)]
HowMany = Annotated[int | str, AfterValidator(_how_many)]
ChannelId = Annotated[str, _like(r"[CG][A-Z0-9]{2,}", "a channel's id like C0123456789, not its name")]
PersonId = Annotated[str, _like(r"[UW][A-Z0-9]{2,}", "a person's id like U0123ADA, not a name")]
GroupId = Annotated[str, _like(r"S[A-Z0-9]{2,}", "a user group's id like S0123KEEPERS, not its name")]
TeamId = Annotated[str, _like(r"[TE][A-Z0-9]{2,}", "the id of a workspace like T0123456789")]
CommandName = Annotated[str, _like(r"/[a-z0-9_-]{1,31}", "a command like /k8s")]
KeyLine = Annotated[str, AfterValidator(_key_line)]
Recipient = Annotated[str, AfterValidator(_recipient)]
WebAddress = Annotated[str, AfterValidator(_web_address)]
Pattern = Annotated[str, AfterValidator(_pattern)]
Seconds = Annotated[float, Field(gt=0)]
OnCallId = Annotated[
    str, _like(r"[UWS][A-Z0-9]{2,}", "a person's id like U0123ADA or a user group's like S0123KEEPERS")
]
Span = Annotated[int, BeforeValidator(_span), Field(ge=0, le=604_800)]
Weekday = Literal["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"]
WEEKDAYS: tuple[Weekday, ...] = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
Clock = Annotated[str, BeforeValidator(_clock), Field(pattern=r"^([01]\d|2[0-3]):[0-5]\d$")]
Timezone = Annotated[str, AfterValidator(_timezone)]


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Secret(_Model):
    """A secret by reference: the name of an environment variable, or of a file; never the value itself."""

    env: str | None = None
    file: Path | None = None

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if (self.env is None) == (self.file is None):
            raise ValueError("name exactly one of `env` and `file`")
        return self

    def read(self) -> str:
        """The value without surrounding white space; raises InvalidConfig where it is not there."""
        if self.env is not None:
            value = os.environ.get(self.env, "").strip()
            if not value:
                raise InvalidConfig(f"The environment variable {self.env} is empty: set it, or name a `file` instead.")
            return value
        path = self.file or Path()
        try:
            value = path.read_text(encoding="utf-8").strip()
        except OSError as error:
            raise InvalidConfig(
                f"The secret file {path} cannot be read ({error.strerror}): check its path and mode."
            ) from error
        if not value:
            raise InvalidConfig(f"The secret file {path} is empty: write the secret into it.")
        return value


class Machine(_Model):
    """How to reach one node over SSH; its name in the file is the node's name in the cluster."""

    address: str
    port: Annotated[int, Field(ge=1, le=65535)] = 22
    user: str = "lockkeeper"
    key_file: Path
    host_key: Fingerprint
    node_script: str = "/usr/local/sbin/lockkeeper-node"
    sudo: bool = True


class Pool(_Model):
    """Worker nodes that are upgraded under one limit."""

    selector: str  # labels, as kubectl's -l takes them: "a=b,c!=d,e"
    max_unavailable: HowMany = 1
    canary: Annotated[int, Field(ge=0)] = 0  # so many go before the others
    soak: Span = 0  # from the end of the last canary until the others follow
    ramp: bool = False  # whether its waves double, up to the limit
    failure_budget: Annotated[int, Field(ge=0)] = 0  # so many may be blocked while others begin

    @model_validator(mode="after")
    def _somebody_to_watch(self) -> Self:
        if self.soak and not self.canary:
            raise ValueError("`soak` needs a `canary`: it is the time in which one is watched before the others follow")
        return self

    def limit(self, size: int) -> int:
        """How many of `size` nodes may be away at once; at least 1."""
        if isinstance(self.max_unavailable, int):
            return self.max_unavailable
        return max(1, size * int(self.max_unavailable.rstrip("%")) // 100)


class Defaults(_Model):
    """What a plan's options are unless the plan says otherwise."""

    drain: DrainMode = DrainMode.ALWAYS
    drain_timeout: Annotated[int, Field(ge=10, le=86_400)] = 900
    delete_emptydir: bool = False
    delete_unmanaged: bool = False
    workers: WorkerMoves = WorkerMoves.EVERY_HOP


class Smoke(_Model):
    """The pod that has to run on an upgraded node before it gets its work back."""

    namespace: Annotated[str, Field(pattern=r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$")] = "lockkeeper-smoke"
    image: str | None = None  # default: a pause image that the node has
    command: tuple[str, ...] = ()  # has to end with 0; without one the image's own program has to stay up
    deployment: bool = False  # whether a Deployment is created on the node and scaled, too

    @model_validator(mode="after")
    def _something_to_run_it(self) -> Self:
        if self.command and self.image is None:
            raise ValueError("`command` needs an `image` that has it: the pause image has no commands")
        return self

    def without_command(self) -> Smoke:
        """What stays up: the image where it needs no command, else a pause image."""
        return self.model_copy(update={"image": None, "command": ()}) if self.command else self


class Snapshots(_Model):
    """Where etcd's snapshots go, encrypted on the way; without this they stay on their machine."""

    store: Annotated[Path, AfterValidator(_absolute)]  # a folder of every worker: a mount that outlives the cluster
    recipients: Annotated[tuple[Recipient, ...], Field(min_length=1)]  # age1…; each of their keys opens them
    keep: Annotated[int, Field(ge=1)] = 5  # of each cluster; those of a running operation beside


class Alerts(_Model):
    """Where firing alerts are looked up, and which of them keep a run from beginning another node."""

    prometheus: WebAddress | None = None
    alertmanager: WebAddress | None = None
    token: Secret | None = None  # sent as a bearer token
    ca_file: Path | None = None  # default: what this system trusts
    match: dict[str, Pattern] = {}  # label: what all of its value must match
    # names: two that fire where everything is well, and one that fires during every upgrade
    ignore: tuple[Pattern, ...] = ("Watchdog", "InfoInhibitor", "KubeVersionMismatch")
    node_label: str = "node"  # alerts of a node in hand are of our own making
    unreachable: Literal["halt", "go-on"] = "halt"
    calm: Span = 300  # how long they must be gone
    silence: bool = False  # whether alerts of nodes in hand are silenced

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if (self.prometheus is None) == (self.alertmanager is None):
            raise ValueError("name exactly one of `prometheus` and `alertmanager`")
        if self.silence and self.alertmanager is None:
            raise ValueError("`silence` needs an `alertmanager`: Prometheus knows no silences")
        if self.token is not None and not _LOCAL_OR_TLS.match(self.address):
            raise ValueError("a `token` needs an address with https, or one on this host")
        return self

    @property
    def address(self) -> str:
        return self.prometheus or self.alertmanager or ""


class Window(_Model):
    """A time of the week in which upgrades may go on; one that closes at or before it opens closes on the next day."""

    days: Annotated[tuple[Weekday, ...], Field(min_length=1)] = WEEKDAYS  # on which it opens
    opens: Clock
    closes: Clock


class Freeze(_Model):
    """Days on which upgrades must not go on, whatever the windows say."""

    begins: date
    ends: date  # the last day of it
    reason: str = ""

    @model_validator(mode="after")
    def _forwards(self) -> Self:
        if self.ends < self.begins:
            raise ValueError("`ends` is the last day of the freeze: it must not be before `begins`")
        return self


class OnCall(_Model):
    """Who is mentioned where a run waits for a person, and how often again while it waits."""

    mention: OnCallId
    remind_every: Annotated[Span, Field(ge=60)] = 1800


class Cluster(_Model):
    """One cluster: how to reach its API and its machines."""

    kubeconfig: Path | None = None
    in_cluster: bool = False
    context: str | None = None
    relax_x509_strict: bool = False  # for CAs of old kubeadm on Python >= 3.13: "Missing Authority Key Identifier"
    channel: ChannelId | None = None  # Slack channel id where plans and runs of this cluster go
    on_call: OnCall | None = None  # default: slack.on_call
    smoke: Smoke = Smoke()
    snapshots: Snapshots | None = None
    alerts: Alerts | None = None
    machines: dict[str, Machine] = {}  # without any, the cluster is reported and cannot be planned for
    pools: dict[Name, Pool] = {}
    defaults: Defaults = Defaults()
    timezone: Timezone = "UTC"  # of its windows and freezes
    windows: tuple[Window, ...] = ()  # none: at any time
    freezes: tuple[Freeze, ...] = ()

    @model_validator(mode="after")
    def _one_way_in(self) -> Self:
        if (self.kubeconfig is None) == (not self.in_cluster):
            raise ValueError("name exactly one of `kubeconfig: PATH` and `in_cluster: true`")
        return self


class Person(_Model):
    """One human being: the same person whether they click in Slack or sign on a terminal."""

    slack: PersonId | None = None
    ssh_keys: tuple[KeyLine, ...] = ()  # lines as in authorized_keys: "ssh-ed25519 AAAA… comment"
    logins: tuple[str, ...] = ()  # local login names, so that the command line knows who types


class Approvals(_Model):
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


class Slack(_Model):
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


class Digest(_Model):
    """The periodic report to a channel: only what changed since the last one."""

    every: Literal["daily", "weekly"] = "weekly"
    day: Weekday = "monday"  # if weekly
    at: Clock = "09:00"
    timezone: Timezone = "UTC"
    channel: ChannelId | None = None  # a Slack channel id; default: slack.default_channel


class Waits(_Model):
    """Every wait of the product, in seconds, with its real default; the demo shortens them openly."""

    poll: Seconds = 2.0  # between two looks at a remote command
    eviction_retry: Seconds = 5.0  # after a PDB's refusal, as kubectl does
    stable: Seconds = 30.0  # how long a restarted kubelet must stay up
    node_ready: Seconds = 300.0  # from a restart to Ready with a fresh lease
    control_plane: Seconds = 600.0  # how long the API may stay unreadable in our own control-plane step
    smoke: Seconds = 120.0
    remote_step: Seconds = 3600.0  # after this a remote command is reported as stuck; it is never killed
    alerts: Seconds = 15.0  # between two looks at the firing alerts
    survey_fresh: Seconds = 600.0  # a plan demands a survey not older than this
    slack_edit: Annotated[float, Field(ge=0.2)] = 3.0  # between two edits of one message


class Redis(_Model):
    """Where the state lives; the URL comes from REDIS_URL unless it is named here."""

    url: Secret = Secret(env="REDIS_URL")


class Settings(_Model):
    """The whole file."""

    installation: Name = "lockkeeper"  # the name under which this installation locks clusters
    clusters: Annotated[dict[Name, Cluster], Field(min_length=1)]
    people: dict[Name, Person] = {}
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
        fields = [(_path(e["loc"]), _words(e)) for e in error.errors(include_url=False)]
        raise InvalidConfig(_list_mistakes(source, [*fields, *lost])) from error
    if lost:
        raise InvalidConfig(_list_mistakes(source, lost))
    return settings


def _list_mistakes(source: str, told: list[tuple[str, str]]) -> str:
    count = "a mistake" if len(told) == 1 else f"{len(told)} mistakes"
    return f"{source} has {count}; correct it and start again:\n" + "\n".join(
        f"  {path}: {words}" for path, words in told
    )


def _path(location: tuple[int | str, ...]) -> str:
    parts = [str(p) for p in location if p not in {"int", "str"} and not str(p).startswith("function-")]
    return ".".join(parts) or "(top level)"


# Where the library would name classes of ours to a reader of YAML.
_PLAIN = {
    "too_short": "must name at least one",
    "path_type": "should be a path, in text",
    "model_type": "should be a mapping of settings",
    "dict_type": "should be a mapping of names",
}


def _words(error: Any) -> str:
    message = str(error["msg"]).removeprefix("Value error, ")
    if error["type"] == "missing":
        return "is missing"
    if error["type"] == "extra_forbidden":
        return "is not a setting that we know; check its spelling"
    if error["type"] in _PLAIN:
        return _PLAIN[error["type"]]
    return message[:1].lower() + message[1:]
