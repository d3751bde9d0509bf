"""
The table of docs/findings.md: how much each finding weighs, and what it was shown on: `python -m tests.findings_table`.

Nobody writes it: weights are read from the code, recordings are run through the policies. A test holds the page to it.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from tests.lab_findings import SHOWN
from tests.recorded_findings import seen_on_recordings

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "findings.md"
BEGIN, END = "<!-- made by: python -m tests.findings_table -->", "<!-- end of the table -->"
CODE = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
MAKERS = {"Finding", "MachineStep", "blocked", "finding", "_stop", "_warn", "_note", "_finding", "_blocker"}
_IMPLIED = {"_stop": "blocker", "_blocker": "blocker", "blocked": "blocker", "MachineStep": "blocker"}
_IMPLIED |= {"_warn": "warning", "_note": "note"}
# What a test is played on, by what it says; the first that fits.
_STAGES = (
    ("the lab", re.compile(r"World\.start|lab_walk")),
    ("a stand-in", re.compile(r"runbook_fixture|engine_yard|monitoring_fixture")),
    ("the lab's Slack or Redis", re.compile(r"\bLabSlack\b|\bbot_desk\b|\bredis_fixture\b")),
)
_WORD = re.compile(r"[a-z0-9]+(?:-[a-z0-9]+)+")


def codes_in(path: Path) -> Iterator[tuple[str, frozenset[str]]]:
    """The code, and the weights that it may have there, of whatever makes a finding."""
    for call in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if not isinstance(call, ast.Call):
            continue
        name = call.func.id if isinstance(call.func, ast.Name) else getattr(call.func, "attr", "")
        named = [k.value for k in call.keywords if k.arg == "code"]
        if name not in MAKERS or not (call.args or named):
            continue
        weights = frozenset({_IMPLIED[name]} if name in _IMPLIED else _weights(call))
        first = (named or call.args)[0]
        if isinstance(first, ast.Constant) and isinstance(first.value, str) and CODE.fullmatch(first.value):
            yield first.value, weights
        elif isinstance(first, ast.JoinedStr):  # `{part}-newer` stands for both parts of a node
            for part in ("kubelet", "kube-proxy"):
                yield ast.unparse(first)[2:-1].replace("{part}", part), weights


def _weights(call: ast.Call) -> set[str]:
    found = (n for n in ast.walk(call) if isinstance(n, ast.Attribute))
    return {n.attr.lower() for n in found if isinstance(n.value, ast.Name) and n.value.id == "Severity"}


@cache
def used_codes() -> dict[str, frozenset[str]]:
    """Every code of the product, with its weights."""
    found: dict[str, frozenset[str]] = {}
    for folder in ("policies", "workers", "cluster", "bot"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            for code, weights in codes_in(path):
                found[code] = found.get(code, frozenset()) | weights
    return found


def named_in_tests() -> dict[str, set[Path]]:
    """Which tests name a code, as a word of its own."""
    found: dict[str, set[Path]] = {}
    for path in sorted((ROOT / "tests").rglob("*.py")):
        if path != Path(__file__):
            for word in set(_WORD.findall(path.read_text(encoding="utf-8"))) | _short_words(path):
                found.setdefault(word, set()).add(path)
    return found


def _short_words(path: Path) -> set[str]:
    """Codes of one word, which only a string can be."""
    tree = ast.walk(ast.parse(path.read_text(encoding="utf-8")))
    strings = (n.value for n in tree if isinstance(n, ast.Constant) and isinstance(n.value, str))
    return {s for s in strings if s.isalpha()}


def make_table() -> str:
    recorded, named = seen_on_recordings(), named_in_tests()
    lines = [BEGIN, "", "| finding | weight | shown on |", "|---|---|---|"]
    for code, weights in sorted(used_codes().items()):
        weight = ", ".join(w for w in ("blocker", "warning", "note") if w in weights) or "by the case"
        shown = [f"a real cluster ({', '.join(places)})"] if (places := recorded.get(code)) else []
        shown += list(_played_on(code, named.get(code, set())))
        lines.append(f"| [{code}](#{code}) | {weight} | {', '.join(shown) or 'what was written by hand'} |")
    return "\n".join([*lines, "", END])


def _played_on(code: str, tests: set[Path]) -> Iterator[str]:
    """With the scenarios that begin with it; other tests make it there by themselves."""
    if scenarios := [name for name, codes in SHOWN.items() if code in codes.split()]:
        yield f"the lab ({', '.join(scenarios)})"
    else:
        stages = set(map(_stage, tests))
        yield from [stage for stage, _ in _STAGES if stage in stages][:1]


@cache
def _stage(path: Path) -> str:
    text = path.read_text(encoding="utf-8")
    in_lab = not {"stories", "lab"}.isdisjoint(path.parts)
    return "the lab" if in_lab else next((stage for stage, said in _STAGES if said.search(text)), "")


def table_of(page: str) -> str:
    """The table as it stands on the page; "" where there is none."""
    return page[page.index(BEGIN) : page.index(END) + len(END)] if BEGIN in page and END in page else ""


if __name__ == "__main__":
    text = PAGE.read_text(encoding="utf-8")
    PAGE.write_text(text.replace(table_of(text), make_table()), encoding="utf-8")
