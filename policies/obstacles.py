"""What else than versions stands in the way of an upgrade, by what the API told when the plan was made."""

from __future__ import annotations

from collections.abc import Iterator

from cluster.examination import Examination
from cluster.findings import Finding, Findings, Severity
from cluster.versions import Minor
from policies.admission import check_admission
from policies.components import check_components
from policies.deprecations import check_deprecations


def check_obstacles(examination: Examination, minors: tuple[Minor, ...]) -> Findings:
    """`minors` are those of the plan, () without one."""
    return (
        *_unchecked(examination),
        *check_admission(examination),
        *check_deprecations(examination, minors),
        *check_components(examination.declared, minors),
    )


def _unchecked(examination: Examination) -> Iterator[Finding]:
    for unread in examination.unread:
        sentence = f"Could not check {unread.what}: {unread.reason[:300]}"
        remedy = "Mend that, or the rights of lockkeeper's account there, and plan again; or look at it yourself."
        yield Finding("not-examined", Severity.WARNING, unread.what, sentence, remedy)
