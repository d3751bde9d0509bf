"""A small Prometheus and Alertmanager over HTTP, in the shapes that their APIs document."""

from __future__ import annotations

import json
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from uuid import uuid4

SINCE = "2026-10-14T13:20:05.123456789Z"  # Prometheus tells nanoseconds


@dataclass
class LabMonitoring:
    """`alerts` fire; what was asked, and with which token, is kept."""

    url: str = ""
    alerts: list[dict[str, str]] = field(default_factory=list)
    status: int = 200
    raw: bytes | None = None  # instead of an answer in the documented shape
    drips: bool = False  # an answer that never ends
    asked: list[tuple[str, str]] = field(default_factory=list)  # path, token
    silences: dict[str, dict[str, Any]] = field(default_factory=dict)
    closing: threading.Event = field(default_factory=threading.Event)

    def silent(self, node: str) -> list[dict[str, Any]]:
        """The silences of a node that last."""
        return [s for s in self.silences.values() if s["matchers"][0]["value"] == node and self._lasts(s)]

    def silence(self, body: dict[str, Any]) -> tuple[int, Any]:
        if datetime.fromisoformat(body["endsAt"]) <= datetime.now(UTC):
            return 400, "failed to create silence: end time can't be in the past"
        name = body.get("id") or str(uuid4())
        if body.get("id") and body["id"] not in self.silences:
            return 404, "silence not found"
        self.silences[name] = body | {"id": name, "status": {"state": "active"}, "updatedAt": SINCE}
        return 200, {"silenceID": name}

    def expire(self, name: str) -> tuple[int, Any]:
        if name not in self.silences:
            return 404, "silence not found"
        self.silences[name] |= {"status": {"state": "expired"}, "endsAt": datetime.now(UTC).isoformat()}
        return 200, None

    def _lasts(self, silence: dict[str, Any]) -> bool:
        is_active = silence["status"]["state"] == "active"
        return is_active and datetime.fromisoformat(silence["endsAt"]) > datetime.now(UTC)

    def answer(self, path: str) -> Any:
        if path == "/api/v2/silences":
            return list(self.silences.values())
        if path.startswith(("/api/v1/alerts", "/prom/api/v1/alerts")):
            listed = [
                {
                    "labels": a,
                    "annotations": {"summary": f"{a['alertname']} is told."},
                    "state": a.get("state", "firing"),
                    "activeAt": SINCE,
                    "value": "1e+00",
                }
                for a in self.alerts
            ]
            return {"status": "success", "data": {"alerts": listed}}
        return [
            {
                "labels": a,
                "annotations": {},
                "startsAt": SINCE,
                "updatedAt": SINCE,
                "endsAt": datetime.now(UTC).isoformat(),
                "fingerprint": "0123456789abcdef",
                "receivers": [{"name": "team"}],
                "status": {"state": a.get("state", "active"), "silencedBy": [], "inhibitedBy": []},
                "generatorURL": "http://prometheus.example/graph",
            }
            for a in self.alerts
        ]


@contextmanager
def lab_monitoring(tls: ssl.SSLContext | None = None) -> Iterator[LabMonitoring]:
    made = LabMonitoring()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            token = self.headers.get("Authorization", "").removeprefix("Bearer ")
            made.asked.append((self.path, token))
            self._say(made.status, made.answer(self.path))

        def do_POST(self) -> None:
            made.asked.append((f"POST {self.path}", ""))
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            self._say(*(made.silence(body) if made.status == HTTPStatus.OK else (made.status, "no")))

        def do_DELETE(self) -> None:
            made.asked.append((f"DELETE {self.path}", ""))
            self._say(*made.expire(self.path.rpartition("/")[2]))

        def _say(self, status: int, answer: Any) -> None:
            text = b"" if answer is None else json.dumps(answer).encode()
            body = text if made.raw is None else made.raw
            self.send_response(status)
            self.send_header("Content-Length", str(len(body) + 1000 * made.drips))
            self.end_headers()
            self.wfile.write(body)
            while made.drips and not made.closing.wait(0.05):
                self.wfile.write(b" ")

        def log_message(self, *_: Any) -> None:
            """Silent: a test reads `asked`."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    if tls is not None:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    made.url = f"{'https' if tls else 'http'}://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield made
    finally:
        made.closing.set()
        server.shutdown()
        server.server_close()
