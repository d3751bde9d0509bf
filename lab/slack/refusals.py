"""What the Web API says no with."""

from collections.abc import Iterable
from typing import Any

from lab.slack.rules import Problem


class Refused(Exception):  # noqa: N818 - the word is Slack's answer, ``ok: false``, and no failure of ours
    """The method answers ``ok: false`` with this code, and perhaps with messages that point into the JSON."""

    def __init__(self, code: str, problems: Iterable[Problem | str] = ()) -> None:
        super().__init__(code)
        self.code = code
        self.messages = tuple(str(problem) for problem in problems)

    def answer(self) -> dict[str, Any]:
        answer: dict[str, Any] = {"ok": False, "error": self.code}
        if self.messages:
            answer["errors"] = list(self.messages)
            answer["response_metadata"] = {"messages": [f"[ERROR] {message}" for message in self.messages]}
        return answer


class Throttled(Exception):  # noqa: N818 - the same: an answer
    """Too many calls: HTTP 429, and how long to wait."""

    def __init__(self, retry_after: int) -> None:
        super().__init__(f"retry after {retry_after} s")
        self.retry_after = retry_after
