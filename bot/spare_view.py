"""The window that asks why a run may go on in spite of its alerts, and for how long."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from bot.asked import Payload, entered, metadata
from bot.blocks import Block, Element, section
from bot.text import escape, listing

SPARE_VIEW = "run_go_on_reason"
_REASON, _MINUTES = "reason", "minutes"
_USUAL = "60"  # minutes
_MOST_METADATA = 2900  # characters; Slack takes 3000


@dataclass(frozen=True, slots=True)
class Chosen:
    """What was filled in, and what the window was opened for."""

    operation_id: str
    channel: str
    alerts: tuple[str, ...]
    minutes: str  # as typed
    reason: str


def spare_view(operation_id: str, channel: str, alerts: tuple[str, ...]) -> Block | None:
    """None where there are more alerts than a window can remember: they are named one by one on a terminal."""
    remembered = json.dumps([operation_id, channel, *alerts])
    if len(remembered) > _MOST_METADATA:
        return None
    said = (
        f"These alerts keep {operation_id} from beginning a node: {listing(alerts, 10)}. Any other one stops it again."
    )
    return {
        "type": "modal",
        "callback_id": SPARE_VIEW,
        "private_metadata": remembered,
        "title": _plain("Go on in spite of it"),
        "submit": _plain("Go on"),
        "close": _plain("Wait"),
        "blocks": [
            section(escape(said, 2500)),
            _input(_REASON, "Why? The thread will say it.", {"multiline": True, "max_length": 500}),
            _input(_MINUTES, "For how many minutes?", {"initial_value": _USUAL, "max_length": 5}),
        ],
    }


def chosen_in(body: Payload) -> Chosen:
    """Its own words come back with what was typed; nothing of it is trusted before it is checked."""
    try:
        operation_id, channel, *alerts = json.loads(metadata(body))
    except ValueError:
        operation_id, channel, alerts = "", "", []
    return Chosen(
        str(operation_id),
        str(channel),
        tuple(map(str, alerts)),
        entered(body, _MINUTES, _MINUTES).strip(),
        entered(body, _REASON, _REASON),
    )


def _input(block: str, label: str, more: Mapping[str, Any]) -> Block:
    element = {"type": "plain_text_input", "action_id": block, "min_length": 1, **more}
    return {"type": "input", "block_id": block, "label": _plain(label), "element": element}


def _plain(text: str) -> Element:
    return {"type": "plain_text", "text": text}
