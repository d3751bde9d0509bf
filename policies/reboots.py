"""Whether machines ask for a reboot, and whether a plan that reboots them can tell when they are back."""

from __future__ import annotations

from collections.abc import Iterator

from cluster.findings import Finding, Severity
from cluster.options import Options, Reboot
from cluster.report import ClusterReport
from cluster.survey import Survey


def check_reboots(
    report: ClusterReport, survey: Survey, options: Options | None, left_out: frozenset[str]
) -> Iterator[Finding]:
    """Of the machines of a plan with these options; None for one that visits no node."""
    for node in report.nodes:
        facts = survey.facts(node.name)
        if options is None or facts is None or node.name in left_out:
            continue
        if options.reboot is Reboot.NEVER and facts.reboot_required:
            sentence = f"{node.name} asks for a reboot (/run/reboot-required), and this plan gives it none."
            remedy = "Ask for the plan with `accept reboot-if-required` to have that done while it is drained."
            yield Finding("reboot-due", Severity.NOTE, node.name, sentence, remedy)
        if options.reboot is not Reboot.NEVER and facts.reboot_required is None:
            sentence = (
                f"The node script of {node.name} is of an earlier release: it does not tell whether a reboot is due."
            )
            remedy = "Install the output of `lockkeeper node-script` there, and plan again."
            yield Finding("reboot-impossible", Severity.BLOCKER, node.name, sentence, remedy)
