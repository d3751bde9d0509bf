"""A short job that one worker at a time does: a mark that times out, kept fresh in a thread while the job lasts."""

from __future__ import annotations

import secrets
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from cluster.errors import StoreUnavailable
from cluster.store import Store

TTL = 6.0  # seconds after a crash until another worker may begin anew


@contextmanager
def errand(store: Store, request_id: str) -> Iterator[bool]:
    """Whether the request is ours to answer; it stays so until the block ends. `store` is used by this alone."""
    owner = secrets.token_hex(8)
    if not store.take_request(request_id, owner, int(TTL * 1000)):
        yield False
        return
    done = threading.Event()
    keeper = threading.Thread(
        target=_keep, args=(store, request_id, owner, done), name=f"errand-{request_id}", daemon=True
    )
    keeper.start()
    try:
        yield True
    finally:
        done.set()
        keeper.join()
        store.drop_request(request_id, owner)


def _keep(store: Store, request_id: str, owner: str, done: threading.Event) -> None:
    while not done.wait(TTL / 3):
        try:
            store.take_request(request_id, owner, int(TTL * 1000))
        except StoreUnavailable:
            continue
