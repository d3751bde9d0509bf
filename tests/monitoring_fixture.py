"""A small Prometheus and Alertmanager over HTTP, in the shapes that their APIs document."""

from __future__ import annotations

import json
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

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
    closing: threading.Event = field(default_factory=threading.Event)

    def answer(self, path: str) -> Any:
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
            body = made.raw if made.raw is not None else json.dumps(made.answer(self.path)).encode()
            self.send_response(made.status)
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
