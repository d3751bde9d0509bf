"""Lines of `key value…`, as the node script answers, and the error for an answer that is cut."""

from __future__ import annotations

from cluster.errors import LockkeeperError


class UnreadableAnswer(LockkeeperError):  # noqa: N818 - reads as a fact, as in cluster/errors.py
    """The machine's answer is cut or not in the protocol."""


class Lines:
    """Lines of `key value…`; those of other programs (a warning of sudo, say) have keys that nobody asks for."""

    def __init__(self, text: str) -> None:
        self._values: dict[str, list[str]] = {}
        for line in text.splitlines():
            key, _, value = line.partition(" ")
            self._values.setdefault(key, []).append(value.strip())

    def all(self, key: str) -> tuple[str, ...]:
        return tuple(self._values.get(key, ()))

    def first(self, key: str) -> str | None:
        return self._values[key][0] if key in self._values else None

    def words(self, key: str) -> list[list[str]]:
        return [value.split() for value in self.all(key)]

    def number(self, key: str) -> int:
        return int(self.first(key) or "")
