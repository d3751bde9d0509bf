"""What kubeadm is given beside the version: patches and its own configuration, or an upgrade undoes what they say."""

from __future__ import annotations

from collections.abc import Iterator

from cluster.facts import MachineFacts
from cluster.findings import Finding, Severity
from cluster.report import ClusterReport, Node
from cluster.survey import Survey
from cluster.versions import Minor
from policies.wording import some_of

GIVEN = "kubeadm-given"  # the finding that tells what of it is passed on
_PRESENT = "present "
_CONFIGURABLE = Minor(1, 31)  # the first kubeadm whose upgrades take a configuration of their own


def check_patches(node: Node, facts: MachineFacts) -> Iterator[Finding]:
    """Of one machine: what is configured has to be there, and what is there should be configured."""
    if facts.patches.startswith("missing"):
        sentence = f"{node.name} has no patches folder{facts.patches.removeprefix('missing')}, which is configured."
        remedy = "Put the folder there: without it the patches would be undone."
        yield Finding("patches-missing", Severity.BLOCKER, node.name, sentence, remedy)
    if facts.upgrade_config.startswith("missing"):
        sentence = f"{node.name} has no{facts.upgrade_config.removeprefix('missing')}, which is configured for kubeadm."
        remedy = "Put the file there: without it kubeadm would not do what it says."
        yield Finding("upgrade-config-missing", Severity.BLOCKER, node.name, sentence, remedy)
    if facts.patches.startswith("unused"):
        folder = facts.patches.removeprefix("unused ")
        sentence = f"{node.name} has a folder {folder} that kubeadm is not given: what was patched from it is undone."
        remedy = f"Set `PATCHES_DIR={folder}` in /etc/lockkeeper-node.conf there, or take the folder away."
        yield Finding("patches-unused", Severity.WARNING, node.name, sentence, remedy)


def check_given(report: ClusterReport, survey: Survey, minors: tuple[Minor, ...]) -> Iterator[Finding]:
    """What every upgrade of these machines is given, so that a plan and its export say it; and who does not take it."""
    yield from _too_early(report, survey, minors)
    found: dict[str, list[str]] = {}
    for node in report.nodes:
        facts = survey.facts(node.name)
        for kind, told in (("the patches of", facts.patches), ("the file", facts.upgrade_config)) if facts else ():
            if told.startswith(_PRESENT):
                found.setdefault(f"{kind} {told.removeprefix(_PRESENT)}", []).append(node.name)
    if found:
        told = "; ".join(f"{what} ({some_of(names)})" for what, names in found.items())
        sentence = f"kubeadm is given at each upgrade: {told}."
        remedy = "Look through them where a target's defaults differ, and pass them on where a step is typed by hand."
        yield Finding("kubeadm-given", Severity.NOTE, report.cluster, sentence, remedy)
    yield from _passed_over(report, survey)


def _passed_over(report: ClusterReport, survey: Survey) -> Iterator[Finding]:
    """Which of kubeadm's own checks and phases its configuration leaves out, and where."""
    found: dict[str, list[str]] = {}
    for node in report.nodes:
        facts = survey.facts(node.name)
        if facts is not None and facts.passed_over:
            told = "; ".join(f"{setting}: {names}" for setting, names in facts.passed_over)
            found.setdefault(told, []).append(node.name)
    for told, names in found.items():
        sentence = f"kubeadm's own configuration leaves out checks or phases on {some_of(names)} ({told[:300]})."
        remedy = "Take out what is not meant for this upgrade: nobody else looks at what kubeadm does not check."
        yield Finding("kubeadm-passes-over", Severity.WARNING, report.cluster, sentence, remedy)


def _too_early(report: ClusterReport, survey: Survey, minors: tuple[Minor, ...]) -> Iterator[Finding]:
    configured = [n.name for n in report.nodes if (facts := survey.facts(n.name)) and facts.upgrade_config]
    early = min((m for m in minors if m < _CONFIGURABLE), default=None)
    if configured and early is not None:
        sentence = f"kubeadm takes no UpgradeConfiguration at {early}, and one is configured on {some_of(configured)}."
        remedy = f"Take UPGRADE_CONFIG out of /etc/lockkeeper-node.conf there until {_CONFIGURABLE} is reached."
        yield Finding("upgrade-config-early", Severity.BLOCKER, report.cluster, sentence, remedy)
