"""Where a machine's Kubernetes packages come from, what would replace them, and with which keys they are checked."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class PackageOrigin:
    """One installed package as apt sees it: `urls` are the sources that have exactly this version now."""

    package: str
    candidate: str  # what a plain upgrade would install; "(none)" where nothing is offered
    urls: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Pin:
    """One paragraph of apt's preferences."""

    file: str
    packages: tuple[str, ...]  # names or patterns
    rule: str  # "version 1.34.*"
    priority: int  # above 1000 apt even goes back to it

    def __str__(self) -> str:
        return f"{' '.join(self.packages)} to {self.rule} with priority {self.priority} in {self.file}"


@dataclass(frozen=True, slots=True)
class SigningKey:
    """One key in the keyring of a package source; `until` is None for one that never expires."""

    file: str
    ident: str
    until: datetime | None


@dataclass(frozen=True, slots=True)
class OldSource:
    """An enabled source of the repositories that were given up."""

    file: str
    url: str


@dataclass(frozen=True, slots=True)
class PackageLock:
    """A process that held one of apt's locks when the machine was asked; `pid` is 0 for one that it cannot see."""

    file: str
    pid: int
    seconds: int | None = None  # since that process began; None where it does not show
    command: str = ""
