"""Texts from a cluster are data."""

from __future__ import annotations

import json
import unicodedata

import pytest

from bot.blocks import monospace, spans
from bot.text import clean, code, duration, escape, listing
from tests.bot_fixture import NASTY


@pytest.mark.parametrize("value", NASTY)
def test_a_cleaned_text_is_one_visible_line(value):
    """No control, bidi or zero-width character, no half of a pair, never empty, never longer than allowed."""
    said = clean(value, 80)
    assert 0 < len(said) <= 80
    assert not {unicodedata.category(c) for c in said} & {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}
    json.dumps(said, ensure_ascii=False).encode()


@pytest.mark.parametrize("value", NASTY)
def test_an_escaped_text_holds_no_markup_of_slack(value):
    """Nothing pings, links or breaks out of its code span."""
    said = code(value)
    assert "<" not in said
    assert ">" not in said
    assert said.count("`") == 2


def test_escaping_is_one_pass():
    """An ampersand is escaped once, and an entity that came as data stays data."""
    assert escape("&lt; <b> &") == "&amp;lt; &lt;b&gt; &amp;"


def test_names_in_backticks_become_literal_code():
    """Our sentences set names in backticks; a stray one leaves the sentence as plain text."""
    assert [e.get("style") for e in spans("Node `w-1` waits.")] == [None, {"code": True}, None]
    assert spans("broken ` name") == [{"type": "text", "text": "broken ` name"}]


def test_a_monospace_table_keeps_to_its_width():
    """Long and wide cells give way, columns stay aligned."""
    lines = monospace([("a" * 90, "b" * 90, "漢" * 40), ("x", "y", "z")]).splitlines()
    assert len(lines) == 2
    assert all(len(line) <= 62 for line in lines)


def test_durations_and_lists_are_said_in_few_words():
    """Seconds, minutes, hours; the rest of a long list is counted."""
    assert [duration(s) for s in (5, 61, 3600, 3900, -1)] == ["5 s", "1 min", "1 h 00 min", "1 h 05 min", "0 s"]
    assert listing(("a", "b", "c"), 2) == "a, b and 1 more"
