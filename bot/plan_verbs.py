"""The verbs about plans: made, taken out, tried, decided."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bot.command_line import (
    EXIT_WAITING,
    ClusterName,
    ConfigPath,
    Form,
    Output,
    Patience,
    TheirCluster,
    Yes,
    open_desk,
    say,
)
from bot.export_forms import ExportForm

if TYPE_CHECKING:
    from bot.desk import Desk
    from cluster.requests import Answer


app = typer.Typer()


@app.command()
def plan(  # noqa: PLR0917 - options of a command line, all by name
    target: Annotated[
        str,
        typer.Argument(metavar="VERSION", help="v1.35.4, v1.35 for its newest offered patch, latest-patch, or next."),
    ],
    cluster: ClusterName = None,
    config: ConfigPath = None,
    output: Form = Output.TEXT,
    accept: Annotated[
        list[str] | None,
        typer.Option(
            metavar="WORD",
            help="A consent or an option: no-etcdctl, delete-emptydir, reboot-if-required, surge …; may be repeated.",
        ),
    ] = None,
    without: Annotated[
        list[str] | None,
        typer.Option(
            metavar="WORKER",
            help="A worker to leave as it is, or `blocked` for those that block the plan; may be repeated.",
        ),
    ] = None,
    timeout: Patience = 300,
) -> None:
    """Plan an upgrade: read everything anew, refuse what is unsafe, keep the rest for approval."""
    from bot.plan_desk import ask_for_plan
    from cluster.versions import parse_target

    parse_target(target)
    desk = open_desk(config)
    left_out = tuple(name for text in without or () for name in text.split(",") if name)
    answer = ask_for_plan(desk, target, cluster, timeout=timeout, accept=tuple(accept or ()), without=left_out)
    _show_plans(desk, answer, output)


@app.command()
def rollback(
    workers: Annotated[list[str], typer.Argument(metavar="WORKER", help="The workers whose kubelets are to go back.")],
    cluster: TheirCluster = None,
    config: ConfigPath = None,
    output: Form = Output.TEXT,
    timeout: Patience = 300,
) -> None:
    """Plan to put the kubelets of workers back to what they ran before; a control plane has no such way."""
    from bot.plan_desk import ask_for_rollback

    desk = open_desk(config)
    _show_plans(desk, ask_for_rollback(desk, tuple(workers), cluster, timeout=timeout), output)


def _show_plans(desk: Desk, answer: Answer, output: Output) -> None:
    """Raises Refused for what could not be planned; exits 3 where nothing can be approved."""
    from bot import terminal
    from cluster.errors import Refused
    from cluster.findings import blockers

    if answer.refusal:
        raise Refused(answer.refusal, answer.findings)
    records = [desk.store.plan(plan_id) for plan_id in answer.plan_ids]
    for record in records:
        say(terminal.plan_json(record) if output is Output.JSON else terminal.render_plan(record))
    if all(blockers(record.findings) for record in records):
        raise typer.Exit(EXIT_WAITING)


@app.command()
def export(
    plan_id: Annotated[str, typer.Argument(metavar="PLAN", help="p-…, as `plan` names it.")],
    form: Annotated[
        ExportForm, typer.Option("--as", help="For a change ticket, for programs, or as commands to type.")
    ] = ExportForm.MARKDOWN,
    to: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write it into this file instead of printing it.")
    ] = None,
    config: ConfigPath = None,
) -> None:
    """Take a plan out: as Markdown for a change ticket, as JSON, or as a runbook of commands to type."""
    from bot.plan_export import export_plan, save_document

    desk = open_desk(config)
    document = export_plan(desk.store.plan(plan_id), form, desk.settings.approvals)
    if to is None:
        typer.echo(document.text, nl=False)
    else:
        save_document(document, to)
        say(f"{plan_id} is in {to}.")


@app.command("restore-runbook")
def restore_runbook(
    cluster: ClusterName = None,
    to: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write it into this file instead of printing it.")
    ] = None,
    config: ConfigPath = None,
) -> None:
    """Write down how this cluster's etcd is brought back from its last snapshot, to be typed by a person."""
    from bot.plan_export import Document, save_document
    from bot.restoring import make_runbook

    desk = open_desk(config)
    made = make_runbook(desk.settings, desk.store, cluster)
    for sentence in made.unasked:
        typer.echo(sentence, err=True)
    if to is None:
        typer.echo(made.text, nl=False)
    else:
        save_document(Document(to.name, made.text), to)
        say(f"The runbook is in {to}.")


@app.command("dry-run")
def dry_run(
    plan_id: Annotated[str, typer.Argument(metavar="PLAN", help="p-…, as `plan` names it.")],
    config: ConfigPath = None,
    output: Form = Output.TEXT,
    timeout: Patience = 300,
) -> None:
    """Try each eviction of a plan without effect: would its pods leave now? Exits 3 when some would not."""
    from bot.dry_run_text import dry_run_text
    from bot.plan_desk import ask_for_dry_run
    from bot.terminal import dry_run_json

    made = ask_for_dry_run(open_desk(config), plan_id, timeout=timeout)
    say(dry_run_json(made) if output is Output.JSON else dry_run_text(made))
    if not made.is_clear:
        raise typer.Exit(EXIT_WAITING)


@app.command()
def approve(  # noqa: PLR0917 - options of a command line, all by name
    plan_id: Annotated[str, typer.Argument(metavar="PLAN", help="p-…, as `plan` names it.")],
    key: Annotated[Path, typer.Option(metavar="FILE", help="Your SSH key; the approval is signed with it.")] = Path(
        "~/.ssh/id_ed25519"
    ),
    notes_read: Annotated[
        bool, typer.Option("--notes-read", help="You have read the release notes of every new minor; else it is asked.")
    ] = False,
    config: ConfigPath = None,
    output: Form = Output.TEXT,
    yes: Yes = False,
) -> None:
    """Approve a plan with your SSH key; never your own plan."""
    from bot import decision_desk, terminal

    desk = open_desk(config)
    record = desk.store.plan(plan_id)
    if not yes:
        say(terminal.render_plan(record))
    minors = decision_desk.notes_to_confirm(desk, record)
    if minors and not (yes or notes_read):
        notes_read = typer.confirm(f"Have you read the release notes of {' and '.join(minors)}?", abort=True)
    if not yes:
        typer.confirm("Approve exactly this plan?", abort=True)
    operation = decision_desk.approve(desk, record, key.expanduser(), minors if notes_read else ())
    say(terminal.operation_json(operation) if output is Output.JSON else f"Approved. {operation.id} is scheduled.")


@app.command()
def reject(
    plan_id: Annotated[str, typer.Argument(metavar="PLAN", help="p-…, as `plan` names it.")],
    reason: Annotated[str, typer.Option(metavar="TEXT", help="Why; it is kept and shown.")],
    config: ConfigPath = None,
    output: Form = Output.TEXT,
) -> None:
    """Reject a plan for good."""
    from bot import decision_desk, terminal

    record = decision_desk.reject(open_desk(config), plan_id, reason)
    say(terminal.plan_json(record) if output is Output.JSON else f"{plan_id} is rejected.")
