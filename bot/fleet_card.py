"""All clusters as one message: a line each, the worst first."""

from __future__ import annotations

from collections.abc import Sequence

from bot.blocks import (
    ROOM,
    Block,
    Message,
    actions,
    button,
    context,
    header,
    stamp,
    table,
)
from bot.report_card import FILE, SHARE
from bot.text import NOTHING, clamp, clean, count, escape
from policies.distributions import KUBEADM
from policies.fleet import FleetLine, Standing

FLEET = "*"  # the value of a button that means all of them; no cluster is called so
_MOST_LINES = 60
_NOTE = 120  # characters that a cell of a table shows


def fleet_row(line: FleetLine) -> tuple[str, ...]:
    """Cluster, how it stands, nodes, API servers, kubelets, and the one thing to know."""
    name = line.cluster if line.maker in {"", KUBEADM} else f"{line.cluster} ({line.maker})"
    servers, kubelets = (", ".join(map(str, v)) or NOTHING for v in (line.api_servers, line.kubelets))
    return name, line.standing.value, str(line.nodes or NOTHING), servers, kubelets, line.note or NOTHING


def render_fleet(lines: Sequence[FleetLine], command: str, *, share: bool = True) -> Message:
    """The card; `share` adds the buttons that show it to the whole channel."""
    rows = [(*cells, clamp(note, _NOTE)) for *cells, note in map(fleet_row, lines)]
    room = ROOM
    shown: list[tuple[str, ...]] = []
    for row in rows[:_MOST_LINES]:
        room -= sum(len(clean(cell, _NOTE)) for cell in row)
        if room < 0 and shown:
            break
        shown.append(row)
    blocks: list[Block] = [
        header(count(len(lines), "cluster")),
        table(("Cluster", "Stands", "Nodes", "API servers", "Kubelets", "Note"), shown),
    ]
    if len(rows) > len(shown):
        left = count(len(rows) - len(shown), "more cluster")
        blocks.append(context(f"{left}, better than these: the file has them all, and so has `lockkeeper versions`."))
    if share:
        shown_to = (("Share in channel", SHARE), ("As a file in channel", FILE))
        blocks.append(actions(*(button(label, action, FLEET) for label, action in shown_to)))
    blocks.append(context(f"The whole report of one: `{command} versions &lt;cluster&gt;`"))
    return Message(summarise(lines), stamp(blocks, "report:fleet"))


def summarise(lines: Sequence[FleetLine]) -> str:
    """One escaped sentence, the worst first."""
    groups = {standing: sum(one.standing is standing for one in lines) for standing in Standing}
    said = f"{count(len(lines), 'cluster')}: {', '.join(f'{n} {s.value}' for s, n in groups.items() if n)}."
    worst = next((one for one in lines if one.standing is not Standing.FINE), None)
    return escape(f"{said} {worst.cluster}: {worst.note}" if worst else said)
