"""Server-side tables, for clients that accept them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from lab.columns import COLUMNS, DEFAULT, Object
from lab.resources import Resource


@dataclass(frozen=True, slots=True)
class TableForm:
    """The table that a client accepts."""

    version: str

    def render(self, resource: Resource, items: list[Object], metadata: Object, query: Mapping[str, str]) -> Object:
        """A Table of these objects."""
        columns = COLUMNS.get(resource.kind, DEFAULT)
        include = query.get("includeObject", "Metadata")
        rows: list[Object] = []
        for item in items:
            row: Object = {"cells": [column.cell(item) for column in columns]}
            if include == "Metadata":
                row["object"] = {
                    "kind": "PartialObjectMetadata",
                    "apiVersion": "meta.k8s.io/v1",
                    "metadata": item["metadata"],
                }
            elif include == "Object":
                row["object"] = item
            else:
                row["object"] = None
            rows.append(row)
        return {
            "kind": "Table",
            "apiVersion": f"meta.k8s.io/{self.version}",
            "metadata": metadata,
            "columnDefinitions": [column.definition() for column in columns],
            "rows": rows,
        }


def wants_table(accept: str) -> TableForm | None:
    """The first thing that the Accept header names, if it is a table."""
    first = accept.split(",", maxsplit=1)[0].replace(" ", "")
    if "as=Table" not in first or "g=meta.k8s.io" not in first:
        return None
    return TableForm("v1beta1" if "v=v1beta1" in first else "v1")
