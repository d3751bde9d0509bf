"""The facts that come with the package, data/*.yaml: each file is read once, into frozen rows with source and day."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from functools import cache
from importlib import resources
from typing import Annotated, Any, Self, cast

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from cluster.errors import InvalidData

FOLDER = "policies/data"
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class Facts(BaseModel):
    """Anything that stands in a data file; what we do not know is a mistake there."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)


class Row(Facts):
    """One entry of a list: where it was read, and on which day it was last held against that."""

    sources: Annotated[tuple[str, ...], Field(min_length=1)]
    verified_on: date


class DataFile(Facts):
    """A whole file; its rows are whatever its lists hold, at any depth. Its head speaks for rows that say nothing."""

    sources: tuple[str, ...] = ()
    verified_on: date | None = None

    @classmethod
    def read(cls, name: str) -> Self:
        """The facts of `data/<name>`, read once; raises InvalidData with every mistake and its place."""
        return cast("Self", _read(cls, name))

    @classmethod
    def parse(cls, text: str, name: str) -> Self:
        """Check a file's text; what a row does not say of source and day, the section around it or the file says."""
        place = f"{FOLDER}/{name}"
        try:
            raw = yaml.load(text, Loader=_LOADER)  # noqa: S506 - both are safe loaders
        except yaml.YAMLError as error:
            raise InvalidData(f"{place} is not YAML, correct it there: {' '.join(str(error).split())}.") from error
        try:
            return cls.model_validate(_handed_down(raw, {}))
        except ValidationError as error:
            told = (f"{_place(raw, e['loc'])}: {e['msg'][:1].lower()}{e['msg'][1:]}" for e in error.errors())
            raise InvalidData(f"{place} is wrong; correct it there:\n  " + "\n  ".join(told)) from error

    def rows(self) -> Iterator[Row]:
        return _rows(self)


@cache
def _read(shape: type[DataFile], name: str) -> DataFile:
    return shape.parse(resources.files("policies").joinpath(f"data/{name}").read_text(encoding="utf-8"), name)


def _handed_down(raw: Any, above: dict[str, Any]) -> Any:
    if not isinstance(raw, dict):
        return raw
    here = above | {key: raw[key] for key in ("sources", "verified_on") if key in raw}
    return {
        key: _row_by_row(value, here) if isinstance(value, list) else _handed_down(value, here)
        for key, value in raw.items()
    }


def _row_by_row(entries: list[Any], above: dict[str, Any]) -> list[Any]:
    return [_handed_down(above | _with_sources(e), {}) if isinstance(e, dict) else e for e in entries]


def _with_sources(row: dict[str, Any]) -> dict[str, Any]:
    """A row of one source may say `source`."""
    rest = {key: value for key, value in row.items() if key != "source"}
    return {**rest, "sources": [row["source"]]} if "source" in row else row


def _place(raw: Any, location: tuple[int | str, ...]) -> str:
    """`releases[v1.34].ga`: a row goes by its first value, by which people find it in the file."""
    said = ""
    for part in location:
        if isinstance(part, int):
            raw = raw[part] if isinstance(raw, list) else None
            said += f"[{next(iter(raw.values()), part) if isinstance(raw, dict) else part}]"
        else:
            raw = raw.get(part) if isinstance(raw, dict) else None
            said += f".{part}"
    return said.removeprefix(".") or "(top level)"


def _rows(value: object) -> Iterator[Row]:
    if isinstance(value, Row):
        yield value
    if isinstance(value, BaseModel):
        for name in type(value).model_fields:
            yield from _rows(getattr(value, name))
    elif isinstance(value, tuple):
        for one in value:
            yield from _rows(one)
