"""Slack sends what people type with marks of its own; none of them reaches a command."""

from __future__ import annotations

import pytest

from bot.typed import said_to_us, unmarked


@pytest.mark.parametrize(
    ("sent", "typed"),
    [
        ("plan v1.35.4 prod", "plan v1.35.4 prod"),
        ("plan &lt;v1.35.4&gt;", "plan <v1.35.4>"),
        ("retry &amp;lt;", "retry &lt;"),
        ("retry <http://w1.example.com|w1.example.com> prod", "retry w1.example.com prod"),
        ("versions <https://prod.example.com/>", "versions prod.example.com"),
        ("versions <mailto:a@example.com|a@example.com>", "versions a@example.com"),
        ("`plan v1.35.4`", " plan v1.35.4 "),
    ],
)
def test_slacks_marks_are_taken_away(sent, typed):
    """Escapes once, and links of names that nobody meant as links."""
    assert unmarked(sent) == typed


@pytest.mark.parametrize(
    ("sent", "typed"),
    [
        ("<@U0BOT> versions prod", "versions prod"),
        ("<@U0BOT|k8s> versions", "versions"),
        ("Hello <@U0BOT> versions", "versions"),
        ("versions <@U0BOT>", "versions"),
        ("<@U0BOT> <@U0ADA> status", "status"),
        ("<@U0BOT>", ""),
        ("status, please &lt;@U0BOT&gt;", "status, please <@U0BOT>"),
    ],
)
def test_a_mention_is_a_command_wherever_it_stands(sent, typed):
    """What follows it counts; a greeting before it does not."""
    assert said_to_us(sent).strip() == typed
