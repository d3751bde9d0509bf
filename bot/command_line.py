"""What the verbs of the command line share: their options, their exit codes, and the desk that they ask."""

from __future__ import annotations

import gc
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from bot.desk import Desk

EXIT_REFUSED = 1  # said no, with a reason; nothing was changed
EXIT_WAITING = 3  # stopped, waiting for a person
EXIT_STALE = 4  # facts that come with the package want a new look


class Output(StrEnum):
    """How an answer is written."""

    TEXT = "text"
    JSON = "json"


ConfigPath = Annotated[Path | None, typer.Option("--config", "-c", help="lockkeeper.yaml; else $LOCKKEEPER_CONFIG.")]
Form = Annotated[Output, typer.Option("--output", "-o", help="How to write the answer.")]
ClusterName = Annotated[str | None, typer.Argument(help="A cluster of the configuration; not needed with only one.")]
Which = Annotated[str | None, typer.Argument(help="An operation (op-…); else the cluster's running or last one.")]
TheirCluster = Annotated[str | None, typer.Option("--cluster", help="Their cluster; not needed with only one.")]
OfCluster = Annotated[str | None, typer.Option("--cluster", help="Its cluster, where no operation is named.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask again.")]


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
