"""
Where tests kill a worker: CRASH_AT names points around side effects; reaching one is a SIGKILL of this process.

    CRASH_AT=after-start:apply                    always there, on whichever node
    CRASH_AT=after-start:apply@cp1,...            there; with CRASH_MARKS=FOLDER, each name once, and a file tells so
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeVar

from workers.node_script.attempts import StartAnswer
from workers.site import Api, RemoteNode

VARIABLE = "CRASH_AT"
MARKS = "CRASH_MARKS"
_NOTHING: Mapping[str, str] = MappingProxyType({})
_T = TypeVar("_T")
POINTS = ("before-start", "after-start", "before-record", "after-record")
STORE_POINTS = ("before-store", "after-store")  # around the name that a snapshot gets in its store


def reach(point: str, verb: str, node: str) -> None:
    """Die here if `CRASH_AT` says so."""
    wanted = os.environ.get(VARIABLE, "").split(",")
    for name in (f"{point}:{verb}", f"{point}:{verb}@{node}"):
        if name in wanted and _is_first(name):
            os.kill(os.getpid(), signal.SIGKILL)


def _is_first(name: str) -> bool:
    if MARKS not in os.environ:
        return True
    try:
        (Path(os.environ[MARKS]) / name).touch(exist_ok=False)
    except FileExistsError:
        return False
    return True


def watched_machine(machine: RemoteNode, verb: str) -> RemoteNode:
    """The machine, with a crash point on both sides of every start; itself where no test asks for a crash."""
    return _Machine(machine, verb) if VARIABLE in os.environ else machine


def watched_api(api: Api, verb: str, node: str) -> Api:
    """The API, with a crash point on both sides of every change; itself where no test asks for a crash."""
    return _Api(api, verb, node) if VARIABLE in os.environ else api


class _Machine:
    def __init__(self, machine: RemoteNode, verb: str) -> None:
        self._verb = verb
        self.name = machine.name
        self.observe = machine.observe
        self.poll = machine.poll
        self.snapshot = machine.snapshot
        self.logs = machine.logs
        self._start = machine.start

    def start(self, attempt: str, fence: int, verb: str, *args: str) -> StartAnswer:
        return around(self._verb, self.name, lambda: self._start(attempt, fence, verb, *args))


class _Api:
    def __init__(self, api: Api, verb: str, node: str) -> None:
        self._api = api
        self._verb = verb
        self._node = node
        self.get = api.get
        self.items = api.items
        self.text = api.text

    def at(self, endpoint: str) -> Api:
        return _Api(self._api.at(endpoint), self._verb, self._node)

    def post(self, path: str, body: Mapping[str, Any], query: Mapping[str, str] = _NOTHING) -> dict[str, Any]:
        return around(self._verb, self._node, lambda: self._api.post(path, body, query))

    def patch(self, path: str, body: Mapping[str, Any], query: Mapping[str, str] = _NOTHING) -> dict[str, Any]:
        return around(self._verb, self._node, lambda: self._api.patch(path, body, query))

    def delete(
        self, path: str, body: Mapping[str, Any] | None = None, query: Mapping[str, str] = _NOTHING
    ) -> dict[str, Any]:
        return around(self._verb, self._node, lambda: self._api.delete(path, body, query))


def around(verb: str, node: str, call: Callable[[], _T]) -> _T:
    """The call, with a crash point on both sides."""
    reach("before-start", verb, node)
    answer = call()
    reach("after-start", verb, node)
    return answer
