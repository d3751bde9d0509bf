"""A plan as one Markdown document, to be put into a change ticket: everything that an approver should have read."""

from __future__ import annotations

from collections.abc import Iterator

from bot.leg_words import PHASES, say_at_once
from bot.markdown import code, codes, link, prose, table
from bot.option_words import drained_when, may
from bot.plan_card import node_rows
from bot.plan_card import title as plan_title
from bot.text import duration, moment
from cluster.findings import Finding, Severity, worst_first
from cluster.options import Reboot
from cluster.plan import Hop, PlanKind, PlanRecord, PlanStatus
from cluster.procedure import DOING
from policies.hooks import tell_hooks
from policies.legs import Leg, legs
from policies.permanence import find_permanent
from policies.pod_rules import tell_rules
from policies.release_notes import ReleaseNotes, notes_of

_HEADS = {Severity.BLOCKER: "Blockers", Severity.WARNING: "Warnings", Severity.NOTE: "Notes"}
_ALL = 1_000_000  # machines of a table


def write_page(record: PlanRecord, may_approve: tuple[str, ...]) -> str:
    """The document; `may_approve` says in words who may."""
    parts = (
        _head(record, may_approve),
        _hops(record),
        _permanent(record),
        _findings(record),
        _consents(record),
        _order(record),
        _left_out(record),
        _machines(record),
        _decision(record),
    )
    return "\n".join(line for part in parts for line in (*part, "")).rstrip() + "\n"


def _head(record: PlanRecord, may_approve: tuple[str, ...]) -> Iterator[str]:
    plan = record.plan
    yield f"# {prose(plan_title(record))}"
    yield ""
    yield from table(
        ("", ""),
        (
            ("Plan", f"{code(record.id)}, {record.status}"),
            ("Digest", code(record.digest)),
            ("Cluster", f"{code(plan.cluster)}, whose kube-system is {code(plan.identity.kube_system_uid or '?')}"),
            ("Target", code(plan.target)),
            ("Asked for by", f"{prose(record.requester)}, {moment(record.requested_at)}"),
            ("Made from what was seen", moment(record.basis.seen_at)),
            ("To be decided until", moment(record.expires_at)),
            ("Who may approve", prose("; ".join(may_approve))),
            ("How long it may take", _estimate(record)),
        ),
    )


def _estimate(record: PlanRecord) -> str:
    low, high = (duration(seconds) for seconds in record.estimate)
    if not record.estimate[1]:
        return "not known"
    grounds = f", {prose(record.estimate_grounds)}" if record.estimate_grounds else ""
    return f"about {low}{grounds}" if low == high else f"between {low} and {high}{grounds}"


def _hops(record: PlanRecord) -> Iterator[str]:
    notes = {n.minor: n for n in notes_of(record)}
    yield "## Hops"
    yield ""
    yield from table(
        ("Hop", "kubeadm", "kubelet", "kubectl", "To be read before"),
        (
            (
                _hop(hop),
                code(hop.kubeadm),
                code(hop.kubelet),
                code(hop.kubectl),
                _reading(notes.get(str(hop.target.minor))) if hop.whole else "",
            )
            for hop in record.plan.hops
        ),
    )


def _hop(hop: Hop) -> str:
    return code(hop.target) if hop.whole else f"{code(hop.target)}, only kubelets that are too old for the next hop"


def _reading(notes: ReleaseNotes | None) -> str:
    if notes is None:
        return ""
    linked = (("release notes", notes.changelog), ("urgent upgrade notes", notes.urgent))
    return ", ".join(link(text, address) for text, address in linked if address)


def _permanent(record: PlanRecord) -> Iterator[str]:
    yield "## What cannot be undone"
    yield ""
    lasting = find_permanent(record)
    yield from (f"- {prose(p.sentence)} ({link('source', p.source)})" for p in lasting)
    if not lasting:
        yield "Nothing that is known: the control plane stays on its minor, and no drain deletes data."


def _findings(record: PlanRecord) -> Iterator[str]:
    yield "## What was found"
    for severity, head in _HEADS.items():
        found = [f for f in worst_first(record.findings) if f.severity is severity]
        if found:
            yield from ("", f"### {head}", "", *map(_finding, found))
    if not record.findings:
        yield from ("", "Nothing.")


def _finding(finding: Finding) -> str:
    remedy = f" *{prose(finding.remedy)}*" if finding.remedy else ""
    return f"- {code(finding.code)} ({code(finding.subject)}): {prose(finding.sentence)}{remedy}"


def _consents(record: PlanRecord) -> Iterator[str]:
    options, accepted = record.plan.options, record.plan.accepted
    yield "## What an approval consents to"
    yield ""
    yield f"- Warnings: {codes(accepted) if accepted else 'none'}."
    yield f"- Nodes are drained {drained_when(record.plan)}, each within {options.drain_timeout} s."
    yield f"- Data in emptyDir volumes of drained pods: {may(yes=options.delete_emptydir)}."
    yield f"- Pods that no controller owns: {may(yes=options.delete_unmanaged)}."
    yield f"- Without an etcd snapshot where there is no etcdctl: {'yes' if options.without_snapshot else 'no'}."
    if record.plan.kind is PlanKind.UPGRADE:
        yield f"- Workers move: {options.workers}."
    if options.reboot is not Reboot.NEVER:
        yield f"- Machines are rebooted, once each, after their last drain: {options.reboot}."
    if options.databases:
        yield f"- Databases by the labels of the file, too: {prose(', '.join(r.name for r in options.databases))}."
    yield from (f"- Of each drain, {prose(rule)}." for rule in tell_rules(options))
    if options.surge:
        yield "- Deployments of one replica get a second one while their pod is moved."
    yield from _hooks(record)


def _hooks(record: PlanRecord) -> Iterator[str]:
    told = tell_hooks(record.plan.hooks)
    yield from (f"- Hook {prose(sentence)}." for sentence in told)


def _order(record: PlanRecord) -> Iterator[str]:
    yield "## In which order, and why"
    yield ""
    yield from (f"{n}. {_leg(record, leg)}" for n, leg in enumerate(legs(record.plan), 1))
    yield ""
    yield from _why(record)


def _leg(record: PlanRecord, leg: Leg) -> str:
    hop = code(record.plan.hops[leg.hop].target)
    pool = f", pool {code(leg.pool)}" if leg.pool else ""
    steps = ", ".join(DOING[verb] for verb in leg.verbs)
    return f"{PHASES[leg.phase]} ({hop}{pool}; {say_at_once(leg)}): {steps}. On {codes(leg.nodes)}."


def _why(record: PlanRecord) -> Iterator[str]:
    if record.plan.kind is PlanKind.ROLLBACK:
        yield "Only kubelets of workers can go back; what else of their pools is away counts against its limit."
        return
    if record.plan.kind is PlanKind.REVERT:
        yield "One control plane at a time, so that the others serve meanwhile; nobody else is touched."
        return
    yield (
        "No machine begins a phase before every machine has left the one before; pools of workers move side by side. "
        "The control plane moves before kubelets, since none may be newer than an API server."
    )
    if record.order:
        yield from ("", *(f"- {prose(sentence)}" for sentence in record.order))


def _left_out(record: PlanRecord) -> Iterator[str]:
    yield "## Left out"
    yield ""
    if record.plan.kind is PlanKind.ROLLBACK:
        yield "Everybody else: a rollback is of the workers that it was asked for."
        return
    told = dict(record.left_out_for)
    for node in record.plan.left_out:
        yield f"- {code(node.name)}: {prose(told.get(node.name) or 'as was asked')}"
    if not record.plan.left_out:
        whom = "machine" if record.plan.kind is PlanKind.UPGRADE else "hand-edited control plane"
        yield f"Nobody: every {whom} of the cluster is in this plan."


def _machines(record: PlanRecord) -> Iterator[str]:
    yield "## Machines"
    yield ""
    rows = node_rows(record, most=_ALL)
    yield from table(("Machine", "Role", "Kubelet now", "After"), ([code(cell) for cell in row] for row in rows))


def _decision(record: PlanRecord) -> Iterator[str]:
    yield "## The decision"
    yield ""
    if record.status is not PlanStatus.PROPOSED:
        by = f" by {prose(record.decided_by)}" if record.decided_by else ""
        when = f", {moment(record.decided_at)}" if record.decided_at else ""
        yield f"{record.status.capitalize()}{by}{when}{f': {prose(record.reason)}' if record.reason else ''}."
    elif any(f.severity is Severity.BLOCKER for f in record.findings):
        yield "None can be made: clear the blockers and plan again."
    else:
        yield f"Still to be made, in Slack or with {code(f'lockkeeper approve {record.id}')}."
    yield ""
    yield (
        "The digest is the SHA-256 of the plan alone, without what was found and how long it may take; "
        f"{code(f'lockkeeper export {record.id} --as json')} has everything that it is made of."
    )
