"""A modal's fields: what a person filled in, what Slack's own client refuses, and the state it sends."""

from collections.abc import Iterator, Mapping
from typing import Any

from lab.slack.workspace import Json

Filled = Mapping[str, Any]


def fields(blocks: list[Json]) -> Iterator[tuple[Json, Json]]:
    """Every block with an element that carries state."""
    for block in blocks:
        held = block.get("elements", []) if block["type"] == "actions" else []
        for element in (block.get("element"), block.get("accessory"), *held):
            if isinstance(element, dict) and element["type"] not in {"button", "overflow", "image"}:
                yield block, element


def read_state(blocks: list[Json], filled: Filled) -> Json:
    """``view.state.values``; what a person filled in is named by block_id or by action_id."""
    values: Json = {}
    for block, element in fields(blocks):
        given = filled.get(block["block_id"], filled.get(element["action_id"]))
        values.setdefault(block["block_id"], {})[element["action_id"]] = _state(element, given)
    return values


def missing(blocks: list[Json], state: Json) -> dict[str, str]:
    """What Slack's client says itself, before the app hears anything."""
    errors = {}
    for block, element in fields(blocks):
        if block["type"] != "input":
            continue
        value = _value(state[block["block_id"]][element["action_id"]])
        if not value and not block.get("optional"):
            errors[block["block_id"]] = "Please complete this required field."
        elif isinstance(value, str) and len(value) > element.get("max_length", len(value)):
            errors[block["block_id"]] = f"Please use at most {element['max_length']} characters."
        elif value and isinstance(value, str) and len(value) < element.get("min_length", 0):
            errors[block["block_id"]] = f"Please use at least {element['min_length']} characters."
    return errors


def _value(state: Json) -> Any:
    return next((value for key, value in state.items() if key != "type"), None)


def option(element: Json, value: Any) -> Json | None:
    """The option with this value; an external select has none of its own and takes what it is given."""
    if isinstance(value, dict) or value is None:
        return value
    groups = (group["options"] for group in element.get("option_groups", ()))
    known = [*element.get("options", ()), *(one for group in groups for one in group)]
    return next((one for one in known if one["value"] == value), None)


def _state(element: Json, given: Any) -> Json:
    kind = element["type"]
    match kind:
        case "plain_text_input":
            return {"type": kind, "value": (given if given is not None else element.get("initial_value")) or None}
        case "checkboxes":
            chosen = given if given is not None else element.get("initial_options", [])
            return {"type": kind, "selected_options": [option(element, one) for one in chosen]}
        case "users_select":
            return {"type": kind, "selected_user": given or element.get("initial_user")}
        case "conversations_select":
            return {"type": kind, "selected_conversation": given or element.get("initial_conversation")}
        case "datepicker":
            return {"type": kind, "selected_date": given or element.get("initial_date")}
        case _:
            chosen = option(element, given) if given else element.get("initial_option")
            return {"type": kind, "selected_option": chosen}
