"""Every call has a deadline for the whole of its answer: a server that drips is as absent as one that is silent."""

import socket
import threading
import time
from contextlib import contextmanager, suppress

import pytest

from cluster.errors import ClusterUnreadable
from cluster.inventory import Cluster
from cluster.kube import Kube
from cluster.kubeconfig import read_kubeconfig
from cluster.transport import Transport
from lab.pki import Authority, server_context, write_kubeconfig

TIMEOUT = 0.3  # seconds for a whole answer
OK = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
PAGE = b'{"metadata": {"continue": "more"}, "items": [{"metadata": {"uid": "00000000"}}]}'


class Drip:
    """
    An API server that takes its time: `swift` comes at once, then a byte of `slow` every 50 ms.

    With `says` each question is given the next of these, and then the connection ends.
    """

    def __init__(self, authority, folder, swift=b"", slow=b"", says=()):
        self.swift, self.slow, self.asked = swift, slow, 0
        self.says = list(says)
        self._socket = socket.create_server(("127.0.0.1", 0))
        self._context = server_context(authority, authority.serve(("127.0.0.1",)), folder)
        self._closing = threading.Event()
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    @property
    def address(self):
        return f"127.0.0.1:{self._socket.getsockname()[1]}"

    def _accept(self):
        while not self._closing.is_set():
            try:
                plain, _ = self._socket.accept()
            except OSError:
                return
            self._threads.append(threading.Thread(target=self._serve, args=(plain,), daemon=True))
            self._threads[-1].start()

    def _serve(self, plain):
        try:
            with self._context.wrap_socket(plain, server_side=True) as client:
                while client.recv(65536):
                    self.asked += 1
                    if self.says:
                        client.sendall(self.says.pop(0))
                        return
                    client.sendall(self.swift.replace(b"00000000", b"%08d" % self.asked))
                    for byte in self.slow:
                        if self._closing.wait(0.05):
                            return
                        client.sendall(bytes([byte]))
        except OSError:
            return

    def close(self):
        self._closing.set()
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        for thread in self._threads:
            thread.join(5)


@pytest.fixture(scope="module")
def authority():
    return Authority()


@pytest.fixture
def serve(authority, tmp_path):
    """Start such a server; returns it and the connection to it."""

    @contextmanager
    def serving(**speech):
        server = Drip(authority, tmp_path, **speech)
        path = write_kubeconfig(tmp_path / "kubeconfig", f"https://{server.address}", authority, "token")
        try:
            with Kube.connect("lab", Cluster.model_validate({"kubeconfig": str(path)})) as kube:
                yield server, kube
        finally:
            server.close()

    return serving


HEADERS = (b"", OK)
BODY = (OK + b"Content-Length: 1000\r\n\r\n", b"x" * 1000)
CHUNKS = (OK + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n" * 200)


@pytest.mark.parametrize(
    ("speech", "read"),
    [
        (HEADERS, lambda kube: kube.get("/version", timeout=TIMEOUT)),
        (BODY, lambda kube: kube.text("/readyz", timeout=TIMEOUT)),
        (CHUNKS, lambda kube: kube.text("/readyz", timeout=TIMEOUT)),
        (BODY, lambda kube: list(kube.lines("/metrics", most=10_000, timeout=TIMEOUT))),
        (CHUNKS, lambda kube: list(kube.lines("/metrics", most=10_000, timeout=TIMEOUT))),
        (BODY, lambda kube: list(kube.items("/api/v1/pods", timeout=TIMEOUT))),
    ],
)
def test_an_answer_that_drips_ends_at_its_deadline(serve, speech, read):
    """Each byte comes well within the time-out, the whole of it never does."""
    swift, slow = speech
    with serve(swift=swift, slow=slow) as (_, kube):
        began = time.monotonic()
        with pytest.raises(ClusterUnreadable, match=r"did not answer within 0\.3 s"):
            read(kube)
        assert time.monotonic() - began < 2  # what drips would take at least 2.5 s


def test_a_handshake_that_is_ended_is_no_matter_of_certificates(authority, tmp_path):
    """So does a load balancer that has no API server left; whoever reads it should look for one."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def hang_up():
            plain, _ = listening.accept()
            with plain:
                plain.recv(65536)
                plain.shutdown(socket.SHUT_WR)
                plain.recv(65536)

        thread = threading.Thread(target=hang_up, daemon=True)
        thread.start()
        address = f"https://127.0.0.1:{listening.getsockname()[1]}"
        path = write_kubeconfig(tmp_path / "kubeconfig", address, authority, "token")
        with Kube.connect("lab", Cluster.model_validate({"kubeconfig": str(path)})) as kube:
            with pytest.raises(ClusterUnreadable, match="ended the TLS handshake") as told:
                kube.get("/version")
            assert "certificate" not in str(told.value)
        thread.join(5)


@pytest.mark.timeout(15)
def test_a_handshake_that_drips_ends_with_the_time_for_connections(authority, tmp_path):
    """It has a deadline of its own, which the sentence names."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        ended = threading.Event()

        def drip():
            plain, _ = listening.accept()
            with plain, suppress(OSError):  # the client leaves when it has had enough
                plain.sendall(b"\x16\x03\x03\x40\x00")  # the beginning of a long TLS record
                while not ended.wait(0.05):
                    plain.sendall(b"x")

        thread = threading.Thread(target=drip)
        thread.start()
        server = f"https://127.0.0.1:{listening.getsockname()[1]}"
        path = write_kubeconfig(tmp_path / "kubeconfig", server, authority, "token")
        try:
            read = read_kubeconfig("lab", Cluster.model_validate({"kubeconfig": str(path)}))
            with (
                Kube(Transport("lab", read, relax_x509_strict=False, connect_timeout=0.25)) as kube,
                pytest.raises(ClusterUnreadable, match=r"did not answer within 0\.25 s"),
            ):
                kube.get("/version")
        finally:
            ended.set()
            thread.join(5)


def test_a_list_without_an_end_ends_at_the_deadline_of_the_whole(serve):
    """Every page comes at once, and each of them promises another one."""
    page = OK + b"Content-Length: %b\r\n\r\n" % str(len(PAGE)).encode() + PAGE
    with serve(swift=page) as (_, kube):
        given = []
        with pytest.raises(ClusterUnreadable, match=r"did not come to the end of /api/v1/pods within 0\.3 s"):
            given.extend(kube.items("/api/v1/pods", timeout=10, whole=TIMEOUT))
        assert len(given) > 1


WHOLE = b'{"metadata": {}, "items": [{"metadata": {"uid": "00000000", "name": "w1"}}]}'
HALVES = (
    OK + b"Content-Length: 1000\r\n\r\n" + PAGE,  # the connection ends in the middle
    OK + b"Transfer-Encoding: chunked\r\n\r\n20\r\n" + PAGE[:20],
    OK + b"Content-Length: 30\r\n\r\n" + PAGE[:30],  # a whole answer with half a page in it
    b"",
)


@pytest.mark.parametrize("half", HALVES)
def test_half_a_page_is_asked_for_once_more(serve, half):
    """Reading changes nothing; every object of the list is given once."""
    whole = OK + b"Content-Length: %b\r\n\r\n" % str(len(WHOLE)).encode() + WHOLE
    with serve(says=[half, whole]) as (server, kube):
        assert [item["metadata"]["name"] for item in kube.items("/api/v1/pods")] == ["w1"]
        assert server.asked == 2


@pytest.mark.parametrize("half", HALVES)
def test_half_a_page_again_is_said_and_never_taken_for_the_whole(serve, half):
    """Nobody asks for ever; whoever reads alone, or writes, is not asked twice at all."""
    with serve(says=[half] * 9) as (server, kube):
        with pytest.raises(ClusterUnreadable, match=r"broke the connection off|is not JSON"):
            list(kube.items("/api/v1/pods"))
        assert server.asked == 2
        with pytest.raises(ClusterUnreadable):
            kube.post("/api/v1/namespaces/demo/pods/a/eviction", {})
        assert server.asked == 3
