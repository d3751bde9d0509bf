"""A driver's hold on its operation: renewed in a thread of its own, and given up by itself when it cannot be proved."""

from __future__ import annotations

import logging
import os
import secrets
import socket
import threading
import time

from cluster.errors import StoreUnavailable
from cluster.store import Store

TTL = 6.0  # seconds; always real time: it bounds how long a crash stands still
_RENEW_EVERY = TTL / 3
_TRUSTED = TTL * 0.8  # after this without a proof nothing new is started
_RETRY = 0.2  # seconds between two tries while Redis is away
_LOG = logging.getLogger(__name__)


class Lease:
    """At most one live driver of an operation; `fence` grows with every new one."""

    def __init__(self, store: Store, operation_id: str, cluster: str) -> None:
        self._store = store  # not shared with the driver's: a slow answer there must not cost the lease
        self._operation_id = operation_id
        self._cluster = cluster
        self._owner = ""
        self._fence = 0
        self._proved = 0.0
        self._lost = threading.Event()
        self._closing = threading.Event()
        self._changing = threading.Lock()
        self._thread = threading.Thread(target=self._keep, name=f"lease-{operation_id}", daemon=True)

    @property
    def fence(self) -> int:
        return self._fence

    @property
    def lost(self) -> bool:
        """Another driver has the operation: this one must stop."""
        return self._lost.is_set()

    def has_risen_above(self, fence: int) -> bool:
        """Whether a refused `fence` was only our own older one; waits for a change of the lease that is on its way."""
        with self._changing:
            return not self.lost and self._fence > fence

    def held(self) -> bool:
        """Whether something new may be started now."""
        return not self.lost and time.monotonic() - self._proved < _TRUSTED

    def take(self) -> bool:
        """Become the driver; False while another one is."""
        if not self._take():
            return False
        self._thread.start()
        return True

    def rise_above(self, seen: int) -> None:
        """Take a new fence above one that a machine has seen; the machine would refuse ours for ever."""
        with self._changing:
            if self._fence > seen or self.lost:
                return
            self._store.seed_fence(self._cluster, seen)
            self._store.drop_lease(self._operation_id, self._owner)
            if not self._take():
                self._lost.set()

    def drop(self) -> None:
        """Hand over: nothing may start any more, and the next driver may come at once."""
        self._lost.set()
        self._closing.set()
        with self._changing:  # a renewal on its way would take the lease again for nobody
            try:
                self._store.drop_lease(self._operation_id, self._owner)
            except StoreUnavailable as error:
                _LOG.info("%s: the lease runs out by itself: %s", self._operation_id, error)

    def _take(self) -> bool:
        asked = time.monotonic()
        # who drives is worth knowing when one looks into Redis; the last part makes every driver new
        owner = f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(8)}"
        fence = self._store.take_lease(self._operation_id, owner, _milliseconds())
        if fence is None:
            return False
        self._owner, self._fence, self._proved = owner, fence, asked
        return True

    def _keep(self) -> None:
        pause = _RENEW_EVERY
        while not self._closing.wait(pause) and not self.lost:
            with self._changing:
                pause = _RETRY if self._closing.is_set() else self._renew()

    def _renew(self) -> float:
        asked = time.monotonic()  # the proof counts from before the call: the answer may have taken its time
        try:
            ours = self._store.renew_lease(self._operation_id, self._owner, self._fence, _milliseconds())
        except StoreUnavailable:
            return _RETRY
        except Exception:  # noqa: BLE001 - the edge of a thread: a lease that nobody renews would stop its driver for ever
            _LOG.exception("%s: the lease could not be renewed", self._operation_id)
            return _RETRY
        if ours:
            self._proved = asked
        else:
            self._lost.set()
        return _RENEW_EVERY


def _milliseconds() -> int:
    return int(TTL * 1000)
