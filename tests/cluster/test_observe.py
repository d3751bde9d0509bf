"""Reading a real API over TLS: everything with its source, failures as values, nothing without a time-out."""

from datetime import UTC, datetime

import pytest
import yaml

from cluster.errors import ClusterUnreadable, KubeDenied
from cluster.inventory import Cluster
from cluster.kube import Kube
from cluster.observe import LEASE, observe, read_lease_holder
from cluster.report import CORDON_OWNER, Unread
from lab.apiserver import Availability
from lab.pki import Authority
from lab.world import World

NOW = datetime(2026, 11, 23, tzinfo=UTC)
PODS = r"namespaces/kube-system/pods"


@pytest.fixture(scope="module")
def world():
    with World.start("healthy", speed=50) as running:
        yield running


@pytest.fixture
def servers(world):
    """The API servers by node; whatever a test orders of them is undone."""
    yield world.cluster.servers
    for server in world.cluster.servers.values():
        server.faults.clear()
        world.call(lambda server=server: server.become(Availability.UP))


@pytest.fixture
def settings(world):
    return Cluster.model_validate(world.config()["clusters"]["lab"])


@pytest.fixture
def kube(settings):
    with Kube.connect("lab", settings) as connected:
        yield connected


def look(settings):
    return observe("lab", settings, now=NOW)


def on_all(servers, order):
    for server in servers.values():
        order(server.faults)


def test_a_report_holds_every_version_with_its_place(world, settings):
    """Nodes, each API server by itself, static pods, add-ons, what is declared, and which cluster this is."""
    report = look(settings)
    assert report.read_at == NOW
    assert [n.name for n in report.control_plane] == ["cp1", "cp2", "cp3"]
    assert {str(n.kubelet) for n in report.nodes} == {"v1.34.7"}
    assert all(n.ready and n.uid and n.runtime and n.os_image and not n.cordoned for n in report.nodes)
    assert {(s.node, str(s.version), s.ready) for s in report.api_servers} == {
        (n, "v1.34.7", True) for n in ("cp1", "cp2", "cp3")
    }
    assert len({s.endpoint for s in report.api_servers}) == 3
    assert {p.component for p in report.static_pods} == {
        "etcd",
        "kube-apiserver",
        "kube-controller-manager",
        "kube-scheduler",
    }
    assert len(report.static_pods) == 12
    assert {"kube-proxy", "coredns"} <= {a.name for a in report.add_ons}
    assert len(next(a for a in report.add_ons if a.name == "kube-proxy").nodes) == len(report.nodes)
    assert str(report.declared) == "v1.34.7"
    assert report.image_repository == "registry.k8s.io"
    uid = world.call(lambda: world.cluster.store.get("Namespace", "kube-system"))["metadata"]["uid"]
    assert report.identity.kube_system_uid == uid
    assert len(report.identity.ca_hash) == 64
    assert report.budgets
    assert {(d.namespace, d.name, d.wanted, d.ready) for d in report.daemon_sets} == {
        ("kube-system", "kube-proxy", 7, 7),
        ("demo", "agent", 7, 7),
    }
    assert report.unread == ()
    assert report.lease_holder == ""


def test_two_clusters_are_never_the_same_one(settings):
    """Even under one name."""
    with World.start("small", speed=50) as other:
        theirs = look(Cluster.model_validate(other.config()["clusters"]["lab"])).identity
    ours = look(settings).identity
    assert (ours.name, theirs.name) == ("lab", "lab")
    assert ours.ca_hash != theirs.ca_hash
    assert ours.kube_system_uid != theirs.kube_system_uid


def test_an_api_server_that_refuses_is_a_value_and_the_rest_stands(world, settings, servers):
    """The balancer would have hidden it."""
    world.call(lambda: servers["cp2"].become(Availability.REFUSED))
    report = look(settings)
    broken = next(s for s in report.api_servers if s.node == "cp2")
    assert isinstance(broken.version, Unread)
    assert "refused" in broken.version.reason
    assert broken.version in report.unread
    assert len(report.api_versions) == 2
    assert len(report.nodes) == 7


def test_an_api_server_without_its_mirror_pod_is_not_absent(world, settings, servers):
    """While it is replaced its pod is gone, and so is its address."""
    on_all(servers, lambda faults: faults.fail(PODS, 403, times=None))
    report = look(settings)
    assert [s.node for s in report.api_servers] == ["cp1", "cp2", "cp3"]
    assert all(isinstance(s.version, Unread) for s in report.api_servers)
    assert "pods of kube-system" in {u.what for u in report.unread}


@pytest.mark.parametrize(
    ("path", "what"),
    [
        ("configmaps/kubeadm-config", "kubeadm-config"),
        ("poddisruptionbudgets", "pod disruption budgets"),
        ("daemonsets", "daemon sets"),
        ("leases/lockkeeper", "Lease lockkeeper"),
        (r"namespaces/kube-system$", "cluster identity"),
    ],
)
def test_what_may_not_be_read_is_said(settings, servers, path, what):
    """And is never taken for absent."""
    on_all(servers, lambda faults: faults.fail(path, 403, times=None))
    assert [u.what for u in look(settings).unread] == [what]


def test_without_nodes_there_is_no_report(settings, servers):
    """An empty list would say that every node has left."""
    on_all(servers, lambda faults: faults.fail(r"/api/v1/nodes", 403, times=None))
    with pytest.raises(KubeDenied) as caught:
        look(settings)
    assert caught.value.status == 403


def test_our_cordon_and_our_lease_are_seen(world, settings, kube):
    """Whose they are is in the annotation and in the Lease."""
    kube.patch(
        "/api/v1/nodes/w1", {"metadata": {"annotations": {CORDON_OWNER: "op-1"}}, "spec": {"unschedulable": True}}
    )
    body = {"kind": "Lease", "metadata": {"name": "lockkeeper"}, "spec": {"holderIdentity": "lockkeeper/op-1"}}
    kube.post(LEASE.rpartition("/")[0], {"apiVersion": "coordination.k8s.io/v1", **body})
    try:
        report = look(settings)
        assert report.node("w1").cordoned
        assert report.node("w1").cordoned_by == "op-1"
        assert report.lease_holder == read_lease_holder("lab", settings) == "lockkeeper/op-1"
    finally:
        kube.delete(LEASE)
        kube.patch(
            "/api/v1/nodes/w1", {"metadata": {"annotations": {CORDON_OWNER: None}}, "spec": {"unschedulable": None}}
        )
    assert read_lease_holder("lab", settings) == ""


def test_pages_give_every_object_once(kube):
    """However small they are, as objects and as table rows."""
    names = {n["metadata"]["name"] for n in kube.get("/api/v1/nodes")["items"]}
    assert sorted(n["metadata"]["name"] for n in kube.items("/api/v1/nodes", page=2)) == sorted(names)
    assert sorted(cells["Name"] for cells, _ in kube.rows("/api/v1/nodes", page=2)) == sorted(names)


def test_an_expired_page_starts_the_list_again_without_repeating_anything(settings, servers):
    """410 in the middle of a list."""
    host, port = servers["cp1"].address
    with Kube.connect("lab", settings, endpoint=f"{host}:{port}") as one:
        listed = one.items("/api/v1/nodes", page=2)
        begun = [next(listed), next(listed)]
        gone = servers["cp1"].faults.fail("/api/v1/nodes", 410)
        names = [n["metadata"]["name"] for n in (*begun, *listed)]
    assert len(names) == len(set(names)) == 7
    assert gone.struck == 1


def test_a_row_carries_its_objects_metadata(kube):
    """Display columns alone name no uid."""
    cells, metadata = next(kube.rows("/api/v1/nodes"))
    assert metadata["name"] == cells["Name"]
    assert metadata["uid"]


def test_a_silent_server_costs_its_time_out_and_no_more(kube, servers):
    """The client's own default is to wait for ever, and to ask four times."""
    orders = []
    on_all(servers, lambda faults: orders.append(faults.hang("/version", 3, times=None)))
    with pytest.raises(ClusterUnreadable, match=r"did not answer within 0\.2 s"):
        kube.get("/version", timeout=0.2)
    assert sum(o.struck for o in orders) == 1


def test_a_refusal_carries_status_body_and_patience(kube, servers):
    """429 is an answer, not something to retry in secret."""
    orders = []
    on_all(servers, lambda faults: orders.append(faults.overload("/version", seconds=7, times=None)))
    with pytest.raises(KubeDenied) as caught:
        kube.get("/version")
    assert (caught.value.status, caught.value.retry_after) == (429, 7.0)
    assert sum(o.struck for o in orders) == 1


def test_an_error_status_is_an_answer_where_text_is_asked_for(world, kube, servers):
    """/readyz says no with 500."""
    on_all(servers, lambda faults: faults.fail("/readyz", 500, times=None))
    status, _ = kube.text("/readyz")
    assert status == 500


def rewritten(settings, tmp_path, change):
    """The same cluster by a kubeconfig that `change` has bent."""
    data = yaml.safe_load(settings.kubeconfig.read_text(encoding="utf-8"))
    change(data)
    path = tmp_path / "bent.kubeconfig"
    path.write_text(yaml.safe_dump(data), encoding="utf-8")
    return settings.model_copy(update={"kubeconfig": path})


def test_another_ca_is_refused_in_words(settings, tmp_path):
    """Certificate checks are always on."""
    stranger = tmp_path / "stranger.crt"
    stranger.write_bytes(Authority().certificate)

    def change(data):
        data["clusters"][0]["cluster"].pop("certificate-authority-data", None)
        data["clusters"][0]["cluster"]["certificate-authority"] = str(stranger)

    for relaxed in (False, True):  # the relaxed check still checks the chain
        bent = rewritten(settings, tmp_path, change).model_copy(update={"relax_x509_strict": relaxed})
        with pytest.raises(ClusterUnreadable, match="certificate check"):
            look(bent)


def test_the_relaxed_check_reads_the_same_cluster(settings):
    """The opt-in for old certificates changes nothing else, whatever number of threads connect at once."""
    relaxed = settings.model_copy(update={"relax_x509_strict": True})
    identity = look(settings).identity
    for _ in range(30):  # the threads of one report share one TLS context
        report = look(relaxed)
        assert report.identity == identity
        assert report.unread == ()


def test_a_kubeconfig_that_turns_checks_off_is_refused(settings, tmp_path):
    """Whoever is in between could be the cluster."""

    def change(data):
        data["clusters"][0]["cluster"].pop("certificate-authority-data", None)
        data["clusters"][0]["cluster"]["insecure-skip-tls-verify"] = True

    with pytest.raises(ClusterUnreadable, match="turns certificate checks off"):
        look(rewritten(settings, tmp_path, change))


@pytest.mark.parametrize("text", ["", "{", "- a", "clusters: 5"])
def test_a_broken_kubeconfig_is_named(settings, tmp_path, text):
    """With its path."""
    path = tmp_path / "broken.kubeconfig"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ClusterUnreadable, match=r"broken\.kubeconfig"):
        look(settings.model_copy(update={"kubeconfig": path}))


def test_one_endpoint_stays_the_one_that_was_asked_for(settings, tmp_path):
    """With a token, the client would put the kubeconfig's own address back before each request."""

    def change(data):
        data["users"][0]["user"] = {"token": "made-up"}

    with Kube.connect("lab", rewritten(settings, tmp_path, change), endpoint="127.0.0.1:1") as one:
        for _ in range(2):
            with pytest.raises(ClusterUnreadable, match=r"https://127\.0\.0\.1:1 cannot be reached"):
                one.get("/version")
