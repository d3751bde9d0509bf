"""What people type becomes one command, or one sentence that helps."""

from __future__ import annotations

import pytest

from bot.commands import (
    Cancel,
    DryRun,
    Export,
    Extend,
    ForceDelete,
    Help,
    Pause,
    Plan,
    Resume,
    Retry,
    Skip,
    Status,
    Survey,
    Versions,
)
from bot.export_forms import ExportForm
from bot.grammar import HELP, WORDS, NotUnderstood, parse_command, parse_mention
from cluster.versions import KubeVersion, Minor, Relative
from tests.bot_fixture import NASTY

TRANSCRIPT = [
    ("", Help()),
    ("  help me please", Help()),
    ("versions", Versions()),
    ("VERSIONS prod", Versions("prod")),
    ("survey prod", Survey("prod")),
    ("plan v1.35.4", Plan(KubeVersion.parse("v1.35.4"))),
    ("plan 1.35.4 prod", Plan(KubeVersion.parse("v1.35.4"), "prod")),
    ("plan v1.35", Plan(Minor(1, 35))),
    ("plan latest-patch", Plan(Relative.LATEST_PATCH)),
    ("plan NEXT prod", Plan(Relative.NEXT, "prod")),
    ("plan v1.35 accept no-etcdctl", Plan(Minor(1, 35), None, ("no-etcdctl",))),
    ("plan v1.35 prod without w3, w17", Plan(Minor(1, 35), "prod", (), ("w3", "w17"))),
    ("plan next without blocked accept no-etcdctl", Plan("next", None, ("no-etcdctl",), ("blocked",))),
    ("plan next accept no-etcdctl WITHOUT w3", Plan("next", None, ("no-etcdctl",), ("w3",))),
    ("plan v1.35 prod ACCEPT a b", Plan(Minor(1, 35), "prod", ("a", "b"))),
    ("export", Export()),
    ("export RUNBOOK", Export("", ExportForm.RUNBOOK)),
    ("export p-1a2b3c4d", Export("p-1a2b3c4d")),
    ("export json p-1a2b3c4d", Export("p-1a2b3c4d", ExportForm.JSON)),
    ("dry-run", DryRun()),
    ("DRY-RUN p-1a2b3c4d", DryRun("p-1a2b3c4d")),
    ("status", Status()),
    ("pause prod", Pause("prod")),
    ("resume", Resume()),
    ("cancel", Cancel()),
    ("retry", Retry()),
    ("retry w-1 prod", Retry(("w-1", "prod"))),
    ("skip w-1", Skip(("w-1",))),
    ("skip w-1 prod", Skip(("w-1", "prod"))),
    ("extend w-1 15", Extend("w-1", 15)),
    ("extend w-1 15 prod", Extend("w-1", 15, "prod")),
    ("force-delete shop/web-1", ForceDelete("shop/web-1")),
    ("force-delete shop/web-1 prod", ForceDelete("shop/web-1", "prod")),
]


@pytest.mark.parametrize(("typed", "command"), TRANSCRIPT)
def test_a_typed_line_becomes_one_command(typed, command):
    """Every word of the help is understood."""
    assert parse_command(typed) == command


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ("version", "did you mean `versions`?"),
        ("stauts", "did you mean `status`?"),
        ("upgrade-everything-now", "type `/k8s help`"),
        ("plan", "Name a version"),
        ("plan banana", "`banana` is not a version"),
        ("plan latest", "`latest-patch` or `next`"),
        ("plan v1.35.4 prod now", "a word too many after `prod`: type `/k8s plan <version> [cluster]`"),
        ("plan v1.35 accept", "Name what to accept"),
        ("plan v1.35 without", "Name the workers to leave out"),
        ("plan v1.35 without accept no-etcdctl", "Name the workers to leave out"),
        ("export prod", "`prod` is neither a plan like `p-1a2b3c4d` nor a form"),
        ("export json runbook", "Name one plan and one form of it"),
        ("export p-1a2b3c4d json now", "type `/k8s export [plan] [json|markdown|runbook]`"),
        ("dry-run prod", "`prod` is no plan like `p-1a2b3c4d`: type `/k8s dry-run [plan]`"),
        ("dry-run p-1a2b3c4d now", "a word too many after `p-1a2b3c4d`: type `/k8s dry-run [plan]`"),
        ("versions prod now", "type `/k8s versions [cluster]`"),
        ("skip", "Name the worker to go on without, as in `/k8s skip worker-3`"),
        ("extend w-1", "how many minutes more its drain may take: type `/k8s extend <node> <minutes> [cluster]`"),
        ("force-delete web-1", "with its namespace: type `/k8s force-delete <namespace>/<pod> [cluster]`"),
        ("force-delete shop/", "with its namespace"),
        ("force-delete a/b/c", "with its namespace"),
        ("extend w-1 soon", "`soon` is no whole number of minutes"),
        ("extend w-1 -5", "`-5` is no whole number of minutes"),
        ("extend w-1 ²", "`²` is no whole number of minutes"),
        ("extend w-1 15 prod now", "a word too many after `prod`"),
        ("retry a b c", "type `/k8s retry [node] [cluster]`"),
    ],
)
def test_an_unknown_line_is_answered_with_what_to_type_instead(typed, said):
    """The nearest command, or the way it is written."""
    with pytest.raises(NotUnderstood) as refused:
        parse_command(typed)
    assert said in str(refused.value)


def test_the_sentence_names_the_command_as_this_workspace_calls_it():
    """The slash command can have another name."""
    with pytest.raises(NotUnderstood, match="`/lock help`"):
        parse_command("zzz", "/lock")


@pytest.mark.parametrize("typed", ["<@U0BOT> versions prod", "<@U0BOT|k8s> /k8s versions prod", "hey? <@U0BOT>"])
def test_a_mention_is_read_like_the_slash_command(typed):
    """Slash commands do not work in threads, mentions do."""
    if "hey" in typed:
        with pytest.raises(NotUnderstood):
            parse_mention(typed)
    else:
        assert parse_mention(typed) == Versions("prod")


@pytest.mark.parametrize("word", [w for w in NASTY if w.strip()])
def test_an_odd_word_is_repeated_without_its_tricks(word):
    """Whatever is typed, the answer has no control character, no line break and no runaway length."""
    with pytest.raises(NotUnderstood) as refused:
        parse_command(f"plan {word} a b" if word.split() != [word] else word)
    said = str(refused.value)
    assert said.isprintable()
    assert len(said) < 250


def test_every_command_of_the_help_is_one_that_is_understood():
    """The help and the parser cannot drift apart."""
    assert {usage.split()[0] for usage, _ in HELP} == set(WORDS)
