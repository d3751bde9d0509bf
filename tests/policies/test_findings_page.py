"""Every code that a finding may carry has a heading of its own in docs/findings.md, and no heading is left over."""

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
CODE = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
MAKERS = {"Finding", "MachineStep", "blocked", "_stop", "_warn", "_note", "_finding", "_blocker"}


def codes_in(path):
    """The first argument of whatever makes a finding; `{part}-newer` stands for both parts of a node."""
    for call in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if not isinstance(call, ast.Call):
            continue
        name = call.func.id if isinstance(call.func, ast.Name) else getattr(call.func, "attr", "")
        named = [k.value for k in call.keywords if k.arg == "code"]
        if name not in MAKERS or not (call.args or named):
            continue
        first = (named or call.args)[0]
        if isinstance(first, ast.Constant) and isinstance(first.value, str) and CODE.fullmatch(first.value):
            yield first.value
        elif isinstance(first, ast.JoinedStr):
            yield from (ast.unparse(first)[2:-1].replace("{part}", part) for part in ("kubelet", "kube-proxy"))


def test_every_code_has_its_own_heading():
    """A finding that nobody can look up is half a finding."""
    folders = ("policies", "workers", "cluster", "bot")
    used = {code for folder in folders for path in (ROOT / folder).rglob("*.py") for code in codes_in(path)}
    page = (ROOT / "docs" / "findings.md").read_text(encoding="utf-8")
    headings = re.findall(r"^### (.+)$", page, re.MULTILINE)
    assert len(headings) == len(set(headings))
    assert set(headings) == used
