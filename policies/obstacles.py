"""What else than versions stands in the way of an upgrade, by what the API told when the plan was made."""

from __future__ import annotations

from collections.abc import Iterator

from cluster.examination import Examination
from cluster.findings import Finding, Findings, Severity
from cluster.observation import Observation
from cluster.versions import Minor
from policies.admission import check_admission
from policies.components import check_components
from policies.deprecations import check_deprecations
from policies.dns import check_dns
from policies.etcd_jumps import check_etcd_jumps
from policies.upgraders import check_upgraders


def check_obstacles(seen: Observation, minors: tuple[Minor, ...]) -> Findings:
    """`minors` are those of the plan, in its order; () without one."""
    examination = seen.examination
    return (
        *_unchecked(examination),
        *check_admission(examination),
        *check_deprecations(examination.deprecated, minors),
        *check_components(examination.declared, minors),
        *check_etcd_jumps(seen, minors),
        *check_dns(examination.dns, minors, examination.dns_plugins),
        *check_upgraders(seen.report, examination.signs),
    )


def _unchecked(examination: Examination) -> Iterator[Finding]:
    for unread in examination.unread:
        sentence = f"Could not check {unread.what}: {unread.reason[:300]}"
        remedy = "Mend that, or the rights of lockkeeper's account there, and plan again; or look at it yourself."
        yield Finding("not-examined", Severity.WARNING, unread.what, sentence, remedy)
