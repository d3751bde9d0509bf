"""Maintenance windows and freezes: when something may be begun, when next, and whether a plan fits."""

from datetime import UTC, datetime, timedelta

import pytest

from cluster.findings import Severity
from cluster.inventory import Cluster
from policies.windows import check_opening, check_plan_fits, next_opening, open_until

NIGHTS = {"days": ["monday", "thursday"], "opens": "22:00", "closes": "04:00"}  # of a Monday and a Thursday, UTC
MONDAY = datetime(2026, 11, 23, tzinfo=UTC)


def cluster(*windows, freezes=(), timezone="UTC"):
    return Cluster.model_validate(
        {"kubeconfig": "x", "windows": list(windows), "freezes": list(freezes), "timezone": timezone}
    )


def at(hours, minutes=0):
    """That long after Monday began."""
    return MONDAY + timedelta(hours=hours, minutes=minutes)


def is_open(where, moment):
    return check_opening("prod", where, moment) == ()


@pytest.mark.parametrize(
    ("windows", "moment", "expected"),
    [
        ([], at(3), True),
        ([NIGHTS], at(21, 59), False),
        ([NIGHTS], at(22), True),
        ([NIGHTS], at(27, 59), True),  # past midnight, on Tuesday
        ([NIGHTS], at(28), False),
        ([NIGHTS], at(46), False),  # Tuesday evening
        ([NIGHTS], at(94), True),  # Thursday evening
        ([{"opens": "09:00", "closes": "17:00"}], at(9), True),
        ([{"opens": "09:00", "closes": "17:00"}], at(17), False),
        ([{"days": ["sunday"], "opens": "06:00", "closes": "06:00"}], at(5), True),  # round the clock, from Sunday on
        ([{"days": ["sunday"], "opens": "06:00", "closes": "06:00"}], at(6), False),
        ([{"opens": "01:00", "closes": "02:00"}, {"opens": "03:00", "closes": "04:00"}], at(3, 30), True),
    ],
)
def test_a_window_is_open_from_its_first_moment_to_before_its_last(windows, moment, expected):
    """On the days that it opens; without any window it is open at all times."""
    assert is_open(cluster(*windows), moment) is expected


@pytest.mark.parametrize(
    ("day", "hour", "expected"),
    [
        ((2026, 7, 1), 19, False),
        ((2026, 7, 1), 20, True),  # 22:00 there
        ((2026, 12, 1), 20, False),
        ((2026, 12, 1), 21, True),
        ((2026, 3, 29), 0, True),
        ((2026, 3, 29), 1, False),  # 03:00 there, an hour earlier than in the night before
    ],
)
def test_a_window_goes_by_the_clusters_own_clock(day, hour, expected):
    """Summer time included."""
    where = cluster({"opens": "22:00", "closes": "03:00"}, timezone="Europe/Berlin")
    assert is_open(where, datetime(*day, hour, tzinfo=UTC)) is expected


def test_the_night_in_which_clocks_go_forward_is_shorter():
    """22:00 to 03:00 in Berlin is four hours long then."""
    where = cluster({"opens": "22:00", "closes": "03:00"}, timezone="Europe/Berlin")
    begins = datetime(2026, 3, 28, 21, tzinfo=UTC)
    assert open_until(where, begins) == begins + timedelta(hours=4)
    assert open_until(where, begins + timedelta(days=1, hours=-1)) == begins + timedelta(days=1, hours=4)


CHRISTMAS = {"begins": "2026-11-23", "ends": "2026-11-24", "reason": "a sale"}


@pytest.mark.parametrize(
    ("where", "now", "opening"),
    [
        (cluster(), at(5), at(5)),
        (cluster(NIGHTS), at(23), at(23)),
        (cluster(NIGHTS), at(5), at(22)),
        (cluster(NIGHTS), at(30), at(94)),
        (cluster(freezes=[CHRISTMAS]), at(5), at(48)),
        (cluster(NIGHTS, freezes=[CHRISTMAS]), at(5), at(94)),
        (cluster({"opens": "00:00", "closes": "00:00"}, freezes=[CHRISTMAS]), at(47), at(48)),
        (cluster(freezes=[{"begins": "2026-01-01", "ends": "2036-01-01"}]), at(0), datetime(2036, 1, 2, tzinfo=UTC)),
        (cluster(NIGHTS, freezes=[{"begins": "2026-01-01", "ends": "2036-01-01"}]), at(0), None),
    ],
)
def test_the_next_opening_is_known(where, now, opening):
    """Now, when a window opens, or when a freeze is over; nobody looks farther than a year for a window."""
    assert next_opening(where, now) == opening
    assert is_open(where, now) is (opening == now)


@pytest.mark.parametrize(
    ("where", "moment", "end"),
    [
        (cluster(), at(5), None),
        (cluster(NIGHTS), at(23), at(28)),
        (cluster({"opens": "00:00", "closes": "12:00"}, {"opens": "12:00", "closes": "18:00"}), at(1), at(18)),
        (cluster({"opens": "00:00", "closes": "00:00"}), at(1), None),
        (cluster(freezes=[CHRISTMAS]), at(-1), at(0)),
        (cluster({"opens": "20:00", "closes": "02:00"}, freezes=[CHRISTMAS]), at(-1), at(0)),
    ],
)
def test_an_opening_lasts_until_its_windows_end_or_a_freeze_begins(where, moment, end):
    """Windows that meet are one."""
    assert open_until(where, moment) == end


def test_what_is_closed_says_until_when():
    """In the cluster's own time, with the reason of a freeze."""
    (closed,) = check_opening("prod", cluster(NIGHTS), at(5))
    assert (closed.code, closed.severity) == ("window-closed", Severity.BLOCKER)
    assert "No maintenance window of prod is open until Monday 2026-11-23 22:00 UTC" in closed.sentence
    (frozen,) = check_opening("prod", cluster(freezes=[CHRISTMAS], timezone="Europe/Berlin"), at(5))
    assert (frozen.code, frozen.severity) == ("freeze", Severity.BLOCKER)
    assert "prod is frozen (a sale) until Wednesday 2026-11-25 00:00 Europe/Berlin" in frozen.sentence
    (ever,) = check_opening("prod", cluster(NIGHTS, freezes=[{"begins": "2026-01-01", "ends": "2036-01-01"}]), at(5))
    assert "no window opens within a year" in ever.sentence
    assert ever.remedy == "Change its windows."


HOUR = 3600


@pytest.mark.parametrize(
    ("where", "now", "estimate", "found"),
    [
        (cluster(), at(5), (HOUR, 90 * HOUR), []),
        (cluster(NIGHTS), at(22), (HOUR, 6 * HOUR), []),
        (cluster(NIGHTS), at(22), (HOUR, 7 * HOUR), [("window-too-short", Severity.NOTE)]),
        (cluster(NIGHTS), at(22), (7 * HOUR, 8 * HOUR), [("window-too-short", Severity.WARNING)]),
        (cluster(NIGHTS), at(26), (HOUR, 3 * HOUR), [("window-too-short", Severity.NOTE)]),
        (cluster(NIGHTS), at(5), (HOUR, 2 * HOUR), [("window-closed", Severity.NOTE)]),
        (
            cluster(NIGHTS),
            at(5),
            (7 * HOUR, 8 * HOUR),
            [("window-closed", Severity.NOTE), ("window-too-short", Severity.WARNING)],
        ),
        (cluster(freezes=[CHRISTMAS]), at(5), (HOUR, 90 * HOUR), [("freeze", Severity.NOTE)]),
        (
            cluster(NIGHTS, freezes=[{"begins": "2026-01-01", "ends": "2036-01-01"}]),
            at(5),
            (1, 2),
            [("freeze", Severity.NOTE)],
        ),
    ],
)
def test_a_plan_is_held_against_the_opening_in_which_it_would_begin(where, now, estimate, found):
    """Closed now is a note, since it would wait; what does not fit even at its shortest is a warning."""
    assert [(f.code, f.severity) for f in check_plan_fits("prod", where, now, estimate)] == found


def test_how_long_and_how_open_is_said():
    """Both, so that people can choose."""
    (short,) = check_plan_fits("prod", cluster(NIGHTS), at(26), (40 * 60, 3 * HOUR))
    assert short.sentence == (
        "The plan takes 40 min to 3 h 00 min, and prod is open for 2 h 00 min, until Tuesday 2026-11-24 04:00 UTC: "
        "it may stop between two nodes then, versions apart."
    )
