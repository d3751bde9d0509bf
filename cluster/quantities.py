"""Amounts of cpu, memory and the like as the API writes them: `100m`, `1Gi`, `1e3`."""

from __future__ import annotations

import re
from decimal import ROUND_CEILING, Decimal
from functools import lru_cache

THOUSANDTHS = 1000  # of a core, a byte, a pod: one unit for all, and no fractions
_FORM = re.compile(r"\+?(\d+\.?\d*|\.\d+)([eE][+-]?\d+|[KMGTPE]i|[numkMGTPE]|)", re.ASCII)
_SCALES = {
    "n": Decimal("1e-9"),
    "u": Decimal("1e-6"),
    "m": Decimal("1e-3"),
    "": Decimal(1),
    "k": Decimal(10**3),
    **{letter: Decimal(1000**power) for power, letter in enumerate("MGTPE", start=2)},
    **{f"{letter}i": Decimal(1024**power) for power, letter in enumerate("KMGTPE", start=1)},
}


@lru_cache(maxsize=4096)  # a cluster's pods ask for the same few amounts, a hundred thousand times
def parse_quantity(text: str) -> int:
    """Thousandths of the unit, rounded up; raises ValueError for a text that is none, or is negative."""
    match = _FORM.fullmatch(text)
    if match is None:
        raise ValueError(f"`{text[:40]}` is not a quantity like `100m` or `1Gi`")
    number, suffix = match.groups()
    scale = _SCALES[suffix] if suffix in _SCALES else Decimal(f"1{suffix}")
    return int((Decimal(number) * scale * THOUSANDTHS).to_integral_value(ROUND_CEILING))


def show_quantity(resource: str, amount: int) -> str:
    """An amount in words that a person reads at a glance."""
    if resource == "cpu":
        return f"{amount / THOUSANDTHS:.3g} cores" if amount >= THOUSANDTHS else f"{amount} millicores"
    if resource in {"memory", "ephemeral-storage"}:
        return f"{amount / THOUSANDTHS / 1024**3:.3g} GiB"
    return f"{amount / THOUSANDTHS:g}"
