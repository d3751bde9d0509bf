"""The modals of a plan: all of it in monospace, a sentence in its place, and the question why it is rejected."""

from __future__ import annotations

from collections.abc import Iterator

from bot.blocks import SECTION, Block, Element, monospace, preformatted, section
from bot.left_out import left_out_words
from bot.option_words import at_once
from bot.plan_card import node_rows, permanent_blocks
from bot.plan_changes import changes_blocks
from bot.plan_notes import notes_blocks
from bot.report_card import render_findings
from bot.text import clamp, clean, escape
from cluster.plan import Hop, PlanRecord
from policies.hooks import tell_hooks
from policies.pod_rules import tell_rules

REJECT_VIEW = "plan_reject_reason"
REASON_BLOCK, REASON_FIELD = "reason", "text"
_MOST_LEFT_OUT = (100, 50, 20)  # workers that are named, the first number whose names have room
_ROOM_LEFT_OUT = 2500
_MOST_CHUNKS = 60  # a modal holds 100 blocks


def details_view(record: PlanRecord) -> Block:
    """The whole plan in a modal, which takes no tables: monospace instead."""
    plan = record.plan
    hops = [("Hop", "kubeadm", "kubelet", "kubectl"), *(_hop_row(h) for h in plan.hops)]
    options = plan.options
    facts = (
        f"digest {record.digest}\ncluster {clean(plan.cluster)} ({clean(plan.identity.kube_system_uid, 60)})\n"
        f"drain {options.drain}, time-out {options.drain_timeout} s\n"
        f"delete emptyDir data: {_yes(yes=options.delete_emptydir)}\n"
        f"delete unmanaged pods: {_yes(yes=options.delete_unmanaged)}\n"
        f"without etcd snapshot: {_yes(yes=options.without_snapshot)}\n"
        f"{''.join(f'pool {clean(p.name)}: {at_once(p)}' + chr(10) for p in plan.pools if p.nodes)}"
        f"left out: {clean(_left_out(record), _ROOM_LEFT_OUT)}\n"
        f"workers move: {options.workers}\n"
        f"reboot: {options.reboot}\n"
        f"second replica for single ones: {_yes(yes=options.surge)}\n"
        f"databases of the file: {clean(', '.join(r.name for r in options.databases) or 'none', 300)}\n"
        f"hooks: {clean('; '.join(tell_hooks(plan.hooks)) or 'none', 1500)}\n"
        f"{''.join(f'drains: {clean(rule, 300)}' + chr(10) for rule in tell_rules(options))}"
        f"order: {clean(' '.join(record.order) or 'by name', 1500)}\n"
        f"accepted warnings: {clean(', '.join(plan.accepted) or 'none', 1000)}"
    )
    nodes = [("Machine", "Role", "Now", "After"), *node_rows(record, most=500)]
    blocks = [*_chunks(facts), preformatted(monospace(hops)), *_chunks(monospace(nodes))]
    return _window(
        record.id,
        [
            *blocks[:_MOST_CHUNKS],
            *changes_blocks(record),
            *notes_blocks(record),
            *permanent_blocks(record),
            *render_findings(record.findings, most=30),
        ],
    )


def sentence_view(plan_id: str, sentence: str) -> Block:
    """The window of a plan while it is read, and where it is not shown."""
    return _window(plan_id, [section(escape(sentence))])


def _window(plan_id: str, blocks: list[Block]) -> Block:
    title = _plain(clamp(f"Plan {clean(plan_id)}", 24))
    return {"type": "modal", "title": title, "close": _plain("Close"), "blocks": blocks}


def _chunks(text: str) -> Iterator[Block]:
    part = ""
    for row in text.splitlines():
        if len(part) + len(row) + 1 > SECTION - 20:
            yield preformatted(part)
            part = ""
        part = f"{part}\n{row}" if part else row
    if part:
        yield preformatted(part)


def _left_out(record: PlanRecord) -> str:
    """With how many more there are: names that are only cut off would hide that."""
    words = (left_out_words(record, most) for most in _MOST_LEFT_OUT)
    return next((some for some in words if len(some) <= _ROOM_LEFT_OUT), "") or "nobody"


def _hop_row(hop: Hop) -> tuple[str, ...]:
    target = str(hop.target) if hop.whole else f"{hop.target} (some)"
    return target, str(hop.kubeadm), str(hop.kubelet), str(hop.kubectl)


def _yes(*, yes: bool) -> str:
    return "yes" if yes else "no"


def reject_view(token: str) -> Block:
    """Asks for the reason; the token comes back in `private_metadata`, and is checked like a button's."""
    return {
        "type": "modal",
        "callback_id": REJECT_VIEW,
        "private_metadata": token,
        "title": _plain("Reject the plan"),
        "submit": _plain("Reject"),
        "close": _plain("Keep it"),
        "blocks": [
            {
                "type": "input",
                "block_id": REASON_BLOCK,
                "label": _plain("Why? The thread will say it."),
                "element": {
                    "type": "plain_text_input",
                    "action_id": REASON_FIELD,
                    "multiline": True,
                    "min_length": 1,
                    "max_length": 500,
                },
            }
        ],
    }


def _plain(text: str) -> Element:
    return {"type": "plain_text", "text": text}
