"""CoreDNS as kubeadm's own checks would find it, before they stop the first step."""

from __future__ import annotations

import re
from collections.abc import Iterator

from cluster.dns import DNS_LABEL, DnsDeployment
from cluster.findings import Finding, Severity
from cluster.pods import tag_of
from cluster.versions import Minor
from policies.kubeadm_defaults import images_of, migrated_plugins
from policies.wording import some_of

_TAG = re.compile(r"v?(\d+)\.(\d+)\.\d+", re.ASCII)
_SUBJECT = "kube-system/coredns"


def check_dns(
    deployments: tuple[DnsDeployment, ...] | None, minors: tuple[Minor, ...], plugins: tuple[str, ...] = ()
) -> Iterator[Finding]:
    """`deployments` is None where they were not read; `minors` are those of the plan, in its order."""
    if deployments is None or not minors:
        return
    if len(deployments) > 1:
        names = some_of(d.name for d in deployments)
        sentence = f"Several Deployments in kube-system carry {DNS_LABEL} ({names}): kubeadm's check of CoreDNS stops."
        remedy = "Leave that label to the one Deployment that kubeadm made."
        yield Finding("dns-deployments", Severity.BLOCKER, "kube-system", sentence, remedy)
    elif not deployments:
        sentence = f"No Deployment in kube-system carries {DNS_LABEL}: kubeadm does not know who is the cluster's DNS."
        remedy = (
            f"Upgrade it by whatever made it; where it is kubeadm's CoreDNS, give its Deployment the label {DNS_LABEL}."
        )
        yield Finding("dns-deployments", Severity.WARNING, "kube-system", sentence, remedy)
    else:
        yield from _version(deployments[0], minors[0])
        yield from _plugins(plugins)


def _version(deployment: DnsDeployment, first: Minor) -> Iterator[Finding]:
    """kubeadm migrates from the releases that it knows; it knows them by the tag alone."""
    tag, images = tag_of(deployment.image), images_of(first)
    match, usual = _TAG.fullmatch(tag), _TAG.fullmatch(images.coredns) if images else None
    remedy = (
        "Give the Deployment an image with the tag of a CoreDNS release that is not newer, or expect the error "
        "CoreDNSMigration of `kubeadm upgrade plan`."
    )
    if match is None:
        sentence = f"CoreDNS runs {deployment.image}, whose tag is none of its releases: kubeadm would not migrate it."
        yield Finding("dns-version-unknown", Severity.WARNING, _SUBJECT, sentence, remedy)
    elif usual is not None and images is not None and _line(match) > _line(usual):
        sentence = f"CoreDNS is {tag}, newer than {images.coredns}, which kubeadm of {first} brings and migrates to."
        yield Finding("dns-version-unknown", Severity.WARNING, _SUBJECT, sentence, remedy)


def _plugins(plugins: tuple[str, ...]) -> Iterator[Finding]:
    unknown = [name for name in plugins if name not in migrated_plugins()]
    if unknown:
        sentence = (
            f"The Corefile of CoreDNS uses {some_of(unknown)}, which kubeadm does not know how to carry over to "
            "another CoreDNS: its check stops `kubeadm upgrade plan` and `apply` before anything is changed."
        )
        remedy = (
            "Take that out of the ConfigMap coredns for the upgrade, or move it to a CoreDNS of its own; otherwise "
            "expect the error CoreDNSUnsupportedPlugins."
        )
        yield Finding("dns-plugin-unsupported", Severity.WARNING, _SUBJECT, sentence, remedy)


def _line(tag: re.Match[str]) -> tuple[int, int]:
    return int(tag[1]), int(tag[2])
