"""Files of facts: every row has its source and its day, and a wrong row is named."""

from datetime import date

import pytest

from cluster.errors import InvalidData
from policies.data_files import DataFile, Facts, Row


class Stone(Row):
    """A row of the files below."""

    name: str
    weight: int = 1


class Heap(Facts):
    """A section with a day of its own."""

    sources: tuple[str, ...]
    verified_on: date
    stones: tuple[Stone, ...]


class Quarry(DataFile):
    """Rows at two depths."""

    sources: tuple[str, ...] = ()
    verified_on: date | None = None
    stones: tuple[Stone, ...] = ()
    heap: Heap | None = None


WHOLE = """
sources: [https://example.org/quarry]
verified_on: 2026-01-01
stones:
  - {name: slate}
  - {name: chalk, source: https://example.org/chalk, verified_on: 2026-02-02}
heap:
  sources: [https://example.org/heap]
  verified_on: 2026-03-03
  stones:
    - {name: flint}
"""


def test_a_row_says_its_source_and_day_itself_or_its_section_does():
    """The nearest one counts."""
    told = {r.name: (r.sources, r.verified_on) for r in Quarry.parse(WHOLE, "quarry.yaml").rows()}
    assert told == {
        "slate": (("https://example.org/quarry",), date(2026, 1, 1)),
        "chalk": (("https://example.org/chalk",), date(2026, 2, 2)),
        "flint": (("https://example.org/heap",), date(2026, 3, 3)),
    }


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("stones: [{name: slate, source: here}]", "stones[slate].verified_on: field required"),
        ("stones: [{name: slate, verified_on: 2026-01-01}]", "stones[slate].sources: field required"),
        ("stones: [{name: slate, sources: [], verified_on: 2026-01-01}]", "stones[slate].sources:"),
        ("stones: [{name: slate, wight: 2, source: here, verified_on: 2026-01-01}]", "stones[slate].wight:"),
        ("stones: [{name: slate, weight: much, source: here, verified_on: 2026-01-01}]", "stones[slate].weight:"),
        ("stones: [slate]", "stones[0]:"),
        ("[slate]", "(top level):"),
        ("stones: [", "is not YAML"),
    ],
)
def test_a_wrong_row_is_named_with_its_file(text, told):
    """By its first value, which people find in the file."""
    with pytest.raises(InvalidData) as caught:
        Quarry.parse(text, "quarry.yaml")
    assert told in str(caught.value)
    assert str(caught.value).startswith("policies/data/quarry.yaml ")


def test_every_mistake_is_listed_at_once():
    """Nobody corrects a file twice."""
    with pytest.raises(InvalidData) as caught:
        Quarry.parse("stones: [{name: 1}, {name: slate, weight: much}]", "quarry.yaml")
    assert "stones[1].name" in str(caught.value)
    assert "stones[slate].weight" in str(caught.value)
