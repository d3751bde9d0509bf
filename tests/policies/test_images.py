"""A plan's images, judged by what a few machines told of where they can have them."""

from dataclasses import replace

import pytest

from cluster.declarations import Declarations
from cluster.findings import Severity
from cluster.images import ImageOffer, ImageState, ReleaseImages, WantedImages
from cluster.plan import PlanKind
from cluster.report import Unread
from policies.drafting import add_findings
from policies.images import check_images, machines_to_ask, wanted_images
from tests.policies_fixture import draft, make_report, reported, v, with_node

K8S = "registry.k8s.io"
WANTED = WantedImages(v("v1.35.4"), "3.6.6-0", "v1.13.1", "3.10.1")
OF_ALL = (f"{K8S}/kube-proxy:v1.35.4", f"{K8S}/kube-apiserver:v1.35.4", f"{K8S}/etcd:3.6.6-0", f"{K8S}/pause:3.10.1")


def answer(machine="cp1", wanted=WANTED, **states):
    """What a machine told: everything is on offer but what `states` names, by what kubeadm calls it."""
    offers = []
    for image in OF_ALL:
        name = image.rpartition("/")[2].partition(":")[0].replace("-", "_")
        state, reason = states.get(name, (ImageState.OFFERED, ""))
        offers.append(ImageOffer(image, state, reason))
    return ReleaseImages(machine, wanted.version, tuple(offers))


def judge(*told, declared=None, wanted=WANTED):
    return check_images((wanted,), told, declared or Declarations())


def weighed(findings):
    return {f.code: f.severity.value for f in findings}


GONE, SILENT, HERE = (ImageState.ABSENT, ""), (ImageState.UNKNOWN, "r wants a login (401)"), (ImageState.PRESENT, "")


@pytest.mark.parametrize(
    ("told", "declared", "expected"),
    [
        ((answer(),), {}, {"images-on-offer": "note"}),
        ((answer(kube_proxy=GONE),), {}, {"image-not-offered": "blocker", "images-on-offer": "note"}),
        ((answer(kube_apiserver=GONE),), {}, {"image-not-offered": "blocker", "images-on-offer": "note"}),
        ((answer(etcd=GONE),), {}, {"image-not-offered": "warning", "images-on-offer": "note"}),
        ((answer(etcd=GONE),), {"etcd_tag": "3.6.6-0"}, {"image-not-offered": "blocker", "images-on-offer": "note"}),
        ((answer(pause=GONE),), {"etcd_tag": "3.6.6-0"}, {"image-not-offered": "warning", "images-on-offer": "note"}),
        ((answer(pause=SILENT),), {}, {"images-not-checked": "warning", "images-on-offer": "note"}),
        (
            (answer(kube_proxy=GONE), answer("w1", kube_proxy=HERE)),
            {},
            {"image-not-offered": "blocker", "images-on-offer": "note"},
        ),
        ((ReleaseImages("cp1", v("v1.35.4"), Unread("x", "refused")),), {}, {"images-not-checked": "warning"}),
        ((), {}, {"images-not-checked": "warning"}),
    ],
)  # fmt: skip
def test_an_image_weighs_by_what_is_certain(told, declared, expected):
    """A blocker only where kubeadm takes exactly that tag and its registry says itself that there is none."""
    assert weighed(judge(*told, declared=Declarations(**declared))) == expected


def test_every_image_is_named_with_where_it_is():
    """On all machines that were asked, or at the registry; the place is said once."""
    (finding,) = judge(answer(pause=HERE), answer("cp2", pause=HERE))
    assert finding.sentence == (
        "The images of v1.35.4, as cp1, cp2 told: on offer: kube-proxy:v1.35.4, kube-apiserver:v1.35.4, "
        f"etcd:3.6.6-0 at {K8S}; on the machines already: pause:3.10.1 at {K8S}."
    )


def test_what_could_not_be_checked_names_image_machine_and_reason():
    """One sentence for each reason."""
    found = judge(answer(pause=SILENT, etcd=SILENT), answer("w1", pause=SILENT))
    (finding,) = [f for f in found if f.code == "images-not-checked"]
    assert "Whether etcd, pause of v1.35.4 can be had could not be checked on cp1, w1: r wants a login (401)." in (
        finding.sentence
    )


def test_a_minor_whose_companions_are_not_known_says_so():
    """Its own images were asked for; the others cannot be named."""
    later = WantedImages(v("v1.99.0"))
    found = judge(answer(wanted=later), wanted=later)
    assert weighed(found) == {"images-not-checked": "warning", "images-on-offer": "note"}
    assert "is not known here" in next(f.sentence for f in found if f.severity is Severity.WARNING)


def test_every_control_plane_is_asked_and_one_worker_of_each_pool():
    """What a registry has is the same for all of them."""
    plan = draft().plan
    assert machines_to_ask(plan, 0) == ("cp1", "cp2", "cp3", "w1")


@pytest.mark.parametrize(("behind", "asked"), [("w2", ("w2",)), ("cp2", ("cp2",))])
def test_before_the_hops_only_those_are_asked_whose_kubelets_catch_up(behind, asked):
    """The others run all of that already."""
    plan = draft(report=with_node(make_report(), behind, kubelet=reported("v1.31.4"))).plan
    wanted = wanted_images(plan, Declarations())
    assert [(str(w.version), machines_to_ask(plan, hop)) for hop, w in enumerate(wanted)] == [
        ("v1.34.7", asked),
        ("v1.35.4", ("cp1", "cp2", "cp3", "w1")),
    ]


def test_the_plan_wants_what_its_kubeadm_is_known_to_take():
    """Unless somebody pinned another tag; of an etcd elsewhere it takes none."""
    plan = draft().plan
    assert wanted_images(plan, Declarations()) == (WANTED,)
    pinned = Declarations(etcd_tag="3.6.9-0", dns_tag="v1.14.0")
    assert wanted_images(plan, pinned) == (replace(WANTED, etcd="3.6.9-0", coredns="v1.14.0"),)
    assert wanted_images(plan, Declarations(external_etcd=("https://e:2379",))) == (replace(WANTED, etcd=""),)
    assert wanted_images(replace(plan, kind=PlanKind.REVERT), Declarations()) == ()


def test_a_warning_of_images_is_approved_with_the_plan():
    """Its code is in the digest, as that of every other warning."""
    before = draft()
    after = add_findings(before, judge(answer(pause=SILENT)))
    assert "images-not-checked" in after.plan.accepted
    assert after.plan.digest != before.plan.digest
    assert set(before.findings) < set(after.findings)
