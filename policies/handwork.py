"""What a person would type for each step of a plan, by data/handwork.yaml: the commands of the documentation."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from cluster.errors import Refused
from cluster.options import Reboot
from cluster.plan import Hop, PlanNode, PlanRecord
from cluster.procedure import Verb
from policies.data_files import DataFile, Row
from policies.drained import is_drained
from policies.kubeadm_defaults import images_of
from policies.legs import Leg
from policies.patches import GIVEN
from policies.pod_rules import tell_rules

# A name is pasted into a shell together with its command: only what Kubernetes takes for one may be.
_NAME = re.compile(r"[a-z0-9]([-a-z0-9.]*[a-z0-9])?")
_OLDEST_PAUSE = "3.10"  # where the images of a minor are not known
_EXTERNAL = "etcd-external"
_REBOOT = "sudo systemctl reboot"
_KUBEADM = frozenset({Verb.APPLY, Verb.UPGRADE_NODE, Verb.REVERT})
_AWAY = frozenset({Verb.CORDON, Verb.PRE_DRAIN, Verb.DRAIN, Verb.UNCORDON})


class Place(StrEnum):
    """Where a command is typed."""

    MACHINE = "machine"
    KUBECTL = "kubectl"


class Check(Row):
    """A command that tells whether the step worked, and what it shows then."""

    command: str
    shows: str


class Handwork(Row):
    """One step by hand; its texts have gaps for names and versions."""

    verb: Verb
    place: Place
    commands: tuple[str, ...] = ()
    checks: tuple[Check, ...] = ()
    note: str = ""


class Handworks(DataFile):
    """The whole file."""

    steps: tuple[Handwork, ...]


@dataclass(frozen=True, slots=True)
class Typed:
    """One step of one node, or of several where its texts do not differ, with every gap filled."""

    verb: Verb
    place: Place
    commands: tuple[str, ...]
    checks: tuple[tuple[str, str], ...]  # command, what it shows
    note: str


def read_handwork() -> dict[Verb, Handwork]:
    return {step.verb: step for step in Handworks.read("handwork.yaml").steps}


def type_leg(record: PlanRecord, leg: Leg, name: str) -> Iterator[Typed]:
    """Every step of a leg on the node of this name; raises Refused for a name that no shell should see."""
    node = record.plan.node(name)
    if node is None or not _NAME.fullmatch(name):
        raise Refused(
            f"`{name[:60]}` is no name that Kubernetes gives a node: look at the node before anything is typed."
        )
    known = read_handwork()
    for verb in leg.verbs:
        yield _type_step(record, leg, node, known[verb])


def _type_step(record: PlanRecord, leg: Leg, node: PlanNode, work: Handwork) -> Typed:
    if told := _spared(record, leg, node, work.verb):
        return Typed(work.verb, work.place, (), (), told)
    gaps = _gaps(record, record.plan.hops[leg.hop], node) | {"hooks": _hooks(record, work.verb, leg.hop)}
    return Typed(
        work.verb,
        work.place,
        tuple(c.format(**gaps) for c in work.commands),
        tuple((c.command.format(**gaps), c.shows.format(**gaps)) for c in work.checks),
        " ".join(filter(None, (work.note.format(**gaps), _given(record, work.verb)))),
    )


def _given(record: PlanRecord, verb: Verb) -> str:
    """What has to be added to the commands in this very cluster; "" for nothing."""
    if verb is Verb.DRAIN and (rules := "; ".join(tell_rules(record.plan.options))):
        return f"By the plan's rules {rules}: pick the others with `--pod-selector`."
    told = next((f.sentence for f in record.findings if f.code == GIVEN), "") if verb in _KUBEADM else ""
    return f"{told} Add it: `--patches FOLDER`, or `--config FILE`." if told else ""


def _spared(record: PlanRecord, leg: Leg, node: PlanNode, verb: Verb) -> str:
    """Why nothing is typed for a step in this very plan; "" where something is."""
    if verb is Verb.SNAPSHOT_ETCD and _EXTERNAL in record.plan.accepted:
        return "etcd is not kubeadm's own: take its snapshot where it runs, before the first step."
    if verb in _AWAY and not is_drained(record, node, leg.hop):
        return "Nothing to type: for a mere patch this plan restarts the kubelet in place."
    return ""


def _gaps(record: PlanRecord, hop: Hop, node: PlanNode) -> dict[str, str]:
    images = images_of(hop.target.minor)
    return {
        "node": node.name,
        "target": str(hop.target),
        "minor": str(hop.target.minor),
        "kubeadm": str(hop.kubeadm),
        "kubelet": str(hop.kubelet),
        "kubectl": str(hop.kubectl),
        "pause": images.pause if images else _OLDEST_PAUSE,
        "drain": " ".join(_drain_arguments(record)),
        "reboot": _REBOOT
        if record.plan.options.reboot is Reboot.ALWAYS
        else f"test ! -e /run/reboot-required || {_REBOOT}",
    }


def _hooks(record: PlanRecord, verb: Verb, hop: int) -> str:
    """As root would run them; of a webhook whom to tell."""
    target = record.plan.hops[hop].target
    mine = (hook for hook in record.plan.hooks if hook.moment == verb.value)
    return "\n".join(
        f"# tell {hook.name}" if hook.is_webhook else f'sudo "$HOOKS/{hook.name}" {verb} {target}' for hook in mine
    )


def _drain_arguments(record: PlanRecord) -> Iterator[str]:
    options = record.plan.options
    yield "--ignore-daemonsets"
    if options.delete_emptydir:
        yield "--delete-emptydir-data"
    if options.delete_unmanaged:
        yield "--force"
    yield f"--timeout={options.drain_timeout}s"
