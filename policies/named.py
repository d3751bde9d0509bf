"""Workers that somebody named: each has to be there, and to be no control plane."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable

from cluster.errors import Refused
from cluster.report import ClusterReport

_NEAR = 0.5  # how alike a name must be to be offered for one that there is not


def check_workers(report: ClusterReport, names: Iterable[str], to_do: str, why_not: Callable[[str], str]) -> None:
    """Raises Refused for a name that there is not, and for a control plane, with `why_not` of it."""
    known = {n.name: n.control_plane for n in report.nodes}
    for name in names:
        if name not in known:
            near = difflib.get_close_matches(name, [n for n in known if not known[n]], n=1, cutoff=_NEAR)
            hint = f"did you mean `{near[0]}`?" if near else "look at their names with `versions`."
            raise Refused(f"There is no node `{name[:60]}` in `{report.cluster}` to {to_do}; {hint}")
        if known[name]:
            raise Refused(f"{name} is a control plane, and {why_not(name)}")
