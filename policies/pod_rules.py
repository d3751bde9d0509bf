"""Rules for single pods of a drain: who stays, who is left to finish, who leaves before and who after all others."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from cluster.options import Options, Treatment
from cluster.selectors import matches

_SAID = {
    Treatment.STAY: "stay where they are",
    Treatment.FINISH: "are not evicted, and waited for until they have ended by themselves",
    Treatment.FIRST: "leave before all others",
    Treatment.LAST: "leave when all others have",
}


def treatment_of(options: Options, namespace: str, labels: Mapping[str, str]) -> Treatment | None:
    """What the first rule that picks such a pod says; None where none does."""
    picking = (r for r in options.pod_rules if r.namespace in {"", namespace} and matches(r.selector, labels))
    rule = next(picking, None)
    return rule.pods if rule else None


def tell_rules(options: Options) -> Iterator[str]:
    """Each rule in a clause: `pods with app=x in the namespace shop stay where they are`."""
    for rule in options.pod_rules:
        where = f" in the namespace {rule.namespace}" if rule.namespace else ""
        yield f"pods with {rule.selector}{where} {_SAID[rule.pods]}"
