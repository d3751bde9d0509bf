"""One cluster that is asked many things at once: what fails, or is not understood, is a value beside the others."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

import yaml

from cluster.errors import ClusterUnreadable
from cluster.kube import Kube
from cluster.report import Unread
from cluster.sieve import MALFORMED, not_understood

ONE_READ = 5.0  # seconds

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Inquiry:
    """Threads may share it."""

    kube: Kube
    unread: list[Unread] = field(default_factory=list)

    def attempt(self, what: str, read: Callable[[], T], otherwise: T) -> T:
        try:
            return read()
        except ClusterUnreadable as error:
            self.unread.append(Unread(what, str(error)))
        except (*MALFORMED, yaml.YAMLError) as error:
            self.unread.append(Unread(what, not_understood(error)))
        return otherwise
