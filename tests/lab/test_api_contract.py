"""The lab's API as the real Kubernetes client meets it: TLS, verbs, selectors, pages, tables and refusals."""

from __future__ import annotations

import json
import socket
import ssl
from collections.abc import Iterator
from typing import Any

import pytest
from kubernetes import client, watch
from kubernetes.client.exceptions import ApiException

from lab.pki import write_kubeconfig
from tests.cluster_fixture import RunningCluster, budget, daemon_set, deployment, running_cluster

TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningCluster]:
    """One cluster with a little load on it."""
    with running_cluster(tmp_path_factory.mktemp("cluster")) as cluster:
        cluster.put(deployment("web", 3))
        cluster.put(daemon_set("agent"))
        cluster.running("web", 3)
        cluster.running("agent", 5)
        yield cluster


@pytest.fixture(scope="module")
def api(lab: RunningCluster) -> client.ApiClient:
    """The admin's client."""
    return lab.api()


@pytest.fixture(scope="module")
def core(api: client.ApiClient) -> client.CoreV1Api:
    """Its core group."""
    return client.CoreV1Api(api)


def fetch(api: client.ApiClient, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, Any]:
    """One request by the client's own transport; any code is an answer."""
    request = api.param_serialize(method, path, body=body, header_params=headers, auth_settings=["BearerToken"])
    answer = api.call_api(*request, _request_timeout=(5, 10))
    raw = answer.read()
    try:
        return answer.status, json.loads(raw)
    except ValueError:
        return answer.status, raw.decode()


def config_map(name: str, **data: str) -> dict[str, Any]:
    """A small object to write."""
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data}


def test_the_certificate_passes_the_strictest_check_of_python(lab):
    """Key identifiers, extensions and names are as VERIFY_X509_STRICT, the default since Python 3.13, wants them."""
    context = ssl.create_default_context(cadata=lab.cluster.authority.certificate.decode())
    context.verify_flags |= ssl.VERIFY_X509_STRICT
    address = lab.cluster.balancer.address
    for name in ("127.0.0.1", "localhost"):
        with socket.create_connection(address) as raw, context.wrap_socket(raw, server_hostname=name) as wrapped:
            assert wrapped.version() in {"TLSv1.2", "TLSv1.3"}


def test_every_api_server_tells_its_own_version(lab, api):
    """The balancer alternates between them; each endpoint is itself."""
    lab.call(lambda: setattr(lab.cluster.servers["cp2"], "version", "v1.35.4"))
    try:
        for name, version in (("cp1", "v1.34.7"), ("cp2", "v1.35.4")):
            path = lab.cluster.write_admin_kubeconfig(lab.directory / name, lab.cluster.servers[name].url)
            told = client.VersionApi(lab.api(path)).get_code()
            assert told.git_version == version
            assert told.emulation_minor == version.split(".")[1]
        fresh = {client.VersionApi(lab.api()).get_code().git_version for _ in range(4)}
        assert fresh == {"v1.34.7", "v1.35.4"}
    finally:
        lab.call(lambda: setattr(lab.cluster.servers["cp2"], "version", "v1.34.7"))


def test_health_is_told_check_by_check(api):
    """`/readyz?verbose` ends with the verdict; the plain form is one word."""
    request = api.param_serialize("GET", "/readyz", query_params=[("verbose", "")], auth_settings=["BearerToken"])
    lines = api.call_api(*request).read().decode().splitlines()
    assert "[+]etcd ok" in lines
    assert lines[-1] == "readyz check passed"
    assert fetch(api, "GET", "/livez") == (200, "ok")


def test_deprecated_requests_show_in_the_metrics(api):
    """The preflight reads them there."""
    code, text = fetch(api, "GET", "/metrics")
    assert code == 200
    assert 'apiserver_requested_deprecated_apis{group="",removed_release="",resource="endpoints"' in text


def test_the_typed_client_reads_every_kind(lab, api, core):
    """Its models are strict, so the shapes are right."""
    lab.put(budget("web", "web", maxUnavailable=1))
    assert {node.metadata.name for node in core.list_node().items} == {"cp1", "cp2", "w1", "w2", "w3"}
    assert len(core.list_pod_for_all_namespaces().items) == 8
    assert {"kube-system", "default"} <= {item.metadata.name for item in core.list_namespace().items}
    assert client.AppsV1Api(api).read_namespaced_daemon_set("agent", "kube-system").status.number_ready == 5
    assert client.AppsV1Api(api).list_deployment_for_all_namespaces().items[0].spec.replicas == 3
    lab.eventually(
        lambda: (
            client.PolicyV1Api(api).read_namespaced_pod_disruption_budget("web", "default").status.disruptions_allowed
            == 1
        )
    )
    lease = client.CoordinationV1Api(api).read_namespaced_lease("w1", "kube-node-lease")
    assert lease.spec.holder_identity == "w1"
    assert client.StorageV1Api(api).list_volume_attachment().items == []
    client.PolicyV1Api(api).delete_namespaced_pod_disruption_budget("web", "default")


def test_selectors_filter_on_the_server(core):
    """By node, by phase and by every form of a label selector."""
    everything = core.list_pod_for_all_namespaces().items
    on_w1 = core.list_pod_for_all_namespaces(field_selector="spec.nodeName=w1,status.phase=Running").items
    assert {pod.metadata.name for pod in on_w1} == {p.metadata.name for p in everything if p.spec.node_name == "w1"}

    def count(selector: str) -> int:
        return len(core.list_pod_for_all_namespaces(label_selector=selector).items)

    assert [count("app=web"), count("app!=web"), count("app in (web, agent)"), count("app notin (web)")] == [3, 5, 8, 5]
    assert [count("pod-template-hash"), count("!pod-template-hash"), count("app=web,app=agent")] == [3, 5, 0]
    assert [
        node.metadata.name for node in core.list_node(label_selector="node-role.kubernetes.io/control-plane").items
    ] == [
        "cp1",
        "cp2",
    ]


def test_an_unknown_field_is_refused(core):
    """A wrong field selector must not read as `nothing there`."""
    with pytest.raises(ApiException) as refused:
        core.list_pod_for_all_namespaces(field_selector="spec.banana=1")
    assert (refused.value.status, json.loads(refused.value.body)["message"]) == (
        400,
        "field label not supported: spec.banana",
    )


def test_pages_show_one_moment(lab, core):
    """A list is continued as it was, though an object left it meanwhile."""
    for number in range(5):
        core.create_namespaced_config_map("default", config_map(f"page-{number}"))
    page = core.list_namespaced_config_map("default", limit=2)
    assert page.metadata.remaining_item_count == 3
    core.delete_namespaced_config_map("page-4", "default")
    names = [item.metadata.name for item in page.items]
    while page.metadata._continue:
        page = core.list_namespaced_config_map("default", limit=2, _continue=page.metadata._continue)
        names += [item.metadata.name for item in page.items]
    assert names == [f"page-{number}" for number in range(5)]


def test_an_expired_token_is_410_and_offers_an_inconsistent_one(lab, core):
    """As after etcd's compaction."""
    for number in range(3):
        lab.put({"kind": "ConfigMap", "metadata": {"name": f"old-{number}", "namespace": "kube-public"}})
    page = core.list_namespaced_config_map("kube-public", limit=1)
    lab.call(lab.cluster.store.compact)
    with pytest.raises(ApiException) as refused:
        core.list_namespaced_config_map("kube-public", limit=1, _continue=page.metadata._continue)
    answer = json.loads(refused.value.body)
    assert (answer["code"], answer["reason"]) == (410, "Expired")
    rest = core.list_namespaced_config_map("kube-public", _continue=answer["metadata"]["continue"])
    assert [item.metadata.name for item in rest.items] == ["old-1", "old-2"]


def test_a_table_has_the_columns_of_kubectl(core):
    """Names, priorities and cells; includeObject=None leaves the objects out."""
    answer = core.list_node(_preload_content=False, _headers={"Accept": TABLE})
    table = json.loads(answer.data)
    assert table["kind"] == "Table"
    assert [(column["name"], column["priority"]) for column in table["columnDefinitions"]] == [
        ("Name", 0),
        ("Status", 0),
        ("Roles", 0),
        ("Age", 0),
        ("Version", 0),
        ("Internal-IP", 1),
        ("External-IP", 1),
        ("OS-Image", 1),
        ("Kernel-Version", 1),
        ("Container-Runtime", 1),
    ]
    row = table["rows"][0]
    assert (row["cells"][0], row["cells"][1], row["cells"][2], row["cells"][4]) == (
        "cp1",
        "Ready",
        "control-plane",
        "v1.34.7",
    )
    assert row["object"]["kind"] == "PartialObjectMetadata"


@pytest.mark.parametrize(
    ("include", "kind"), [("None", None), ("Metadata", "PartialObjectMetadata"), ("Object", "Pod")]
)
def test_a_table_carries_the_objects_that_are_asked_for(api, include, kind):
    """Reports ask for none."""
    request = api.param_serialize(
        "GET",
        "/api/v1/pods",
        query_params=[("includeObject", include), ("limit", 2)],
        header_params={"Accept": TABLE},
        auth_settings=["BearerToken"],
    )
    table = json.loads(api.call_api(*request).read())
    assert len(table["rows"]) == 2
    assert {(row["object"] or {}).get("kind") for row in table["rows"]} == {kind}
    assert table["metadata"]["continue"]


def test_a_write_on_an_old_version_is_409(core):
    """Optimistic locking, as with locks in Leases and annotations on nodes."""
    core.create_namespaced_config_map("default", config_map("race", a="1"))
    held = core.read_namespaced_config_map("race", "default")
    core.patch_namespaced_config_map("race", "default", {"data": {"a": "2"}})
    held.data = {"a": "3"}
    with pytest.raises(ApiException) as refused:
        core.replace_namespaced_config_map("race", "default", held)
    answer = json.loads(refused.value.body)
    assert (answer["code"], answer["reason"]) == (409, "Conflict")
    assert (
        "the object has been modified; please apply your changes to the latest version and try again"
        in answer["message"]
    )
    assert core.read_namespaced_config_map("race", "default").data == {"a": "2"}


def test_creating_twice_is_409_already_exists(api):
    """A second installation cannot take the same Lease."""
    leases = client.CoordinationV1Api(api)
    body = {"metadata": {"name": "lockkeeper"}, "spec": {"holderIdentity": "one"}}
    leases.create_namespaced_lease("kube-system", body)
    with pytest.raises(ApiException) as refused:
        leases.create_namespaced_lease("kube-system", body)
    answer = json.loads(refused.value.body)
    assert answer["reason"] == "AlreadyExists"
    assert answer["message"] == 'leases.coordination.k8s.io "lockkeeper" already exists'


def test_delete_obeys_its_preconditions(core):
    """Another uid is 409 and the object stays."""
    core.create_namespaced_config_map("default", config_map("kept"))
    with pytest.raises(ApiException) as refused:
        core.delete_namespaced_config_map("kept", "default", body={"preconditions": {"uid": "another"}})
    assert refused.value.status == 409
    uid = core.read_namespaced_config_map("kept", "default").metadata.uid
    core.delete_namespaced_config_map("kept", "default", body={"preconditions": {"uid": uid}})
    with pytest.raises(ApiException) as gone:
        core.read_namespaced_config_map("kept", "default")
    assert json.loads(gone.value.body)["message"] == 'configmaps "kept" not found'


def test_a_dry_run_keeps_nothing(core):
    """Create, patch and delete answer as if."""
    made = core.create_namespaced_config_map("default", config_map("imagined"), dry_run="All")
    assert made.metadata.name == "imagined"
    with pytest.raises(ApiException, match="404"):
        core.read_namespaced_config_map("imagined", "default")
    shown = core.patch_node("w3", {"spec": {"unschedulable": True}}, dry_run="All")
    assert shown.spec.unschedulable
    assert not core.read_node("w3").spec.unschedulable


def test_cordon_taints_the_node_and_uncordon_frees_it(lab, core):
    """The taint follows the field, by the controllers' hand."""
    core.patch_node("w2", {"spec": {"unschedulable": True}, "metadata": {"annotations": {"owner": "us"}}})
    taint = lab.eventually(lambda: core.read_node("w2").spec.taints)[0]
    assert (taint.key, taint.effect) == ("node.kubernetes.io/unschedulable", "NoSchedule")
    core.patch_node("w2", {"spec": {"unschedulable": None}, "metadata": {"annotations": {"owner": None}}})
    lab.eventually(lambda: core.read_node("w2").spec.taints is None)
    assert "owner" not in core.read_node("w2").metadata.annotations


def test_a_strategic_patch_merges_conditions_by_type_and_replaces_taints(lab, api, core):
    """The two list rules that matter for nodes."""
    kind = "application/strategic-merge-patch+json"
    path = "/api/v1/nodes/w3"
    patch = {"status": {"conditions": [{"type": "DiskPressure", "status": "True", "reason": "Test"}]}}
    fetch(api, "PATCH", f"{path}/status", patch, **{"Content-Type": kind, "Accept": "application/json"})
    held = {one.type: one.status for one in core.read_node("w3").status.conditions}
    assert held == {"MemoryPressure": "False", "DiskPressure": "True", "PIDPressure": "False", "Ready": "True"}
    for key in ("a", "b"):
        taints = {"spec": {"taints": [{"key": key, "effect": "PreferNoSchedule"}]}}
        fetch(api, "PATCH", path, taints, **{"Content-Type": kind, "Accept": "application/json"})
    assert [taint.key for taint in core.read_node("w3").spec.taints] == ["b"]
    fetch(api, "PATCH", path, {"spec": {"taints": None}}, **{"Content-Type": kind, "Accept": "application/json"})


def test_the_status_moves_only_through_its_own_path(core):
    """A patch of the object leaves the status, a patch of the status leaves the spec."""
    core.patch_node("w3", {"status": {"nodeInfo": {"kubeletVersion": "v9.9.9"}}})
    assert core.read_node("w3").status.node_info.kubelet_version == "v1.34.7"
    core.patch_node_status("w3", {"spec": {"unschedulable": True}})
    assert not core.read_node("w3").spec.unschedulable


def test_a_watch_tells_what_changes_after_a_version(lab, core):
    """Added, modified, deleted, in order and without what came before."""
    start = core.list_namespaced_config_map("default").metadata.resource_version
    core.create_namespaced_config_map("default", config_map("seen", a="1"))
    core.patch_namespaced_config_map("seen", "default", {"data": {"a": "2"}})
    core.delete_namespaced_config_map("seen", "default")
    told = []
    for event in watch.Watch().stream(
        core.list_namespaced_config_map, "default", resource_version=start, timeout_seconds=20
    ):
        told.append((event["type"], event["object"].metadata.name))
        if len(told) == 3:
            break
    assert told == [("ADDED", "seen"), ("MODIFIED", "seen"), ("DELETED", "seen")]


def test_a_watch_by_selector_tells_of_leaving_as_deletion(lab, core):
    """An object that no longer matches is gone for this watcher."""
    made = core.create_namespaced_config_map(
        "default", config_map("tagged") | {"metadata": {"name": "tagged", "labels": {"t": "1"}}}
    )
    core.patch_namespaced_config_map("tagged", "default", {"metadata": {"labels": {"t": "2"}}})
    stream = watch.Watch().stream(
        core.list_namespaced_config_map,
        "default",
        label_selector="t=1",
        resource_version=made.metadata.resource_version,
        timeout_seconds=20,
    )
    assert next(stream)["type"] == "DELETED"


def test_a_service_account_may_only_what_its_rules_say(lab):
    """Rules are those of a ClusterRole, so that the chart's can be tried here."""
    rules = [{"apiGroups": [""], "resources": ["nodes"], "verbs": ["get", "list"]}]
    user = "system:serviceaccount:lockkeeper:bot"
    lab.call(lambda: lab.cluster.identities.admit("a-token", user, rules))
    path = write_kubeconfig(lab.directory / "bot.conf", lab.cluster.balancer.url, lab.cluster.authority, "a-token")
    api = lab.api(path)
    bot = client.CoreV1Api(api)
    assert len(bot.list_node().items) == 5
    with pytest.raises(ApiException) as refused:
        bot.patch_node("w1", {"spec": {"unschedulable": True}})
    answer = json.loads(refused.value.body)
    assert answer["message"] == (
        f'nodes "w1" is forbidden: User "{user}" cannot patch resource "nodes" in API group "" at the cluster scope'
    )
    who = client.AuthenticationV1Api(api).create_self_subject_review({})
    assert who.status.user_info.username == user
    may = client.AuthorizationV1Api(api)
    asked = {"spec": {"resourceAttributes": {"verb": "list", "resource": "nodes"}}}
    assert may.create_self_subject_access_review(asked).status.allowed
    asked["spec"]["resourceAttributes"]["verb"] = "delete"
    assert not may.create_self_subject_access_review(asked).status.allowed


def test_a_wrong_token_is_401(lab):
    """Not 403: the caller is nobody, not somebody without rights."""
    path = write_kubeconfig(lab.directory / "wrong.conf", lab.cluster.balancer.url, lab.cluster.authority, "wrong")
    with pytest.raises(ApiException) as refused:
        client.CoreV1Api(lab.api(path)).list_node()
    assert (refused.value.status, json.loads(refused.value.body)["reason"]) == (401, "Unauthorized")


def test_ordered_faults_strike_as_often_as_ordered(lab, core):
    """The next two requests for pods fail, the third does not."""
    faults = [server.faults.fail("^/api/v1/pods", 503, times=2) for server in lab.cluster.servers.values()]
    codes = []
    for _ in range(5):
        try:
            core.list_pod_for_all_namespaces()
            codes.append(200)
        except ApiException as error:
            codes.append(error.status)
    struck = sum(fault.struck for fault in faults)
    assert codes.count(503) == struck >= 2
    for server in lab.cluster.servers.values():
        server.faults.clear()
    core.list_pod_for_all_namespaces()
