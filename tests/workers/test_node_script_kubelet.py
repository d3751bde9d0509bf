"""The kubelet's arguments in every place that may give them, its feature gates, and the runtime below it."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from cluster.declarations import read_kubelet_configuration
from cluster.facts import MachineFacts
from cluster.runtime import Runtime
from tests.workers.node_bench import RECORDINGS, Bench, make_bench
from workers.node_script.survey import parse_facts

CONFIG = "/var/lib/kubelet/config.yaml"
DROP_INS = "/etc/systemd/system/kubelet.service.d"
# As the package of kubeadm brings it.
PACKAGED = """# Note: This dropin only works with kubeadm and kubelet v1.11+
[Service]
Environment="KUBELET_KUBECONFIG_ARGS=--bootstrap-kubeconfig=/etc/kubernetes/bootstrap-kubelet.conf"
EnvironmentFile=-/var/lib/kubelet/kubeadm-flags.env
EnvironmentFile=-/etc/default/kubelet
ExecStart=
ExecStart=/usr/bin/kubelet $KUBELET_KUBECONFIG_ARGS $KUBELET_CONFIG_ARGS $KUBELET_KUBEADM_ARGS $KUBELET_EXTRA_ARGS
"""


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    bench = make_bench(tmp_path / "m")
    bench.file(CONFIG, (RECORDINGS / "machines/kubelet-config.yaml").read_text(encoding="utf-8"))
    return bench


def _facts(bench: Bench) -> MachineFacts:
    return parse_facts(bench.answer("observe"))


def test_arguments_are_found_in_drop_ins_of_the_owner_by_file(bench: Bench):
    """Quoted, after a name or in the command itself; what is commented out is none."""
    bench.file("/usr/lib/systemd/system/kubelet.service.d/10-kubeadm.conf", PACKAGED)
    bench.file(
        f"{DROP_INS}/20-ours.conf",
        '[Service]\n# Environment="X=--old"\nEnvironment="KUBELET_OURS=--cgroups-per-qos=true --v=4"\n'
        "Environment=KUBELET_MORE=--keep\nExecStart=/usr/bin/kubelet --container-runtime=remote $KUBELET_EXTRA_ARGS\n",
    )
    assert _facts(bench).kubelet_arguments == (
        (f"{DROP_INS}/20-ours.conf", "--cgroups-per-qos=true --v=4 --keep --container-runtime=remote"),
    )


def test_a_file_of_arguments_counts_where_a_unit_reads_it(bench: Bench):
    """/etc/sysconfig is read by the unit of rpm alone."""
    bench.file("/etc/sysconfig/kubelet", 'KUBELET_EXTRA_ARGS="--pod-infra-container-image=x"\n')
    assert _facts(bench).kubelet_arguments == ()
    rpm = PACKAGED.replace("/etc/default/kubelet", "/etc/sysconfig/kubelet")
    bench.file("/usr/lib/systemd/system/kubelet.service.d/10-kubeadm.conf", rpm)
    assert _facts(bench).kubelet_arguments == (("/etc/sysconfig/kubelet", "--pod-infra-container-image=x"),)


def test_a_long_line_of_arguments_is_told_whole(bench: Bench):
    """A flag at its end counts as much as one at its beginning."""
    many = " ".join(f"--flag-{n}=value" for n in range(100))
    bench.file("/etc/default/kubelet", f'KUBELET_EXTRA_ARGS="{many} --last"\n')
    assert _facts(bench).kubelet_extra_args.endswith("--flag-99=value --last")


@pytest.mark.parametrize(
    ("text", "gates"),
    [
        ("featureGates:\n  SidecarContainers: true # on\n  Foo: false\nkind: x\nother:\n  Bar: true\n", "SF"),
        ("featureGates: {SidecarContainers: true, Foo: false}\n", "SF"),
        ("featureGates: {}\n", ""),
        ("kind: KubeletConfiguration\n", ""),
    ],
)
def test_feature_gates_of_the_configuration_are_told_by_name(bench: Bench, text: str, gates: str):
    """In either form of YAML; of the recorded real configuration there are none."""
    assert _facts(bench).feature_gates == ()
    bench.file(CONFIG, text)
    named = {"S": ("SidecarContainers", "true"), "F": ("Foo", "false")}
    assert _facts(bench).feature_gates == tuple(named[gate] for gate in gates)


def test_settings_are_told_by_their_path(bench: Bench):
    """Of the recorded real configuration each as it stands there, and as the ConfigMap's are read."""
    text = (RECORDINGS / "machines/kubelet-config.yaml").read_text(encoding="utf-8")
    whole = read_kubelet_configuration(yaml.safe_load(text))
    assert _facts(bench).kubelet_settings == whole.kubelet_settings
    told = dict(whole.kubelet_settings)
    assert (told["authentication.webhook.cacheTTL"], told["clusterDNS.0"]) == ("0s", "10.96.0.10")


WRITTEN = """---
maxPods: 200 # ours
providerID: "a: b"
empty: ''
evictionHard:
  memory.available: 100Mi
  "nodefs.available": '10%'
evictionSoft: {memory.available: 1Gi, nodefs.available: "5%"}
allowedUnsafeSysctls: [net.core.somaxconn, 'kernel.msg*']
clusterDNS:
- 10.96.0.10
registerWithTaints:
  - effect: NoSchedule
    key: x
  - key: y
featureGates:
  A: true
crashLoopBackOff: {}
nothing: null
last: true
"""


@pytest.mark.parametrize("text", [WRITTEN, WRITTEN.replace("\n  -", "\n-").replace("    key", "  key")])
def test_whatever_way_it_is_written_the_configuration_is_told_as_it_is_read_elsewhere(bench: Bench, text: str):
    """Blocks and brackets, with and without quotes, lists indented or not."""
    bench.file(CONFIG, text)
    assert _facts(bench).kubelet_settings == read_kubelet_configuration(yaml.safe_load(text)).kubelet_settings
    assert _facts(bench).feature_gates == (("A", "true"),)


def test_a_header_that_may_hold_a_password_stays_on_the_machine(bench: Bench):
    """So do texts of several lines, of which no line is taken for a setting."""
    bench.file(CONFIG, "staticPodURLHeader:\n  Authorization:\n  - Basic x\ntext: |\n  maxPods: 1\n  b\nlast: x\n")
    assert _facts(bench).kubelet_settings == (("last", "x"),)


def test_a_configuration_that_is_not_there_is_unread(bench: Bench):
    """No gates and unknown gates are two answers."""
    (bench.root / CONFIG[1:]).unlink()
    facts = _facts(bench)
    assert facts.feature_gates is None
    assert "kubelet-config" in {u.what for u in facts.unread}


@pytest.mark.parametrize(
    ("crictl", "runtime"),
    [
        (r"printf 'RuntimeName:  containerd\nRuntimeVersion:  v1.7.28\n'", Runtime("containerd", "v1.7.28")),
        (r"printf 'RuntimeName:  cri-o\nRuntimeVersion:  1.34.1\n'", Runtime("cri-o", "1.34.1")),
        ("exit 1", Runtime("containerd", "2.1.9+unknown")),
        ("exec sleep 30", Runtime("containerd", "2.1.9+unknown")),
    ],
)
def test_the_runtime_that_runs_outweighs_the_binary(bench: Bench, crictl: str, runtime: Runtime):
    """Asked at the kubelet's own endpoint; the binary's recorded answer where nobody answers there."""
    bench.tool("crictl", crictl)
    bench.hurry()
    facts = _facts(bench)
    assert (facts.runtime, facts.runtime_endpoint) == (runtime, "unix:///run/containerd/containerd.sock")
    assert "crictl -r unix:///run/containerd/containerd.sock version" in bench.log


@pytest.mark.parametrize(("text", "release"), [("v1.7.28", (1, 7, 28)), ("2.1.9+ds1-5", (2, 1, 9)), ("dev", None)])
def test_the_release_of_a_runtime_is_what_its_version_begins_with(text: str, release: tuple[int, ...] | None):
    """Distributions write their own things behind it."""
    assert Runtime("containerd", text).release == release


def test_the_sandbox_image_is_that_of_containerds_configuration(bench: Bench):
    """Under its old and its new name; a commented one is containerd's default."""
    path = "/etc/containerd/config.toml"
    bench.file(path, '  # sandbox_image = "x"\n  sandbox_image = "k8s.gcr.io/pause:3.6"\n')
    assert _facts(bench).sandbox_image == "k8s.gcr.io/pause:3.6"
    bench.file(path, "      sandbox = 'registry.k8s.io/pause:3.10.1'\n")
    assert _facts(bench).sandbox_image == "registry.k8s.io/pause:3.10.1"
    bench.file(path, "version = 3\n")
    assert _facts(bench).sandbox_image == ""
