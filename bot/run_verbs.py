"""The verbs about operations: looked at, and steered."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bot.command_line import (
    EXIT_WAITING,
    ConfigPath,
    Form,
    OfCluster,
    Output,
    Which,
    Yes,
    open_desk,
    say,
)

app = typer.Typer()


@app.command()
def status(
    operation: Which = None, cluster: OfCluster = None, config: ConfigPath = None, output: Form = Output.TEXT
) -> None:
    """Say where an operation stands. Exits 3 when it waits for a person."""
    from bot import terminal
    from cluster.operation import OperationState

    desk = open_desk(config)
    found = desk.operation(operation, cluster)
    record = desk.store.plan(found.plan_id)
    say(terminal.operation_json(found) if output is Output.JSON else terminal.render_operation(found, record))
    if found.state in {OperationState.BLOCKED, OperationState.PARKED}:
        raise typer.Exit(EXIT_WAITING)


@app.command()
def events(
    operation: Which = None, cluster: OfCluster = None, config: ConfigPath = None, output: Form = Output.TEXT
) -> None:
    """List what happened, oldest first."""
    from bot import terminal

    desk = open_desk(config)
    found = desk.operation(operation, cluster)
    kept = [event for _, event in desk.store.events(found.id)]
    say(terminal.events_json(kept) if output is Output.JSON else terminal.render_events(kept))


def _steer(
    verb: str, operation: str | None, cluster: str | None, config: Path | None, output: Output, **more: str | None
) -> None:
    from bot import run_desk, terminal
    from bot.controls import tell_pause
    from cluster.operation import Wish

    desk = open_desk(config)
    found = desk.operation(operation, cluster)
    match verb:
        case "pause":
            run_desk.wish(desk, found, Wish.PAUSE)
        case "cancel":
            run_desk.wish(desk, found, Wish.CANCEL)
        case "resume":
            run_desk.resume(desk, found)
        case "skip":
            run_desk.skip(desk, found, more.get("node") or "")
        case "extend":
            run_desk.extend(desk, found, more.get("node") or "", int(more.get("minutes") or 0))
        case _:
            run_desk.retry(desk, found, more.get("node"))
    now = desk.store.operation(found.id)
    rest = tell_pause(now) if verb in {"retry", "skip"} else ""
    asked = f"{verb}: asked of {found.id}; look with `status`.{rest}"
    say(terminal.operation_json(now) if output is Output.JSON else asked)


@app.command()
def pause(
    operation: Which = None, cluster: OfCluster = None, config: ConfigPath = None, output: Form = Output.TEXT
) -> None:
    """Pause after the nodes in hand."""
    _steer("pause", operation, cluster, config, output)


@app.command()
def resume(
    operation: Which = None, cluster: OfCluster = None, config: ConfigPath = None, output: Form = Output.TEXT
) -> None:
    """Go on with a paused operation, or try a blocked one again."""
    _steer("resume", operation, cluster, config, output)


@app.command()
def cancel(
    operation: Which = None, cluster: OfCluster = None, config: ConfigPath = None, output: Form = Output.TEXT
) -> None:
    """Finish the nodes in hand, give back those whose drain is held up, restore holds, and end there."""
    _steer("cancel", operation, cluster, config, output)


@app.command()
def retry(
    operation: Which = None,
    node: Annotated[str | None, typer.Option(metavar="NODE", help="Only this node; else every blocked one.")] = None,
    cluster: OfCluster = None,
    config: ConfigPath = None,
    output: Form = Output.TEXT,
) -> None:
    """Start a new attempt of a blocked step."""
    _steer("retry", operation, cluster, config, output, node=node)


@app.command()
def skip(
    node: Annotated[str, typer.Argument(metavar="WORKER", help="The worker to go on without.")],
    operation: Which = None,
    cluster: OfCluster = None,
    config: ConfigPath = None,
    output: Form = Output.TEXT,
) -> None:
    """Go on without one worker, also one held up in its drain: it is given back as it is, and the end says so."""
    _steer("skip", operation, cluster, config, output, node=node)


@app.command()
def extend(  # noqa: PLR0917 - options of a command line, all by name
    node: Annotated[str, typer.Argument(metavar="NODE", help="The node whose drain is in hand or blocked.")],
    minutes: Annotated[int, typer.Argument(metavar="MINUTES", help="How many minutes more it may take.", min=1)],
    operation: Which = None,
    cluster: OfCluster = None,
    config: ConfigPath = None,
    output: Form = Output.TEXT,
) -> None:
    """Give the drain of one node more time: the one in hand, or the next one of a blocked node."""
    _steer("extend", operation, cluster, config, output, node=node, minutes=str(minutes))


@app.command("ignore-alert")
def ignore_alert(  # noqa: PLR0917 - options of a command line, all by name
    alert: Annotated[
        str, typer.Argument(metavar="ALERT", help="The name of an alert that keeps the run from beginning a node.")
    ],
    reason: Annotated[str, typer.Option(metavar="TEXT", help="Why; it is kept and told.")],
    minutes: Annotated[int, typer.Option(metavar="MINUTES", help="For how long; then it counts again.", min=1)] = 60,
    operation: Which = None,
    cluster: OfCluster = None,
    config: ConfigPath = None,
    output: Form = Output.TEXT,
) -> None:
    """Let a run go on in spite of one alert, for a while; only for whoever may approve plans."""
    from bot import run_desk, terminal

    desk = open_desk(config)
    found = desk.operation(operation, cluster)
    run_desk.ignore_alert(desk, found, alert, minutes, reason)
    now = desk.store.operation(found.id)
    say(
        terminal.operation_json(now)
        if output is Output.JSON
        else f"{alert} does not keep {found.id} for {minutes} min."
    )


@app.command("force-delete")
def force_delete(
    pod: Annotated[str, typer.Argument(metavar="POD", help="namespace/name of a pod that a drain in hand waits for.")],
    cluster: OfCluster = None,
    config: ConfigPath = None,
    output: Form = Output.TEXT,
) -> None:
    """Ask for the deletion of one pod that holds up a drain; a second person has to allow it."""
    from bot.force_desk import ask_force, render_force
    from bot.terminal import force_json

    asked = ask_force(open_desk(config), pod, cluster)
    say(force_json(asked) if output is Output.JSON else render_force(asked))


@app.command("approve-force")
def approve_force(
    force_id: Annotated[str, typer.Argument(metavar="DELETION", help="f-…, as `force-delete` names it.")],
    key: Annotated[Path, typer.Option(metavar="FILE", help="Your SSH key; the deletion is signed with it.")] = Path(
        "~/.ssh/id_ed25519"
    ),
    config: ConfigPath = None,
    output: Form = Output.TEXT,
    yes: Yes = False,
) -> None:
    """Allow a deletion that somebody else asked for, with your SSH key."""
    from bot.force_desk import allow_force, find_force, render_force
    from bot.terminal import force_json

    desk = open_desk(config)
    shown = find_force(desk, force_id)
    if not yes:
        say(render_force(shown))
        typer.confirm("Delete exactly this pod?", abort=True)
    allowed = allow_force(desk, shown, key.expanduser())
    say(force_json(allowed) if output is Output.JSON else f"Allowed: {shown.pod}, at the worker's next look.")


@app.command()
def release(
    cluster: Annotated[str, typer.Argument(metavar="CLUSTER", help="The cluster whose lock is to be released.")],
    confirm: Annotated[
        str | None, typer.Option(metavar="OPERATION", help="The id of the operation that holds it, typed out.")
    ] = None,
    config: ConfigPath = None,
    output: Form = Output.TEXT,
) -> None:
    """Release a cluster's lock by hand, after its operation was lost for good."""
    import json

    from bot import run_desk

    desk = open_desk(config)
    run_desk.check_locked(desk, cluster)
    typed = confirm or typer.prompt("Type the id of the operation that holds the lock", err=True)
    told = run_desk.release(desk, cluster, typed)
    say(json.dumps({"schema": 1, "released": typed}) if output is Output.JSON else told)
