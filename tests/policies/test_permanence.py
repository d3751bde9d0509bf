"""What cannot be undone is said of the plans that do it, and of no others."""

from dataclasses import replace

import pytest

from cluster.findings import Finding, Severity
from cluster.options import DrainMode, Options
from cluster.plan import Basis, PlanKind
from policies.drafting import draft_revert
from policies.permanence import find_permanent, read_effects
from tests.policies_fixture import (
    NOW,
    PACKAGES,
    draft,
    make_cluster,
    make_offers,
    make_record,
    make_report,
    make_survey,
    see,
    with_api,
)

LOSSES = Options(delete_emptydir=True, delete_unmanaged=True)


def said(record):
    return {p.code: p.sentence for p in find_permanent(record)}


def found(code):
    return Finding(code, Severity.WARNING, "prod", "It is so.", "See to it.")


def test_a_patch_that_loses_nothing_has_nothing_that_stays():
    """The control plane stays on its minor, and nobody asked for more than a drain."""
    assert find_permanent(make_record("v1.34.9")) == ()


@pytest.mark.parametrize(("target", "after"), [("v1.35.4", "v1.35"), ("v1.36.2", "v1.36")])
def test_another_minor_is_for_good_and_its_way_back_is_named(target, after):
    """From where the control plane is to where it ends, however many hops there are."""
    told = said(make_record(target))
    assert list(told) == ["minor", "way-back", "stored-objects"]
    assert told["minor"] == f"The control plane does not come back from {after} to v1.34, as no downgrade is supported."
    assert "etcd snapshot" in told["way-back"]


@pytest.mark.parametrize(
    ("changes", "way_back"),
    [
        ({}, "way-back"),
        ({"findings": (found("etcd-external"),)}, "way-back-is-yours"),
        ({"drafted": draft(options=Options(without_snapshot=True))}, "no-way-back"),
    ],
)
def test_the_way_back_is_the_one_that_there_will_be(changes, way_back):
    """Our snapshot, one that somebody else has to take, or none."""
    assert [code for code in said(make_record(**changes)) if "way-back" in code] == [way_back]


def older(record, running):
    """The same plan on a cluster that runs that."""
    basis = Basis(tuple((n.name, running) for n in record.plan.nodes[:3]), record.basis.kubelets, running, NOW)
    return replace(record, basis=basis)


@pytest.mark.parametrize(
    ("codes", "told"),
    [
        (
            (),
            ["etcd goes from 3.5 to 3.6, and kubeadm does not take it back; etcd has a procedure of its own for that."],
        ),
        (("etcd-external",), []),
        (("etcd-image-pinned",), []),
    ],
)
def test_another_line_of_etcd_is_told_where_kubeadm_brings_it(codes, told):
    """An etcd that is not kubeadm's, or whose image is pinned, stays on its line."""
    record = older(make_record("v1.34.9", findings=tuple(map(found, codes))), "v1.33.9")
    assert [p.sentence for p in find_permanent(record) if p.code == "etcd"] == told


@pytest.mark.parametrize(
    ("target", "drain", "lost"),
    [
        ("v1.35.4", DrainMode.ALWAYS, {"emptydir", "unmanaged"}),
        ("v1.35.4", DrainMode.MINOR_ONLY, {"emptydir", "unmanaged"}),
        ("v1.34.9", DrainMode.ALWAYS, {"emptydir", "unmanaged"}),
        ("v1.34.9", DrainMode.MINOR_ONLY, set()),
    ],
)
def test_data_that_drains_delete_is_named_where_the_plan_allows_it(target, drain, lost):
    """A patch that restarts kubelets in place evicts nobody."""
    record = make_record(drafted=draft(target, options=replace(LOSSES, drain=drain)))
    assert {p.code for p in find_permanent(record)} & {"emptydir", "unmanaged"} == lost


@pytest.mark.parametrize(("without", "lost"), [((), {"emptydir", "unmanaged"}), (("w1",), set())])
def test_data_is_not_lost_on_a_worker_that_is_left_out(without, lost):
    """Only its kubelet would have gone to another minor, and nobody drains it."""
    report = make_report(kubelet={"w1": "v1.33.9"})
    options = replace(LOSSES, drain=DrainMode.MINOR_ONLY)
    record = make_record(drafted=draft("v1.34.9", report=report, options=options, without=without))
    assert {p.code for p in find_permanent(record)} & {"emptydir", "unmanaged"} == lost


def test_a_revert_names_what_the_newer_api_server_may_have_written():
    """It moves no kubelet, so it loses nothing else."""
    report = with_api(make_report(), "cp1", "v1.35.4")
    pods = tuple(
        replace(p, tag="v1.35.4") if (p.node, p.component) == ("cp1", "kube-apiserver") else p
        for p in report.static_pods
    )
    seen = see(replace(report, static_pods=pods), make_survey(offers={"w1": make_offers(*PACKAGES)}))
    drafted = draft_revert(seen, make_cluster(), options=LOSSES, accepted=())
    assert drafted is not None
    assert drafted.plan.kind is PlanKind.REVERT
    told = said(make_record(drafted=drafted))
    assert list(told) == ["stored-objects-stay"]
    assert told["stored-objects-stay"].startswith("Objects that were written while v1.35 ran stay stored")


def test_every_effect_has_its_source():
    """Where a person can read it."""
    assert all(e.sources[0].startswith("https://") for e in read_effects())
