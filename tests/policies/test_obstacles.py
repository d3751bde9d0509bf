"""What the API tells beyond versions, and what of it stands in the way of an upgrade."""

import json
from datetime import date
from pathlib import Path

import pytest

from cluster.admission import UnavailableApi, Webhook, read_ready, read_unavailable, read_webhooks
from cluster.deprecation import Caller, DeprecatedApi, DeprecatedUse, find_callers, read_gauge
from cluster.errors import ClusterUnreadable
from cluster.examination import Examination
from cluster.findings import Severity, blockers
from cluster.report import Unread
from cluster.versions import Minor
from policies.deprecations import read_file
from policies.obstacles import check_obstacles
from tests.policies_fixture import NOW, codes, draft, see

METRICS = Path(__file__).parents[1] / "recordings" / "cluster" / "before-deprecated-metric.stdout"
SYSTEM = {"kubernetes.io/metadata.name": "kube-system"}
MINORS = (Minor(1, 35), Minor(1, 36))
EVERYTHING = {"apiGroups": ["*"], "apiVersions": ["*"], "operations": ["*"], "resources": ["*/*"]}
PODS = {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"]}


def rule(resources, operations=("CREATE", "UPDATE"), group="", **more):
    return {
        "apiGroups": [group],
        "apiVersions": ["v1"],
        "operations": list(operations),
        "resources": list(resources),
        **more,
    }


def configuration(*rules, name="guard", **hook):
    """A webhook as the API shows it; nothing of it but its rules is set unless a test does."""
    client = {"service": {"namespace": "policy", "name": "guard"}}
    return {
        "metadata": {"name": name},
        "webhooks": [{"name": f"{name}.example.org", "clientConfig": client, "rules": list(rules), **hook}],
    }


def excluding(*names):
    return {
        "matchExpressions": [{"key": "kubernetes.io/metadata.name", "operator": "NotIn", "values": list(names)}],
    }


def read(raw, system=None):
    return list(read_webhooks("ValidatingWebhookConfiguration", raw, system or SYSTEM))


def judge(minors=MINORS, **seen):
    return check_obstacles(see(examination=Examination("prod", NOW, **seen)), minors)


def hook(*, asked=("pods",), ready=("w1", "w2"), name="a.example.org", **more):
    """One that is asked about pods, and whose service answers on two nodes."""
    service = more.pop("service", "policy/guard")
    return Webhook("ValidatingWebhookConfiguration", "guard", name, asked, service=service, ready=ready, **more)


@pytest.mark.parametrize(
    ("rules", "asked"),
    [
        ([PODS], ("pods",)),
        ([rule(["pods/eviction"])], ("evictions",)),
        ([rule(["pods/*"])], ("the status of pods", "evictions")),
        ([rule(["*/status"])], ("the status of pods", "the status of nodes")),
        ([rule(["nodes"])], ("nodes",)),
        ([rule(["nodes"], ["CREATE"])], ()),  # no upgrade makes a node
        ([rule(["leases"], group="coordination.k8s.io")], ("leases", "heartbeats of nodes")),
        ([rule(["events"]), rule(["events"], group="events.k8s.io")], ("events",)),
        ([rule(["*"], scope="Cluster")], ("nodes",)),
        ([rule(["*"], scope="Namespaced", group="*")], ("pods", "leases", "heartbeats of nodes", "events")),
        ([rule(["pods"], ["CONNECT"])], ()),
        ([rule(["deployments"], group="apps")], ()),
        ([rule(["pods/exec"], ["CONNECT"])], ()),
        ([], ()),
    ],
)
def test_a_webhook_matters_by_the_writes_of_an_upgrade_that_it_is_asked_about(rules, asked):
    """Groups, resources with their wildcards, operations and scope, as the API server matches them."""
    found = read(configuration(*rules))
    assert tuple(w for f in found for w in f.asked) == asked


IN_SYSTEM = ("pods", "the status of pods", "leases", "evictions", "events")
OF_NODES = ("nodes", "the status of nodes")
WHOLE = {*IN_SYSTEM, *OF_NODES, "heartbeats of nodes"}
SPARED = {*OF_NODES, "evictions in other namespaces"}


@pytest.mark.parametrize(
    ("hook", "asked"),
    [
        ({}, WHOLE),
        ({"failurePolicy": "Fail"}, WHOLE),
        ({"failurePolicy": "Ignore"}, set()),
        ({"namespaceSelector": {}}, WHOLE),
        ({"namespaceSelector": excluding("kube-system", "kube-node-lease")}, SPARED),
        ({"namespaceSelector": excluding("kube-system")}, SPARED | {"heartbeats of nodes"}),
        ({"namespaceSelector": {"matchLabels": {"inject": "yes"}}}, SPARED),
        ({"namespaceSelector": {"matchLabels": SYSTEM}}, {*IN_SYSTEM, *OF_NODES}),
    ],
)
def test_a_webhook_may_ignore_its_own_silence_or_spare_the_systems_namespaces(hook, asked):
    """Fail is the default; what is in no namespace is in none that a selector could spare."""
    assert {w for f in read(configuration(EVERYTHING, **hook)) for w in f.asked} == asked


def test_a_selector_is_held_against_the_labels_that_kube_system_has():
    """Administrators label it as they like."""
    raw = configuration(PODS, namespaceSelector={"matchExpressions": [{"key": "spared", "operator": "DoesNotExist"}]})
    assert read(raw)
    assert not read(raw, {**SYSTEM, "spared": "yes"})


def test_an_endpoint_counts_once_where_it_is_ready():
    """Two address families show the same pod; an absent condition is a ready one."""

    def endpoint(uid, node, **conditions):
        return {"addresses": ["10.0.0.1"], "conditions": conditions, "nodeName": node, "targetRef": {"uid": uid}}

    slices = [
        {"endpoints": [endpoint("a", "w1", ready=True), endpoint("b", "w2", ready=False), endpoint("c", "w3")]},
        {"endpoints": [endpoint("a", "w1", ready=True)]},
        {"endpoints": None},
        {"endpoints": [{"addresses": ["192.0.2.1"]}]},
    ]
    assert read_ready(slices) == ("", "w1", "w3")


SINGLE = ("webhook-single", Severity.WARNING)


@pytest.mark.parametrize(
    ("hooks", "expected"),
    [
        ([hook()], []),
        ([hook(ready=())], [("webhook-unanswered", Severity.BLOCKER)]),
        ([hook(ready=(), narrowed=True)], [("webhook-unanswered", Severity.WARNING)]),
        ([hook(ready=(), asked=("events",))], [("webhook-unanswered", Severity.WARNING)]),
        ([hook(ready=(), asked=("evictions in other namespaces",))], [("webhook-unanswered", Severity.WARNING)]),
        ([hook(ready=(), asked=("events", "nodes"))], [("webhook-unanswered", Severity.BLOCKER)]),
        ([hook(ready=("w1",))], [SINGLE]),
        ([hook(ready=("w1", "w1"))], [SINGLE]),
        ([hook(ready=None, service="", url="https://guard.example.org")], [("webhook-unseen", Severity.WARNING)]),
        ([hook(ready=None)], [("webhook-unseen", Severity.WARNING)]),
        ([hook(ready=("w1",)), hook(ready=("w1",), name="b.example.org")], [SINGLE]),
    ],
)
def test_a_webhook_weighs_by_who_answers_for_it(hooks, expected):
    """Nobody, one node, several, or nobody knows; webhooks of one configuration and service are one finding."""
    assert [(f.code, f.severity) for f in judge(webhooks=tuple(hooks))] == expected


def test_an_unanswered_webhook_is_named_with_what_it_stops_and_who_should_answer():
    """As an operator needs it to act."""
    (finding,) = judge(webhooks=(hook(ready=()), hook(ready=(), name="b.example.org", asked=("nodes",))))
    assert finding.sentence == (
        "The webhooks a.example.org, b.example.org (ValidatingWebhookConfiguration guard) must answer before pods, "
        "nodes are written, and its service policy/guard has no ready endpoint."
    )
    assert "failurePolicy" in finding.remedy


def test_an_api_of_others_is_said_where_it_is_unavailable():
    """Its own condition says why; those that are served, or served locally, say nothing."""

    def api(status, **spec):
        condition = {"type": "Available", "status": status, "reason": "MissingEndpoints", "message": "no endpoints"}
        return {"metadata": {"name": "v1beta1.metrics.k8s.io"}, "spec": spec, "status": {"conditions": [condition]}}

    service = {"namespace": "kube-system", "name": "metrics-server", "port": 443}
    assert read_unavailable(api("True", service=service)) is None
    assert read_unavailable({"metadata": {"name": "v1."}, "spec": {}}) is None
    found = read_unavailable(api("False", service=service))
    assert found == UnavailableApi("v1beta1.metrics.k8s.io", "kube-system/metrics-server", "no endpoints")
    (finding,) = judge(unavailable=(found,))
    assert (finding.code, finding.severity) == ("api-service-unavailable", Severity.WARNING)


def test_a_real_api_server_counts_nothing_that_goes_away():
    """What every cluster asks for (endpoints, component statuses) is deprecated without a release that removes it."""
    recorded = METRICS.read_text(encoding="utf-8").splitlines()
    assert any('resource="endpoints"' in line for line in recorded)
    assert read_gauge(recorded) == frozenset()


def gauge(
    *, group="flowcontrol.apiserver.k8s.io", version="v1beta3", resource="flowschemas", removed="1.32", value="1"
):
    labels = f'group="{group}",removed_release="{removed}",resource="{resource}",subresource="",version="{version}"'
    return f"apiserver_requested_deprecated_apis{{{labels}}} {value}"


def test_what_goes_away_is_read_from_the_gauge():
    """With the release that the API server itself names; a count of nothing is none."""
    lines = ["# TYPE apiserver_requested_deprecated_apis gauge", gauge(), gauge(resource="x", value="0"), gauge()]
    (api,) = read_gauge(lines)
    assert (str(api), api.removed) == ("flowschemas of flowcontrol.apiserver.k8s.io/v1beta3", Minor(1, 32))


def test_what_follows_the_gauge_is_not_waited_for():
    """The rest of the metrics of a large cluster is many megabytes."""

    def lines():
        yield "# TYPE apiserver_requested_deprecated_apis gauge"
        yield gauge()
        yield "# HELP apiserver_tls_handshake_errors_total"
        yield "apiserver_tls_handshake_errors_total 0"
        raise AssertionError

    assert len(read_gauge(lines())) == 1


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        (["<html>", "<body>log in</body>"], "no metrics of an API server"),
        ([], "no metrics of an API server"),
        (["# TYPE apiserver_requested_deprecated_apis gauge", gauge(removed="soon")], "cannot be read"),
    ],
)
def test_a_page_that_is_no_api_servers_is_no_clean_bill(lines, said):
    """Whatever stands between may answer with 200."""
    with pytest.raises(ClusterUnreadable, match=said):
        read_gauge(lines)


FLOW = DeprecatedApi("flowcontrol.apiserver.k8s.io", "v1beta3", "flowschemas", Minor(1, 32))


def managed(name, *managers, applied=None):
    fields = [{"manager": m, "apiVersion": v, "fieldsV1": {}} for m, v in managers]
    annotations = {"kubectl.kubernetes.io/last-applied-configuration": applied} if applied else {}
    return {"name": name, "managedFields": fields, "annotations": annotations}


def test_objects_say_who_wrote_them_in_the_old_version():
    """The managers of their fields, and kubectl's own record; a broken record is passed over."""
    old, new = "flowcontrol.apiserver.k8s.io/v1beta3", "flowcontrol.apiserver.k8s.io/v1"
    found = find_callers(
        FLOW,
        [
            managed("a", ("helm", old), ("kube-controller-manager", new)),
            managed("b", ("helm", old), ("helm", old)),
            managed("c", ("kustomize", new), applied=json.dumps({"apiVersion": old})),
            managed("d", applied="{"),
            {"name": "e"},
        ],
    )
    assert found == (Caller("helm", ("a", "b")), Caller("kubectl apply", ("c",)))


def api(removed):
    return DeprecatedApi("storage.k8s.io", "v1alpha1", "volumeattributesclasses", Minor.parse(removed))


@pytest.mark.parametrize(
    ("removed", "minors", "code", "severity"),
    [
        ("1.35", MINORS, "removed-api-in-use", Severity.BLOCKER),
        ("1.36", MINORS, "removed-api-in-use", Severity.BLOCKER),
        ("1.34", MINORS, "removed-api-in-use", Severity.BLOCKER),
        ("1.37", MINORS, "deprecated-api-in-use", Severity.NOTE),
        ("1.35", (), "deprecated-api-in-use", Severity.NOTE),
    ],
)
def test_an_api_that_goes_away_on_the_way_blocks_and_a_later_one_is_noted(removed, minors, code, severity):
    """By any minor that the plan comes to."""
    (finding,) = judge(minors, deprecated=(DeprecatedUse(api(removed), ("cp1", "cp2")),))
    assert (finding.code, finding.severity) == (code, severity)
    assert "cp1, cp2" in finding.sentence
    assert "storage.k8s.io/v1" in finding.remedy


def test_a_used_api_says_by_whom_and_what_takes_its_place():
    """And that a restart of the API server is what takes the count back."""
    use = DeprecatedUse(FLOW, ("cp1",), (Caller("helm", ("a", "b")),))
    (finding,) = judge(deprecated=(use,))
    assert "written in it by helm (a, b)" in finding.sentence
    assert "flowcontrol.apiserver.k8s.io/v1, which v1.29 and later serve" in finding.remedy
    assert "restart it" in finding.remedy
    (unknown,) = judge(deprecated=(DeprecatedUse(FLOW, ("cp1",)),))
    assert "By whom is not known" in unknown.sentence


def test_who_takes_a_used_api_upon_themselves_may_go_on():
    """The upgrade does not fail of it: the caller does."""
    seen = Examination("prod", NOW, deprecated=(DeprecatedUse(api("1.35"), ("cp1",)),))
    assert codes(blockers(draft(examination=seen).findings)) == ["removed-api-in-use"]
    assert not blockers(draft(examination=seen, accepted=("removed-api-in-use",)).findings)


def test_what_could_not_be_checked_is_said_and_nothing_else_is_made_of_it():
    """Never silence, never clean."""
    (finding,) = judge(unread=(Unread("use of deprecated APIs on cp2", "It did not answer."),))
    assert (finding.code, finding.severity) == ("not-examined", Severity.WARNING)
    assert finding.sentence == "Could not check use of deprecated APIs on cp2: It did not answer."


def test_api_removals_are_dated_and_each_has_its_place():
    """The file says when somebody last looked."""
    file = read_file()
    assert file.verified_on <= date(2026, 11, 23)
    rows = [(r.group, r.version, resource) for r in file.removals for resource in r.resources]
    assert len(rows) == len(set(rows))
    dated = [r.removed for r in file.removals if r.removed]
    assert dated == sorted(dated)
