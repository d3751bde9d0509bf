"""Where packages come from, judged: kinds of sources, keys that end, other binaries, pins and unattended upgrades."""

from dataclasses import replace
from datetime import timedelta

import pytest

from cluster.facts import Offer, OfferState, PackageSource
from cluster.packages import OldSource, PackageLock, PackageOrigin, Pin, SigningKey
from cluster.versions import Minor
from policies.origins import Kind, Origin, check_origins, origin_of
from policies.packages import check_packages
from tests.policies_fixture import FACTS, NOW, draft, make_report, make_survey, reported

W1 = make_report().node("w1")
COMMUNITY, MIRROR = "https://pkgs.k8s.io/core:/stable:", "http://10.77.0.1:8000/core:/stable:"
OLD = OldSource("/etc/apt/sources.list.d/old.list", "https://apt.kubernetes.io/")
KEYRING = "/etc/apt/keyrings/kubernetes-apt-keyring.gpg"


def source(base, minor=34):
    return PackageSource("/etc/apt/sources.list.d/kubernetes.list", base, Minor(1, minor), KEYRING)


def installed(url):
    urls = (url,) if url else ()
    return tuple(PackageOrigin(name, "1.34.7-1.1", urls) for name in ("kubeadm", "kubelet", "kubectl"))


HELD = ("kubeadm", "kubelet", "kubectl")
SOUND = replace(
    FACTS,
    time=NOW,
    held=HELD,
    sources=(source(COMMUNITY),),
    origins=installed(f"{COMMUNITY}/v1.34/deb"),
    old_sources=(),
)


def weighed(findings):
    return {f.code: f.severity.value for f in findings}


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, Origin(Kind.COMMUNITY, COMMUNITY)),
        ({"sources": (source(MIRROR),), "origins": installed(f"{MIRROR}/v1.34/deb")}, Origin(Kind.MIRROR, MIRROR)),
        ({"origins": None}, Origin(Kind.COMMUNITY, COMMUNITY)),
        ({"origins": installed("http://archive.example/ubuntu")}, Origin(Kind.OTHER, "http://archive.example/ubuntu")),
        (
            {"origins": installed("http://ftp.one.debian.org/debian")},
            Origin(Kind.DISTRIBUTION, "http://ftp.one.debian.org/debian"),
        ),
        (
            {"origins": installed("http://one.archive.ubuntu.com/ubuntu")},
            Origin(Kind.DISTRIBUTION, "http://one.archive.ubuntu.com/ubuntu"),
        ),
        (
            {"origins": installed("http://debian.org.example/debian")},
            Origin(Kind.OTHER, "http://debian.org.example/debian"),
        ),
        ({"origins": installed(OLD.url), "sources": ()}, Origin(Kind.FROZEN, OLD.url)),
        ({"origins": None, "sources": (), "old_sources": (OLD,)}, Origin(Kind.FROZEN, OLD.url)),
        ({"origins": None, "sources": ()}, Origin(Kind.UNKNOWN)),
    ],
)
def test_the_kind_of_an_origin_is_told_by_who_has_what_is_installed(changes, expected):
    """And by the machine's source where nobody has it."""
    assert origin_of(replace(SOUND, **changes)) == expected


def key(days, ident="A"):
    return SigningKey(KEYRING, ident, None if days is None else NOW + timedelta(days=days))


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, {}),
        ({"sources": ()}, {"source-missing": "blocker"}),
        ({"sources": (), "old_sources": (OLD,)}, {"source-frozen": "blocker"}),
        ({"old_sources": (OLD,)}, {"source-frozen": "warning"}),
        ({"sources": (source(COMMUNITY), source(COMMUNITY, 35))}, {"sources-differ": "blocker"}),
        ({"sources": (source(COMMUNITY, 35),), "origins": installed("")}, {"source-of-another-minor": "note"}),
        ({"sources": (source(COMMUNITY, 35),), "held": ()}, {"source-of-another-minor": "warning"}),
        ({"sources": (source(COMMUNITY, 35),), "held": None}, {"source-of-another-minor": "note"}),
        ({"origins": installed("")}, {"package-origin-unknown": "note"}),
        ({"origins": installed("http://archive.example/ubuntu")}, {"package-origin-other": "warning"}),
        ({"keys": (key(300),)}, {}),
        ({"keys": (key(20),)}, {"signing-key-expiring": "warning"}),
        ({"keys": (key(-1),)}, {"signing-key-expired": "warning"}),
        ({"keys": (key(-1), key(None, "B"))}, {}),
        ({"keys": (key(-700), key(300, "B"))}, {}),
        ({"unchecked_keys": ("gpg is not installed",)}, {"signing-key-unchecked": "note"}),
    ],
)
def test_sources_and_keys_weigh_by_what_would_fail(changes, expected):
    """A keyring is as good as its best key; a source ahead matters where nothing is on hold."""
    assert weighed(check_origins(W1, replace(SOUND, **changes))) == expected


def without(name):
    return tuple(p for p in FACTS.packages if p.name != name)


PIN = Pin("/etc/apt/preferences.d/kube", ("kube*",), "version 1.34.*", 1001)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, {}),
        ({"kubeadm": reported("v1.33.1")}, {"another-binary": "blocker"}),
        ({"kubelet": reported("v1.33.1")}, {"another-binary": "warning"}),
        ({"packages": without("kubelet")}, {"binary-without-package": "blocker"}),
        ({"packages": without("kubectl")}, {}),
        ({"pins": (PIN.file,), "pin_rules": (PIN,)}, {"version-pinned": "note"}),
        ({"unattended_upgrades": True}, {"unattended-upgrades": "note"}),
        ({"unattended_upgrades": True, "held": ()}, {"unattended-upgrades": "warning"}),
    ],
)
def test_packages_weigh_by_who_else_may_move_them(changes, expected):
    """kubectl is optional on a node."""
    assert weighed(check_packages(W1, replace(SOUND, **changes), ())) == expected


OFFERS = (Offer(Minor(1, 35), OfferState.OFFERED),)
LOCK = PackageLock("/var/lib/dpkg/lock-frontend", 4242, 40, "apt-get")


@pytest.mark.parametrize(
    ("locks", "expected"),
    [
        ((), {}),
        (None, {}),
        ((LOCK,), {"packages-locked": "note"}),
        ((replace(LOCK, seconds=3 * 3600),), {"packages-locked": "warning"}),
        ((LOCK, replace(LOCK, pid=7, seconds=3 * 3600)), {"packages-locked": "warning"}),
        ((replace(LOCK, pid=0, seconds=None, command=""),), {"packages-locked": "warning"}),
    ],
)
def test_a_lock_weighs_by_how_long_its_holder_has_been_at_work(locks, expected):
    """A step waits for five minutes; what could not be read is said as such, elsewhere."""
    assert weighed(check_packages(W1, replace(SOUND, package_locks=locks), OFFERS)) == expected


def test_a_lock_names_its_holder_and_how_to_look_at_it():
    """For a plan; a report tells of hours before, when it meant something."""
    old = replace(LOCK, seconds=7300)
    facts = replace(SOUND, package_locks=(old, replace(old, file="/var/lib/dpkg/lock")))
    (finding,) = check_packages(W1, facts, OFFERS)
    assert "locked by apt-get (pid 4242, begun" in finding.sentence
    assert "/var/lib/dpkg/lock-frontend, /var/lib/dpkg/lock" in finding.sentence
    assert finding.remedy.endswith("ps -fp 4242.")
    assert list(check_packages(W1, facts, ())) == []


def test_a_pin_is_said_with_its_rule():
    """And that a plain upgrade would undo ours, where its priority is that high."""
    (finding,) = check_packages(W1, replace(SOUND, pins=(PIN.file,), pin_rules=(PIN,)), ())
    assert "kube* to version 1.34.* with priority 1001 in /etc/apt/preferences.d/kube" in finding.sentence
    assert "goes back" in finding.remedy


def test_a_plan_on_a_frozen_source_is_blocked_and_says_where_to_go():
    """Nothing newer would ever come from there."""
    survey = make_survey(facts={"w1": replace(FACTS, sources=(), old_sources=(OLD,))})
    found = {f.code: f for f in draft(survey=survey).findings}
    assert "change-package-repository" in found["source-frozen"].remedy


def test_a_source_that_answers_nowhere_is_one_finding_of_its_machine():
    """However many minors were asked for."""
    away = tuple(Offer(Minor(1, m), OfferState.UNREACHABLE, reason="timed out") for m in (34, 35, 36))
    (found,) = (f for f in check_packages(W1, SOUND, away) if f.code == "source-unreachable")
    assert "for v1.34, v1.35, v1.36 (timed out)" in found.sentence
