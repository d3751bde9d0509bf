"""Versions: `v1.35.4` in, ordered values out; what clusters report is read more tolerantly and keeps its suffix."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Self

from packaging.version import Version
from pydantic_core import PydanticSerializationUnexpectedValue, core_schema

from cluster.errors import InvalidVersion

if TYPE_CHECKING:
    from pydantic import GetCoreSchemaHandler

# packaging alone is too generous: it reads "v1.31", "1.31.2.post1" and "1!1.31.2".
_RELEASE = re.compile(r"v?(0|[1-9]\d{0,3})\.(0|[1-9]\d{0,3})\.(0|[1-9]\d{0,3})", re.ASCII)
_MINOR = re.compile(r"v?(0|[1-9]\d{0,3})\.(0|[1-9]\d{0,3})", re.ASCII)
_REPORTED = re.compile(r"v?(\d{1,4}\.\d{1,4}\.\d{1,4})([-+._].*)?", re.ASCII | re.DOTALL)
_KEPT = 1024  # texts of each kind whose value is shared: thousands of machines have a dozen versions
_PACKAGE = re.compile(r"(\d{1,4}\.\d{1,4}\.\d{1,4})-([0-9A-Za-z.+~]{1,40})", re.ASCII)


class _Text:
    """A value that is kept and sent as its text; JSON holds `"v1.35.4"`, never three numbers."""

    __slots__ = ()

    @classmethod
    def parse(cls, text: str) -> Self:
        raise InvalidVersion(f"`{text}` cannot be read.")

    @classmethod
    def __get_pydantic_core_schema__(cls, source: object, handler: GetCoreSchemaHandler) -> Any:
        del source, handler
        parse = lru_cache(_KEPT)(cls.parse)

        def read(value: object) -> _Text:
            if isinstance(value, cls):
                return value
            try:
                return parse(str(value))
            except InvalidVersion as error:
                raise ValueError(str(error)) from error

        def write(value: object) -> str:
            if not isinstance(value, cls):  # in a union, another member is to write it
                raise PydanticSerializationUnexpectedValue(f"not a {cls.__name__}")
            return str(value)

        return core_schema.no_info_plain_validator_function(
            read,
            serialization=core_schema.plain_serializer_function_ser_schema(
                write, return_schema=core_schema.str_schema()
            ),
        )


@dataclass(frozen=True, slots=True, order=True)
class Minor(_Text):
    """One minor release line, such as `v1.35`."""

    major: int
    minor: int

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `v1.35` or `1.35`; anything else is refused."""
        if not (match := _MINOR.fullmatch(text)):
            raise InvalidVersion(f"`{_short(text)}` is not a minor release like `v1.35`.")
        return cls(int(match[1]), int(match[2]))

    def after(self, steps: int = 1) -> Minor:
        return Minor(self.major, self.minor + steps)

    def __str__(self) -> str:
        return f"v{self.major}.{self.minor}"


@dataclass(frozen=True, slots=True, order=True)
class KubeVersion(_Text):
    """One Kubernetes release, never a pre-release."""

    release: Version

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `v1.35.4` or `1.35.4`; anything looser is refused."""
        if not _RELEASE.fullmatch(text):
            raise InvalidVersion(f"`{_short(text)}` is not a version like `v1.35.4`.")
        return cls(Version(text))

    @property
    def minor(self) -> Minor:
        return Minor(self.release.major, self.release.minor)

    @property
    def patch(self) -> int:
        return self.release.micro

    @property
    def plain(self) -> str:
        """`1.35.4`, as packages are named."""
        return str(self.release)

    def minors_ahead_of(self, other: KubeVersion) -> int:
        """How many minors this is ahead; negative when behind."""
        return (self.release.major - other.release.major) * 1000 + self.release.minor - other.release.minor

    def __str__(self) -> str:
        return f"v{self.release}"


@dataclass(frozen=True, slots=True, order=True)
class ReportedVersion(_Text):
    """A version as a cluster reports it: `v1.30.2-eks-1a2b`, `v1.31.1+k3s1`, `v1.36.0-rc.1`."""

    version: KubeVersion
    suffix: str = ""

    @classmethod
    def parse(cls, text: str) -> Self:
        if not (match := _REPORTED.fullmatch(text.strip())):
            raise InvalidVersion(f"The reported version `{_short(text)}` cannot be read.")
        return cls(KubeVersion(Version(match[1])), match[2] or "")

    @classmethod
    def read(cls, text: str) -> Self | None:
        """As `parse`; None for what is no version."""
        try:
            return cls.parse(text)
        except InvalidVersion:
            return None

    @classmethod
    def of_tag(cls, tag: str) -> Self | None:
        """That of an image's tag, which has `_` where a version has `+`."""
        return cls.read(tag.replace("_", "+", 1))

    def __str__(self) -> str:
        return f"{self.version}{self.suffix}"


@dataclass(frozen=True, slots=True, order=True)
class PackageVersion(_Text):
    """An exact package version as the source offers it: `1.35.4-1.1`. The revision is read live, never guessed."""

    version: KubeVersion
    revision: str

    @classmethod
    def parse(cls, text: str) -> Self:
        if not (match := _PACKAGE.fullmatch(text)):
            raise InvalidVersion(f"`{_short(text)}` is not a package version like `1.35.4-1.1`.")
        return cls(KubeVersion(Version(match[1])), match[2])

    def __str__(self) -> str:
        return f"{self.version.plain}-{self.revision}"


_SHOWN = 40  # characters of a typed word that an error repeats


class Relative(StrEnum):
    """A target that depends on what runs; people are shown, and approve, the release that it comes to."""

    LATEST_PATCH = "latest-patch"
    NEXT = "next"


Target = KubeVersion | Minor | Relative


def parse_target(text: str) -> Target:
    """Read what may follow `plan`: `v1.35.4`, `v1.35` for its newest offered patch, `latest-patch`, or `next`."""
    if _RELEASE.fullmatch(text):
        return KubeVersion.parse(text)
    if _MINOR.fullmatch(text):
        return Minor.parse(text)
    if text.lower() in set(Relative):
        return Relative(text.lower())
    raise InvalidVersion(
        f"`{_short(text)}` is not a version: name `v1.35.4`, `v1.35` for its newest patch, `latest-patch` or `next`."
    )


def _short(text: str) -> str:
    """A typed word may be anything; its first printable characters are enough to recognise it."""
    clean = "".join(c if c.isprintable() and c != "`" else "?" for c in text)
    return clean if len(clean) <= _SHOWN else clean[: _SHOWN - 1] + "…"
