"""What people type, read once: text in, one frozen command out, or a sentence that says what to type instead."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable
from itertools import pairwise

from bot.commands import (
    Cancel,
    Command,
    DryRun,
    Export,
    Extend,
    ForceDelete,
    Help,
    IgnoreAlert,
    Pause,
    Plan,
    Resume,
    Retry,
    Rollback,
    Skip,
    Status,
    Survey,
    Versions,
)
from bot.export_forms import ExportForm
from bot.text import clean
from cluster.errors import InvalidVersion, LockkeeperError
from cluster.versions import parse_target

_MENTION = re.compile(r"<@[UW][A-Z0-9]+(\|[^>]*)?>")


class NotUnderstood(LockkeeperError):  # noqa: N818 - the errors of this project read as facts
    """The typed words are no command; the text says which one is nearest."""


class UnknownCommand(NotUnderstood):
    """The first word is none that we know: the list of commands helps."""


_PLAN_ID = re.compile(r"p-[0-9a-f]{8}")
_ONE_CLUSTER: dict[str, type[Versions | Survey | Status | Pause | Resume | Cancel]] = {
    "versions": Versions,
    "survey": Survey,
    "status": Status,
    "pause": Pause,
    "resume": Resume,
    "cancel": Cancel,
}
_AFTER = {  # what may follow the version and the cluster: what is named there, and an example
    "accept": ("what to accept", "no-etcdctl"),
    "without": ("the workers to leave out", "worker-3 worker-17"),
}
HELP: tuple[tuple[str, str], ...] = (
    ("versions [cluster]", "what runs where and for how long; without a name, all clusters, the worst first"),
    ("survey [cluster]", "ask the machines anew: packages, their source, certificates, etcd, what is on offer"),
    ("plan <version> [cluster]", "draft an upgrade to v1.35.4, or v1.35 for its newest patch"),
    ("plan latest-patch [cluster]", "to the newest patch of the minor that runs"),
    ("plan next [cluster]", "to the newest patch of the next minor"),
    ("plan … accept <what>", "with a consent or an option: no-etcdctl, delete-emptydir, reboot-if-required, surge …"),
    ("plan … without <worker …>", "leave these workers as they are; `without blocked` those that block the plan"),
    ("rollback <worker …> [cluster]", "draft a plan that puts the kubelets of workers back to what they ran before"),
    (
        "export [plan] [markdown|json|runbook]",
        "a plan as a file: for a change ticket, for programs, as commands to type",
    ),
    ("dry-run [plan]", "ask the API server now for each pod that a plan would move: would it leave?"),
    ("status [cluster]", "plans that wait for a decision, and upgrades in hand"),
    ("pause [cluster]", "stop after the nodes in hand"),
    ("resume [cluster]", "go on"),
    ("cancel [cluster]", "finish the nodes in hand, then end"),
    ("retry [node] [cluster]", "try a blocked node again"),
    ("skip <node> [cluster]", "go on without a worker, also one held up in its drain: it is given back as it is"),
    ("extend <node> <minutes> [cluster]", "give the drain of a node more time, while it is in hand or blocked"),
    (
        "ignore-alert <alert> <minutes> [cluster] <reason>",
        "let a run go on in spite of an alert that keeps it; for approvers",
    ),
    ("force-delete <namespace>/<pod> [cluster]", "delete a pod that holds up a drain, when a second person allows it"),
    ("help", "this list"),
)


def parse_command(text: str, command: str = "/k8s") -> Command:
    """Read what follows the slash command; raises NotUnderstood with one sentence."""
    words = text.split()
    if not words:
        return Help()
    word, rest = words[0].lower(), tuple(words[1:])
    if word == "help":
        return Help()
    if word in _PARSED:
        return _PARSED[word](rest, command)
    if word in _ONE_CLUSTER:
        _at_most(rest, 1, f"{command} {word} [cluster]")
        return _ONE_CLUSTER[word](rest[0] if rest else None)
    raise UnknownCommand(_nearest(words[0], command))


def parse_mention(text: str, command: str = "/k8s") -> Command:
    """Read a message that mentions the bot: whatever stands after the mention."""
    rest = _MENTION.sub(" ", text).strip()
    return parse_command(rest.removeprefix(command).strip(), command)


def _parse_plan(rest: tuple[str, ...], command: str) -> Plan:
    usage = f"{command} plan <version> [cluster]"
    if not rest:
        raise NotUnderstood(f"Name a version to go to, as in `{command} plan v1.35.4`.")
    rest, more = _split_at_words(rest, command)
    _at_most(rest, 2, usage)
    try:
        return Plan(parse_target(rest[0]), rest[1] if len(rest) > 1 else None, more["accept"], more["without"])
    except InvalidVersion as error:
        raise NotUnderstood(str(error)) from error


def _split_at_words(rest: tuple[str, ...], command: str) -> tuple[tuple[str, ...], dict[str, tuple[str, ...]]]:
    """`v1.35 prod without w3 w17 accept no-etcdctl` is a version, a cluster, workers and a consent."""
    more: dict[str, tuple[str, ...]] = dict.fromkeys(_AFTER, ())
    starts = [at for at, word in enumerate(rest) if at and word.lower() in _AFTER]
    for start, end in pairwise([*starts, len(rest)]):
        word = rest[start].lower()
        named = tuple(name for text in rest[start + 1 : end] for name in text.split(",") if name)
        if not named:
            raise NotUnderstood(f"Name {_AFTER[word][0]}, as in `{command} plan v1.35 {word} {_AFTER[word][1]}`.")
        more[word] += named
    return rest[: starts[0]] if starts else rest, more


def _parse_export(rest: tuple[str, ...], command: str) -> Export:
    """`[plan] [form]`: what is the name of a form is one, wherever it stands."""
    usage = f"{command} export [plan] [{'|'.join(ExportForm)}]"
    _at_most(rest, 2, usage)
    forms = [word.lower() for word in rest if word.lower() in set(ExportForm)]
    plans = [word for word in rest if word.lower() not in set(ExportForm)]
    if len(forms) > 1 or len(plans) > 1:
        raise NotUnderstood(f"Name one plan and one form of it: type `{usage}`.")
    if plans and not _PLAN_ID.fullmatch(plans[0]):
        raise NotUnderstood(f"`{clean(plans[0], 40)}` is neither a plan like `p-1a2b3c4d` nor a form: type `{usage}`.")
    return Export(plans[0] if plans else "", ExportForm(forms[0]) if forms else ExportForm.MARKDOWN)


def _parse_dry_run(rest: tuple[str, ...], command: str) -> DryRun:
    usage = f"{command} dry-run [plan]"
    _at_most(rest, 1, usage)
    if rest and not _PLAN_ID.fullmatch(rest[0]):
        raise NotUnderstood(f"`{clean(rest[0], 40)}` is no plan like `p-1a2b3c4d`: type `{usage}`.")
    return DryRun(rest[0] if rest else "")


def _parse_rollback(rest: tuple[str, ...], command: str) -> Rollback:
    if not rest:
        raise NotUnderstood(f"Name the worker whose kubelet is to go back, as in `{command} rollback worker-3`.")
    return Rollback(tuple(name for word in rest for name in word.split(",") if name))


def _parse_retry(rest: tuple[str, ...], command: str) -> Retry:
    _at_most(rest, 2, f"{command} retry [node] [cluster]")
    return Retry(rest)


def _parse_skip(rest: tuple[str, ...], command: str) -> Skip:
    _at_most(rest, 2, f"{command} skip <node> [cluster]")
    if not rest:
        raise NotUnderstood(f"Name the worker to go on without, as in `{command} skip worker-3`.")
    return Skip(rest)


def _parse_extend(rest: tuple[str, ...], command: str) -> Extend:
    usage = f"{command} extend <node> <minutes> [cluster]"
    _at_most(rest, 3, usage)
    if len(rest) < 2:  # noqa: PLR2004 - a node and its minutes
        raise NotUnderstood(f"Name a node and how many minutes more its drain may take: type `{usage}`.")
    return Extend(rest[0], _minutes(rest[1], usage), rest[2] if len(rest) > 2 else None)  # noqa: PLR2004 - the third is the cluster


def _parse_ignore(rest: tuple[str, ...], command: str) -> IgnoreAlert:
    usage = f"{command} ignore-alert <alert> <minutes> [cluster] <reason>"
    if len(rest) < 3:  # noqa: PLR2004 - an alert, its minutes and a reason
        raise NotUnderstood(f"Name the alert, for how many minutes it is ignored, and why: type `{usage}`.")
    return IgnoreAlert(rest[0], _minutes(rest[1], usage), rest[2:])


def _minutes(word: str, usage: str) -> int:
    if not (word.isascii() and word.isdecimal() and len(word) < 6):  # noqa: PLR2004 - no sane number is longer
        raise NotUnderstood(f"`{clean(word, 40)}` is no whole number of minutes: type `{usage}`.")
    return int(word)


def _parse_force(rest: tuple[str, ...], command: str) -> ForceDelete:
    usage = f"{command} force-delete <namespace>/<pod> [cluster]"
    _at_most(rest, 2, usage)
    if not rest or not all(rest[0].partition("/")) or rest[0].count("/") != 1:
        raise NotUnderstood(f"Name the pod that holds up a drain, with its namespace: type `{usage}`.")
    return ForceDelete(rest[0], rest[1] if len(rest) > 1 else None)


_PARSED: dict[str, Callable[[tuple[str, ...], str], Command]] = {
    "plan": _parse_plan,
    "rollback": _parse_rollback,
    "export": _parse_export,
    "dry-run": _parse_dry_run,
    "retry": _parse_retry,
    "skip": _parse_skip,
    "extend": _parse_extend,
    "ignore-alert": _parse_ignore,
    "force-delete": _parse_force,
}
WORDS = ("help", *_PARSED, *_ONE_CLUSTER)


def _at_most(rest: tuple[str, ...], most: int, usage: str) -> None:
    if len(rest) > most:
        raise NotUnderstood(f"That is a word too many after `{clean(rest[most - 1], 40)}`: type `{usage}`.")


def _nearest(word: str, command: str) -> str:
    shown = clean(word, 40).replace("`", "?")
    near = difflib.get_close_matches(word.lower(), WORDS, n=1, cutoff=0.5)
    if near:
        return f"There is no command `{shown}`; did you mean `{near[0]}`?"
    return f"There is no command `{shown}`; type `{command} help` for all of them."
