"""
Whether the images that a plan needs can be had, by what a few machines told of them: nobody pulls any for that.

Every control plane is asked, and the first worker of each pool; before a hop of a few kubelets only those. What a
registry offers is the same whoever asks; that each single worker reaches it shows when the run fetches the images of a
hop everywhere, before the first change of that hop.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from cluster.declarations import Declarations
from cluster.findings import Finding, Findings, Severity
from cluster.images import ImageOffer, ImageState, ReleaseImages, WantedImages
from cluster.plan import PlanKind, Role, UpgradePlan
from cluster.procedure import kubelet_moves
from cluster.report import Unread
from cluster.versions import KubeVersion
from policies.kubeadm_defaults import images_of
from policies.wording import some_of

_OF_KUBERNETES = frozenset({"kube-apiserver", "kube-controller-manager", "kube-scheduler", "kube-proxy"})


def machines_to_ask(plan: UpgradePlan, hop: int) -> tuple[str, ...]:
    """
    Of those that run images of a hop all control planes, and of each pool of workers the first.

    A whole hop brings kube-proxy to every worker, whether or not its kubelet moves there.
    """
    whole = plan.hops[hop].whole
    running = [[n for n in p.nodes if whole or kubelet_moves(plan, n, hop)] for p in plan.pools]
    masters = (n.name for nodes in running for n in nodes if n.role is not Role.WORKER)
    return tuple(dict.fromkeys((*masters, *(nodes[0].name for nodes in running if nodes))))


def wanted_images(plan: UpgradePlan, declared: Declarations) -> tuple[WantedImages, ...]:
    """Those of each hop, in their order; () for a plan of what goes back, since that ran there before."""
    if plan.kind is not PlanKind.UPGRADE:
        return ()
    return tuple(_wanted(hop.target, declared) for hop in plan.hops)


def _wanted(version: KubeVersion, declared: Declarations) -> WantedImages:
    usual = images_of(version.minor)
    return WantedImages(
        version,
        etcd="" if declared.external_etcd else declared.etcd_tag or (usual.etcd if usual else ""),
        coredns=declared.dns_tag or (usual.coredns if usual else ""),
        pause=usual.pause if usual else "",
    )


def check_images(wanted: tuple[WantedImages, ...], told: tuple[ReleaseImages, ...], declared: Declarations) -> Findings:
    """`told` are the answers of the machines that were asked."""
    return tuple(f for w in wanted for f in _release(w, [t for t in told if t.version == w.version], declared))


def _release(wanted: WantedImages, told: list[ReleaseImages], declared: Declarations) -> Iterator[Finding]:
    by_image: dict[str, dict[str, ImageOffer]] = {}
    silent: dict[str, list[str]] = {}
    for answer in told:
        if isinstance(answer.offers, Unread):
            silent.setdefault(answer.offers.reason, []).append(answer.machine)
            continue
        for offer in answer.offers:
            by_image.setdefault(offer.image, {})[answer.machine] = offer
    yield from (f for image, offers in by_image.items() for f in _lacking(wanted, image, offers, declared))
    yield from _unchecked(wanted, by_image, silent, asked=bool(told))
    yield from _there(wanted, by_image)


def _lacking(
    wanted: WantedImages, image: str, offers: dict[str, ImageOffer], declared: Declarations
) -> Iterator[Finding]:
    without = [machine for machine, offer in offers.items() if offer.state is ImageState.ABSENT]
    if not without:
        return
    first = offers[without[0]]
    sentence = (
        f"{first.registry} does not offer {image}, which {wanted.version} needs, and {some_of(without)} has none."
    )
    if _is_certain(first.name, declared):
        remedy = "Put it there, or correct the repository in kubeadm-config, and plan again."
        yield Finding("image-not-offered", Severity.BLOCKER, image, sentence, remedy)
    else:
        remedy = (
            f"The newest kubeadm of {wanted.version.minor} is known to take that tag. See what this one takes with: "
            f"kubeadm config images list --kubernetes-version {wanted.version}"
        )
        yield Finding("image-not-offered", Severity.WARNING, image, sentence, remedy)


def _is_certain(name: str, declared: Declarations) -> bool:
    """Whether kubeadm will take exactly this tag: its own, or one that somebody pinned."""
    pinned = {"etcd": declared.etcd_tag, "coredns": declared.dns_tag}
    return name in _OF_KUBERNETES or bool(pinned.get(name))


def _unchecked(
    wanted: WantedImages, by_image: dict[str, dict[str, ImageOffer]], silent: dict[str, list[str]], *, asked: bool
) -> Iterator[Finding]:
    """What nobody could tell, by the reason; it is not clean for that."""
    reasons: dict[str, tuple[list[str], list[str]]] = {}
    for reason, machines in silent.items():
        reasons[reason] = (["its images"], machines)
    for offers in by_image.values():
        for machine, offer in offers.items():
            if offer.state is ImageState.UNKNOWN:
                names, machines = reasons.setdefault(offer.reason, ([], []))
                names.append(offer.name)
                machines.append(machine)
    if not asked:
        reasons["no machine of the plan was asked"] = (["its images"], [])
    if images_of(wanted.version.minor) is None:
        reasons[f"which ones kubeadm of {wanted.version.minor} takes is not known here"] = (
            ["etcd, CoreDNS and pause"],
            [],
        )
    for reason, (names, machines) in reasons.items():
        where = f" on {some_of(machines)}" if machines else ""
        sentence = (
            f"Whether {some_of(names)} of {wanted.version} can be had could not be checked{where}: {reason[:300]}."
        )
        remedy = (
            "Look there with: crictl pull, for each of kubeadm config images list --kubernetes-version "
            f"{wanted.version}. The run fetches all of them before the first change of that hop, and stops where it "
            "cannot."
        )
        yield Finding("images-not-checked", Severity.WARNING, str(wanted.version), sentence, remedy)


def _there(wanted: WantedImages, by_image: dict[str, dict[str, ImageOffer]]) -> Iterator[Finding]:
    here = [i for i, offers in by_image.items() if _are(offers.values(), ImageState.PRESENT)]
    offered = [
        i
        for i, offers in by_image.items()
        if i not in here and _are(offers.values(), ImageState.PRESENT, ImageState.OFFERED)
    ]
    if not here and not offered:
        return
    machines = some_of(dict.fromkeys(m for offers in by_image.values() for m in offers))
    parts = [f"on offer: {_listed(offered)}"] if offered else []
    parts += [f"on the machines already: {_listed(here)}"] if here else []
    sentence = f"The images of {wanted.version}, as {machines} told: {'; '.join(parts)}."
    remedy = "Nothing was pulled; the run fetches what is missing on every machine before the first change of that hop."
    yield Finding("images-on-offer", Severity.NOTE, str(wanted.version), sentence, remedy)


def _are(offers: Iterable[ImageOffer], *states: ImageState) -> bool:
    return all(offer.state in states for offer in offers)


def _listed(images: Iterable[str]) -> str:
    """By repository, so that its name is said once."""
    by_place: dict[str, list[str]] = {}
    for place, _, name in (image.rpartition("/") for image in images):
        by_place.setdefault(place, []).append(name)
    return "; ".join(f"{', '.join(names)} at {place}" for place, names in by_place.items())
