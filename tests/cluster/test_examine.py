"""Examining a real API over TLS: what it tells beyond versions, and each failure as a value."""

from contextlib import contextmanager
from datetime import UTC, datetime
from types import SimpleNamespace

import pytest

from cluster.deprecation import Caller
from cluster.errors import ClusterUnreadable
from cluster.examine import examine
from cluster.gatekeepers import read_hooks
from cluster.inquiry import Inquiry
from cluster.inventory import Cluster
from cluster.kube import Kube
from cluster.observe import observe
from cluster.settings import parse_settings
from cluster.versions import Minor
from lab.apiserver import Availability
from lab.world import World
from policies.obstacles import check_obstacles
from tests.policies_fixture import codes, see
from workers import doctor

NOW = datetime(2026, 11, 23, tzinfo=UTC)
HOOK = {"kind": "ValidatingWebhookConfiguration", "metadata": {"name": "guard"}}
RULE = {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"]}
SERVICE = {"kind": "Service", "metadata": {"name": "guard", "namespace": "demo"}}
OLD_CLASS = ("storage.k8s.io", "v1alpha1", "volumeattributesclasses", "1.35")


@pytest.fixture(scope="module")
def world():
    with World.start("healthy", speed=50) as running:
        yield running


@pytest.fixture
def put(world):
    """Puts objects into the lab, and takes them out again."""
    kept = []

    def keep(*things):
        for thing in things:
            kept.append(thing)
            world.call(lambda thing=thing: world.cluster.store.put(thing))

    yield keep
    for thing in kept:
        place = thing["metadata"]
        world.call(lambda t=thing, p=place: world.cluster.store.delete(t["kind"], p["name"], p.get("namespace", "")))


@pytest.fixture
def servers(world):
    """The API servers by node; whatever a test orders of them is undone."""
    yield world.cluster.servers
    for server in world.cluster.servers.values():
        server.faults.clear()
        server.asked_for.clear()
        world.call(lambda server=server: server.become(Availability.UP))


@pytest.fixture
def settings(world):
    return Cluster.model_validate(world.config()["clusters"]["lab"])


def look(settings):
    return examine("lab", settings, observe("lab", settings, now=NOW), now=NOW)


def hook(**client):
    return {**HOOK, "webhooks": [{"name": "guard.example.org", "rules": [RULE], "clientConfig": client}]}


def endpoints(*nodes):
    labels = {"kubernetes.io/service-name": "guard"}
    shown = [{"addresses": [f"10.0.0.{n}"], "nodeName": name} for n, name in enumerate(nodes)]
    metadata = {"name": "guard-1", "namespace": "demo", "labels": labels}
    return {"kind": "EndpointSlice", "metadata": metadata, "endpoints": shown}


def test_a_healthy_cluster_has_no_obstacles(settings):
    """Nothing is found, and nothing was left unread."""
    seen = look(settings)
    assert (seen.cluster, seen.read_at, seen.unread) == ("lab", NOW, ())
    assert (seen.webhooks, seen.unavailable, seen.deprecated) == ((), (), ())
    assert check_obstacles(see(examination=seen), (Minor(1, 35), Minor(1, 36))) == ()


BY_SERVICE = hook(service={"namespace": "demo", "name": "guard"})


@pytest.mark.parametrize(
    ("things", "ready"),
    [
        ([BY_SERVICE], ()),
        ([BY_SERVICE, SERVICE], ()),
        ([BY_SERVICE, SERVICE, endpoints("w2", "w1")], ("w1", "w2")),
        ([BY_SERVICE, {**SERVICE, "spec": {"type": "ExternalName"}}], None),
        ([hook(url="https://guard.example.org")], None),
    ],
)
def test_a_webhook_is_read_with_who_answers_for_it(settings, put, things, ready):
    """A service that is missing has no endpoints; a name outside of the cluster is nobody's to see."""
    put(*things)
    (found,) = look(settings).webhooks
    assert found.ready == ready


def test_an_api_that_its_server_does_not_serve_is_found(settings, put):
    """Its own condition says so."""
    condition = {"type": "Available", "status": "False", "message": "no endpoints"}
    name = "v1beta1.metrics.k8s.io"
    put({"kind": "APIService", "metadata": {"name": name}, "spec": {}, "status": {"conditions": [condition]}})
    assert [a.name for a in look(settings).unavailable] == [name]


def test_each_api_server_is_asked_what_deprecated_apis_it_served(settings, servers, put):
    """By its own endpoint, since they count apart; the objects say who wrote them in the old version."""
    servers["cp2"].asked_for.add(OLD_CLASS)
    written = [{"manager": "helm", "apiVersion": "storage.k8s.io/v1alpha1"}]
    put({"kind": "VolumeAttributesClass", "metadata": {"name": "fast", "managedFields": written}})
    (use,) = look(settings).deprecated
    assert (str(use.api), use.servers) == ("volumeattributesclasses of storage.k8s.io/v1alpha1", ("cp2",))
    assert use.callers == (Caller("helm", ("fast",)),)


def test_an_api_server_that_does_not_tell_its_count_is_not_clean(settings, servers):
    """The others are still read, and one sentence says which was not."""
    servers["cp1"].asked_for.add(OLD_CLASS)
    servers["cp2"].faults.fail("^/metrics$", 403)
    seen = look(settings)
    assert [use.servers for use in seen.deprecated] == [("cp1",)]
    assert [u.what for u in seen.unread] == ["use of deprecated APIs on cp2"]
    assert "not-examined" in codes(check_obstacles(see(examination=seen), ()))


EACH = {
    "validatingwebhookconfigurations": "each ValidatingWebhookConfiguration",
    "mutatingwebhookconfigurations": "each MutatingWebhookConfiguration",
    "apiservices": "APIs of others",
    "namespaces/kube-system$": "labels of kube-system",
    "endpointslices": "endpoints of demo/guard",
}


@pytest.mark.parametrize(("path", "what"), EACH.items())
def test_what_is_refused_is_said_and_the_others_are_read(settings, servers, put, path, what):
    """A missing right costs what depends on it, and a warning."""
    put(BY_SERVICE)
    report = observe("lab", settings, now=NOW)
    for server in servers.values():
        server.faults.fail(path, 403, times=None)
    seen = examine("lab", settings, report, now=NOW)
    assert [u.what for u in seen.unread] == [what]
    assert "403" in seen.unread[0].reason
    assert seen.workloads.groups


def test_an_object_that_is_not_as_it_should_be_costs_itself_alone(settings, put):
    """A webhook without a name is named by its configuration."""
    put(BY_SERVICE, {**HOOK, "metadata": {"name": "odd"}, "webhooks": [{"rules": [RULE]}]})
    seen = look(settings)
    assert [w.configuration for w in seen.webhooks] == ["guard"]
    assert [u.what for u in seen.unread] == ["the ValidatingWebhookConfiguration odd"]
    assert "was not understood" in seen.unread[0].reason


def test_what_is_no_object_among_the_webhooks_costs_itself_alone():
    """An answer is believed nowhere: what stands in the list may be anything."""
    whole = {**BY_SERVICE, "webhooks": [{**BY_SERVICE["webhooks"][0], "failurePolicy": "Fail"}]}
    found = {"validating": [None, whole], "mutating": ["a webhook"]}
    kube = SimpleNamespace(
        get=lambda *_, **__: {"metadata": {}},
        items=lambda path, **_: iter(next(items for kind, items in found.items() if kind in path)),
    )
    ask = Inquiry(kube)
    assert [w.configuration for w in read_hooks(ask)] == ["guard"]
    kinds = ("ValidatingWebhookConfiguration", "MutatingWebhookConfiguration")
    assert [u.what for u in ask.unread] == [f"the {kind} without a name" for kind in kinds]


def test_a_page_comes_line_by_line_and_within_its_bounds(settings, servers):
    """Whole lines, and no more bytes or seconds than were given; an error is said in the API's words."""
    with Kube.connect("lab", settings) as kube:
        lines = list(kube.lines("/metrics", most=1_000_000))
        assert lines[0].startswith("# HELP apiserver_requested_deprecated_apis")
        assert lines[-1].startswith("apiserver_storage_objects{")
        with pytest.raises(ClusterUnreadable, match="did not come to the end of /metrics within 30 s and 0 MiB"):
            list(kube.lines("/metrics", most=100))
        with pytest.raises(ClusterUnreadable, match="answered GET /nowhere with 404"):
            list(kube.lines("/nowhere", most=100))
        for server in servers.values():
            server.faults.hang("^/metrics$", 5)
        with pytest.raises(ClusterUnreadable, match="did not answer within"):
            list(kube.lines("/metrics", most=100, timeout=0.2))


CONFIG_MAPS = ("kubeadm-config", "kubelet-config", "kube-proxy", "coredns")


def test_what_kubeadm_keeps_is_read(settings):
    """Arguments, what the kubelets are told, and who is the cluster's DNS."""
    seen = look(settings)
    assert seen.declared.api_version == "kubeadm.k8s.io/v1beta4"
    assert [a.name for a in seen.declared.arguments] == ["allocate-node-cidrs"]
    assert (seen.declared.kubelets_read, seen.declared.fail_cgroup_v1) == (True, None)
    assert [d.name for d in seen.dns] == ["coredns"]
    assert seen.dns_plugins[:4] == ("errors", "health", "ready", "kubernetes")


@pytest.mark.parametrize("name", CONFIG_MAPS)
@pytest.mark.parametrize(("status", "said"), [(403, True), (404, False)])
def test_a_setting_that_cannot_be_read_is_not_taken_for_unset(settings, servers, name, status, said):
    """A cluster may do without kube-proxy and with another DNS, and without neither of the others."""
    report = observe("lab", settings, now=NOW)
    for server in servers.values():
        server.faults.fail(f"configmaps/{name}$", status, times=None)
    seen = examine("lab", settings, report, now=NOW)
    expected = [] if name in {"kube-proxy", "coredns"} and not said else [f"the ConfigMap {name}"]
    assert [u.what for u in seen.unread] == expected
    assert seen.declared.kubelets_read == (name != "kubelet-config")


@pytest.mark.parametrize("text", ["", "- a list", "{", "just words"])
def test_a_configuration_that_is_none_is_said(world, settings, text):
    """Whoever edits it by hand may leave anything."""
    store = world.cluster.store
    before = world.call(lambda: store.get("ConfigMap", "kubelet-config", "kube-system"))
    world.call(lambda: store.put({**before, "data": {"kubelet": text}}))
    try:
        assert [u.what for u in look(settings).unread] == ["the ConfigMap kubelet-config"]
    finally:
        world.call(lambda: store.put(before))


def test_the_doctor_says_what_it_could_read_and_what_not(world, servers):
    """A note for a cluster that answers, and a warning for each part of it that does not."""

    @contextmanager
    def knock(name, machine):
        yield SimpleNamespace(version=lambda: 1)

    for server in servers.values():
        server.faults.fail("poddisruptionbudgets", 403, times=None)
    told = codes(
        doctor.examine(
            parse_settings({**world.config(), "people": {"grace": {}}, "approvals": {"approvers": ["grace"]}}),
            now=NOW,
            connect=knock,
        )
    )
    assert told.count("cluster-readable") == 1
    assert told.count("partly-unreadable") == 1
    assert set(told) - {"cluster-readable", "partly-unreadable", "smoke-namespace-missing"} == {"machines-ready"}
