"""How old the facts are that come with the package, for the terminal: a line for each file, and what is stale."""

from __future__ import annotations

from pydantic import TypeAdapter

from bot.blocks import monospace_columns
from bot.terminal import as_json, render_findings
from policies.staleness import Freshness

_FRESHNESS = TypeAdapter(Freshness)


def render_freshness(seen: Freshness) -> str:
    rows = [("FILE", "ROWS", "STALE", "OLDEST", "NEWEST")]
    rows += [(f.name, str(f.rows), str(f.stale), str(f.oldest), str(f.newest)) for f in seen.files]
    stale = f"Stale is what nobody verified in the {seen.stale_after_days} days before {seen.day}."
    return "\n".join([monospace_columns(rows), "", stale, "", render_findings(seen.findings)])


def freshness_json(seen: Freshness) -> str:
    return as_json("data", **_FRESHNESS.dump_python(seen, mode="json"))
