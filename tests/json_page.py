"""
docs/json.md, made from the dataclasses that `-o json` writes: `python -m tests.json_page` writes it anew.

What a field means is the comment behind it in the code; a test holds the page to this.
"""

from __future__ import annotations

import dataclasses
import inspect
import re
import types
import typing
from collections.abc import Iterator, Mapping
from datetime import date, datetime, timedelta
from enum import Enum
from pathlib import Path

from bot.terminal import SCHEMA
from cluster.dry_run import DryRun
from cluster.events import Event
from cluster.findings import Finding
from cluster.force import ForceRequest
from cluster.operation import Operation
from cluster.plan import PlanRecord
from cluster.report import ClusterReport
from cluster.survey import Survey
from cluster.versions import KubeVersion, Minor, PackageVersion, ReportedVersion
from policies.add_ons import Recognised
from policies.fleet import FleetLine
from policies.legs import Leg
from policies.origins import MachineOrigin
from policies.permanence import Permanent
from policies.release_notes import ReleaseNotes
from policies.staleness import FactFile
from policies.support import Support

PAGE = Path(__file__).parents[1] / "docs" / "json.md"
Parts = Mapping[str, tuple[object, str]]
KINDS: Mapping[str, tuple[str, Parts]] = {
    "report": (
        "lockkeeper versions <cluster>, survey",
        {
            "report": (ClusterReport, "what the cluster's API shows"),
            "survey": (Survey | None, "what the machines told when they were last surveyed"),
            "maker": (str, "`kubeadm`, the name of another distribution, or `something else than kubeadm`"),
            "meaning": (str, 'what "we run v1.34" means here, in one sentence'),
            "support": (Support, "until when what runs gets fixes"),
            "add_ons": (tuple[Recognised, ...], "images beside the control plane, and which add-on each is of"),
            "origins": (tuple[MachineOrigin, ...], "where the packages of each surveyed machine come from"),
            "findings": (tuple[Finding, ...], "what is wrong, worst first"),
        },
    ),
    "fleet": ("lockkeeper versions", {"fleet": (tuple[FleetLine, ...], "one line a cluster, worst first")}),
    "plan": (
        "lockkeeper plan, rollback, reject",
        {
            "plan": (PlanRecord, "the plan and what stands beside it"),
            "notes": (tuple[ReleaseNotes, ...], "what is to be read before, minor by minor"),
            "permanent": (tuple[Permanent, ...], "what this plan does that cannot be undone"),
        },
    ),
    "export": (
        "lockkeeper export --as json",
        {
            "plan": (PlanRecord, "the plan and what stands beside it"),
            "legs": (tuple[Leg, ...], "its order: which nodes take which steps together"),
            "permanent": (tuple[Permanent, ...], "what this plan does that cannot be undone"),
            "release_notes": (tuple[ReleaseNotes, ...], "what is to be read before, for each minor that is entered"),
            "may_approve": (tuple[str, ...], "who may approve it, in words"),
        },
    ),
    "dry-run": (
        "lockkeeper dry-run",
        {"dry_run": (DryRun, "what the API server said to a trial of each eviction; it judges that moment")},
    ),
    "operation": (
        "lockkeeper approve, status, pause, resume, cancel, retry, skip, extend, ignore-alert",
        {"operation": (Operation, "one run of one approved plan")},
    ),
    "force": (
        "lockkeeper force-delete, approve-force",
        {"force": (ForceRequest, "the deletion of one pod that holds up a drain")},
    ),
    "events": ("lockkeeper events", {"events": (tuple[Event, ...], "what happened, oldest first")}),
    "findings": ("lockkeeper doctor", {"findings": (tuple[Finding, ...], "worst first")}),
    "data": (
        "lockkeeper data check",
        {
            "day": (date, "the day for which this is said, in UTC"),
            "stale_after_days": (int, "for how many days a row is good after somebody verified it"),
            "files": (tuple[FactFile, ...], "the files of facts, by name"),
            "findings": (tuple[Finding, ...], "what is stale, worst first"),
        },
    ),
}
_TEXTS: Mapping[object, str] = {
    str: "text",
    bool: "true or false",
    int: "number",
    float: "number",
    datetime: "time, RFC 3339",
    date: "day",
    timedelta: "duration, ISO 8601",
    KubeVersion: "version, `v1.35.4`",
    ReportedVersion: "version, `v1.31.1+k3s1`",
    Minor: "minor, `v1.35`",
    PackageVersion: "package, `1.35.4-1.1`",
    type(None): "null",
}
_FIELD = re.compile(r"^    (\w+): [^#]*(?:#\s*(.*))?$")


def make_page() -> str:
    lines = [
        "# What `-o json` writes",
        "",
        f"One object with `schema` (now {SCHEMA}; it grows when a field changes its meaning), `kind`, and the parts of",
        "that kind. Fields may be added within a schema. Versions are texts, times are in UTC; what could not be read",
        "is an object of `what` and `reason` in its place. `lockkeeper release` writes `schema` and `released`, the",
        "operation that held the lock.",
        "",
        "A plan's `digest` is the SHA-256 of its `plan` alone, written with sorted keys and without spaces, in UTF-8:",
        "`lockkeeper export p-1a2b3c4d --as json | jq -jcS .plan.plan | sha256sum` works it out again.",
        "",
        "This page is made from the code: `python -m tests.json_page`.",
    ]
    known: dict[str, type] = {}
    for kind, (verbs, parts) in KINDS.items():
        lines += ["", f"## {kind}", "", f"`{verbs}`", "", "| part | type | |", "|---|---|---|"]
        for name, (part, meaning) in parts.items():
            lines.append(f"| `{name}` | {_words(part)} | {meaning} |")
            known |= {found.__name__: found for found in _reachable(part)}
    lines += ["", "## Types"]
    for name in sorted(known):
        lines += ["", f"### {name}", "", *_described(known[name])]
    return "\n".join(lines) + "\n"


def _described(noun: type) -> Iterator[str]:
    yield inspect.getdoc(noun) or ""
    yield ""
    yield from ("| field | type | |", "|---|---|---|")
    comments, hints = _comments(noun), typing.get_type_hints(noun)
    for field in dataclasses.fields(noun):
        yield f"| `{field.name}` | {_words(hints[field.name])} | {comments.get(field.name, '')} |"


def _comments(noun: type) -> dict[str, str]:
    matches = (_FIELD.match(line) for line in inspect.getsource(noun).splitlines())
    return {m[1]: (m[2] or "").replace("|", "\\|") for m in matches if m}


def _words(hint: object) -> str:
    if hint in _TEXTS:
        return _TEXTS[hint]
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in {types.UnionType, typing.Union}:
        return " or ".join(_words(a) for a in arguments)
    if origin is tuple:
        return f"list of {_words(arguments[0])}" if arguments[-1] is ... else f"[{', '.join(map(_words, arguments))}]"
    if origin is not None:  # a mapping
        return f"object of {_words(arguments[1])}"
    assert isinstance(hint, type)
    if issubclass(hint, Enum):
        return "one of " + ", ".join(f"`{member.value}`" for member in hint)
    return f"[{hint.__name__}](#{hint.__name__.lower()})"


def _reachable(hint: object) -> Iterator[type]:
    if dataclasses.is_dataclass(hint) and isinstance(hint, type):
        if hint in _TEXTS:
            return
        yield hint
        for inner in typing.get_type_hints(hint).values():
            yield from _reachable(inner)
    for argument in typing.get_args(hint):
        yield from _reachable(argument)


if __name__ == "__main__":
    PAGE.write_text(make_page(), encoding="utf-8")
