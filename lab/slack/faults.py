"""The switches that break the lab's Slack on purpose."""

from dataclasses import dataclass
from enum import StrEnum


class Outage(StrEnum):
    """How Slack is away: not at all, refusing connections, or answering 503 with a page of HTML."""

    NONE = ""
    REFUSED = "refused"
    HTML = "html"


@dataclass(slots=True)
class Faults:
    outage: Outage = Outage.NONE
    delay: float = 0.0  # seconds before every answer of the Web API
    duplicates: bool = False  # every envelope is delivered twice
