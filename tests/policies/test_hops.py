"""Where a plan goes: what is typed, what machines offer, and every refusal in one sentence."""

from dataclasses import replace

import pytest

from cluster.errors import Refused
from cluster.facts import Offer, OfferState
from cluster.findings import blockers
from cluster.report import Unread
from cluster.versions import Minor, PackageVersion, parse_target
from policies.hops import chain, minors_to_survey, resolve
from tests.policies_fixture import MASTERS, PACKAGES, WORKERS, codes, draft, make_offers, make_report, make_survey, v

BASE = v("v1.34.7")


def hops_of(text, survey=None):
    survey = survey or make_survey()
    return chain(resolve(parse_target(text), BASE, survey), BASE, survey)


@pytest.mark.parametrize(
    ("typed", "hops"),
    [
        ("v1.35.4", ["v1.35.4"]),
        ("v1.35.0", ["v1.35.0"]),
        ("v1.35", ["v1.35.4"]),
        ("v1.34", ["v1.34.9"]),
        ("v1.34.9", ["v1.34.9"]),
        ("v1.36.2", ["v1.35.4", "v1.36.2"]),
        ("v1.36", ["v1.35.4", "v1.36.2"]),
        ("latest-patch", ["v1.34.9"]),
        ("next", ["v1.35.4"]),
    ],
)
def test_a_target_becomes_one_hop_per_minor(typed, hops):
    """Between, the newest patch that is offered; a minor alone is its newest patch."""
    made, findings = hops_of(typed)
    assert [str(h.target) for h in made] == hops
    assert findings == ()


def test_a_hop_names_the_exact_packages_of_all_machines():
    """The revision is what the source offers, never guessed."""
    survey = make_survey(
        offers=dict.fromkeys(("cp1", "cp2", "cp3", "w1", "w2"), make_offers("1.35.4-1.1", "1.35.4-2.1"))
    )
    (hop,), _ = hops_of("v1.35.4", survey)
    assert {str(hop.kubeadm), str(hop.kubelet), str(hop.kubectl)} == {"1.35.4-2.1"}


def test_the_newest_patch_is_the_newest_that_every_machine_offers():
    """One mirror that lags decides for all."""
    survey = make_survey(offers={"w2": make_offers("1.35.0-1.1")})
    (hop,), findings = hops_of("v1.35", survey)
    assert str(hop.target) == "v1.35.0"
    assert findings == ()


def test_other_revisions_of_one_release_are_a_finding():
    """The same release in another build is not the same package."""
    survey = make_survey(offers={"w2": make_offers("1.35.4-2.1")})
    _, findings = hops_of("v1.35.4", survey)
    assert codes(findings) == ["package-differs"]
    assert "w2" in findings[0].sentence


@pytest.mark.parametrize(
    ("typed", "words"),
    [
        ("v1.33.2", "downgrade: .* Name a version newer than that"),
        ("v1.34.1", "downgrade: .*`latest-patch` for the newest of v1.34, or `next` for v1.35"),
        ("v1.35.9", "not offered"),
        ("v1.37.0", "No machine|cannot be read"),
    ],
)
def test_what_cannot_be_a_target_is_refused_in_one_sentence(typed, words):
    """A sentence that names the target."""
    with pytest.raises(Refused, match=words) as caught:
        hops_of(typed)
    assert typed in str(caught.value)
    assert "\n" not in str(caught.value)


OLD = tuple(
    Offer(Minor(1, m), OfferState.OFFERED, tuple(PackageVersion.parse(f"1.{m}.{p}-1.1") for p in patches))
    for m, patches in ((33, (2, 6, 13)), (34, (9,)), (35, (4,)))
)


def draft_old(target, api="v1.33.2", **changes):
    kubelets = min(api.values()) if isinstance(api, dict) else api
    survey = make_survey(offers=dict.fromkeys((*MASTERS, *WORKERS), OLD))
    return draft(target, report=replace(make_report(api, kubelets), **changes), survey=survey)


@pytest.mark.parametrize(
    ("target", "running", "hops"),
    [
        ("v1.34", "v1.33.2", ["v1.33.13", "v1.34.9"]),  # before etcd changes its minor
        ("v1.35", "v1.33.2", ["v1.33.13", "v1.34.9", "v1.35.4"]),
        ("v1.34", "v1.33.6", ["v1.34.9"]),  # has what the advice asks for
        ("v1.33.6", "v1.33.2", ["v1.33.6"]),
        ("latest-patch", "v1.33.2", ["v1.33.13"]),
    ],
)
def test_the_newest_patch_comes_first_where_the_release_facts_advise_it(target, running, hops):
    """The reason and where it is written stand beside the plan; elsewhere a newer patch is only told of."""
    made = draft_old(target, running)
    assert [str(h.target) for h in made.plan.hops] == hops
    assert blockers(made.findings) == ()
    told = [f for f in made.findings if f.code == "patch-first"]
    assert [f.remedy for f in told] == ["Read https://etcd.io/docs/v3.6/upgrades/upgrade_3_6/"] * (len(hops) > 1)
    assert ("patches-behind" in codes(made.findings)) == (hops == ["v1.34.9"])


def test_the_newest_patch_does_not_come_first_where_it_could_not_help():
    """An etcd that is not kubeadm's stays as it is; an upgrade that was left is finished, and never taken back."""
    outside = tuple(p for p in make_report("v1.33.2").static_pods if p.component != "etcd")
    assert [str(h.target) for h in draft_old("v1.34", static_pods=outside).plan.hops] == ["v1.34.9"]
    left = {"cp1": "v1.34.9", "cp2": "v1.33.2", "cp3": "v1.33.2"}
    assert [str(h.target) for h in draft_old("v1.34.9", left, declared=v("v1.34.9")).plan.hops] == ["v1.34.9"]


def test_the_next_minor_that_is_not_offered_is_refused_by_its_number():
    """Whoever typed `next` reads which one that is."""
    without = tuple(p for p in PACKAGES if not p.startswith("1.35"))
    with pytest.raises(Refused, match=r"v1\.35 is not offered by the package source of w1"):
        hops_of("next", make_survey(offers={"w1": make_offers(*without)}))


def test_a_minor_between_that_one_machine_does_not_offer_refuses_the_plan():
    """And the sentence names the machine and the minor, not only the target."""
    without = tuple(p for p in PACKAGES if not p.startswith("1.35"))
    with pytest.raises(Refused, match=r"v1\.35 is not offered by the package source of w1"):
        hops_of("v1.36.2", make_survey(offers={"w1": make_offers(*without)}))


def test_a_source_that_one_machine_cannot_reach_does_not_decide():
    """It is a blocker of its own; the others still say what there is."""
    silent = tuple(Offer(Minor(1, m), OfferState.UNREACHABLE, reason="timed out") for m in (34, 35, 36))
    (hop,), _ = hops_of("v1.35", make_survey(offers={"w1": silent}))
    assert str(hop.target) == "v1.35.4"


def test_when_no_machine_can_be_asked_the_reason_is_repeated():
    """An unknown host key everywhere is what the person must read."""
    survey = make_survey()
    lost = tuple(replace(m, facts=Unread(m.name, "No host key is pinned."), offers=()) for m in survey.machines)
    with pytest.raises(Refused, match="No host key is pinned"):
        hops_of("v1.35", replace(survey, machines=lost))


@pytest.mark.parametrize(
    ("typed", "minors"),
    [
        ("v1.34.9", [34]),
        ("v1.34", [34]),
        ("v1.35", [34, 35]),
        ("v1.36.2", [34, 35, 36]),
        ("next", [34, 35]),
        ("latest-patch", [34]),
    ],
)
def test_the_survey_asks_for_the_minors_on_the_way(typed, minors):
    """And for the current one."""
    assert [m.minor for m in minors_to_survey(BASE, parse_target(typed))] == minors


@pytest.mark.parametrize(
    ("typed", "words"), [("v1.33", "downgrade: .*`next`"), ("v1.99.1", "65 minors ahead"), ("v2.0", "ahead")]
)
def test_a_target_out_of_reach_is_refused_before_any_machine_is_asked(typed, words):
    """A survey for it would only cost time."""
    with pytest.raises(Refused, match=words):
        minors_to_survey(BASE, parse_target(typed))
