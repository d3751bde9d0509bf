"""Reports, surveys and records to judge: three control planes and two workers, healthy, and ways to bend them."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from cluster.approval import Statement
from cluster.examination import Examination
from cluster.facts import EtcdTool, KubeletUnit, MachineFacts, Offer, OfferState, Package, PackageSource, Room
from cluster.inventory import Cluster
from cluster.observation import Observation
from cluster.options import Options
from cluster.plan import PlanRecord, PlanStatus
from cluster.report import AddOn, ApiServer, ClusterIdentity, ClusterReport, Node, StaticPod
from cluster.settings import Settings
from cluster.signing import public_line
from cluster.survey import ApiUse, Survey, SurveyedMachine
from cluster.versions import KubeVersion, Minor, PackageVersion, ReportedVersion, parse_target
from policies.drafting import draft_upgrade

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
MASTERS, WORKERS = ("cp1", "cp2", "cp3"), ("w1", "w2")
GIB = 1024 * 1024
BOT = Ed25519PrivateKey.generate()


def v(text):
    return KubeVersion.parse(text)


def reported(text):
    return ReportedVersion.parse(text)


def codes(findings):
    return sorted({f.code for f in findings})


def make_report(api="v1.34.7", kubelet="v1.34.7", *, proxy=None, controllers=None, declared=None, masters=MASTERS):
    """`api` and `kubelet` are one version for all, or a mapping by node name."""
    api = api if isinstance(api, dict) else dict.fromkeys(masters, api)
    names = (*api, *WORKERS)
    kubelet = kubelet if isinstance(kubelet, dict) else dict.fromkeys(names, kubelet)
    controllers = controllers or api
    nodes = tuple(
        Node(
            n,
            f"uid-{n}",
            control_plane=n in api,
            kubelet=reported(kubelet.get(n, "v1.34.7")),
            ready=True,
            cordoned=False,
        )
        for n in names
    )
    pods = []
    for n, version in api.items():
        tags = {"etcd": "3.6.5-0", "kube-apiserver": version}
        tags |= dict.fromkeys(("kube-controller-manager", "kube-scheduler"), controllers[n])
        pods += [
            StaticPod(n, c, f"registry.k8s.io/{c}:{tag}", tag, ready=True, config_hash="") for c, tag in tags.items()
        ]
    return ClusterReport(
        cluster="prod",
        identity=ClusterIdentity("prod", "ca", "uid"),
        read_at=NOW,
        api_servers=tuple(ApiServer(n, f"{n}:6443", reported(version), ready=True) for n, version in api.items()),
        static_pods=tuple(pods),
        nodes=nodes,
        add_ons=(AddOn("kube-proxy", f"registry.k8s.io/kube-proxy:{proxy}", names),) if proxy else (),
        declared=v(declared or min(api.values())),
    )


def with_node(report, name, **changes):
    return replace(report, nodes=tuple(replace(n, **changes) if n.name == name else n for n in report.nodes))


def with_api(report, name, version):
    """One API server that answers with another version, its pod as before."""
    servers = tuple(replace(s, version=reported(version)) if s.node == name else s for s in report.api_servers)
    return replace(report, api_servers=servers)


FACTS = MachineFacts(
    protocol=1,
    time=NOW,
    boot_id="b",
    fence=0,
    control_plane=False,
    cgroup="v2",
    swap=False,
    packages=tuple(Package(p, "1.34.7-1.1", "hi") for p in ("kubeadm", "kubelet", "kubectl")),
    sources=(PackageSource("/etc/apt/sources.list.d/kubernetes.list", "https://example.org", Minor(1, 34), "-"),),
    kubeadm=reported("v1.34.7"),
    kubelet=reported("v1.34.7"),
    kubectl=reported("v1.34.7"),
    kubelet_unit=KubeletUnit(loaded=True, active=True, state="running", restarts=0, started=""),
    etcdctl=EtcdTool.CONTAINER,
    room=(Room("/etc/kubernetes", 20 * GIB, 10 * GIB), Room("/var/lib/kubelet", 20 * GIB, 10 * GIB)),
    etcd_size_kib=GIB,
)
PACKAGES = ("1.34.7-1.1", "1.34.9-1.1", "1.35.0-1.1", "1.35.4-1.1", "1.36.2-1.1")


def make_offers(*packages):
    """The offers of one machine: one Offer per minor from 1.34 to 1.36."""
    read = [PackageVersion.parse(p) for p in packages]
    return tuple(
        Offer(m, OfferState.OFFERED if found else OfferState.ABSENT, found)
        for m in (Minor(1, 34), Minor(1, 35), Minor(1, 36))
        for found in [tuple(p for p in read if p.version.minor == m)]
    )


def make_survey(*, offers=None, facts=None, masters=MASTERS):
    """`offers` and `facts` replace those of the named machines."""
    machines = tuple(
        SurveyedMachine(
            n,
            (facts or {}).get(n, replace(FACTS, control_plane=n in masters)),
            (offers or {}).get(n, make_offers(*PACKAGES)),
        )
        for n in (*masters, *WORKERS)
    )
    return Survey("prod", NOW, machines, ApiUse(NOW))


def make_cluster(**changes):
    machine = {"address": "10.0.0.1", "key_file": "/key", "host_key": "SHA256:" + "a" * 43}
    data = {"kubeconfig": "/kubeconfig", "machines": dict.fromkeys((*MASTERS, *WORKERS), machine), **changes}
    return Cluster.model_validate(data)


def see(report=None, survey=None, examination=None):
    """Everything that was seen: by default three control planes and two workers, all well."""
    return Observation(report or make_report(), survey or make_survey(), examination or Examination("prod", NOW))


def draft(
    target="v1.35.4",
    *,
    report=None,
    survey=None,
    examination=None,
    cluster=None,
    accepted=(),
    options=None,
    without=(),
):
    return draft_upgrade(
        see(report, survey, examination),
        cluster or make_cluster(),
        parse_target(target),
        options=options or Options(),
        accepted=accepted,
        without=without,
        now=NOW,
    )


def make_record(target="v1.35.4", *, drafted=None, **changes):
    made = drafted or draft(target)
    record = PlanRecord(
        id="p-11111111",
        plan=made.plan,
        digest=made.plan.digest,
        status=PlanStatus.PROPOSED,
        requester="ada",
        requested_at=NOW,
        expires_at=NOW + timedelta(hours=1),
        findings=made.findings,
        basis=made.basis,
        channel="C0OPS",
    )
    return replace(record, **changes)


def make_settings():
    cluster = make_cluster().model_dump(mode="json", exclude_none=True)
    return Settings.model_validate(
        {
            "clusters": {"prod": cluster},
            "people": {n: {"slack": f"U0{n.upper()}"} for n in ("ada", "grace", "linus", "mallory")},
            "approvals": {"approvers": ["grace"], "user_groups": ["S0OPS"], "public_key": public_line(BOT)},
        }
    )


SETTINGS = make_settings()


def make_statement(record, **changes):
    statement = Statement(
        plan_id=record.id,
        digest=record.digest,
        cluster="prod",
        decision="approve",
        person="grace",
        requester="ada",
        at=NOW,
        expires_at=record.expires_at,
        evidence="approver list",
        operation_id="op-1",
    )
    return replace(statement, **changes)
