"""The objects of a smoke test: each is made once by its attempt, and deleted whatever became of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cluster.errors import KubeDenied
from workers.patience import CONFLICT, NOT_FOUND, ask_api, is_policy
from workers.site import Site

Raw = dict[str, Any]


def make(site: Site, path: str, body: Raw, what: str) -> str:
    """Which policy leaves it out; "" where it is there."""

    def post() -> Raw:
        site.check_lease()
        return site.kube().post(path, body)

    try:
        ask_api(site, post)
    except KubeDenied as error:
        if error.status == CONFLICT:  # ours, of this attempt, from a driver before us
            return ""
        if not is_policy(error):
            raise
        return f"An admission policy forbids the smoke {what} on {site.node.name} ({error}); it is left out."
    return ""


def drop(site: Site, path: str, options: Mapping[str, Any]) -> None:
    """Nothing where it is gone already."""
    try:
        ask_api(site, lambda: site.kube().delete(path, options))
    except KubeDenied as error:
        if error.status != NOT_FOUND:
            raise
