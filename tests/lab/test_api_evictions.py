"""Every answer of the eviction subresource, over TLS with the real client."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from kubernetes import client
from kubernetes.client.exceptions import ApiException

from lab.pki import write_kubeconfig
from lab.podlife import UNREADY
from tests.cluster_fixture import RunningCluster, budget, deployment, running_cluster


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningCluster]:
    """One cluster for the module; each test uses an app of its own."""
    with running_cluster(tmp_path_factory.mktemp("cluster")) as cluster:
        yield cluster


@pytest.fixture(scope="module")
def core(lab: RunningCluster) -> client.CoreV1Api:
    """The admin's client."""
    return client.CoreV1Api(lab.api())


def evict(core: client.CoreV1Api, name: str, **options: Any) -> dict[str, Any]:
    """Evict and give the Status, whatever it is, with its headers under `_headers`."""
    body = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": name}, "deleteOptions": options}
    try:
        answer = core.create_namespaced_pod_eviction(name, "default", body, _preload_content=False)
    except ApiException as error:
        return json.loads(error.body) | {"_headers": dict(error.headers)}
    return dict(json.loads(answer.data))


def first(lab: RunningCluster, app: str, count: int) -> str:
    """The name of one running pod of the app."""
    return str(lab.running(app, count)[0]["metadata"]["name"])


def sync(lab: RunningCluster, name: str, allowed: int) -> None:
    """Wait until the budget allows exactly that many disruptions."""

    def observed() -> bool:
        held = lab.get("PodDisruptionBudget", name, "default")
        status = (held or {}).get("status", {})
        return bool(status) and status["disruptionsAllowed"] == allowed

    lab.eventually(observed)


def test_an_accepted_eviction_is_201_and_the_pod_comes_up_elsewhere(lab, core):
    """The pod gets its DisruptionTarget condition, goes, and its Deployment replaces it."""
    lab.put(deployment("moves", 1))
    name = first(lab, "moves", 1)
    before = lab.call(lambda: lab.cluster.store.version)
    assert evict(core, name) == {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201}
    lab.eventually(lambda: lab.get("Pod", name, "default") is None)
    assert first(lab, "moves", 1) != name
    log = lab.call(lambda: lab.cluster.store.since(before) or [])
    states = [change.after for change in log if change.after and change.after["metadata"]["name"] == name]
    reasons = {c.get("reason") for state in states for c in state["status"]["conditions"]}
    assert "EvictionByEvictionAPI" in reasons
    assert any("deletionTimestamp" in state["metadata"] for state in states)


def test_a_pod_that_is_gone_is_404(core):
    """The words are those of the recording."""
    answer = evict(core, "no-such-pod")
    assert (answer["code"], answer["message"]) == (404, 'pods "no-such-pod" not found')
    assert answer["details"] == {"name": "no-such-pod", "kind": "pods"}


def test_a_budget_without_room_is_429_without_retry_after(lab, core):
    """The cause names the budget; the header is absent, so the caller waits by its own measure."""
    lab.put(deployment("strict", 1))
    lab.put(budget("strict", "strict", minAvailable=1))
    name = first(lab, "strict", 1)
    sync(lab, "strict", 0)
    answer = evict(core, name)
    assert answer["code"] == 429
    assert answer["message"] == "Cannot evict pod as it would violate the pod's disruption budget."
    assert answer["details"]["causes"] == [
        {
            "reason": "DisruptionBudget",
            "message": "The disruption budget strict needs 1 healthy pods and has 1 currently",
        }
    ]
    assert "Retry-After" not in answer["_headers"]
    lab.call(lambda: lab.cluster.store.delete("PodDisruptionBudget", "strict", "default"))
    assert evict(core, name)["code"] == 201


def test_a_budget_that_is_not_observed_yet_is_429_with_retry_after_10(lab, core):
    """Status behind generation: the server asks for ten seconds."""
    lab.put(deployment("lagging", 1))
    name = first(lab, "lagging", 1)

    def evict_before_any_sync() -> None:
        lab.cluster.controllers.stop()
        lab.cluster.store.put(budget("lagging", "lagging", minAvailable=0))

    lab.call(evict_before_any_sync)
    try:
        answer = evict(core, name)
        assert (answer["code"], answer["_headers"]["Retry-After"]) == (429, "10")
        assert answer["details"]["retryAfterSeconds"] == 10
        assert answer["details"]["causes"][0]["reason"] == "DisruptionBudget"
        assert "still being processed by the server" in answer["details"]["causes"][0]["message"]
    finally:
        lab.call(lab.cluster.controllers.start)


def test_an_overload_is_429_with_retry_after_and_no_cause(lab, core):
    """Priority and fairness answer in plain text."""
    lab.put(deployment("busy", 1))
    name = first(lab, "busy", 1)
    for server in lab.cluster.servers.values():
        server.faults.overload("/eviction$", seconds=1, times=1)
    with pytest.raises(ApiException) as refused:
        core.create_namespaced_pod_eviction(name, "default", {"metadata": {"name": name}})
    assert (refused.value.status, refused.value.headers["Retry-After"]) == (429, "1")
    assert refused.value.body == "Too many requests, please try again later.\n"
    for server in lab.cluster.servers.values():
        server.faults.clear()
    assert evict(core, name)["code"] == 201


def test_two_budgets_on_one_pod_are_500(lab, core):
    """Permanent: the server refuses to choose."""
    lab.put(deployment("twice", 1))
    for name in ("twice-a", "twice-b"):
        lab.put(budget(name, "twice", maxUnavailable=1))
    answer = evict(core, first(lab, "twice", 1))
    assert answer["code"] == 500
    assert answer["message"] == (
        "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support."
    )


def test_another_uid_is_409_and_nothing_is_evicted(lab, core):
    """preconditions.uid protects a pod that only has the same name."""
    lab.put(deployment("named", 1))
    name = first(lab, "named", 1)
    answer = evict(core, name, preconditions={"uid": "11111111-2222-3333-4444-555555555555"})
    assert (answer["code"], answer["reason"]) == (409, "Conflict")
    held = lab.get("Pod", name, "default")
    assert held is not None
    assert "deletionTimestamp" not in held["metadata"]


def test_a_terminating_namespace_is_403_with_its_cause(lab, core):
    """NamespaceTerminating stands among the causes."""
    lab.put({"kind": "Namespace", "metadata": {"name": "leaving"}, "status": {"phase": "Active"}})
    stubborn = {"containers": [{"name": "a", "image": "x"}], "nodeName": "w1", "terminationGracePeriodSeconds": 100000}
    meta = {"name": "stays", "namespace": "leaving", "annotations": {"lab.lockkeeper.io/stop-seconds": "100000"}}
    lab.put({"kind": "Pod", "metadata": meta, "spec": stubborn, "status": {"phase": "Pending"}})
    core.delete_namespace("leaving")
    with pytest.raises(ApiException) as refused:
        core.create_namespaced_pod_eviction("stays", "leaving", {"metadata": {"name": "stays"}})
    answer = json.loads(refused.value.body)
    assert answer["code"] == 403
    assert [cause["reason"] for cause in answer["details"]["causes"]] == ["NamespaceTerminating"]


def test_a_dry_run_asks_the_budget_and_changes_nothing(lab, core):
    """The answer is the exact one; the budget keeps its room."""
    lab.put(deployment("dry", 2))
    lab.put(budget("dry", "dry", maxUnavailable=1))
    name = first(lab, "dry", 2)
    sync(lab, "dry", 1)
    assert [evict(core, name, dryRun=["All"])["code"] for _ in range(3)] == [201, 201, 201]
    held = lab.get("Pod", name, "default")
    assert held is not None
    assert "deletionTimestamp" not in held["metadata"]
    sync(lab, "dry", 1)


def test_a_second_eviction_is_refused_until_the_first_pod_is_back(lab, core):
    """The budget counts down at once, before its controller runs, and recovers when the new pod is ready."""
    lab.put(deployment("pair", 2))
    lab.put(budget("pair", "pair", minAvailable="50%"))
    one, two = (str(pod["metadata"]["name"]) for pod in lab.running("pair", 2))
    sync(lab, "pair", 1)
    codes = lab.call(
        lambda: [_code(lab, one), _code(lab, two)]  # in one step of the loop: no controller in between
    )
    assert codes == [201, 429]
    lab.eventually(lambda: evict(core, two)["code"] == 201)


def _code(lab: RunningCluster, name: str) -> int:
    from lab.eviction import evict as evict_now  # noqa: PLC0415 - only here, past HTTP
    from lab.statuses import Refusal  # noqa: PLC0415

    try:
        return evict_now(lab.cluster.store, "default", name, {}, dry=False)[0]
    except Refusal as refusal:
        return refusal.code


@pytest.mark.parametrize(("policy", "code"), [("IfHealthyBudget", 429), ("AlwaysAllow", 201)])
def test_an_unready_pod_goes_only_when_its_budget_always_allows(lab, core, policy, code):
    """Both pods are unready, so IfHealthyBudget is a deadlock and AlwaysAllow is not."""
    app = f"sick-{policy.lower()}"
    workload = deployment(app, 1)
    workload["spec"]["template"]["metadata"]["annotations"] = {UNREADY: "true"}
    lab.put(workload)
    lab.put(budget(app, app, minAvailable=1, unhealthyPodEvictionPolicy=policy))
    name = first(lab, app, 1)
    sync(lab, app, 0)
    assert evict(core, name)["code"] == code


def test_an_anonymous_caller_is_forbidden_in_the_recorded_words(lab):
    """No certificate and no token: 403 from the authorizer, before the pod is looked up."""
    path = write_kubeconfig(lab.directory / "nobody.conf", lab.cluster.balancer.url, lab.cluster.authority, "")
    nobody = client.CoreV1Api(lab.api(path))
    answer = evict(nobody, "web-1")
    assert answer["code"] == 403
    assert answer["message"] == (
        'pods "web-1" is forbidden: User "system:anonymous" cannot create resource "pods/eviction" '
        'in API group "" in the namespace "default"'
    )
    assert answer["details"] == {"name": "web-1", "kind": "pods"}
