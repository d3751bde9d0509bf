"""`lockkeeper data check` as it is typed."""

import json

import pytest
from typer.testing import CliRunner

from lockkeeper import EXIT_STALE, app
from policies.staleness import FILES


def check(*options):
    return CliRunner().invoke(app, ["data", "check", *options])


@pytest.mark.parametrize("days", ["1", "36500"])
def test_the_exit_code_says_whether_anything_is_stale(days):
    """Notes alone make nothing stale; it needs neither a configuration nor Redis."""
    done = check("--older-than", days, "-o", "json")
    told = json.loads(done.stdout)
    weighty = [f for f in told["findings"] if f["severity"] != "note"]
    assert done.exit_code == (EXIT_STALE if weighty else 0)
    assert (told["kind"], told["stale_after_days"]) == ("data", int(days))
    assert [f["name"] for f in told["files"]] == list(FILES)
    assert any(f["stale"] for f in told["files"]) is (days == "1")


def test_the_text_names_every_file():
    """With its rows and the days of the oldest and the newest."""
    done = check()
    assert all(name in done.stdout for name in FILES)
    assert "Stale is what nobody verified in the 120 days before" in done.stdout


def test_a_number_of_days_that_makes_no_sense_is_refused():
    """As any option is."""
    assert check("--older-than", "0").exit_code == 2
