"""How it is told that a run goes on in spite of alerts."""

from __future__ import annotations

from policies.wording import count_of, some_of


def tell_spared(person: str, alerts: tuple[str, ...], minutes: int, reason: str) -> str:
    return (
        f"{person} lets the run go on in spite of {some_of(alerts)} for {count_of(minutes, 'minute')}: {reason.strip()}"
    )
