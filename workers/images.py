"""Ask a few machines where they can have a plan's images from, and judge the plan by what they tell."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from cluster.declarations import Declarations
from cluster.errors import LockkeeperError
from cluster.images import ReleaseImages, WantedImages
from cluster.inventory import Cluster, Machine
from cluster.report import Unread
from policies.drafting import Draft, add_findings
from policies.images import check_images, machines_to_ask, wanted_images
from workers.survey import Reach, parallel, reach


def with_images(draft: Draft, cluster: Cluster, declared: Declarations, connect: Reach = reach) -> Draft:
    """The draft with what its machines told of its images."""
    wanted = wanted_images(draft.plan, declared)
    if not wanted:
        return draft
    questions: dict[str, list[WantedImages]] = {}
    for hop, release in enumerate(wanted):
        for name in machines_to_ask(draft.plan, hop):
            if name in cluster.machines:
                questions.setdefault(name, []).append(release)
    with ThreadPoolExecutor(parallel(len(questions))) as pool:
        told = pool.map(lambda item: _ask(item[0], cluster.machines[item[0]], item[1], connect), questions.items())
        return add_findings(draft, check_images(wanted, tuple(answer for some in told for answer in some), declared))


def _ask(name: str, machine: Machine, wanted: list[WantedImages], connect: Reach) -> tuple[ReleaseImages, ...]:
    """One answer for each release; a link that dies or an older script is the answer for those that are left."""
    told: list[ReleaseImages] = []
    try:
        with connect(name, machine) as node:
            for release in wanted:
                told.append(ReleaseImages(name, release.version, node.images(release)))  # noqa: PERF401 - what came counts
    except LockkeeperError as error:
        unread = Unread(f"machine {name}", str(error))
        told += [ReleaseImages(name, release.version, unread) for release in wanted[len(told) :]]
    return tuple(told)
