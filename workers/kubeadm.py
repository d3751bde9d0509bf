"""Steps that the node script carries out: the verb and its words, when it is done already, how a failure reads."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

from cluster.errors import KubeDenied
from cluster.facts import UPGRADED_PACKAGES, EtcdTool, MachineFacts
from cluster.findings import Findings
from cluster.operation import AsFound
from cluster.plan import Role
from cluster.procedure import DOING, Verb
from workers.complaint import find_complaint
from workers.control_plane import look_before_replacing, read_declared
from workers.patience import api_refused, ask_api
from workers.remote import Link, Outcome, await_earlier, run_remote, was_started
from workers.site import Site, StepBlocked, StepDone
from workers.snapshots import keep_snapshot

_LOOKS = 3  # that must agree before a machine or etcd is called unsound: links break, members elect
NO_TOOL = 69  # the node script's exit code where a tool for the verb is missing
# Their visible results come before their last phases: only an exit code of 0 tells that they ended.
COUNTED_BY_EXIT = frozenset({Verb.APPLY, Verb.UPGRADE_NODE, Verb.REVERT})
_NEEDS_MANIFESTS = COUNTED_BY_EXIT | {Verb.PLAN}
_NEEDS_DPKG = frozenset({Verb.INSTALL_KUBEADM, Verb.INSTALL_KUBELET, Verb.ROLL_BACK_KUBELET})


@dataclass(frozen=True, slots=True)
class MachineStep:
    """One verb on a machine: its words, the sentence when it is done, and what shows that it need not run."""

    words: Callable[[Site], tuple[str, ...]]
    done: Callable[[Site], str]
    code: str  # of the finding when it fails
    seen: Callable[[Site, MachineFacts], bool] | None = None  # None: only running it tells, and it is idempotent
    before: Callable[[Site], None] | None = None  # a gate of its own, asked right before the start
    after: Callable[[Site, Outcome], StepDone] | None = None  # what is left to do when it ended well
    look: Callable[[Site], AsFound | None] | None = None  # what the next steps change, looked at when it is done

    def observe(self, site: Site) -> StepDone | None:
        """Done already? Never while this very attempt is known to the machine: then its end is awaited."""
        if was_started(site):
            return None
        earlier = await_earlier(site) if site.attempt > 1 else None
        if earlier is not None and earlier.code == 0 and site.step.verb in COUNTED_BY_EXIT:
            return self._done(site, earlier)
        facts = self._facts(site)
        if facts is not None and self.seen is not None and self.seen(site, facts):
            return self._looked(site, StepDone(self.done(site), {"already": "yes"}))
        if facts is not None:
            _repair(site, facts)
        if self.before is not None:
            self.before(site)
        return None

    def act(self, site: Site) -> StepDone:
        """Run it to its end; raises StepBlocked with the line that says best why it failed."""
        outcome = run_remote(site, *self.words(site))
        if outcome.code == 0:
            return self._done(site, outcome)
        raise self._failed(site, outcome)

    def _facts(self, site: Site) -> MachineFacts | None:
        # Asking for everything costs a second: only where the answer decides something.
        verb = site.step.verb
        damaged = verb in _NEEDS_DPKG or (site.attempt > 1 and verb in _NEEDS_MANIFESTS)
        if self.seen is None and not damaged:
            return None
        whole = verb is Verb.SNAPSHOT_ETCD  # where etcdctl is, is not told briefly
        return Link(site).ask(partial(site.machine.observe, briefly=not whole), patience=site.waits.node_ready)

    def _done(self, site: Site, outcome: Outcome) -> StepDone:
        done = StepDone(self.done(site)) if self.after is None else self.after(site, outcome)
        return self._looked(site, done)

    def _looked(self, site: Site, done: StepDone) -> StepDone:
        return done if self.look is None else replace(done, as_found=self.look(site))

    def _failed(self, site: Site, outcome: Outcome) -> StepBlocked:
        if site.step.verb is Verb.SNAPSHOT_ETCD and outcome.code == NO_TOOL:
            return no_snapshot(site, find_complaint(outcome.output))
        why = find_complaint(outcome.output) or "it printed nothing"
        return site.blocked(
            self.code,
            f"On {site.node.name}, {DOING[site.step.verb]} failed (exit {outcome.code}): {why}",
            "Correct that on the machine, then `retry`.",
        )


def no_snapshot(site: Site, why: str) -> StepBlocked:
    return site.blocked(
        "no-etcdctl",
        f"No etcd snapshot can be taken on {site.node.name}: {why}",
        "Install crictl or etcdctl there and `retry`, or `cancel` and ask for the plan with `accept no-etcdctl`.",
    )


def _repair(site: Site, facts: MachineFacts) -> None:
    """Mend what a crash in the middle left, under an attempt id of its own."""
    verb = site.step.verb
    broken = (verb in _NEEDS_DPKG and facts.dpkg_problem) or (
        verb in _NEEDS_MANIFESTS and site.node.role is not Role.WORKER and facts.missing_manifests
    )
    if not broken:
        return
    site.tell(f"{site.node.name} was left in the middle of its work; it is repaired first.")
    attempt = f"{site.attempt_id}-repair"
    outcome = run_remote(site, "repair", attempt=attempt)
    if outcome.code != 0:
        raise site.blocked(
            "repair-failed",
            f"{site.node.name} could not be repaired (exit {outcome.code}): {find_complaint(outcome.output)}",
            "Repair it by hand, then `retry`.",
        )


def _role(site: Site) -> str:
    return "worker" if site.node.role is Role.WORKER else "control-plane"


def _target(site: Site) -> str:
    return str(site.hop.target)


def _has(facts: MachineFacts, name: str, version: object) -> bool:
    package = facts.package(name)
    return package is not None and package.whole and package.version == str(version)


def _kubeadm_is_there(site: Site, facts: MachineFacts) -> bool:
    says = facts.kubeadm
    return _has(facts, "kubeadm", site.hop.kubeadm) and says is not None and says.version == site.hop.target


def _kubelet_is_there(site: Site, facts: MachineFacts) -> bool:
    kubectl = facts.package("kubectl")
    return _has(facts, "kubelet", site.hop.kubelet) and (kubectl is None or _has(facts, "kubectl", site.hop.kubectl))


def _source_is_there(site: Site, facts: MachineFacts) -> bool:
    return bool(facts.sources) and all(s.minor == site.hop.target.minor for s in facts.sources)


def _look(site: Site) -> AsFound | None:
    """None on a worker, which has been looked at at its cordon, and has no static pods."""
    return None if site.node.role is Role.WORKER else look_before_replacing(site)


def _goes_without_snapshot(site: Site, facts: MachineFacts) -> bool:
    if "etcd-external" in site.plan.accepted:
        site.tell("etcd is not kubeadm's own: its snapshot is yours to take, as the approved plan says.")
        return True
    if facts.etcdctl is not EtcdTool.NONE or not site.plan.options.without_snapshot:
        return False
    site.tell(f"There is no etcdctl on {site.node.name}; the plan consents to go on without a snapshot.")
    return True


def check_control_planes(site: Site) -> None:
    """Days may lie between a plan's hops: what was sound then is asked anew before etcd and its servers are touched."""
    found: Findings = ()
    for _ in range(_LOOKS):
        found = ask_api(site, site.inspect)
        if not found:
            return
        site.wait(site.waits.poll)
    raise StepBlocked(found[0])


def await_api(site: Site) -> None:
    """kubeadm gives up at once where the API is away, as it is for a while after the only control plane was mended."""
    ask_api(site, lambda: read_declared(site))


def check_declared(site: Site) -> None:
    """`kubeadm upgrade node` takes no version: it follows kubeadm-config, and does the old one again with exit 0."""
    try:
        declared = ask_api(site, lambda: read_declared(site))
    except KubeDenied as error:
        raise api_refused(site, error) from error
    if declared != site.hop.target:
        raise site.blocked(
            "declared-version-differs",
            f"kubeadm-config declares {declared or 'no version'} and not {site.hop.target}: `kubeadm upgrade node` on "
            f"{site.node.name} would bring that version.",
            "Find out who changed it; when the first control plane is at the target, `retry`.",
        )


MACHINE_STEPS: dict[Verb, MachineStep] = {
    Verb.HOLD: MachineStep(
        lambda _: ("hold",),
        lambda s: f"{', '.join(UPGRADED_PACKAGES)} are held on {s.node.name}.",
        code="package-step-failed",
    ),
    Verb.FETCH: MachineStep(
        lambda s: ("fetch", str(s.hop.kubeadm)),
        lambda s: f"{s.node.name} has the packages of {s.hop.kubeadm}.",
        code="package-step-failed",
    ),
    Verb.PULL_IMAGES: MachineStep(
        lambda s: ("pull-images", _target(s)),
        lambda s: f"{s.node.name} has the images of {s.hop.target}.",
        code="images-not-pulled",
    ),
    Verb.SNAPSHOT_ETCD: MachineStep(
        lambda _: ("snapshot-etcd",),
        lambda s: f"{s.node.name} took no etcd snapshot.",
        code="etcd-snapshot-failed",
        seen=_goes_without_snapshot,
        after=keep_snapshot,
    ),
    Verb.SET_SOURCE: MachineStep(
        lambda s: ("set-source", str(s.hop.target.minor)),
        lambda s: f"The package source of {s.node.name} is that of {s.hop.target.minor}.",
        code="package-step-failed",
        seen=_source_is_there,
    ),
    Verb.INSTALL_KUBEADM: MachineStep(
        lambda s: ("install-kubeadm", str(s.hop.kubeadm)),
        lambda s: f"{s.node.name} has kubeadm {s.hop.kubeadm}.",
        code="package-step-failed",
        seen=_kubeadm_is_there,
        look=_look,
    ),
    Verb.PLAN: MachineStep(
        lambda s: ("plan", _target(s)),
        lambda s: f"kubeadm sees nothing against {s.hop.target} on {s.node.name}.",
        code="kubeadm-failed",
        before=check_control_planes,
    ),
    Verb.APPLY: MachineStep(
        lambda s: ("apply", _target(s)),
        lambda s: f"kubeadm brought the control plane of {s.node.name} to {s.hop.target}.",
        code="kubeadm-failed",
        before=await_api,
    ),
    Verb.UPGRADE_NODE: MachineStep(
        lambda s: ("upgrade-node", _role(s), _target(s)),
        lambda s: f"kubeadm brought {s.node.name} to {s.hop.target}.",
        code="kubeadm-failed",
        before=check_declared,
    ),
    Verb.INSTALL_KUBELET: MachineStep(
        lambda s: ("install-kubelet", str(s.hop.kubelet)),
        lambda s: f"{s.node.name} has the kubelet {s.hop.kubelet}.",
        code="package-step-failed",
        seen=_kubelet_is_there,
    ),
    Verb.RESTART_KUBELET: MachineStep(
        lambda _: ("restart-kubelet",),
        lambda s: f"The kubelet of {s.node.name} was restarted.",
        code="kubelet-not-restarted",
    ),
    Verb.PRUNE: MachineStep(
        lambda _: ("prune",),
        lambda s: f"{s.node.name} keeps the newest three of each kind of backup.",
        code="backups-not-removed",
    ),
    Verb.UNHOLD: MachineStep(
        lambda _: ("unhold",),
        lambda s: f"The package holds of {s.node.name} are as before.",
        code="package-step-failed",
    ),
    Verb.REVERT: MachineStep(
        lambda s: ("revert", _target(s)),
        lambda s: f"The control plane of {s.node.name} is back at its declared version {s.hop.target}.",
        code="kubeadm-failed",
        before=await_api,
    ),
    # without a look before: the same package may be there already with another kubelet running
    Verb.ROLL_BACK_KUBELET: MachineStep(
        lambda s: ("roll-back-kubelet", str(s.hop.kubelet)),
        lambda s: f"{s.node.name} has the kubelet {s.hop.kubelet} again.",
        code="package-step-failed",
    ),
}
