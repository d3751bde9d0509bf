"""`images` tells where each image of a release can be had, and asks nobody for more than its manifest."""

from __future__ import annotations

import shutil
import subprocess
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import ClassVar

import pytest

from cluster.images import ImageOffer, ImageState
from cluster.report import Unread
from tests.workers.node_bench import Bench, make_bench
from workers.node_script.images import parse_images
from workers.node_script.lines import UnreadableAnswer

ASKED = ("images", "v1.35.4", "3.6.6-0", "v1.13.1", "3.10.1")
K8S = "registry.k8s.io"
DECLARED = "kubernetesVersion: v1.34.7\\nimageRepository: registry.k8s.io\\n"
_ABSENT = '{"errors":[{"code":"MANIFEST_UNKNOWN","message":"Failed to fetch"}]}'
# Answers as the option -w has them, and the body of the second look at what is not there.
_CURL = """for last; do :; done
out=
while [ $# -gt 0 ]; do case $1 in -o) out=$2 ;; esac; shift; done
code=$(cat "$B/code" 2>/dev/null || echo 200)
cat "$B/body" 2>/dev/null >"$out"
printf %s "$code"
[ "$code" != 000 ] || { echo 'curl: (6) Could not resolve host: registry.k8s.io' >&2; exit 6; }"""


@pytest.fixture
def bench(worker: Bench) -> Bench:
    worker.control_plane()
    return worker


@pytest.fixture
def worker(tmp_path: Path) -> Bench:
    bench = make_bench(tmp_path / "m")
    declare(bench, DECLARED)
    bench.tool("curl", _CURL)
    bench.tool(
        "crictl", """case $* in *images*) printf 'IMAGE TAG ID SIZE\\nregistry.k8s.io/pause 3.10.1 a 1MB\\n' ;; esac"""
    )
    return bench


def declare(bench: Bench, text: str) -> None:
    bench.tool("kubectl", f"printf '{text}'")


def told(bench: Bench, *args: str) -> dict[str, ImageOffer]:
    offers = parse_images(bench.answer(*(args or ASKED)))
    assert not isinstance(offers, Unread)
    return {offer.image: offer for offer in offers}


def states(bench: Bench) -> set[ImageState]:
    """Of all that is not on the machine already."""
    return {o.state for o in told(bench).values() if o.state is not ImageState.PRESENT}


def test_a_control_plane_tells_of_everything_that_kubeadm_will_pull(bench: Bench):
    """What is there already is asked of nobody, and of the rest only heads are asked for."""
    offers = told(bench)
    assert {image: offer.state for image, offer in offers.items()} == {
        f"{K8S}/kube-proxy:v1.35.4": ImageState.OFFERED,
        f"{K8S}/pause:3.10.1": ImageState.PRESENT,
        f"{K8S}/kube-apiserver:v1.35.4": ImageState.OFFERED,
        f"{K8S}/kube-controller-manager:v1.35.4": ImageState.OFFERED,
        f"{K8S}/kube-scheduler:v1.35.4": ImageState.OFFERED,
        f"{K8S}/etcd:3.6.6-0": ImageState.OFFERED,
        f"{K8S}/coredns/coredns:v1.13.1": ImageState.OFFERED,
    }
    asked = [line for line in bench.log if line.startswith("curl")]
    assert len(asked) == 6
    assert all("-I" in line for line in asked)
    assert any(line.endswith(f"https://{K8S}/v2/coredns/coredns/manifests/v1.13.1") for line in asked)
    assert not [line for line in bench.log if " pull" in line]


def test_a_worker_needs_two(tmp_path: Path):
    """kube-proxy, and the image that holds pods together."""
    bench = make_bench(tmp_path / "w")
    declare(bench, DECLARED)
    bench.tool("curl", _CURL)
    assert set(told(bench)) == {f"{K8S}/kube-proxy:v1.35.4", f"{K8S}/pause:3.10.1"}


@pytest.mark.parametrize(
    ("declared", "expected"),
    [
        (
            'imageRepository: "mirror.example:5000/k8s"\\n',
            {"mirror.example:5000/k8s/kube-proxy:v1.35.4", "mirror.example:5000/k8s/coredns:v1.13.1"},
        ),
        (
            "dns:\\n  imageRepository: d.example\\netcd:\\n  local:\\n    imageRepository: e.example\\n",
            {"d.example/coredns:v1.13.1", "e.example/etcd:3.6.6-0", f"{K8S}/pause:3.10.1"},
        ),
        ("imageRepository: k8s.gcr.io\\n", {f"{K8S}/kube-proxy:v1.35.4", f"{K8S}/coredns/coredns:v1.13.1"}),
        ("", {f"{K8S}/etcd:3.6.6-0"}),
    ],
)
def test_repositories_are_those_that_the_cluster_declares(bench: Bench, declared: str, expected: set[str]):
    """Of etcd and DNS by themselves; CoreDNS lies deeper in the usual registry, and there alone."""
    declare(bench, f"kubernetesVersion: v1.34.7\\n{declared}")
    assert expected <= set(told(bench))


def test_what_is_not_wanted_is_not_asked_for(bench: Bench):
    """An etcd elsewhere, or tags that nobody knows."""
    assert {o.name for o in told(bench, "images", "v1.35.4", "-", "-", "-").values()} == {
        "kube-proxy", "kube-apiserver", "kube-controller-manager", "kube-scheduler",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("code", "body", "state", "reason"),
    [
        ("404", _ABSENT, ImageState.ABSENT, ""),
        ("404", "<html>no such page</html>", ImageState.UNKNOWN, "answered 404"),
        ("401", "", ImageState.UNKNOWN, "wants a login"),
        ("403", "", ImageState.UNKNOWN, "wants a login"),
        ("503", "", ImageState.UNKNOWN, "answered 503"),
        ("000", "", ImageState.UNKNOWN, "Could not resolve host"),
    ],
)
def test_only_a_registrys_own_word_makes_an_image_absent(
    worker: Bench, code: str, body: str, state: ImageState, reason: str
):
    """Whatever else happens on the way leaves it open."""
    (worker.home / "code").write_text(code)
    (worker.home / "body").write_text(body)
    assert states(worker) == {state}
    assert any(reason in offer.reason for offer in told(worker).values())


class _Registry(BaseHTTPRequestHandler):
    """It sends each one to its store, which lets everybody read who asked for a pass; it lacks the scheduler."""

    asked: ClassVar[list[str]] = []

    def do_GET(self) -> None:
        pass_ = self.headers.get("Authorization") or ""
        self.asked.append(f"{self.command} {self.path} {pass_}".strip())
        where = f"http://{self.headers['Host']}/token"
        if self.path.startswith("/token"):
            self._answer(200, b'{"token":"abc.%s"}' % self.path.rpartition("%2f")[2].partition("%3a")[0].encode())
        elif self.path.startswith("/v2/k8s/"):
            self._answer(307, b"", Location=self.path.replace("/k8s/", "/store/"))
        elif not pass_.startswith("Bearer abc."):
            self._answer(401, b"", **{"WWW-Authenticate": f'Bearer realm="{where}",service="store"'})
        elif "kube-scheduler" in self.path:
            self._answer(404, b'{"errors":[{"code":"MANIFEST_UNKNOWN"}]}')
        else:
            self._answer(200, b"{}")

    do_HEAD = do_GET  # noqa: N815 - as the library calls it

    def _answer(self, code: int, body: bytes, **headers: str) -> None:
        self.send_response(code)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, *_args: object) -> None:
        """A test reads `asked`."""


@pytest.mark.skipif(not shutil.which("curl", path="/usr/bin:/bin"), reason="install curl to ask a registry with it")
@pytest.mark.parametrize("folder", ["k8s", "store"])
def test_a_registry_is_asked_as_a_runtime_asks_it(bench: Bench, folder: str):
    """By the real curl: it is sent on elsewhere, and fetches the pass that the registry gives to everybody."""
    (bench.home / "tools/curl").unlink()
    text = bench.script.read_text().replace("=https", "=http")
    bench.script.write_text(text.replace('realm="\\(https:', 'realm="\\(http:'))
    with ThreadingHTTPServer(("127.0.0.1", 0), _Registry) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        place = f"127.0.0.1:{server.server_port}/{folder}"
        declare(bench, f"kubernetesVersion: v1.34.7\\nimageRepository: {place}\\n")
        offers = told(bench)
        server.shutdown()
    absent = f"{place}/kube-scheduler:v1.35.4"
    assert {image: offer.state for image, offer in offers.items()} == {
        image: ImageState.ABSENT if image == absent else ImageState.OFFERED for image in offers
    }
    assert "HEAD /v2/store/etcd/manifests/3.6.6-0 Bearer abc.etcd" in _Registry.asked


def test_a_registry_that_does_not_answer_is_asked_once(bench: Bench):
    """Seven times eight seconds would be a long wait for one answer."""
    (bench.home / "code").write_text("000")
    told(bench)
    assert len([line for line in bench.log if line.startswith("curl")]) == 1


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("/etc/containerd/certs.d/registry.k8s.io/hosts.toml", 'server = "https://mirror"'),
        ("/etc/containerd/certs.d/_default/hosts.toml", ""),
        ("/etc/containerd/conf.d/x.toml", '[plugins."io.containerd.grpc.v1.cri".registry.mirrors."registry.k8s.io"]'),
    ],
)
def test_a_runtime_that_may_ask_another_registry_leaves_it_open(worker: Bench, file: str, text: str):
    """Nothing is asked of a registry that the runtime may never ask: its settings do not say that it reads these."""
    worker.file("/etc/containerd/config.toml", '    config_path = "/opt/hosts"\n')
    worker.file(file, text)
    assert states(worker) == {ImageState.UNKNOWN}
    assert not [line for line in worker.log if line.startswith("curl")]
    assert any(file in offer.reason for offer in told(worker).values())


_MIRROR = '[host."https://m.example"]\n  capabilities = ["pull", "resolve"]\n'
_M = "https://m.example/v2/kube-proxy/manifests/v1.35.4?ns=registry.k8s.io"
_UP = "https://registry.k8s.io/v2/kube-proxy/manifests/v1.35.4"


@pytest.mark.parametrize(
    ("text", "asked"),
    [
        (_MIRROR, [_M, _UP]),
        (f'server = "https://own.example"\n{_MIRROR}', [_M, _M.replace("m.example", "own.example")]),
        (f"{_MIRROR}  skip_verify = true\n", [f"-k {_M}", _UP]),
        (f'{_MIRROR}  ca = "ca.crt"\n', [f"--cacert ROOT/opt/hosts/_default/ca.crt {_M}", _UP]),
        (f'{_MIRROR}  ca="/etc/ssl/m.pem"  # ours\n', [f"--cacert ROOT/etc/ssl/m.pem {_M}", _UP]),
        (
            '[host."http://m.example/k8s/"]\n  override_path = true\n',
            ["http://m.example/k8s/kube-proxy/manifests/v1.35.4?ns=registry.k8s.io", _UP],
        ),
        ('[host."https://m.example/v2"]\n', [_M, _UP]),
        # What only the runtime itself can use is not tried without it.
        (f'{_MIRROR}  client = "/etc/c.pem"\n', [_UP]),
        (f'{_MIRROR}  [host."https://m.example".header]\n    x = "y"\n', [_UP]),
        (f'proxy = "http://p:8080"\n{_MIRROR}', [_M]),
        ('[host."https://m.example"]\n  capabilities = ["pull"]\n', [_UP]),
        ("# nothing\n", [_UP]),
    ],
)
def test_the_registries_of_a_hosts_file_are_asked_in_its_order(worker: Bench, text: str, asked: list[str]):
    """As containerd reads it; none of them has the image here, so that all are asked, and it stays open."""
    worker.file("/etc/containerd/config.toml", '    config_path = "/opt/hosts"\n')
    worker.file("/opt/hosts/_default/hosts.toml", text)
    (worker.home / "code").write_text("404")
    (worker.home / "body").write_text(_ABSENT)
    offer = told(worker)[f"{K8S}/kube-proxy:v1.35.4"]
    assert (offer.state, "/opt/hosts/_default/hosts.toml" in offer.reason) == (ImageState.UNKNOWN, True)
    heads = [line.partition("--proto ")[2] for line in worker.log if "-I" in line and "kube-proxy" in line]
    assert [h.partition(" ")[2].replace(str(worker.root), "ROOT") for h in heads] == asked


def test_one_registry_of_a_hosts_file_that_has_the_image_is_enough(worker: Bench):
    """A site without the internet has it there, and nowhere else."""
    worker.file("/etc/containerd/config.toml", '    config_path = "/opt/hosts"\n')
    worker.file("/opt/hosts/registry.k8s.io/hosts.toml", _MIRROR)
    worker.tool("curl", f'case "$*" in *m.example*) ;; *) echo 000 >"$B/code" ;; esac\n{_CURL}')
    assert states(worker) == {ImageState.OFFERED}
    assert not [line for line in worker.log if "https://registry.k8s.io" in line]


def test_the_default_settings_of_containerd_name_no_other_registry(worker: Bench):
    """Its own empty sections are there on every machine whose settings were written out once."""
    sections = "".join(f'[plugins."io.containerd.grpc.v1.cri".registry.{s}]\n' for s in ("mirrors", "configs"))
    worker.file("/etc/containerd/config.toml", f'      config_path = ""\n{sections}')
    assert states(worker) == {ImageState.OFFERED}


def test_an_absent_image_may_be_on_a_machine_that_cannot_tell(bench: Bench):
    """Without crictl and ctr nobody knows what is there."""
    bench.tool("crictl", "exit 1")
    (bench.home / "code").write_text("404")
    (bench.home / "body").write_text(_ABSENT)
    offers = told(bench)
    assert {o.state for o in offers.values()} == {ImageState.UNKNOWN}
    assert "neither crictl nor ctr" in next(iter(offers.values())).reason


def test_a_cluster_that_cannot_be_asked_for_its_repository_leaves_all_open(bench: Bench):
    """The images that run there are no proof of what kubeadm will take."""
    bench.tool("kubectl", "echo 'connection refused' >&2; exit 1")
    answer = parse_images(bench.answer(*ASKED))
    assert isinstance(answer, Unread)
    assert answer.reason == "connection refused"


def test_what_is_asked_goes_the_way_of_the_runtime(worker: Bench):
    """By the proxy of its service, and no other variable of it."""
    worker.tool("systemctl", "echo 'Environment=HTTPS_PROXY=http://proxy:3128 NO_PROXY=.local LD_PRELOAD=/x'")
    worker.tool("curl", f'echo "proxy $HTTPS_PROXY $NO_PROXY [${{LD_PRELOAD-}}]" >>"$B/log"\n{_CURL}')
    told(worker)
    assert "proxy http://proxy:3128 .local []" in worker.log


@pytest.mark.parametrize("tag", ["a b", "$(id)", "-x", "../x", "a/b"])
def test_a_tag_is_a_tag(bench: Bench, tag: str):
    """It ends in an address that root asks for."""
    done = bench.run("images", "v1.35.4", tag, "-", "-")
    assert done.returncode == 64
    assert b"is not an image's tag" in done.stderr


_APPLETS = ("awk", "cut", "env", "find", "grep", "head", "sed", "sort", "tail", "timeout", "tr")


@pytest.mark.skipif(not shutil.which("busybox"), reason="install busybox to run the node script with it")
def test_busybox_asks_the_same(bench: Bench):
    """To the letter, hosts file and all."""
    bench.file("/etc/containerd/config.toml", '    config_path = "/opt/hosts"\n')
    bench.file("/opt/hosts/_default/hosts.toml", f'ca="/etc/x.pem"  # ours\n{_MIRROR}  skip_verify = true\n')
    (bench.home / "code").write_text("503")
    usual = bench.answer(*ASKED)
    for applet in _APPLETS:
        (bench.home / "tools" / applet).symlink_to(str(shutil.which("busybox")))
    argv = ["busybox", "sh", str(bench.script), *ASKED]
    assert subprocess.run(argv, capture_output=True, check=True, text=True, timeout=100).stdout.strip() == usual


def test_half_an_answer_is_none():
    """As with every other verb."""
    with pytest.raises(UnreadableAnswer, match="is cut"):
        parse_images("image present registry.k8s.io/pause:3.10.1\n")
