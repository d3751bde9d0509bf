"""Machines of a real cluster: what the real node script tells where its tools print what was recorded of them."""

from __future__ import annotations

import json
import re
import tempfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from cluster.facts import MachineFacts, Offer
from cluster.versions import Minor
from tests.workers.node_bench import RECORDINGS, Bench, make_bench
from workers.node_script.survey import parse_facts, parse_offers

_FOLDER = RECORDINGS / "machines"
HOSTS = {"before": ("cp1", "w1", "w2"), "applied": ("cp1",), "half": ("cp1", "w1", "w2"), "after": ("cp1",)}
_PACKAGE = re.compile(r"[a-z]{2,3}\s+\S+ \S+")
_IMAGE = "spec:\n  containers:\n  - command:\n    - {component}\n    image: {image}\n"


@dataclass(frozen=True)
class Recorded:
    """The recordings of one machine at one stage, each command's own part of them."""

    stage: str
    host: str

    def text(self, what: str) -> str:
        return (_FOLDER / f"{self.stage}-{self.host}-{what}.stdout").read_text(encoding="utf-8")

    @property
    def _versions(self) -> tuple[str, str]:
        """Of kubeadm, in JSON, and all that follows."""
        text = self.text("versions")
        end = json.JSONDecoder().raw_decode(text)[1]
        return text[:end], text[end:].lstrip()

    @property
    def kubeadm(self) -> str:
        return str(json.loads(self._versions[0])["clientVersion"]["gitVersion"])

    @property
    def kubelet(self) -> str:
        return self._versions[1].splitlines()[0]

    @property
    def kubectl(self) -> str:
        rest = self._versions[1].partition("\n")[2]
        return rest[: json.JSONDecoder().raw_decode(rest)[1]]

    @property
    def packages(self) -> str:
        return "".join(f"{line}\n" for line in self.text("versions").splitlines() if _PACKAGE.fullmatch(line))

    @property
    def holds(self) -> str:
        lines = self.text("versions").splitlines()
        return "".join(f"{line}\n" for line in lines[len(lines) - lines[::-1].index("}") :] if " " not in line)

    @property
    def source(self) -> str:
        return self.text("apt").partition("kubeadm:\n")[0]

    @property
    def policy(self) -> str:
        return "".join(f"{x}\n" for x in self.text("apt").removeprefix(self.source).splitlines() if " | " not in x)

    @property
    def unit(self) -> str:
        return "".join(f"{line}\n" for line in self.text("kubelet-status").splitlines() if "=" in line)

    @property
    def configuration(self) -> str:
        return self.text("kubelet-files").partition("KUBELET_KUBEADM_ARGS=")[0]

    @property
    def flags(self) -> str:
        files = self.text("kubelet-files").removeprefix(self.configuration)
        return files.splitlines(keepends=True)[0]

    @property
    def images(self) -> dict[str, str]:
        """By component, of a control plane."""
        found = (_FOLDER / f"{self.stage}-static-images.stdout").read_text(encoding="utf-8")
        rows = re.findall(r"manifests/(\S+)\.yaml:\s+image: (\S+)", found) if self.host.startswith("cp") else ()
        return dict(rows)


@cache
def recorded_facts(stage: str, host: str, *, kubelet: str = "", unit: str = "", diff: str = "") -> MachineFacts:
    """What `observe` tells; `kubelet`, `unit` and `diff` are what another recording shows of these instead."""
    told = Recorded(stage, host)
    with tempfile.TemporaryDirectory(prefix="lk-") as folder:
        bench = make_bench(Path(folder) / "m")
        _furnish(bench, told, kubelet or told.kubelet, unit or f"LoadState=loaded\n{told.unit}")
        if diff:
            bench.program("upgrade", f"cat {_FOLDER}/{diff}.stdout")
        return parse_facts(bench.answer("observe"))


def _furnish(bench: Bench, told: Recorded, kubelet: str, unit: str) -> None:
    (bench.home / "packages").write_text(told.packages, encoding="utf-8")
    (bench.home / "holds").write_text(told.holds, encoding="utf-8")
    said = {"kubectl": told.kubectl, "kubelet": kubelet, "policy": told.policy, "unit": unit}
    for name, text in said.items():
        (bench.home / f"{name}.out").write_text(text, encoding="utf-8")
    bench.tool(
        "kubeadm",
        f"""case $1 in version) echo {told.kubeadm} ;; certs) cat "$R/machines/certs.stdout" ;;
upgrade) [ ! -x "$B/upgrade" ] || exec "$B/upgrade" "$@" ;; esac""",
    )
    bench.tool("kubelet", 'cat "$B/kubelet.out"')
    bench.tool("kubectl", 'cat "$B/kubectl.out"')
    bench.tool("apt-cache", 'cat "$B/policy.out"')
    bench.tool("systemctl", 'cat "$B/unit.out"')
    bench.tool("etcdctl", "exit 1")  # its etcd was recorded without one
    bench.file("/proc/sys/kernel/hostname", f"{told.host}\n")
    host = (_FOLDER / "before-host-facts.stdout").read_text(encoding="utf-8")  # one image for all of them
    bench.file("/etc/os-release", "".join(f"{x}\n" for x in host.splitlines() if re.match("[A-Z_]+=", x)))
    bench.file("/proc/sys/kernel/osrelease", next(x for x in host.splitlines() if x.startswith("Linux ")).split()[2])
    bench.file("/proc/swaps", "Filename Type Size\n")  # `free` shows none
    bench.file("/proc/locks")
    bench.file("/sys/fs/cgroup/memory/tasks")  # the kubelets' events say that it is cgroup v1
    bench.file("/etc/apt/sources.list.d/kubernetes.list", told.source)
    bench.file("/var/lib/kubelet/config.yaml", told.configuration)
    bench.file("/var/lib/kubelet/kubeadm-flags.env", told.flags)
    for component, image in told.images.items():
        bench.file(f"/etc/kubernetes/manifests/{component}.yaml", _IMAGE.format(component=component, image=image))


def recorded_offer(update: str, code: int, minor: Minor) -> Offer:
    """What is told of a package source of which `apt-get update` was recorded to say this."""
    with tempfile.TemporaryDirectory(prefix="lk-") as folder:
        bench = make_bench(Path(folder) / "m")
        said = "".join(p.read_text(encoding="utf-8") for p in sorted(_FOLDER.glob(f"{update}.std*")))
        (bench.home / "update.out").write_text(said, encoding="utf-8")
        (bench.home / "update.rc").write_text(str(code), encoding="utf-8")
        return parse_offers(bench.answer("offers", str(minor)), (minor,))[0]


def recorded_etcd(status: str, *, members: str = "members", alarms: str = "") -> MachineFacts:
    """A control plane whose etcdctl prints what that of a real etcd was recorded to print."""
    rows = {"endpoint status": status, "member list": members, "alarm list": alarms}
    arms = "\n".join(
        f'*"{words}"*) cat "$R/etcd/{name}.stderr" >&2 2>/dev/null; cat "$R/etcd/{name}.stdout" 2>/dev/null;'
        f' [ ! -e "$R/etcd/{name}.stderr" ] || exit 1 ;;'
        for words, name in rows.items()
    )
    with tempfile.TemporaryDirectory(prefix="lk-") as folder:
        bench = make_bench(Path(folder) / "m")
        bench.control_plane()
        bench.tool("etcdctl", f'case "$*" in version) ;;\n{arms}\nesac\nexit 0')
        return parse_facts(bench.answer("observe"))
