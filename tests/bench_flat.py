"""
Whether a run of 1,000 nodes takes more memory the longer it lasts: `python -m tests.bench_flat [workers]`.

The real engine, gate, runbook and Redis over machines that are scripts, as in bench_upgrade.py, a hundred at once and
as fast as one core can drive them; and the bot's own notifier, that tells a Slack which takes everything.
"""

from __future__ import annotations

import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from bot.delivery import Delivery
from bot.notifier import Notifier
from bot.outbox import Sender
from cluster.store import Store
from lab.redis import RedisServer
from tests import scale_fixture as scale
from tests.bench_upgrade import drive_to_end, tell_memory
from tests.gauge import Gauge, Sample
from tests.scripted_site import OPERATION, Durations, ScriptedSite

WORKERS, WINDOW = 997, 100
SHORTEST = 0.5  # seconds of a step
WAITS = {"stable": 0.5, "poll": 1.0}
MOST_REDIS = 50.0  # MB
MOST_GROWTH = 1.25  # from begin to end; the scripts themselves remember each command, a tenth or so


class WillingSlack:
    """Takes every message at once, and keeps none."""

    def __init__(self) -> None:
        self.calls: Counter[str] = Counter()
        self._ids = count(1)

    def chat_postMessage(self, **_: Any) -> SimpleNamespace:  # noqa: N802 - Slack's own name
        self.calls["messages"] += 1
        return SimpleNamespace(data={"ok": True, "ts": f"{next(self._ids)}.000100"})

    def chat_update(self, **_: Any) -> SimpleNamespace:
        self.calls["edits"] += 1
        return SimpleNamespace(data={"ok": True})


@contextmanager
def telling(site: ScriptedSite, url: str) -> Iterator[WillingSlack]:
    """The bot's notifier at work until the block ends, and everything is told."""
    slack, store = WillingSlack(), Store.connect(url)
    sender = Sender(site.settings, store, Delivery(slack), lambda _: None)  # type: ignore[arg-type]
    notifier = Notifier(store, sender, "bench", site.settings.channel, lambda: datetime.now(UTC))
    thread = threading.Thread(target=notifier.run, name="notifier")
    thread.start()
    try:
        yield slack
        while store.outbox_cursor() != store.feed_end() or store.outbox_pending():
            time.sleep(0.2)
    finally:
        notifier.stopping.set()
        thread.join()


def run(size: int, folder: Path) -> tuple[list[Sample], SimpleNamespace]:
    """Drive the plan to its end; the samples of memory, and what else is worth telling."""
    site = ScriptedSite(size, Durations(SHORTEST), WINDOW, WAITS)
    with RedisServer.start(folder) as server:
        store, leases = Store.connect(server.url), Store.connect(server.url)
        site.approve(store)
        began = time.monotonic()
        with telling(site, server.url) as slack, Gauge(site.record.plan, OPERATION, server.url) as gauge:
            drive_to_end(site, store, leases)
        told = len(store.events(OPERATION))
    return gauge.samples, SimpleNamespace(seconds=time.monotonic() - began, events=told, calls=slack.calls)


def has_grown(samples: Sequence[Sample]) -> bool:
    """Whether it kept more than it may when nothing is in hand any more; or took too much of Redis."""
    return samples[-1].blocks > samples[0].blocks * MOST_GROWTH or samples[-1].redis >= MOST_REDIS


def main() -> None:
    workers = int(sys.argv[1]) if len(sys.argv) > 1 else WORKERS
    with tempfile.TemporaryDirectory(prefix="lk-") as folder:
        samples, ran = run(len(scale.MASTERS) + workers, Path(folder))
    nodes, calls = workers + len(scale.MASTERS), ran.calls
    lines = (
        f"{nodes:,} nodes, {WINDOW} at once, {ran.events:,} events in {ran.seconds:.0f} s",
        f"told Slack in {calls['messages']:,} messages and {calls['edits']:,} edits",
        tell_memory(samples),
        f"blocks of memory, in thousands: {', '.join(f'{s.blocks / 1000:.0f}' for s in samples)}",
        f"blocks at the end: {samples[-1].blocks / samples[0].blocks:.2f} of those at the begin",
        f"Redis at the end: {samples[-1].redis:.1f} MB",
    )
    sys.stdout.write("\n".join(lines) + "\n")
    sys.exit(has_grown(samples))


if __name__ == "__main__":
    main()
