"""What docs/reliability.md calls a proof is there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs/reliability.md").read_text(encoding="utf-8")
NAMED = sorted(set(re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", PAGE)))
MARKER = "<!-- figures: make torture -->\n```\n"


@pytest.mark.parametrize(("file", "name"), NAMED, ids=[name for _, name in NAMED])
def test_a_test_that_the_page_names_exists(file: str, name: str) -> None:
    """By file and name, so that whoever renames one looks for what it promised."""
    assert re.search(rf"^(async )?def {name}\(", (ROOT / file).read_text(encoding="utf-8"), re.MULTILINE)


def test_each_line_of_the_tables_names_its_test() -> None:
    """A promise without a proof is a wish."""
    rows = [line for line in PAGE.splitlines() if line.startswith("| ") and "::" not in line]
    assert [row.split("|")[1].strip() for row in rows] == ["What happens", "The trap", "The defect elsewhere"]


def test_every_defect_that_is_held_against_us_is_on_the_page() -> None:
    """Whoever adds one says what it was."""
    text = (ROOT / "tests/workers/test_peers_defects.py").read_text(encoding="utf-8")
    assert {n for f, n in NAMED if f.endswith("test_peers_defects.py")} == set(
        re.findall(r"^def (test_\w+)", text, re.MULTILINE)
    )


def test_the_figures_have_their_place() -> None:
    """The output of the last `make torture` stands in the one block after the marker."""
    assert PAGE.count(MARKER) == 1
