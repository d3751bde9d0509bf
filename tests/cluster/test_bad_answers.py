"""An API that answers badly: the report comes, says what is missing, and a plan refuses only what depends on it."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType

import pytest
import yaml

from bot.report_card import render_report as render_card
from bot.terminal import render_report
from cluster.errors import AnswerCutOff, ClusterUnreadable, KubeDenied
from cluster.findings import Severity
from cluster.glance import glance
from cluster.inventory import Cluster
from cluster.kube import Kube
from cluster.observe import observe
from cluster.report import Unread
from lab.apiserver import Availability
from lab.pki import Authority, write_kubeconfig
from lab.world import World
from policies.fleet import Standing, line_of
from policies.overview import look_over
from policies.preflight import _readings
from tests.policies_fixture import make_survey

NOW = datetime(2026, 11, 23, tzinfo=UTC)
PODS, NODES = "/api/v1/namespaces/kube-system/pods", "/api/v1/nodes"
BUDGETS, DAEMONS = "/apis/policy/v1/poddisruptionbudgets", "/apis/apps/v1/daemonsets"


@pytest.fixture(scope="module")
def world():
    with World.start("small", speed=50) as running:
        yield running


def cluster_of(world):
    return Cluster.model_validate(world.config()["clusters"]["lab"])


def look(world, path, bend, read=observe):
    """The report of a cluster whose answer to one path `bend` changes, below the paging, where it is JSON already."""
    with Kube.connect("lab", cluster_of(world)) as kube:
        plain = kube.get

        def get(asked, *rest, **more):
            if not re.fullmatch(path, asked):
                return plain(asked, *rest, **more)
            try:
                answer = plain(asked, *rest, **more)
            except KubeDenied:
                answer = {}
            return bend(answer) or answer

        kube.get = get
        return read("lab", cluster_of(world), now=NOW, kube=kube)


def spoil(part, change):
    """Bend the first object of a list, and leave the others alone."""

    def bend(answer):
        change(answer[part][0])

    return bend


BROKEN = [
    (BUDGETS, spoil("items", lambda o: o["status"].update(expectedPods="many")), "the PodDisruptionBudget demo/shop"),
    (BUDGETS, spoil("items", lambda o: o.update(metadata=None)), "the PodDisruptionBudget without a name"),
    (DAEMONS, spoil("items", lambda o: o.update(status=[1])), "the DaemonSet demo/agent"),
    (DAEMONS, spoil("items", lambda o: o["spec"].update(template="none")), "the DaemonSet demo/agent"),
    (PODS, lambda answer: answer["items"].insert(0, {"metadata": {"name": "x"}, "spec": [1]}), "the Pod x"),
]


@pytest.mark.parametrize(("path", "bend", "what"), BROKEN)
def test_one_malformed_object_costs_itself_alone(world, path, bend, what):
    """It is named; everything else of the report is as it was, and a plan is warned, not refused."""
    whole, seen = look(world, "none", None), look(world, path, bend)
    (unread,) = seen.unread
    assert unread.what == what
    assert "was not understood" in unread.reason
    assert (seen.nodes, seen.api_servers, seen.static_pods) == (whole.nodes, whole.api_servers, whole.static_pods)
    assert len(whole.budgets) - len(seen.budgets) == (path == BUDGETS)
    assert len(whole.daemon_sets) - len(seen.daemon_sets) == (path == DAEMONS)
    (finding,) = _readings(seen)
    assert (finding.code, finding.severity) == ("partly-unread", Severity.WARNING)


@pytest.mark.parametrize("metadata", [{"labels": [1]}, {"annotations": "none"}])
def test_a_malformed_node_is_there_by_its_name_and_blocks_what_depends_on_it(world, metadata):
    """As a node whose kubelet could not be read does: the others are known, and it can be left out."""
    seen = look(world, NODES, spoil("rows", lambda row: row["object"]["metadata"].update(metadata)))
    assert {n.name for n in seen.nodes} == {"cp1", "w1", "w2"}
    (lost,) = (n for n in seen.nodes if isinstance(n.kubelet, Unread))
    assert lost.uid
    stops = {f.code: f.subject for f in _readings(seen)}
    assert stops["kubelet-unread"] == lost.name


@pytest.mark.parametrize(
    ("path", "bend"),
    [
        (NODES, lambda answer: answer["rows"].append("w3")),
        (PODS, lambda answer: answer["items"].insert(0, "a pod")),
        (NODES, lambda answer: answer["rows"].append({"object": {"metadata": {"uid": "u"}}})),
        (PODS, lambda answer: answer["items"].append({**answer["items"][0], "metadata": {"name": "x", "labels": 7}})),
    ],
)
def test_what_may_be_a_node_or_the_control_plane_is_not_taken_lightly(world, path, bend):
    """Nobody knows then what there is: the report comes, and no plan is made of it."""
    seen = look(world, path, bend)
    assert len(seen.nodes) == 3
    assert [(f.code, f.severity) for f in _readings(seen)] == [("partly-unread", Severity.BLOCKER)]


def test_thousands_of_malformed_objects_are_a_few_names_and_a_number(world):
    """Neither a card nor a terminal could hold them all."""
    seen = look(world, PODS, lambda answer: answer["items"].extend([{"metadata": {"name": "x"}, "spec": [1]}] * 1000))
    assert [u.what for u in seen.unread][-1] == "995 more objects of the kind Pod"
    assert len(seen.unread) == 6


@pytest.mark.parametrize(
    ("path", "answer", "what"),
    [
        (PODS, {"items": {"a": 1}}, "pods of kube-system"),
        (DAEMONS, {"items": "none"}, "daemon sets"),
        (r"/api/v1/namespaces/kube-system", {"metadata": [1]}, "cluster identity"),
        (r"/api/v1/namespaces/kube-system/configmaps/kubeadm-config", {"data": [1]}, "kubeadm-config"),
        (r"/apis/coordination.*", {"spec": 5}, "Lease lockkeeper"),
    ],
)
def test_an_answer_that_is_something_else_is_said(world, path, answer, what):
    """And the rest is there."""
    seen = look(world, path, lambda _: answer)
    assert what in [u.what for u in seen.unread]
    assert len(seen.nodes) == 3


def bent_kubeconfig(world, path, part, **changes):
    data = yaml.safe_load(world.kubeconfig.read_text(encoding="utf-8"))
    inner = data[f"{part}s"][0][part]
    for key, value in changes.items():
        inner.pop(f"{key}-data", None)
        inner.pop(key, None)
        if value is not None:
            inner[key] = value
    path.write_text(yaml.safe_dump(data), encoding="utf-8")


@pytest.mark.parametrize("relaxed", [False, True])
@pytest.mark.parametrize(
    ("part", "changes"),
    [
        ("cluster", {"certificate-authority": "/nowhere/ca.crt"}),
        ("cluster", {"certificate-authority": __file__}),
        ("cluster", {"certificate-authority-data": "bm90IGEgY2VydGlmaWNhdGU="}),
        ("cluster", {"certificate-authority-data": "%%%"}),
        ("user", {"client-certificate": "/nowhere/me.crt"}),
        ("user", {"client-certificate": __file__}),
        ("user", {"client-key-data": "bm90IGEga2V5"}),
        ("user", {"client-certificate": None, "client-key": None, "tokenFile": "/nowhere/token"}),
        ("user", {"client-certificate": None, "client-key": None, "exec": {"command": "/nowhere/login"}}),
    ],
)
def test_credentials_that_cannot_be_used_are_one_sentence(world, tmp_path, relaxed, part, changes):
    """Whatever of the kubeconfig is missing, rubbish or of another kind: never a stack of Python's."""
    path = tmp_path / "bent.kubeconfig"
    bent_kubeconfig(world, path, part, **changes)
    settings = cluster_of(world).model_copy(update={"kubeconfig": path, "relax_x509_strict": relaxed})
    with pytest.raises(ClusterUnreadable, match=r"`lab`"):
        observe("lab", settings, now=NOW)


@pytest.mark.parametrize("make", [lambda p: p.mkdir(), lambda p: p.write_bytes(b"\xff\xfe\x00"), Path.absolute])
def test_a_kubeconfig_that_is_no_file_of_text_is_named(world, tmp_path, make):
    """A folder, bytes, or nothing at all."""
    path = tmp_path / "bent.kubeconfig"
    make(path)
    settings = cluster_of(world).model_copy(update={"kubeconfig": path})
    with pytest.raises(ClusterUnreadable, match=r"bent\.kubeconfig"):
        observe("lab", settings, now=NOW)


@pytest.mark.parametrize(
    ("silent", "what"),
    [
        (PODS, "pods of kube-system"),
        (BUDGETS, "pod disruption budgets"),
        ("/configmaps/kubeadm-config", "kubeadm-config"),
    ],
)
def test_a_part_that_never_answers_costs_its_time_and_itself(world, silent, what):
    """The nodes are told, and what is missing is named; without the pods no API server's address is known."""
    (server,) = world.cluster.servers.values()
    server.faults.hang(silent, 10, times=None)
    try:
        with Kube.connect("lab", cluster_of(world)) as kube:
            plain = kube.get
            kube.get = lambda *asked, timeout=10, **more: plain(*asked, timeout=min(timeout, 2.0), **more)
            seen = observe("lab", cluster_of(world), now=NOW, kube=kube)
    finally:
        server.faults.clear()
    assert len(seen.nodes) == 3
    assert "did not answer within 2 s" in next(u.reason for u in seen.unread if u.what == what)
    assert isinstance(seen.api_servers[0].version, Unread) is (silent == PODS)


# ---- a report without the nodes, be it of nothing


def refuse(server, *, status=403):
    server.faults.fail(NODES, status, times=None)


NODES_LOST = [
    (refuse, "403"),
    (lambda server: refuse(server, status=500), "500"),
    (lambda server: server.faults.hang(NODES, 10, times=None), "did not answer within 1 s"),
]


@pytest.mark.parametrize(("break_it", "why"), NODES_LOST)
def test_whoever_reads_gets_all_that_can_be_read_without_the_nodes(world, break_it, why):
    """API servers by their own endpoints, components, add-ons and what is declared; whoever acts gets the error."""
    (server,) = world.cluster.servers.values()
    whole = look(world, "none", None)
    break_it(server)
    try:
        with Kube.connect("lab", cluster_of(world)) as kube:
            plain = kube.get
            kube.get = lambda *asked, timeout=10, **more: plain(*asked, timeout=min(timeout, 1.0), **more)
            seen = glance("lab", cluster_of(world), now=NOW, kube=kube)
            with pytest.raises(ClusterUnreadable, match=why):
                observe("lab", cluster_of(world), now=NOW, kube=kube)
    finally:
        server.faults.clear()
    assert (seen.nodes, seen.nodes_read) == ((), False)
    assert why in seen.nodes_unread
    assert seen == replace(whole, nodes=(), nodes_unread=seen.nodes_unread, unread=seen.unread)
    assert [u.what for u in seen.unread] == ["nodes"]


@pytest.mark.parametrize("answer", [{"kind": "NodeList"}, {"kind": "Table", "rows": {"a": 1}}, {"metadata": [1]}])
def test_an_answer_about_nodes_that_is_none_costs_the_nodes_alone(world, answer):
    """The report comes, and says that nothing is judged without them."""
    seen = look(world, NODES, lambda _: answer, read=glance)
    assert [u.what for u in seen.unread] == ["nodes"]
    assert seen.api_versions
    (finding,) = (f for f in judged(seen, world).findings if f.severity is Severity.BLOCKER)
    assert finding.code == "nodes-unread"


def test_half_of_the_nodes_is_none_of_them(world):
    """The last page is cut off each time that it is asked for: what came before is not taken for the whole."""
    with Kube.connect("lab", cluster_of(world)) as kube:
        plain = kube.get

        def get(path, query=MappingProxyType({}), **more):
            if path != NODES:
                return plain(path, query, **more)
            answer = plain(path, {**query, "limit": "1"}, **more)
            if not answer["metadata"].get("continue"):
                raise AnswerCutOff("The API of `lab` broke the connection off: try again.")
            return answer

        kube.get = get
        seen = glance("lab", cluster_of(world), now=NOW, kube=kube)
    assert (seen.nodes, [u.what for u in seen.unread]) == ((), ["nodes"])
    assert "broke the connection off" in seen.nodes_unread


def test_the_nodes_may_be_unreadable_with_everything_else_but_a_version(world):
    """The cluster's address tells one to everybody; no API server's own is known then."""
    (server,) = world.cluster.servers.values()
    server.faults.fail(r"/api/v1|/apis", 403, times=None)
    try:
        seen = glance("lab", cluster_of(world), now=NOW)
    finally:
        server.faults.clear()
    assert [(s.node, str(s.version)) for s in seen.api_servers] == [("", "v1.34.7")]
    assert {"nodes", "pods of kube-system", "cluster identity"} <= {u.what for u in seen.unread}


def with_expired_token(world, path):
    url, authority = world.cluster.balancer.url, world.cluster.authority
    return {"kubeconfig": write_kubeconfig(path, url, authority, "expired", user="worker")}


def with_another_ca(world, path):
    return {"kubeconfig": write_kubeconfig(path, world.cluster.balancer.url, Authority("another"), "t", user="x")}


def with_no_api(world, path):
    return {"kubeconfig": write_kubeconfig(path, "https://127.0.0.1:1", world.cluster.authority, "t", user="x")}


def with_rubbish(_, path):
    path.write_text("clusters: 5", encoding="utf-8")
    return {"kubeconfig": path}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (with_expired_token, ("401", "renew")),
        (with_another_ca, ("certificate check", "check the CA in the kubeconfig")),
        (with_no_api, ("cannot be reached", "check the address")),
        (with_rubbish, ("bent.kubeconfig", "check that file")),
    ],
)
def test_a_report_of_a_cluster_that_says_nothing_still_tells_of_its_machines(world, tmp_path, change, words):
    """One sentence says why, and what to do; what the machines told last is there, by the card and on a terminal."""
    bent = cluster_of(world).model_copy(update=change(world, tmp_path / "bent.kubeconfig"))
    with pytest.raises(ClusterUnreadable, match=words[0]):
        observe("lab", bent, now=NOW)
    seen = glance("lab", bent, now=NOW)
    (unread,) = seen.unread
    assert all(word in unread.reason for word in words)
    told = judged(seen, world)
    assert [f.code for f in told.findings] == ["nodes-unread"]
    assert line_of("lab", told).standing is Standing.UNREADABLE
    text = render_report(told)
    assert all(word in text for word in words)
    assert "1.34.7-1.1" in next(line for line in text.splitlines() if line.startswith("w1 "))
    card = " ".join(str(render_card(told).blocks).split())
    assert render_card(told).text.startswith("lab: API servers not read, kubelets not read. The nodes of lab cannot be")
    assert all(word in card for word in words)


def judged(seen, world):
    survey = replace(make_survey(masters=("cp1",)), cluster="lab", read_at=NOW)
    return look_over(seen, survey, cluster_of(world), installation="lockkeeper", known={}, now=NOW)


def test_an_api_server_that_is_down_while_others_serve_costs_itself_alone():
    """Its kubelet and its pods are known from the others; a plan is refused for it by name."""
    with World.start("interrupted", speed=50) as world:
        world.call(lambda: world.cluster.servers["cp2"].become(Availability.REFUSED))
        seen = glance("lab", cluster_of(world), now=NOW)
    silent = [s.node for s in seen.api_servers if isinstance(s.version, Unread)]
    assert (silent, len(seen.api_versions), len(seen.nodes)) == (["cp2"], 2, 5)
    assert {f.subject for f in _readings(seen) if f.code == "api-server-unread"} == {"cp2"}
