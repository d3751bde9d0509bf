"""An etcd that is not kubeadm's own, as a control plane's machine is answered by it: by etcdctl, or by its gateway."""

from __future__ import annotations

from pathlib import Path

import pytest

from cluster.etcd import EtcdAlarm, EtcdFacts
from cluster.facts import MachineFacts
from cluster.report import Unread
from tests.workers.node_bench import Bench, make_bench
from workers.node_script.survey import parse_facts

SERVERS = "https://10.0.0.5:2379,https://10.0.0.6:2379"
_PKI = "/etc/kubernetes/pki"
_GATEWAY = """case "$*" in
*10.0.0.6*) echo 'curl: (7) Failed to connect to 10.0.0.6 port 2379' >&2; exit 7 ;;
*maintenance/status) cat "$R/etcd/{status}.stdout" ;;
*member/list) cat "$R/etcd/gateway-members.stdout" ;;
*maintenance/alarm) cat "$R/etcd/{alarms}.stdout" 2>/dev/null || echo '{{}}' ;;
esac"""


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    bench = make_bench(tmp_path / "m")
    bench.control_plane()
    manifests = bench.root / "etc/kubernetes/manifests"
    (manifests / "etcd.yaml").unlink()
    flags = (
        f"    - --etcd-cafile={_PKI}/etcd/ca.crt\n    - --etcd-certfile={_PKI}/apiserver-etcd-client.crt\n"
        f"    - --etcd-keyfile={_PKI}/apiserver-etcd-client.key\n    - --etcd-servers={SERVERS}\n"
    )
    api = manifests / "kube-apiserver.yaml"
    api.write_text(api.read_text().replace("    image:", f"{flags}    image:"))
    return bench


def _without_etcdctl(bench: Bench, status: str = "gateway-status", alarms: str = "none") -> None:
    (bench.home / "tools/etcdctl").unlink()
    bench.tool("curl", _GATEWAY.format(status=status, alarms=alarms))


def _facts(bench: Bench) -> MachineFacts:
    return parse_facts(bench.answer("observe"))


def _told(facts: MachineFacts) -> EtcdFacts:
    first = facts.outside_etcd[0].told
    assert isinstance(first, EtcdFacts)
    return first


def test_each_endpoint_is_asked_with_the_api_servers_certificate(bench: Bench):
    """By etcdctl where there is one; all members are listed once."""
    facts = _facts(bench)
    assert facts.etcd is None
    assert [e.place for e in facts.outside_etcd] == ["10.0.0.5:2379", "10.0.0.6:2379"]
    told = _told(facts)
    assert (told.version, told.healthy, told.size_bytes, told.quota_bytes) == ("3.5.1", True, 20480, 0)
    assert [m.name for m in told.members or ()] == ["cp3", "cp1", "cp2"]
    asked = [line for line in bench.log if line.startswith("etcdctl")]
    assert len(asked) == len(("status", "status", "members", "alarms"))
    pki = f"{bench.root}{_PKI}"
    key = f"--cacert {pki}/etcd/ca.crt --cert {pki}/apiserver-etcd-client.crt --key {pki}/apiserver-etcd-client.key"
    assert all(key in line for line in asked)


def test_without_etcdctl_its_own_gateway_is_asked(bench: Bench):
    """The recorded answers of a real etcd: large numbers are text there; an endpoint that is away is one of them."""
    _without_etcdctl(bench)
    facts = _facts(bench)
    told = _told(facts)
    assert (told.ident, told.version, told.healthy, told.is_leader) == ("11417610130673999598", "3.4.23", True, True)
    assert (told.size_bytes, told.raft_behind, told.alarms) == (20480, 0, ())
    assert [m.name for m in told.members or ()] == ["a"]
    away = facts.outside_etcd[1].told
    assert isinstance(away, Unread)
    assert away.reason == "curl: (7) Failed to connect to 10.0.0.6 port 2379"


def test_an_alarm_comes_by_the_gateway_too(bench: Bench):
    """With the member that raised it, and no illness of that member."""
    _without_etcdctl(bench, "gateway-status-no-space", "gateway-alarms")
    told = _told(_facts(bench))
    assert told.alarms == (EtcdAlarm("11417610130673999598", "NOSPACE"),)
    assert told.healthy


def test_without_any_tool_each_endpoint_is_unread(bench: Bench):
    """And no clean one."""
    (bench.home / "tools/etcdctl").unlink()
    bench.script.write_text(bench.script.read_text().replace("command -v curl", "command -v no-curl-here"))
    facts = _facts(bench)
    assert {e.told.reason for e in facts.outside_etcd if isinstance(e.told, Unread)} == {
        "neither etcdctl nor curl is installed"
    }


def test_kubeadms_own_etcd_is_no_outside_one(tmp_path: Path):
    """Nor has a worker any."""
    bench = make_bench(tmp_path / "m")
    bench.control_plane()
    assert _facts(bench).outside_etcd == ()
    assert _facts(make_bench(tmp_path / "w")).outside_etcd == ()
