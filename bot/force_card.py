"""The deletion of one pod as a message in the thread of its run: what, who asked, and a button for a second person."""

from __future__ import annotations

from bot.blocks import Block, Message, actions, button, confirmation, context, emoji, line, rich_text, spans, stamp
from bot.blocks import text_element as words
from bot.text import clean, code, escape, local_clock
from cluster.force import ForceRequest

FORCE = "force"
ALLOW = "force_allow"


def card_key(request_id: str, operation_id: str) -> str:
    return f"{FORCE}:{operation_id}/{request_id}"


def token_of(request: ForceRequest) -> str:
    """What the button carries: the request, and the digest of what is shown."""
    return f"{request.operation_id} {request.id} {request.digest[:16]}"


def render_force(request: ForceRequest) -> Message:
    """The request in any state."""
    pod, node = _name(request.pod), _name(request.node)
    said = f"{clean(request.requester, 60)} asks to delete the pod `{pod}` on `{node}`, past what protects it."
    what = f"It is held by {_name(request.held_by)}. It keeps its own time to end; no other pod is touched."
    blocks: list[Block] = [
        rich_text(line(emoji("warning"), words(" "), *spans(said, 600))),
        rich_text(line(*spans(f"{what} {_stands(request)}", 900))),
    ]
    if request.approval is None and not request.outcome:
        question = f"{pod} on {node} is deleted although its budget says no. What it serves may be away for a while."
        confirm = confirmation("Delete exactly this pod?", question[:300], "Allow it", "Not now")
        blocks.append(actions(button("Allow the deletion", ALLOW, token_of(request), style="danger", confirm=confirm)))
    uid = f"uid {code(request.uid)}"
    blocks.append(context(f"{code(request.id)} \u00b7 {uid} \u00b7 until {local_clock(request.expires_at)}"))
    key = card_key(request.id, request.operation_id)
    return Message(escape(f"{said} {_stands(request)}", 900), stamp(blocks, key))


def _stands(request: ForceRequest) -> str:
    if request.outcome:
        by = f"Allowed by {clean(request.approval.person, 60)}: " if request.approval else ""
        return f"{by}{_name(request.outcome)}."
    if request.approval is not None:
        return f"Allowed by {clean(request.approval.person, 60)}; the worker does it at its next look."
    return "An approver who did not ask for it may allow it."


def _name(text: str) -> str:
    return clean(text, 300).replace("`", "\u02cb")
