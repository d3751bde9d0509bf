"""Calls to a cluster's API that outlast its absence: told once, asked again, and given up at a deadline."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from cluster.errors import ClusterUnreadable, KubeDenied
from workers.site import Site, StepBlocked

_T = TypeVar("_T")
LONGEST_PAUSE = 60.0  # seconds; whatever a server wishes, our own deadlines are looked at
TOO_MANY_REQUESTS = 429
SERVER_ERRORS = 500
NOT_FOUND = 404
FORBIDDEN = 403
CONFLICT = 409
UNAUTHORIZED = 401
_POLICY = ("denied the request", "denied request", "violates PodSecurity")
JUST_STARTED = 15.0  # seconds; an API server refuses what its caches cannot judge yet: recorded, below a second each


def ask_api(site: Site, call: Callable[[], _T]) -> _T:
    """
    The call's answer; a refusal (KubeDenied, 4xx) is the caller's, an absence is waited for up to its deadline.

    401 and 403 count as refusals only when they last: any API server behind the balancer may just have started.
    """
    since = refused_since = None
    while True:
        try:
            return call()
        except ClusterUnreadable as error:
            if may_be_new(error):
                refused_since = refused_since or site.now()
                if site.elapsed(refused_since) > JUST_STARTED:
                    raise
                site.wait(site.waits.poll)
                continue
            if not passing(error):
                raise
            if since is None:
                since = site.now()
                site.tell(f"The API of {site.cluster} cannot be read just now ({error}); it is asked again.")
            elif site.elapsed(since) > site.waits.control_plane:
                raise site.blocked(
                    "api-unreadable",
                    f"The API of {site.cluster} could not be read for {site.waits.control_plane:.0f} s: {error}",
                    "Bring it back, then `retry`.",
                ) from error
            site.wait(pause_after(error, site.waits.poll))


def may_be_new(error: ClusterUnreadable) -> bool:
    """Whether a refusal may pass, as of a server that just started; an admission policy's does not."""
    refused = isinstance(error, KubeDenied) and error.status in {UNAUTHORIZED, FORBIDDEN}
    return refused and not is_policy(error)


def is_policy(error: ClusterUnreadable) -> bool:
    """Whether an admission webhook, a ValidatingAdmissionPolicy or Pod Security said no."""
    return any(words in str(error) for words in _POLICY)


def passing(error: ClusterUnreadable) -> bool:
    """Whether asking again may help: no answer at all, an overloaded server, or a failing one."""
    if not isinstance(error, KubeDenied):
        return True
    return error.status == TOO_MANY_REQUESTS or error.status >= SERVER_ERRORS


def pause_after(error: ClusterUnreadable, usual: float) -> float:
    """The server's own wish counts, where it named one."""
    named = error.retry_after if isinstance(error, KubeDenied) else None
    return usual if named is None else max(usual, min(named, LONGEST_PAUSE))


def api_refused(site: Site, error: KubeDenied) -> StepBlocked:
    """What a refusal that no step expects becomes."""
    return site.blocked(
        "api-refused", str(error), "Give lockkeeper that right, or correct the request's object, then `retry`."
    )
