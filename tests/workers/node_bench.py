"""A machine on a bench: a folder as its root, small sh programs as its tools with a log, and the real node script."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from workers.node_script import render
from workers.node_script.attempts import AttemptState, PollAnswer, parse_poll

RECORDINGS = Path(__file__).parents[1] / "recordings"
# Each stub first says what it was called with; then comes its behaviour. $B is the bench's folder, $R the recordings.
STUBS = {
    "apt-mark": """case $1 in
showhold) [ ! -e "$B/holds" ] || sort -u "$B/holds" ;;
hold) shift; for p in "$@"; do echo "$p" >>"$B/holds"; echo "$p set on hold."; done ;;
unhold) shift; for p in "$@"; do grep -vx "$p" "$B/holds" >"$B/h"; mv "$B/h" "$B/holds"; done ;;
esac""",
    "dpkg-query": """for last; do :; done
case "$*" in *Package*) last=; esac
while read -r state name version; do
  case "$*" in
    *Package*) echo "$state  $name $version" ;;
    *) [ "$name" != "$last" ] || echo "$version $state " ;;
  esac
done <"$B/packages" """,
    "dpkg": """case $1 in --audit) cat "$B/audit" 2>/dev/null; exit 0 ;; --configure) rm -f "$B/audit" ;;
--print-architecture) echo amd64 ;; esac""",
    "apt-get": """case " $* " in
*" update "*) cat "$B/update.out" 2>/dev/null; exit "$(cat "$B/update.rc" 2>/dev/null || echo 0)" ;;
*" --download-only "*) ;;
*" install "*) for word; do case $word in *=*-*.*) case $word in *::*) continue ;; esac
    p=${word%%=*} v=${word#*=}
    sed "s/^\\(.. $p\\) .*/\\1 $v/" "$B/packages" >"$B/p" && mv "$B/p" "$B/packages" ;; esac; done ;;
esac""",
    "apt-cache": """case $1 in policy) cat "$R/machines/apt-policy-three.stdout" ;; *) cat "$B/madison" ;; esac""",
    "gpg": """echo 'pub:-:2048:1:234654DA9A296436:1661334624:1798502400::-:::scSC::::::23::0:'""",
    "kubeadm": """case $1 in
version) sed -n 's/^.. kubeadm \\(.*\\)-.*/v\\1/p' "$B/packages" ;;
upgrade) [ ! -x "$B/upgrade" ] || exec "$B/upgrade" "$@" ;;
certs) cat "$R/machines/certs.stdout" ;;
esac""",
    "kubelet": """echo "Kubernetes v1.34.7" """,
    "kubectl": """echo '{"clientVersion": {"gitVersion": "v1.34.7"}}'""",
    "systemctl": """case $1 in
show) printf 'LoadState=loaded\\nActiveState=active\\nSubState=running\\nNRestarts=1\\nExecMainStartTimestamp=Mon\\n' ;;
is-active) echo active ;;
daemon-reload) [ ! -x "$B/work" ] || exec "$B/work" ;;
esac""",
    "crictl": "exit 1",
    "containerd": "echo containerd github.com/containerd/containerd/v2 2.1.9+unknown ",
    "etcdctl": """case $1 in version) exit 0 ;; esac
for last; do :; done
case "$*" in
*"snapshot save"*) echo snapshot >"$last" ;;
*"endpoint status"*) cat "$R/etcd/status.stdout" ;;
*"member list"*) cat "$R/etcd/members.stdout" ;;
esac""",
    "etcdutl": """echo '{"hash":3187672142,"revision":1288,"totalKey":412,"totalSize":4218912,"version":"3.6.0"}'""",
}
_SYSTEMD_RUN = """unit=
while [ "$1" != -- ]; do case $1 in --unit=*) unit=${1#--unit=} ;; esac; shift; done
shift
mkdir "$B/units/$unit" 2>/dev/null || {
  echo "Failed to start transient service unit: Unit $unit.service was already loaded or has a fragment file." >&2
  exit 1
}
env -i PATH=/usr/bin:/bin setsid "$@" </dev/null >/dev/null 2>&1 &
echo "Running as unit: $unit.service" >&2"""

SOURCE = "deb [signed-by=/etc/apt/keyrings/k.gpg] https://pkgs.example/core:/stable:/v1.34/deb/ /\n"


@dataclass(frozen=True)
class Bench:
    """One machine: `root` is its file system, `home` holds its tools and their log."""

    home: Path

    @property
    def root(self) -> Path:
        return self.home / "root"

    @property
    def script(self) -> Path:
        return self.root / "usr/local/sbin/lockkeeper-node"

    @property
    def log(self) -> list[str]:
        path = self.home / "log"
        return path.read_text().splitlines() if path.exists() else []

    def tool(self, name: str, body: str) -> None:
        path = self.home / "tools" / name
        path.write_text(f'#!/bin/sh\nB={self.home} R={RECORDINGS}\necho "{name} $*" >>"$B/log"\n{body}\n')
        path.chmod(0o755)

    def program(self, name: str, body: str) -> None:
        """What a stub hands over to: `work` (in restart-kubelet) or `upgrade` (kubeadm upgrade …)."""
        path = self.home / name
        path.write_text(f"#!/bin/sh\nB={self.home}\n{body}\n")
        path.chmod(0o755)

    def file(self, path: str, text: str = "") -> Path:
        target = self.root / path.lstrip("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)
        target.chmod(0o644)  # whatever the umask of who runs the tests
        return target

    def install_script(self) -> None:
        """As on a machine, but for the rest between two tries at a mirror."""
        text = render(root=str(self.root), tools=str(self.home / "tools"))
        self.file("/usr/local/sbin/lockkeeper-node", text.replace("PAUSE=2 ", "PAUSE=0 "))

    def hurry(self, seconds: float = 1.0) -> None:
        """Let the script wait less for a tool that only looks."""
        self.script.write_text(self.script.read_text().replace("LOOK=4 ", f"LOOK={seconds} "))

    def control_plane(self, version: str = "v1.34.7") -> None:
        for component in ("kube-apiserver", "kube-controller-manager", "kube-scheduler"):
            self.file(
                f"/etc/kubernetes/manifests/{component}.yaml",
                f"spec:\n  containers:\n  - command:\n    - {component}\n"
                f"    image: registry.k8s.io/{component}:{version}\n",
            )
        etcd = "spec:\n  containers:\n  - command:\n    - etcd\n    image: registry.k8s.io/etcd:3.6.5-0\n"
        self.file("/etc/kubernetes/manifests/etcd.yaml", etcd)
        for kubeconfig in ("admin", "controller-manager"):
            self.file(f"/etc/kubernetes/{kubeconfig}.conf")
        (self.root / "var/lib/etcd/member").mkdir(parents=True, exist_ok=True)

    def run(self, *args: str, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[bytes]:
        return subprocess.run(
            ["/bin/sh", str(self.script), *args], capture_output=True, check=False, env=env, timeout=100
        )

    def answer(self, *args: str) -> str:
        """The one line of an answer that is expected to be given."""
        done = self.run(*args)
        assert done.returncode == 0, done.stderr.decode()
        return done.stdout.decode().strip()

    def poll(self, attempt: str, offset: int = 0, seconds: int = 0) -> PollAnswer:
        return parse_poll(self.run("poll", attempt, str(offset), *([str(seconds)] if seconds else ())).stdout)

    def finish(self, attempt: str, *verb: str, fence: int = 1) -> PollAnswer:
        """Start an attempt and wait for its end."""
        assert self.answer("start", attempt, str(fence), *verb) == "STARTED"
        return self.await_end(attempt)

    def await_end(self, attempt: str) -> PollAnswer:
        self.wait_for(lambda: self.poll(attempt).state is not AttemptState.RUNNING)
        return self.poll(attempt)

    def wait_for(self, what: Callable[[], bool]) -> None:
        for _ in range(600):
            if what():
                return
            time.sleep(0.1)
        raise AssertionError("what the test waits for did not come")


def make_bench(home: Path, *, systemd: bool = False) -> Bench:
    bench = Bench(home)
    (home / "tools").mkdir(parents=True)
    (home / "units").mkdir()
    for name, body in STUBS.items():
        bench.tool(name, body)
    bench.tool("systemd-run", _SYSTEMD_RUN)
    rows = ["hi kubeadm 1.34.7-1.1", "hi kubelet 1.34.7-1.1", "hi kubectl 1.34.7-1.1", "ii cri-tools 1.34.0-1.1"]
    (home / "packages").write_text("\n".join(rows) + "\n")
    (home / "madison").write_text("")
    bench.file("/proc/sys/kernel/random/boot_id", "boot-one\n")
    bench.file("/etc/apt/sources.list.d/kubernetes.list", SOURCE)
    bench.file("/etc/apt/keyrings/k.gpg", "old")
    if systemd:
        (bench.root / "run/systemd/system").mkdir(parents=True)
    bench.install_script()
    return bench
