"""The verbs that say what runs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from bot.command_line import (
    EXIT_REFUSED,
    ClusterName,
    ConfigPath,
    Form,
    Output,
    Patience,
    open_desk,
    say,
)

if TYPE_CHECKING:
    from policies.overview import Overview


app = typer.Typer()


@app.command()
def versions(  # noqa: PLR0917 - options of a command line, all by name
    cluster: Annotated[
        str | None,
        typer.Argument(metavar="CLUSTER", help="A cluster; without one, a line of each where there are several."),
    ] = None,
    config: ConfigPath = None,
    output: Form = Output.TEXT,
    images: Annotated[
        bool,
        typer.Option("--images", help="List every node, every image of kube-system and every machine, however many."),
    ] = False,
    ask_sources: Annotated[
        bool, typer.Option("--ask-sources", help="Ask a machine for each package source first what it offers now.")
    ] = False,
    timeout: Annotated[
        float, typer.Option(metavar="SECONDS", help="How long to wait for a worker's answer, with --ask-sources.")
    ] = 180,
) -> None:
    """Say what runs where and what that means: API servers by their own endpoints, kubelets, add-ons, support."""
    from bot import terminal
    from policies.fleet import Standing

    desk = open_desk(config)
    seen = desk.renewed(cluster, timeout) if ask_sources else desk.versions(cluster)
    if isinstance(seen, tuple):
        say(terminal.fleet_json(seen) if output is Output.JSON else terminal.render_fleet(seen))
        if any(one.standing is Standing.UNREADABLE for one in seen):
            raise typer.Exit(EXIT_REFUSED)
    else:
        _show_report(seen, output, images=images)


def _show_report(seen: Overview, output: Output, *, images: bool = False) -> None:
    """Exits 1 for a cluster whose nodes were not read: what there is to tell was told, and a script has to notice."""
    from bot import terminal

    say(terminal.report_json(seen) if output is Output.JSON else terminal.render_report(seen, images=images))
    if not seen.report.nodes_read:
        raise typer.Exit(EXIT_REFUSED)


@app.command()
def survey(
    cluster: ClusterName = None,
    config: ConfigPath = None,
    output: Form = Output.TEXT,
    timeout: Patience = 300,
) -> None:
    """Ask every machine anew for its packages, their source, certificates and etcd, and say what runs with it."""
    from bot.survey_desk import ask_for_survey

    _show_report(ask_for_survey(open_desk(config), cluster, timeout=timeout), output)
