"""What the verbs of the command line share: their options, their exit codes, and the desk that they ask."""

from __future__ import annotations

import gc
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperArgument, TyperGroup

if TYPE_CHECKING:
    from bot.desk import Desk

EXIT_REFUSED = 1  # said no, with a reason; nothing was changed
EXIT_WAITING = 3  # stopped, waiting for a person
EXIT_STALE = 4  # facts that come with the package want a new look


class Output(StrEnum):
    """How an answer is written."""

    TEXT = "text"
    JSON = "json"


ConfigPath = Annotated[
    Path | None, typer.Option("--config", "-c", metavar="FILE", help="lockkeeper.yaml; else $LOCKKEEPER_CONFIG.")
]
Form = Annotated[Output, typer.Option("--output", "-o", help="How to write the answer.")]
ClusterName = Annotated[
    str | None, typer.Argument(metavar="CLUSTER", help="A cluster of the configuration; not needed with only one.")
]
Which = Annotated[
    str | None, typer.Argument(metavar="OPERATION", help="An operation (op-…); else the cluster's running or last one.")
]
TheirCluster = Annotated[
    str | None, typer.Option("--cluster", metavar="CLUSTER", help="Their cluster; not needed with only one.")
]
OfCluster = Annotated[
    str | None, typer.Option("--cluster", metavar="CLUSTER", help="Its cluster, where no operation is named.")
]
Patience = Annotated[
    float, typer.Option("--timeout", metavar="SECONDS", help="How long to wait for a worker's answer.")
]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask again.")]


class Verbs(TyperGroup):
    """Shows switches and arguments without a type: typer would write `--yes <bool>`, as if one had to be typed."""

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        found = super().get_command(ctx, cmd_name)
        if found is not None:
            _untype(found.get_params(ctx))
        return found

    def get_params(self, ctx: Any) -> Any:
        return _untype(super().get_params(ctx))


def _untype(params: list[Any]) -> list[Any]:
    for param in params:
        if isinstance(param, TyperArgument) or getattr(param, "is_flag", False):
            param.display_type_rich = lambda *, ctx: None  # noqa: ARG005 - whatever the context
    return params


def open_desk(config: Path | None) -> Desk:
    """Raises InvalidConfig, and StoreUnavailable without Redis."""
    # Imports and thousands of machines make many objects that all stay: a collector that walks them again and again,
    # now and while a cluster is read, takes a third of the time that somebody waits for.
    gc.disable()
    from bot.desk import Desk
    from cluster.queues import Wakeups
    from cluster.settings import load_settings
    from cluster.store import Store

    settings = load_settings(config)
    gc.freeze()
    gc.enable()
    url = settings.redis.url.read()
    return Desk(settings, Store.connect(url), Wakeups.connect(url))


def say(text: str) -> None:
    """To standard output."""
    typer.echo(text)
