"""
The report as people see it, word for word: on the terminal, as a card, and as the card's plainer forms.

After a wanted change: `python -m tests.bot.test_report_golden` writes the files anew; read the difference.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from bot import terminal
from bot.blocks import BUDGET, Message, step_down, text_size
from bot.fleet_card import render_fleet
from bot.report_card import render_listing, render_report
from bot.report_rows import overview_rows
from cluster.findings import Finding, Severity
from cluster.report import AddOn, ClusterReport, DaemonSet, Node, Unread
from lab.slack.lint import lint_blocks
from lab.slack.text import render_text
from policies.fleet import line_of, worst_clusters_first
from policies.overview import Overview, look_over
from tests.policies_fixture import MASTERS, make_cluster, make_report, make_survey, reported
from tests.recorded_api import READ_AT, recorded_report

GOLDEN = Path(__file__).parent / "golden"
MACHINE = {"address": "10.0.0.1", "key_file": "/key", "host_key": "SHA256:" + "a" * 43}


def look(report: ClusterReport, *, surveyed: bool = False) -> Overview:
    """Each node has its machine."""
    cluster = make_cluster(machines={n.name: MACHINE for n in report.nodes})
    survey = make_survey() if surveyed else None
    return look_over(report, survey, cluster, installation="lockkeeper", known={}, now=READ_AT)


def edge() -> Overview:
    """A cluster of k3s, read through its one address."""
    gone = Unread("kubeadm-config", "The API of `edge` answered GET … with 404: not found")
    base = make_report("v1.36.4+k3s1", "v1.36.4+k3s1", masters=("server-1",), declared="v1.36.4")
    server = replace(base.api_servers[0], node="", endpoint="edge.example:6443")
    return look(
        replace(
            base,
            cluster="edge",
            api_servers=(server,),
            static_pods=(),
            declared=gone,
            has_kubeadm_config=False,
            unread=(gone,),
            add_ons=(AddOn("coredns", "rancher/mirrored-coredns-coredns:1.12.0", ("server-1",)),),
        )
    )


def motley() -> Overview:
    """Everything at once: a lagging worker, a foreign cordon, an unknown add-on, a network of its own, parts unread."""
    report = make_report("v1.34.7", {"w2": "v1.33.2"}, proxy="v1.34.7")
    nodes = tuple(
        replace(n, cordoned=n.name == "w1", kernel=f"6.{1 + (n.name == 'w2')}", runtime="containerd://2.1.9")
        for n in report.nodes
    )
    daemon = DaemonSet("calico-system", "calico-node", 5, 5, ("docker.io/calico/node:v3.31.3",))
    unknown = AddOn("audit-shipper", "mirror:5000/audit/shipper:7", MASTERS)
    servers = (*report.api_servers[:2], replace(report.api_servers[2], version=Unread("API server on cp3", "refused")))
    return look(
        replace(
            report,
            nodes=nodes,
            add_ons=(*report.add_ons, unknown),
            daemon_sets=(daemon,),
            api_servers=servers,
            unread=(Unread("API server on cp3", "refused"),),
        ),
        surveyed=True,
    )


STAGES = ("before", "applied", "after", "drift", "mixed")
SEEN = {
    **{
        stage: lambda stage=stage: look(recorded_report(stage))
        for stage in ("before", "applied", "after", "drift", "mixed")
    },
    "edge": edge,
    "motley": motley,
}


def forms(message: Message) -> list[Message]:
    """The message and each plainer one, as a refusal of Slack's brings them about."""
    made: list[Message] = []
    form: Message | None = message
    while form is not None:
        made.append(form)
        form = step_down(form)
    return made


def tell(name: str) -> str:
    seen = SEEN[name]()
    card = forms(render_report(seen))
    shown = [render_text({"text": m.text, "blocks": list(m.blocks)}) for m in (*card, *render_listing(seen))]
    heads = ["CARD", "CARD WITHOUT A TABLE", "CARD OF PLAIN SECTIONS", "TEXT ALONE"][: len(card)]
    parts = [("TERMINAL", terminal.render_report(seen)), *zip([*heads, "WHOLE LIST"], shown, strict=True)]
    return "\n\n".join(f"==== {head}\n{text}" for head, text in parts) + "\n"


def tell_fleet() -> str:
    lines = [line_of(name, made()) for name, made in SEEN.items()]
    lines.append(line_of("lost", Unread("lost", "The API of `lost` did not answer within 3 s: check the network.")))
    lines = list(worst_clusters_first(lines))
    card = render_text({"blocks": list(render_fleet(lines, "/k8s").blocks)})
    return f"==== TERMINAL\n{terminal.render_fleet(lines)}\n\n==== CARD\n{card}\n"


@pytest.mark.parametrize("name", SEEN)
def test_a_report_reads_word_for_word(name: str) -> None:
    """Recorded clusters, another distribution, and a cluster with everything wrong at once."""
    assert tell(name) == (GOLDEN / f"{name}.txt").read_text(encoding="utf-8")


def test_a_fleet_reads_word_for_word() -> None:
    """A line a cluster, the worst first."""
    assert tell_fleet() == (GOLDEN / "fleet.txt").read_text(encoding="utf-8")


def crowd(kernels: int) -> Overview:
    """Five thousand nodes, one worker behind, and as many kernels as are asked for."""
    base = make_report("v1.36.4", "v1.36.4")
    workers = tuple(
        Node(
            f"w{n}",
            f"uid-{n}",
            control_plane=False,
            kubelet=reported("v1.36.4"),
            ready=True,
            cordoned=False,
            kernel=f"6.{n % kernels}.0-with-a-long-name",
        )
        for n in range(5000)
    )
    late = replace(workers[7], kubelet=reported("v1.35.9"))
    return look(replace(base, nodes=(*base.nodes[:3], *workers[:7], late, *workers[8:])))


def test_the_usual_is_counted_and_the_outlier_named() -> None:
    """Nobody needs four names of 4,999; everybody needs the one that differs."""
    places = {(r.what, r.version): r.place for r in overview_rows(crowd(1))}
    assert places["kubelet (worker)", "v1.36.4"] == "4999 nodes"
    assert places["kubelet (worker)", "v1.35.9"] == "w7"
    assert places["kernel", "6.0.0-with-a-long-name"] == "5000 nodes"


@pytest.mark.parametrize("kernels", [1, 40, 200])
def test_a_table_is_as_long_as_a_message_takes_and_the_rest_is_counted(kernels: int) -> None:
    """In each form; the whole list has more of it, in parts, and the terminal all."""
    seen = crowd(kernels)
    for form in (*forms(render_report(seen)), *render_listing(seen)):
        assert lint_blocks(list(form.blocks), "message") == ()
        assert text_size(form.blocks) < BUDGET
    card = str(render_report(seen).blocks)
    rows = len(overview_rows(seen))
    assert ("more line" in card) is (rows > 60)
    assert len(render_listing(seen)) <= 4
    assert terminal.render_report(seen).count("with-a-long-name") == kernels


def test_the_whole_list_has_the_findings_that_a_card_has_no_room_for() -> None:
    """Whoever asked sees all of them, without showing them to a channel."""
    many = tuple(Finding(f"code-{n}", Severity.WARNING, "prod", f"Trouble {n}.", "Mend it.") for n in range(20))
    seen = replace(motley(), findings=many)
    card, listing = str(render_report(seen).blocks), str(render_listing(seen))
    assert "12 more findings: the whole list of the report has them" in card
    assert [n for n in range(20) if f"WARNING code-{n}: Trouble {n}." not in listing] == []


def write() -> None:
    GOLDEN.mkdir(exist_ok=True)
    for name in SEEN:
        (GOLDEN / f"{name}.txt").write_text(tell(name), encoding="utf-8")
    (GOLDEN / "fleet.txt").write_text(tell_fleet(), encoding="utf-8")


if __name__ == "__main__":
    write()
