"""How it is told that a run goes on in spite of alerts."""

from __future__ import annotations

from collections.abc import Iterator

from cluster.operation import Operation
from policies.wording import count_of, some_of


def tell_spared(person: str, alerts: tuple[str, ...], minutes: int, reason: str) -> str:
    return (
        f"{person} lets the run go on in spite of {some_of(alerts)} for {count_of(minutes, 'minute')}: {reason.strip()}"
    )


def tell_standing(operation: Operation) -> Iterator[str]:
    """What a running operation waits for, and in spite of what it goes on."""
    if operation.ended:
        return
    if operation.waits_for:
        yield f"It waits for {operation.waits_for}."
    for spared in operation.spared:
        until = f"{spared.until:%Y-%m-%d %H:%M} UTC"
        yield f"It goes on in spite of {spared.alert} until {until}, as {spared.by} chose: {spared.reason}"
