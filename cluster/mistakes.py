"""The words for what is wrong in lockkeeper.yaml."""

from __future__ import annotations

from typing import Any

from pydantic import ValidationError


def told_of(error: ValidationError) -> list[tuple[str, str]]:
    """Each mistake as its path and what is wrong there."""
    return [(_path(e["loc"]), _words(e)) for e in error.errors(include_url=False)]


def list_mistakes(source: str, told: list[tuple[str, str]]) -> str:
    """All of them in one message, a line each."""
    count = "a mistake" if len(told) == 1 else f"{len(told)} mistakes"
    return f"{source} has {count}; correct it and start again:\n" + "\n".join(
        f"  {path}: {words}" for path, words in told
    )


def _path(location: tuple[int | str, ...]) -> str:
    parts = [str(p) for p in location if p not in {"int", "str", "[key]"} and not str(p).startswith("function-")]
    return ".".join(parts) or "(top level)"


# Where the library would name classes of ours to a reader of YAML.
_PLAIN = {
    "too_short": "must name at least one",
    "path_type": "should be a path, in text",
    "model_type": "should be a mapping of settings",
    "dict_type": "should be a mapping of names",
    "tuple_type": "should be a list",
    "string_too_short": "must not be empty",
    "bool_type": "should be true or false",
    "bool_parsing": "should be true or false",
    "int_parsing": "should be a whole number",
    "int_from_float": "should be a whole number",
    "float_parsing": "should be a number",
}


def _words(error: Any) -> str:
    message = str(error["msg"]).removeprefix("Value error, ")
    if error["type"] == "missing":
        return "is missing"
    if error["type"] == "extra_forbidden":
        return "is not a setting that we know; check its spelling"
    if error["type"] in _PLAIN:
        return _PLAIN[error["type"]]
    return message[:1].lower() + message[1:]
