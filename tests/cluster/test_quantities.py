"""Amounts as the API writes them, read exactly and shown shortly."""

import pytest

from cluster.quantities import parse_quantity, show_quantity


@pytest.mark.parametrize(
    ("text", "thousandths"),
    [
        ("0", 0),
        ("1", 1_000),
        ("100m", 100),
        ("0.5", 500),
        (".5", 500),
        ("2.", 2_000),
        ("+3", 3_000),
        ("1e3", 1_000_000),
        ("1E3", 1_000_000),
        ("12e-1", 1_200),
        ("1E", 10**21),
        ("1k", 1_000_000),
        ("128M", 128 * 10**9),
        ("1Ki", 1_024_000),
        ("1Gi", 1024**3 * 1000),
        ("1.5Gi", 1536 * 1024**2 * 1000),
        ("24581684Ki", 24581684 * 1024 * 1000),
        ("1Ei", 1024**6 * 1000),
        ("1n", 1),  # rounded up, as the scheduler does: a little is not nothing
        ("1500u", 2),
        ("9007199254740993", 9007199254740993_000),  # one more than a float can tell
    ],
)
def test_a_quantity_is_read_exactly(text, thousandths):
    """Every suffix and both exponents."""
    assert parse_quantity(text) == thousandths


@pytest.mark.parametrize("text", ["", "m", "1 Gi", "1GiB", "-1", "1e", "1ki", "0x10", "\u0661", "None", "1" + "z" * 99])
def test_what_is_no_quantity_is_refused_shortly(text):
    """It is quoted, but never at length."""
    with pytest.raises(ValueError, match="is not a quantity") as caught:
        parse_quantity(text)
    assert len(str(caught.value)) < 100


@pytest.mark.parametrize(
    ("resource", "amount", "shown"),
    [
        ("cpu", 250, "250 millicores"),
        ("cpu", 2_500, "2.5 cores"),
        ("memory", parse_quantity("1536Mi"), "1.5 GiB"),
        ("pods", 3_000, "3"),
        ("nvidia.com/gpu", 1_000, "1"),
    ],
)
def test_an_amount_is_shown_as_people_say_it(resource, amount, shown):
    """Cores, gibibytes, and plain numbers."""
    assert show_quantity(resource, amount) == shown
