"""What lockkeeper.yaml says of one cluster: its machines and pools, and how upgrades of it are to go."""

from __future__ import annotations

import hashlib
import re
from datetime import date
from pathlib import Path
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import Field, model_validator

from cluster.fields import (
    WEEKDAYS,
    AbsolutePath,
    ChannelId,
    Clock,
    Fingerprint,
    HookName,
    HowMany,
    Model,
    Name,
    OnCallId,
    Pattern,
    Recipient,
    Secret,
    Selector,
    Span,
    Timezone,
    WebAddress,
    Weekday,
)
from cluster.hooks import Moment, OnFailure, PlanHook
from cluster.options import DrainMode, Reboot, Treatment, WorkerMoves

_LOCAL_OR_TLS = re.compile(r"https://|http://(127\.0\.0\.1|localhost|\[::1\])([:/]|$)")


class Machine(Model):
    """How to reach one node over SSH; its name in the file is the node's name in the cluster."""

    address: str
    port: Annotated[int, Field(ge=1, le=65535)] = 22
    user: str = "lockkeeper"
    key_file: Path
    host_key: Fingerprint
    node_script: str = "/usr/local/sbin/lockkeeper-node"
    sudo: bool = True


class Pool(Model):
    """Worker nodes that are upgraded under one limit."""

    selector: Selector  # labels, as kubectl's -l takes them: "a=b,c!=d,e"
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


class PodRule(Model):
    """How drains treat the pods that these labels pick."""

    selector: Annotated[Selector, Field(min_length=1)]  # as kubectl's -l takes them
    namespace: str = ""  # default: each
    pods: Treatment


class Defaults(Model):
    """What a plan's options are unless the plan says otherwise."""

    drain: DrainMode = DrainMode.ALWAYS
    drain_timeout: Annotated[int, Field(ge=10, le=86_400)] = 900
    delete_emptydir: bool = False
    delete_unmanaged: bool = False
    workers: WorkerMoves = WorkerMoves.EVERY_HOP
    reboot: Reboot = Reboot.NEVER
    surge: bool = False  # whether single replicas get a second one before they are evicted
    pod_rules: tuple[PodRule, ...] = ()  # pods that are not simply evicted


class DatabaseRule(Model):
    """How the pods of a database show themselves whose operator does not come with lockkeeper."""

    name: Annotated[str, Field(min_length=1)]  # of what runs it, for people
    member: Annotated[dict[str, str], Field(min_length=1)]  # labels that each instance has
    cluster: Annotated[str, Field(min_length=1)]  # the label with the database's name
    role: Annotated[str, Field(min_length=1)]  # the label that tells who takes the writes
    primary: Annotated[tuple[str, ...], Field(min_length=1)]  # its values then
    moves_on_cordon: bool = False  # whether the primary is handed over as soon as its node is cordoned


class Smoke(Model):
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


class Snapshots(Model):
    """Where etcd's snapshots go, encrypted on the way; without this they stay on their machine."""

    store: AbsolutePath  # a folder of every worker: a mount that outlives the cluster
    recipients: Annotated[tuple[Recipient, ...], Field(min_length=1)]  # age1…; each of their keys opens them
    keep: Annotated[int, Field(ge=1)] = 5  # of each cluster; those of a running operation beside


class Alerts(Model):
    """Where firing alerts are looked up, and which of them keep a run from beginning another node."""

    prometheus: WebAddress | None = None
    alertmanager: WebAddress | None = None
    token: Secret | None = None  # sent as a bearer token
    ca_file: Path | None = None  # default: what this system trusts
    match: dict[str, Pattern] = Field(default_factory=dict)  # label: what all of its value must match
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


class Hook(Model):
    """What runs at a moment of a run: an executable that root keeps on the machine, or a signed message."""

    command: HookName | None = None
    webhook: WebAddress | None = None
    secret: Secret | None = None  # the webhook's: each message is signed with it
    ca_file: Path | None = None  # default: what this system trusts
    timeout: Annotated[Span, Field(ge=1, le=3600)] | None = None  # default: 300 for a command, 10 for a webhook
    tries: Annotated[int, Field(ge=1, le=10)] | None = None  # of a webhook that is not well; default: 3
    on_failure: OnFailure = OnFailure.BLOCK

    @model_validator(mode="after")
    def _one_kind(self) -> Self:
        if (self.command is None) == (self.webhook is None):
            raise ValueError("name exactly one of `command` and `webhook`")
        if (self.webhook is None) != (self.secret is None):
            raise ValueError(
                "a `webhook` needs a `secret`, by which it knows that we sent the message; a command has none"
            )
        if self.webhook is None and (self.tries or self.ca_file):
            raise ValueError("`tries` and `ca_file` belong to a `webhook`: a command is run once per attempt")
        if self.webhook is not None and not _LOCAL_OR_TLS.match(self.webhook):
            raise ValueError("a `webhook` needs an address with https, or one on this host")
        return self

    def planned(self, moment: Moment) -> PlanHook:
        """As a plan has it."""
        if self.webhook is None:
            return PlanHook(moment, self.command or "", self.timeout or 300, self.on_failure)
        parts = urlsplit(self.webhook)
        summed = hashlib.sha256(self.webhook.encode()).hexdigest()
        origin = f"{parts.scheme}://{parts.netloc}"
        return PlanHook(moment, origin, self.timeout or 10, self.on_failure, summed, self.tries or 3)


class Window(Model):
    """A time of the week in which upgrades may go on; one that closes at or before it opens closes on the next day."""

    days: Annotated[tuple[Weekday, ...], Field(min_length=1)] = WEEKDAYS  # on which it opens
    opens: Clock
    closes: Clock


class Freeze(Model):
    """Days on which upgrades must not go on, whatever the windows say."""

    begins: date
    ends: date  # the last day of it
    reason: str = ""

    @model_validator(mode="after")
    def _forwards(self) -> Self:
        if self.ends < self.begins:
            raise ValueError("`ends` is the last day of the freeze: it must not be before `begins`")
        return self


class OnCall(Model):
    """Who is mentioned where a run waits for a person, and how often again while it waits."""

    mention: OnCallId
    remind_every: Annotated[Span, Field(ge=60)] = 1800


class Cluster(Model):
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
    machines: dict[str, Machine] = Field(default_factory=dict)  # without any: reported, never planned for
    pools: dict[Name, Pool] = Field(default_factory=dict)
    defaults: Defaults = Defaults()
    databases: tuple[DatabaseRule, ...] = ()  # beside those that are known
    hooks: dict[Moment, tuple[Hook, ...]] = Field(default_factory=dict)
    timezone: Timezone = "UTC"  # of its windows and freezes
    windows: tuple[Window, ...] = ()  # none: at any time
    freezes: tuple[Freeze, ...] = ()

    @property
    def planned_hooks(self) -> tuple[PlanHook, ...]:
        """All of them, in the order of their moments."""
        return tuple(hook.planned(moment) for moment in Moment for hook in self.hooks.get(moment, ()))

    @model_validator(mode="after")
    def _one_way_in(self) -> Self:
        if (self.kubeconfig is None) == (not self.in_cluster):
            raise ValueError("name exactly one of `kubeconfig: PATH` and `in_cluster: true`")
        return self
