"""Facts that come with the package: what is old, what releases have outrun, what was left open."""

from dataclasses import replace
from datetime import date, timedelta
from importlib import resources

import pytest

from bot.freshness import freshness_json, render_freshness
from cluster.findings import Severity
from policies.kubeadm_defaults import KubeadmDefaults, images_of
from policies.kubeadm_defaults import read_file as read_defaults
from policies.releases import Releases, read_releases
from policies.staleness import FILES, judge_freshness

VERIFIED = date(2026, 1, 1)
RELEASE = """
  - minor: {minor}
    ga: {ga}
    eol_planned: {planned}
    eol_actual: {actual}
    latest_patch_seen: {minor}.1
    changelog: https://example.org
"""


def row(minor, ga, planned, actual="null"):
    return RELEASE.format(minor=minor, ga=ga, planned=planned, actual=actual)


def judge(today, *rows, **more):
    head = f"sources: [https://example.org]\nverified_on: {VERIFIED}\nreleases:"
    return judge_freshness(today, read={"releases.yaml": Releases.parse(head + "".join(rows), "releases.yaml")}, **more)


OLD = row("v1.34", date(2025, 1, 1), date(2026, 2, 1))
NEW = row("v1.35", date(2025, 12, 1), date(2027, 2, 1))
LATER = row("v1.36", date(2025, 12, 1), date(2027, 2, 1))


@pytest.mark.parametrize(
    ("today", "rows", "told"),
    [
        (date(2026, 1, 30), (OLD, NEW), []),
        (date(2026, 2, 1), (OLD, NEW), []),
        (date(2026, 2, 2), (OLD, NEW), ["v1.34 was planned to end on 2026-02-01"]),
        (date(2026, 2, 2), (OLD.replace("null", "2026-02-03"), NEW), []),
        (date(2026, 1, 30), (OLD, LATER), ["Between v1.34 and v1.36"]),
        (date(2026, 4, 10), (NEW,), []),
        (date(2026, 4, 11), (NEW,), ["The newest minor known is v1.35"]),
        (date(2026, 1, 30), (OLD,), ["The newest minor known is v1.34"]),
    ],
)
def test_releases_that_went_on_since_are_told(today, rows, told):
    """A planned end that has passed, a minor that is missing between two, and one that should be out."""
    seen = judge(today, *rows)
    assert [f.code for f in seen.findings] == ["facts-outrun"] * len(told)
    assert all(f.sentence.startswith(words) for f, words in zip(seen.findings, told, strict=True))
    assert seen.is_stale is bool(told)


@pytest.mark.parametrize(
    ("today", "days", "stale"),
    [
        (date(2026, 1, 31), 30, 0),
        (date(2026, 2, 1), 30, 1),
        (date(2026, 1, 3), 1, 1),
        (date(2025, 12, 31), 30, 0),
    ],
)
def test_rows_grow_old(today, days, stale):
    """On the day after the last of the days that they are good for."""
    seen = judge(today, NEW, stale_after=timedelta(days=days))
    assert [f.stale for f in seen.files] == [stale]
    assert seen.is_stale is (today != date(2026, 1, 31))


def test_a_day_to_come_is_a_mistake():
    """Nobody has verified anything tomorrow."""
    (found,) = judge(date(2025, 12, 31), NEW).findings
    assert (found.code, found.severity) == ("facts-stale", Severity.WARNING)
    assert "still to come" in found.sentence


def test_a_minor_that_only_one_file_knows_is_told():
    """Each file that says something of every minor is held against the releases."""
    read = {name: FILES[name].read(name) for name in ("releases.yaml", "kubeadm_defaults.yaml")}
    defaults = read["kubeadm_defaults.yaml"]
    shortened = defaults.model_copy(update={"images": defaults.images[:-2]})
    day = max(r.ga for r in read_releases()) + timedelta(days=1)
    seen = judge_freshness(day, read={**read, "kubeadm_defaults.yaml": shortened})
    missing = ", ".join(str(i.minor) for i in defaults.images[-2:])
    assert f"kubeadm_defaults.yaml says nothing of {missing}, which releases.yaml knows." in [
        f.sentence for f in seen.findings
    ]


def test_what_is_known_to_be_open_is_a_note():
    """It is said, and makes nothing stale by itself."""
    seen = judge(date(2026, 1, 30), NEW.rstrip() + "\n    note: its day was not verified\n")
    assert [(f.code, f.severity) for f in seen.findings] == [("facts-open", Severity.NOTE)]
    assert seen.is_stale is False


def test_every_file_of_facts_is_looked_at():
    """Whatever stands in the folder, with a source and a day in each row."""
    folder = resources.files("policies").joinpath("data")
    assert sorted(FILES) == sorted(entry.name for entry in folder.iterdir() if entry.name.endswith(".yaml"))
    seen = judge_freshness(date(2026, 11, 26))
    assert all(file.rows for file in seen.files)
    assert not [f for f in seen.findings if f.code == "facts-stale"]


def test_defaults_are_known_of_every_minor():
    """In the same order as the releases."""
    assert [i.minor for i in read_defaults().images] == [r.minor for r in read_releases()]
    assert images_of(read_releases()[-1].minor) is not None
    assert isinstance(read_defaults(), KubeadmDefaults)


def test_the_terminal_shows_each_file_and_what_is_stale():
    """As text and as JSON."""
    seen = judge(date(2026, 12, 1), NEW)
    text = render_freshness(seen)
    assert text.splitlines()[1].split() == ["releases.yaml", "1", "1", "2026-01-01", "2026-01-01"]
    assert "WARNING facts-stale: Nobody verified 1 of 1 row in releases.yaml since 2026-08-03" in text
    assert '"stale": 1' in freshness_json(seen)
    assert render_freshness(replace(seen, findings=())).endswith("No findings.")
