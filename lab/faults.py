"""Faults that a test orders from an API server: the next few matching requests go wrong."""

from __future__ import annotations

import asyncio
import json
import re
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

OVERLOAD_BODY = "Too many requests, please try again later.\n"


@dataclass
class Fault:
    """What happens to requests that match, and how often it still will; None means until cleared."""

    path: str = ".*"
    method: str = ".*"
    code: int | None = None
    body: dict[str, Any] | str = ""
    headers: dict[str, str] = field(default_factory=dict)
    delay: float = 0.0  # real seconds before the answer, or before the request goes on when there is no code
    times: int | None = 1
    struck: int = 0

    def matches(self, method: str, path: str) -> bool:
        """Whether this request is meant."""
        return bool(re.fullmatch(self.method, method) and re.search(self.path, path))


class Faults:
    """The orders of one server, the oldest first."""

    def __init__(self) -> None:
        self.orders: list[Fault] = []

    def add(self, fault: Fault) -> Fault:
        """Order a fault; the returned object counts how often it struck."""
        self.orders.append(fault)
        return fault

    def fail(self, path: str, code: int, *, times: int | None = 1, method: str = ".*") -> Fault:
        """Answer with a bare Status of that code."""
        body = {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": f"the lab was told to answer {code} here",
            "code": code,
        }
        return self.add(Fault(path, method, code, body, times=times))

    def deny(self, path: str, message: str, *, times: int | None = 1, method: str = "POST") -> Fault:
        """An admission policy's no."""
        body = {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": message,
            "reason": "Forbidden",
            "code": 403,
        }
        return self.add(Fault(path, method, 403, body, times=times))

    def overload(self, path: str = ".*", *, seconds: int = 1, times: int | None = 1, method: str = ".*") -> Fault:
        """Priority and fairness turn the request away: plain text, with Retry-After."""
        return self.add(Fault(path, method, 429, OVERLOAD_BODY, {"Retry-After": str(seconds)}, times=times))

    def hang(self, path: str, seconds: float, *, times: int | None = 1, method: str = ".*") -> Fault:
        """Answer only after that many real seconds."""
        return self.add(Fault(path, method, delay=seconds, times=times))

    def clear(self) -> None:
        """Withdraw every order."""
        self.orders.clear()

    async def strike(self, method: str, path: str) -> web.Response | None:
        """The answer that a fault gives to this request, if one does."""
        fault = next((one for one in self.orders if one.matches(method, path)), None)
        if fault is None:
            return None
        fault.struck += 1
        if fault.times is not None and fault.struck >= fault.times:
            self.orders.remove(fault)
        if fault.delay:
            await asyncio.sleep(fault.delay)
        if fault.code is None:
            return None
        if isinstance(fault.body, str):
            return web.Response(status=fault.code, text=fault.body, headers=fault.headers)
        text = json.dumps(fault.body)
        return web.Response(status=fault.code, text=text, headers=fault.headers, content_type="application/json")
