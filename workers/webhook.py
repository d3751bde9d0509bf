"""A signed message to a webhook, in the form of Standard Webhooks; one try, and what became of it."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

import urllib3

from cluster.deadlines import DeadlinePool, PlainDeadlinePool
from cluster.errors import InvalidConfig
from cluster.inventory import Hook

_CONNECT = 3.0  # seconds
_MOST_READ = 4096  # bytes of an answer: only what it says of a failure is of use
_SHOWN = 200
_PASSING = frozenset({HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_MANY_REQUESTS})
_ENCODED = "whsec_"  # how the form's own libraries begin a secret that is in base64


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a message was not taken; `passing` where a further try may help."""

    why: str
    passing: bool


def send(
    hook: Hook, message: Mapping[str, Any], *, name: str, timeout: float, now: Callable[[], float]
) -> Refusal | None:
    """One try to deliver; `name` is that of the message, by which a receiver knows it again. None: it was taken."""
    if hook.webhook is None or hook.secret is None:
        raise InvalidConfig("A message needs an address and a secret, and this hook is a command.")
    body = json.dumps(message, sort_keys=True, separators=(",", ":")).encode()
    sent = str(int(now()))
    headers = {
        "Content-Type": "application/json",
        "User-Agent": "lockkeeper",
        "webhook-id": name,
        "webhook-timestamp": sent,
        "webhook-signature": sign(hook.secret.read(), name, sent, body),
    }
    pool = urllib3.PoolManager(ca_certs=str(hook.ca_file) if hook.ca_file else None)
    pool.pool_classes_by_scheme = {"http": PlainDeadlinePool, "https": DeadlinePool}
    try:
        response = pool.request(
            "POST",
            hook.webhook,
            body=body,
            headers=headers,
            timeout=urllib3.Timeout(connect=min(_CONNECT, timeout), read=timeout),
            retries=False,
            redirect=False,
            preload_content=False,
        )
        said = response.read(_MOST_READ)
    except (urllib3.exceptions.HTTPError, OSError) as error:
        return Refusal(f"cannot be reached ({_reason(error)})", passing=True)
    finally:
        pool.clear()
    return _judge(response.status, said)


def sign(secret: str, name: str, sent: str, body: bytes) -> str:
    """`v1,` and the HMAC-SHA256 over name, moment and body, in base64."""
    digest = hmac.new(_key(secret), b".".join((name.encode(), sent.encode(), body)), hashlib.sha256).digest()
    return f"v1,{base64.b64encode(digest).decode()}"


def _key(secret: str) -> bytes:
    if secret.startswith(_ENCODED):
        try:
            return base64.b64decode(secret.removeprefix(_ENCODED), validate=True)
        except binascii.Error:
            return secret.encode()
    return secret.encode()


def _judge(status: int, said: bytes) -> Refusal | None:
    if HTTPStatus.OK <= status < HTTPStatus.MULTIPLE_CHOICES:
        return None
    if status < HTTPStatus.BAD_REQUEST:
        return Refusal(f"answered with {status}, and no redirect is followed", passing=False)
    words = " ".join(said.decode(errors="replace").split())[:_SHOWN]
    passing = status in _PASSING or status >= HTTPStatus.INTERNAL_SERVER_ERROR
    return Refusal(f"answered with {status} ({words or 'no reason'})", passing=passing)


def _reason(error: Exception) -> str:
    """Of a chain of wrappings only the last words say what happened."""
    if isinstance(error, (urllib3.exceptions.TimeoutError, TimeoutError)) and not isinstance(
        error, urllib3.exceptions.NewConnectionError
    ):
        return "no answer in time"
    said = str(error).rpartition(": ")[2].strip("()'\" ")
    return re.sub(r"^\[Errno -?\d+\] ", "", said) or type(error).__name__
