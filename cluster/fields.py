"""The kinds of values that lockkeeper.yaml has; each says in words what it must be."""

from __future__ import annotations

import base64
import binascii
import os
import re
from pathlib import Path
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import pyrage
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from cluster.errors import InvalidConfig
from cluster.selectors import check_selector

_NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?")
_FINGERPRINT = re.compile(r"SHA256:[A-Za-z0-9+/]{43}")
_SHORTEST_KEY = 36  # bytes of an Ed25519 key after its kind
_SPAN, _UNITS = re.compile(r"(\d{1,6})(s|m|h)"), {"s": 1, "m": 60, "h": 3600}
_PERCENT = re.compile(r"(100|[1-9]?[0-9])%")


def _name(value: str) -> str:
    if not _NAME.fullmatch(value):
        raise ValueError("must be 1 to 40 of a-z, 0-9 and -, starting and ending with a letter or digit")
    return value


def _like(pattern: str, words: str) -> AfterValidator:
    """A text of this form; whoever writes another one is told what is meant, and not the pattern."""

    def check(value: str) -> str:
        if not re.fullmatch(pattern, value):
            raise ValueError(f"must be {words}")
        return value

    return AfterValidator(check)


def _key_line(value: str) -> str:
    """A key is its kind and the blob that begins with it; one that was cut or never filled in would verify nothing."""
    kind, blob, *_ = [*value.split(), "", ""]
    try:
        inside = base64.b64decode(blob, validate=True)
    except (ValueError, binascii.Error):
        inside = b""
    named = len(kind).to_bytes(4) + kind.encode()
    if not inside.startswith(named) or len(inside) < len(named) + _SHORTEST_KEY:
        raise ValueError("must be a whole public key like `ssh-ed25519 AAAA…`, as the file id_ed25519.pub has it")
    return value


def _fingerprint(value: str) -> str:
    if not _FINGERPRINT.fullmatch(value):
        raise ValueError(
            "must be a fingerprint like SHA256:… with 43 characters after the colon; print it on the machine with: "
            "ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub"
        )
    return value


def _recipient(value: str) -> str:
    if value.upper().startswith("AGE-SECRET-KEY-"):
        raise ValueError(
            "is a secret key, which belongs nowhere here: take the line that `age-keygen -y` prints for it"
        )
    try:
        pyrage.x25519.Recipient.from_str(value)
    except pyrage.RecipientError as error:
        raise ValueError(f"must be an age recipient like age1…, and `{value[:20]}` is none: take a new copy") from error
    return value


def _absolute(value: Path) -> Path:
    if not value.is_absolute() or ".." in value.parts:
        raise ValueError("must be an absolute path: begin it with /, and leave out ..")
    return value


def _clock(value: object) -> object:
    """YAML reads 10:30 without quotation marks as a number of sixtieths."""
    return f"{value // 60:02}:{value % 60:02}" if isinstance(value, int) and not isinstance(value, bool) else value


def _timezone(value: str) -> str:
    try:
        ZoneInfo(value)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise ValueError("must be a time zone that this system knows, such as UTC or Europe/Berlin") from error
    return value


def _span(value: object) -> object:
    """Seconds, also as `90s`, `15m`, `2h`."""
    if not isinstance(value, str) or value.isdecimal():
        return value
    if found := _SPAN.fullmatch(value):
        return int(found[1]) * _UNITS[found[2]]
    raise ValueError("must be whole seconds, or a time like 90s, 15m or 2h")


def _web_address(value: str) -> str:
    parts = urlsplit(value)
    if parts.scheme not in {"http", "https"} or not parts.hostname or parts.query or parts.fragment or parts.username:
        raise ValueError("must be an address like https://monitoring.example.org, without a login or a query")
    return value.rstrip("/")


def _pattern(value: str) -> str:
    try:
        re.compile(value)
    except re.error as error:
        raise ValueError(f"must be a regular expression: {error}") from error
    return value


def _hook_name(value: str) -> str:
    if not re.fullmatch(r"[a-z0-9][a-z0-9-]{0,39}", value) or value.startswith("before-"):
        raise ValueError(
            "must be the name of a file in the machine's folder of hooks: 1 to 40 of a-z, 0-9 and -, and not before-…, "
            "which the machine runs by itself"
        )
    return value


def _selector(value: str) -> str:
    try:
        return check_selector(value)
    except InvalidConfig as error:
        raise ValueError(str(error)) from error


def _how_many(value: int | str) -> int | str:
    if isinstance(value, int) and value >= 1:
        return value
    if isinstance(value, str) and _PERCENT.fullmatch(value) and value != "0%":
        return value
    raise ValueError("must be a whole number of at least 1, or a percentage like 10%")


Name = Annotated[str, AfterValidator(_name)]
Fingerprint = Annotated[str, AfterValidator(_fingerprint)]
HowMany = Annotated[int | str, AfterValidator(_how_many)]
ChannelId = Annotated[str, _like(r"[CG][A-Z0-9]{2,}", "a channel's id like C0123456789, not its name")]
PersonId = Annotated[str, _like(r"[UW][A-Z0-9]{2,}", "a person's id like U0123ADA, not a name")]
GroupId = Annotated[str, _like(r"S[A-Z0-9]{2,}", "a user group's id like S0123KEEPERS, not its name")]
TeamId = Annotated[str, _like(r"[TE][A-Z0-9]{2,}", "the id of a workspace like T0123456789")]
CommandName = Annotated[str, _like(r"/[a-z0-9_-]{1,31}", "a command like /k8s")]
KeyLine = Annotated[str, AfterValidator(_key_line)]
Recipient = Annotated[str, AfterValidator(_recipient)]
WebAddress = Annotated[str, AfterValidator(_web_address)]
Selector = Annotated[str, AfterValidator(_selector)]
HookName = Annotated[str, AfterValidator(_hook_name)]
Pattern = Annotated[str, AfterValidator(_pattern)]
AbsolutePath = Annotated[Path, AfterValidator(_absolute)]
Seconds = Annotated[float, Field(gt=0)]
OnCallId = Annotated[
    str, _like(r"[UWS][A-Z0-9]{2,}", "a person's id like U0123ADA or a user group's like S0123KEEPERS")
]
Span = Annotated[int, BeforeValidator(_span), Field(ge=0, le=604_800)]
Weekday = Literal["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"]
WEEKDAYS: tuple[Weekday, ...] = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
Clock = Annotated[str, BeforeValidator(_clock), Field(pattern=r"^([01]\d|2[0-3]):[0-5]\d$")]
Timezone = Annotated[str, AfterValidator(_timezone)]


class Model(BaseModel):
    """A mapping of the file: nothing in it that we do not know, and nothing that changes."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Secret(Model):
    """A secret by reference: the name of an environment variable, or of a file; never the value itself."""

    env: str | None = None
    file: Path | None = None

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if (self.env is None) == (self.file is None):
            raise ValueError("name exactly one of `env` and `file`")
        return self

    def read(self) -> str:
        """The value without surrounding white space; raises InvalidConfig where it is not there."""
        if self.env is not None:
            value = os.environ.get(self.env, "").strip()
            if not value:
                raise InvalidConfig(f"The environment variable {self.env} is empty: set it, or name a `file` instead.")
            return value
        path = self.file or Path()
        try:
            value = path.read_text(encoding="utf-8").strip()
        except OSError as error:
            raise InvalidConfig(
                f"The secret file {path} cannot be read ({error.strerror}): check its path and mode."
            ) from error
        if not value:
            raise InvalidConfig(f"The secret file {path} is empty: write the secret into it.")
        return value
