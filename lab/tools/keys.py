"""gpg and openssl, as far as a machine asks them until when something is good."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from lab.packages import KEY_ID
from lab.toolbox import Invocation, ToolError

CREATED = datetime(2022, 8, 24, tzinfo=UTC)
ENDS = timedelta(days=400)
_DATES = "%b %e %H:%M:%S %Y GMT"


async def gpg(call: Invocation) -> int:
    if "--show-keys" not in call.args or "--with-colons" not in call.args:
        raise ToolError("gpg: the lab's gpg only shows keys\n", 2)
    path = call.machine.path(call.args[-1])
    if not path.is_file() or KEY_ID not in path.read_text(encoding="utf-8"):
        raise ToolError("gpg: no valid OpenPGP data found.\n", 2)
    days = call.machine.faults.key_days
    until = datetime.now(UTC) + (ENDS if days is None else timedelta(days=days))
    trust = "e" if until < datetime.now(UTC) else "-"
    call.out(f"pub:{trust}:2048:1:{KEY_ID}:{int(CREATED.timestamp())}:{int(until.timestamp())}::-:::scSC::::::23::0:\n")
    return 0


async def openssl(call: Invocation) -> int:
    if call.args[:1] != ("x509",) or "-dates" not in call.args:
        raise ToolError("the lab's openssl only knows the dates of a certificate\n")
    if not call.machine.path(call.args[-1]).is_file():
        raise ToolError(f"Could not open file or uri for loading certificate from {call.args[-1]}\n")
    now = datetime.now(UTC)
    since, until = now - timedelta(days=30), now + timedelta(days=335)
    call.out(f"notBefore={since.strftime(_DATES)}\nnotAfter={until.strftime(_DATES)}\n")
    return 0
