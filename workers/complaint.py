"""What a failed command complained of: the one line of its output that a person wants to see first."""

from __future__ import annotations

import re

_SHOWN = 400  # characters; kubeadm repeats a pull error three times in one line
_COLOUR = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
_KLOG = re.compile(r"[IWE]\d{4} \d\d:\d\d:\d\d")  # a client library's log line, with a time in front
_CHECK = re.compile(r"\[ERROR [A-Za-z0-9-]+\]: .+")
_SCRIPT = "lockkeeper-node: "
_NOISE = (
    "To see the stack trace",
    "[preflight] If you know what you are doing",
    "Can be bypassed",
    "Please fix the misalignments",
    "Reading database",
    "Reading package lists",
    "(Reading database",
    "Get:",
    "Hit:",
    "Ign:",
    "Fetched ",
)
_WRAPPERS = ("preflight checks failed",)  # kubeadm's last line only says that the lines above count


def find_complaint(output: str) -> str:
    """The line that says best why the command failed; "" when it said nothing."""
    lines = [line for line in _lines(output) if not line.startswith(_NOISE)]
    if checks := [match[0] for line in lines if (match := _CHECK.search(line))]:
        return _short("; ".join(dict.fromkeys(checks)))
    for find in (_of_kubeadm, _of_apt, _of_script):
        if found := find(lines):
            return _short(found)
    spoken = [line for line in lines if not _KLOG.match(line)] or lines
    return _short(spoken[-1]) if spoken else ""


def _lines(output: str) -> list[str]:
    # A progress bar overwrites its line: what stands after the last carriage return is what is seen.
    seen = (line.rstrip("\r").rpartition("\r")[2] for line in _COLOUR.sub("", output).split("\n"))
    return [clean for line in seen if (clean := "".join(c if c.isprintable() else " " for c in line).strip())]


def _of_kubeadm(lines: list[str]) -> str:
    for index, line in enumerate(lines):
        if line.startswith("error: ") and not line.endswith(_WRAPPERS):
            # "… due to these fatal errors:" is followed by a list
            reasons = [more.removeprefix("- ") for more in lines[index + 1 :] if more.startswith("- ")]
            return " ".join((line.removeprefix("error: "), *reasons))
    return ""


def _of_apt(lines: list[str]) -> str:
    return next((line for line in reversed(lines) if line.startswith("E: ")), "")


def _of_script(lines: list[str]) -> str:
    return next((line.removeprefix(_SCRIPT) for line in reversed(lines) if line.startswith(_SCRIPT)), "")


def _short(text: str) -> str:
    return text if len(text) <= _SHOWN else text[: _SHOWN - 1] + "…"
