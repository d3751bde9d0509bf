"""APIs that somebody still asks for and that the target does not serve, by data/api_removals.yaml."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from cluster.deprecation import DeprecatedUse
from cluster.findings import Finding, Severity
from cluster.versions import Minor
from policies.data_files import DataFile, Row
from policies.wording import some_of

GUIDE = "https://kubernetes.io/docs/reference/using-api/deprecation-guide/"


class Removal(Row):
    """Resources of one version of a group, the minor that does not serve them, and what takes their place."""

    removed: Minor | None
    group: str
    version: str
    resources: tuple[str, ...]
    replacement: str = ""  # "autoscaling/v2"; "" for none
    since: Minor | None = None  # the first minor that serves the replacement
    note: str = ""


class ApiRemovals(DataFile):
    """The whole file."""

    removals: tuple[Removal, ...]


def read_file() -> ApiRemovals:
    return ApiRemovals.read("api_removals.yaml")


def check_deprecations(uses: Iterable[DeprecatedUse], minors: tuple[Minor, ...]) -> Iterator[Finding]:
    """`minors` are those of the plan; without one, everything is for later."""
    last = max(minors, default=None)
    for use in uses:
        where = f"an API server was asked for {use.api} ({some_of(use.servers)})"
        who = _callers(use)
        if last is not None and use.api.removed <= last:
            sentence = f"Since it was started, {where}, which {use.api.removed} does not serve any more.{who}"
            remedy = (
                f"{_replacement(use)} The count is of the time since the API server's start: once nobody asks any "
                "more, restart it and plan again, or ask for the plan with `accept removed-api-in-use`."
            )
            yield Finding("removed-api-in-use", Severity.BLOCKER, str(use.api), sentence, remedy)
        else:
            sentence = f"Since it was started, {where}, which {use.api.removed} and later do not serve.{who}"
            yield Finding("deprecated-api-in-use", Severity.NOTE, str(use.api), sentence, _replacement(use))


def _callers(use: DeprecatedUse) -> str:
    if not use.callers:
        return " By whom is not known: the audit log names the client."
    told = some_of(f"{c.name} ({some_of(c.objects)})" for c in use.callers)
    return f" Objects were written in it by {told}."


def _replacement(use: DeprecatedUse) -> str:
    api = use.api
    rows = (r for r in read_file().removals if (r.group, r.version) == (api.group, api.version))
    row = next((r for r in rows if api.resource in r.resources), None)
    if row is None:
        return f"Let its clients use a version that stays: {GUIDE}"
    if not row.replacement:
        return f"Nothing takes its place{f' ({row.note})' if row.note else ''}: let its clients do without."
    since = f", which {row.since} and later serve" if row.since else ""
    return f"Let its clients use {row.replacement}{since}."
