"""
The table of docs/findings.md: how much each finding weighs, and what it was shown on: `python -m tests.findings_table`.

Nobody writes it: weights are read from the code, recordings are run through the policies. A test holds the page to it.
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from cluster.configmaps import join_declarations
from cluster.declarations import (
    Declarations,
    read_cluster_configuration,
    read_kubelet_configuration,
    read_proxy_configuration,
)
from cluster.dns import read_dns
from cluster.examination import Examination
from cluster.findings import Finding
from cluster.inventory import Cluster
from cluster.observation import Observation
from cluster.plan import Options
from cluster.report import ClusterReport
from cluster.survey import Survey
from cluster.tally import read_workloads
from policies.add_ons import check_networks
from policies.drains import check_drains
from policies.drift import base_version, check_drift
from policies.obstacles import check_obstacles
from policies.overview import look_over
from policies.skew import check_skew
from tests.lab_findings import SHOWN
from tests.pods_fixture import PaperLists
from tests.policies_fixture import make_cluster
from tests.recorded_api import READ_AT, RECORDINGS, STAGES, recorded_report

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "findings.md"
BEGIN, END = "<!-- made by: python -m tests.findings_table -->", "<!-- end of the table -->"
CODE = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
MAKERS = {"Finding", "MachineStep", "blocked", "_stop", "_warn", "_note", "_finding", "_blocker"}
_IMPLIED = {"_stop": "blocker", "_blocker": "blocker", "blocked": "blocker", "MachineStep": "blocker"}
_IMPLIED |= {"_warn": "warning", "_note": "note"}
_MACHINE = {"address": "10.0.0.1", "key_file": "/key", "host_key": "SHA256:" + "a" * 43}
_NOT_OF_THE_CLUSTER = frozenset({"not-surveyed"})  # of what a test leaves out
_LAB = re.compile(r"World\.start|lab_walk")
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


def seen_on_recordings() -> dict[str, list[str]]:
    """Code → the recorded stages of a real cluster that show it."""
    found: dict[str, list[str]] = {}
    for stage in STAGES:
        for code in sorted({f.code for f in _judge(stage)} - _NOT_OF_THE_CLUSTER):
            found.setdefault(code, []).append(stage)
    return found


def _judge(stage: str) -> Iterator[Finding]:
    """What a report of that stage would say, and what a plan to the next minor finds without asking machines."""
    report = recorded_report(stage)
    cluster = make_cluster(machines={n.name: _MACHINE for n in report.nodes})
    yield from look_over(report, None, cluster, installation="lockkeeper", known={}, now=READ_AT).findings
    yield from _plan(report, cluster, stage)


def _plan(report: ClusterReport, cluster: Cluster, stage: str) -> Iterator[Finding]:
    base = base_version(report)
    assert base is not None
    minors = (base.minor.after(1),)
    lists = {kind: _items(stage, name) for kind, name in (("pods", "pods"), ("nodes", "nodes"), ("budgets", "pdb"))}
    dns = [d for d in _items(stage, "deploy-ds") if (d["metadata"].get("labels") or {}).get("k8s-app") == "kube-dns"]
    examination = Examination(
        "real",
        READ_AT,
        workloads=read_workloads(PaperLists(**lists)),
        dns=tuple(map(read_dns, dns)),
        declared=_declared(stage),
    )
    seen = Observation(report, Survey("real", READ_AT), examination)
    yield from check_skew(report)
    yield from check_drift(report, None)
    yield from check_networks(report, minors)
    yield from check_obstacles(seen, minors)
    yield from check_drains(seen, cluster, Options(), minors)


def _items(stage: str, name: str) -> list[dict[str, Any]]:
    path = RECORDINGS / f"{stage}-{name}.stdout"
    path = path if path.exists() else RECORDINGS / f"before-{name}.stdout"
    return list(json.loads(path.read_text(encoding="utf-8"))["items"])


def _declared(stage: str) -> Declarations:
    path = RECORDINGS / f"{stage}-kubeadm-cm.stdout"
    read = json.loads(path.read_text(encoding="utf-8"))
    maps = {i["metadata"]["name"]: i["data"] for i in read.get("items", [read])}
    own = read_cluster_configuration(yaml.safe_load(maps["kubeadm-config"]["ClusterConfiguration"]))
    kubelet = maps.get("kubelet-config")
    return join_declarations(
        own,
        read_kubelet_configuration(yaml.safe_load(kubelet["kubelet"])) if kubelet else Declarations(),
        read_proxy_configuration({}),
    )


def make_table() -> str:
    recorded, named = seen_on_recordings(), named_in_tests()
    lines = [BEGIN, "", "| finding | weight | shown on |", "|---|---|---|"]
    for code, weights in sorted(used_codes().items()):
        weight = ", ".join(w for w in ("blocker", "warning", "note") if w in weights) or "by the case"
        shown = [f"a real cluster ({', '.join(stages)})"] if (stages := recorded.get(code)) else []
        shown += list(_on_the_lab(code, named.get(code, set())))
        lines.append(f"| [{code}](#{code}) | {weight} | {', '.join(shown) or 'what was written by hand'} |")
    return "\n".join([*lines, "", END])


def _on_the_lab(code: str, tests: set[Path]) -> Iterator[str]:
    """With the scenarios that begin with it; other tests make it there by themselves."""
    if scenarios := [name for name, codes in SHOWN.items() if code in codes.split()]:
        yield f"the lab ({', '.join(scenarios)})"
    elif any(map(_runs_the_lab, tests)):
        yield "the lab"


@cache
def _runs_the_lab(path: Path) -> bool:
    return not {"stories", "lab"}.isdisjoint(path.parts) or bool(_LAB.search(path.read_text(encoding="utf-8")))


def table_of(page: str) -> str:
    """The table as it stands on the page; "" where there is none."""
    return page[page.index(BEGIN) : page.index(END) + len(END)] if BEGIN in page and END in page else ""


if __name__ == "__main__":
    text = PAGE.read_text(encoding="utf-8")
    PAGE.write_text(text.replace(table_of(text), make_table()), encoding="utf-8")
