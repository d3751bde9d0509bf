"""Certificates on the machines: what has expired, what soon will, and what kubeadm cannot renew."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta

from cluster.certificates import KUBELET, Certificate
from cluster.facts import MachineFacts
from cluster.findings import Finding, Severity
from cluster.report import Node
from policies.wording import some_of

SOON = timedelta(days=30)
CA_SOON = timedelta(days=365)  # a leaf of a new year would outlive its CA
# For emergencies alone. Only the first control plane has it; kubeadm lists it everywhere.
_UNUSED = frozenset({"super-admin.conf"})
_RENEW = "Renew all there with: kubeadm certs renew all, and restart the static pods."


def check_certificates(node: Node, facts: MachineFacts) -> Iterator[Finding]:
    """Held against the machine's own clock, which is the one that its programs go by."""
    found = facts.certificates or ()
    leaves = [c for c in found if not c.authority]
    expired = [c for c in found if c.until is not None and c.until <= facts.time]
    yield from _expired(node, expired)
    soon = [c for c in leaves if _ends(c, facts.time, SOON)]
    yield from _ending(node, soon)
    for authority in (c for c in found if c.authority and _ends(c, facts.time, CA_SOON)):
        sentence = f"The CA {authority.name} on {node.name} ends on {_day(authority)}; no upgrade renews a CA."
        yield _warn("ca-expiring", node, sentence, "Plan to replace it: https://kubernetes.io/docs/tasks/tls/")
    external = [c.name for c in leaves if c.external]
    if external:
        sentence = (
            f"kubeadm cannot renew certificates on {node.name} ({some_of(external)}): their CA's key is elsewhere."
        )
        remedy = "Renew them where that key is, before they end: an upgrade leaves them as they are."
        yield Finding("certificates-external", Severity.NOTE, node.name, sentence, remedy)
    missing = [c.name for c in found if c.until is None and c.name not in _UNUSED]
    if missing:
        sentence = f"{node.name} lacks files that kubeadm made with their certificates ({some_of(missing)})."
        yield _warn(
            "certificate-missing", node, sentence, "Make them anew there with: kubeadm init phase certs, or kubeconfig."
        )


def _expired(node: Node, expired: list[Certificate]) -> Iterator[Finding]:
    if not expired:
        return
    shown = some_of(f"{c.name} on {_day(c)}" for c in expired)
    if all(c.name in _UNUSED for c in expired):
        sentence = f"A certificate on {node.name} has expired ({shown}), which only people in need use."
        yield _warn("certificate-expired", node, sentence, _RENEW)
        return
    sentence = f"Certificates on {node.name} have expired ({shown}): whoever shows them is refused, kubeadm too."
    if any(c.authority for c in expired):
        remedy = "Replace the CA first: nothing that it signed is trusted any more."
    elif any(c.name == KUBELET for c in expired):
        remedy = f"Let {node.name} join anew, or give its kubelet a new /etc/kubernetes/kubelet.conf."
    else:
        remedy = _RENEW
    yield Finding("certificate-expired", Severity.BLOCKER, node.name, sentence, remedy)


def _ending(node: Node, soon: list[Certificate]) -> Iterator[Finding]:
    if not soon:
        return
    sentence = f"Certificates on {node.name} end soon ({some_of(f'{c.name} on {_day(c)}' for c in soon)})."
    if all(c.name == KUBELET for c in soon):
        remedy = "The kubelet should have renewed it by now: look at its log, and at kubectl get csr"
    elif any(c.external for c in soon):
        remedy = "kubeadm cannot renew those whose CA's key is elsewhere: have them renewed there."
    else:
        remedy = f"An upgrade renews those of the static pods that it changes. {_RENEW}"
    yield _warn("certificate-expiring", node, sentence, remedy)


def _ends(certificate: Certificate, now: datetime, within: timedelta) -> bool:
    """A certificate of a short life is not always about to end: its last tenth counts."""
    if certificate.until is None:
        return False
    if certificate.since is not None:
        within = min(within, (certificate.until - certificate.since) / 10)
    return now < certificate.until <= now + within


def _day(certificate: Certificate) -> str:
    return str(certificate.until.date()) if certificate.until else "no known day"


def _warn(code: str, node: Node, sentence: str, remedy: str) -> Finding:
    return Finding(code, Severity.WARNING, node.name, sentence, remedy)
