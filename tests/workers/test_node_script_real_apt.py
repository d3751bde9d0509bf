"""The node script with the real apt and dpkg in a private root: what a stub cannot promise."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from pathlib import Path

import pytest

from cluster.facts import OfferState
from cluster.packages import PackageOrigin
from cluster.versions import Minor
from tests.workers.apt_root import MISSING, OURS, AptRoot, make_apt_root, serve
from workers.node_script.survey import parse_facts, parse_offers

pytestmark = pytest.mark.skipif(bool(MISSING), reason=f"install {', '.join(MISSING)} (Debian: apt, dpkg, gnupg)")


@pytest.fixture(scope="module")
def repositories(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    work = tmp_path_factory.mktemp("repositories")
    with serve(work) as base:
        yield base, work / "k.gpg"


@pytest.fixture
def machine(tmp_path: Path, repositories: tuple[str, Path]) -> AptRoot:
    return make_apt_root(tmp_path / "m", *repositories)


def _offer(machine: AptRoot, minor: int = 35) -> tuple[OfferState, list[str]]:
    (offer,) = parse_offers(machine.answer("offers", f"v1.{minor}"), (Minor(1, minor),))
    return offer.state, [str(v) for v in offer.versions]


def test_a_hop_and_the_way_back(machine: AptRoot):
    """Hold, fetch, switch, install, release: exact versions, the owner's hold kept; then the old kubelet again."""
    machine.finish("op-0", "hold")
    (machine.root / "var/lib/lockkeeper/holds").write_text("kubelet\n")
    assert machine.finish("op-1", "fetch", "1.35.3-1.1").code == 0
    archives = {path.name for path in (machine.root / "var/cache/apt/archives").glob("*1.35.3*")}
    assert archives == {f"{name}_1.35.3-1.1_all.deb" for name in OURS}
    assert machine.finish("op-2", "set-source", "v1.35").code == 0
    assert machine.finish("op-3", "install-kubeadm", "1.35.3-1.1").code == 0
    assert machine.installed() == {
        "kubeadm": "hi 1.35.3-1.1",
        "kubectl": "hi 1.34.7-1.1",
        "kubelet": "hi 1.34.7-1.1",
    }
    assert machine.finish("op-4", "install-kubelet", "1.35.3-1.1").code == 0
    assert machine.finish("op-5", "unhold").code == 0
    assert machine.finish("op-6", "roll-back-kubelet", "1.34.7-1.1").code == 0
    assert machine.installed() == {
        "kubeadm": "ii 1.35.3-1.1",
        "kubectl": "ii 1.34.7-1.1",
        "kubelet": "hi 1.34.7-1.1",
    }


def test_the_facts_of_a_machine_with_a_real_apt(machine: AptRoot):
    """What dpkg and apt print is what the parser reads."""
    machine.finish("op-1", "hold")
    facts = parse_facts(machine.answer("observe"))
    assert {(p.name, p.version, p.whole) for p in facts.packages} == {(name, "1.34.7-1.1", True) for name in OURS}
    assert facts.held == OURS
    assert facts.dpkg_problem == ""
    origins = {origin.package: origin for origin in facts.origins or ()}
    assert set(origins) == set(OURS)
    assert origins["kubelet"] == PackageOrigin("kubelet", "1.34.7-1.1", (f"{machine.base}/core:/stable:/v1.34/deb",))
    (source,) = facts.sources
    assert (source.base, str(source.minor)) == (f"{machine.base}/core:/stable:", "v1.34")


def test_what_is_installed_comes_from_nowhere_once_its_source_went_on(machine: AptRoot):
    """As between two hops: apt has only its own record of it, and a newer candidate."""
    machine.finish("op-1", "set-source", "v1.35")
    (kubeadm,) = [o for o in parse_facts(machine.answer("observe")).origins or () if o.package == "kubeadm"]
    assert (kubeadm.candidate, kubeadm.urls) == ("1.35.4-1.1", ())


def test_offers_by_every_kind_of_source(machine: AptRoot):
    """Offered, absent, unsigned and unreachable, by a line with options, by a paragraph with its key written out."""
    assert _offer(machine) == (OfferState.OFFERED, ["1.35.3-1.1", "1.35.4-1.1"])
    assert _offer(machine, 36)[0] is OfferState.ABSENT
    machine.source(base=f"{machine.base}/other")
    assert _offer(machine)[0] is OfferState.UNSIGNED
    machine.source(base="http://127.0.0.1:1")
    assert _offer(machine)[0] is OfferState.UNREACHABLE
    (machine.root / "etc/apt/trusted.gpg.d/k.gpg").write_bytes(machine.keyring.read_bytes())
    machine.source("arch=all").unlink()
    paragraph = f"Types: deb\nURIs: {machine.base}/core:/stable:/v1.34/deb/\nSuites: /\n"
    machine.file("/etc/apt/sources.list.d/kubernetes.sources", f"{paragraph}Enabled: yes\n\n# another\n{paragraph}\n")
    assert _offer(machine)[0] is OfferState.OFFERED


def test_another_broken_repository_in_the_same_file_stops_nothing(machine: AptRoot):
    """And a minor that is not there is taken back."""
    path = machine.source()
    path.write_text(path.read_text() + "deb http://127.0.0.1:1/unrelated stable main\n")
    assert machine.finish("op-1", "set-source", "v1.35").code == 0
    assert "v1.35/deb" in (before := path.read_text())
    end = machine.finish("op-2", "set-source", "v1.36")
    assert (end.code, b"(absent)" in end.chunk, path.read_text()) == (69, True, before)


def test_what_a_release_newly_depends_on_is_fetched_too(machine: AptRoot):
    """It comes from the distribution's own source, which the throw-away list does not have."""
    end = machine.finish("op-1", "fetch", "1.35.4-1.1")
    assert end.code == 0
    assert list((machine.root / "var/cache/apt/archives").glob("conntrack_*"))
    assert b"Need to get" in end.chunk


@pytest.mark.parametrize("name", ["kubernetes.list", "all.sources"])
def test_a_key_of_the_settings_does_not_contradict_that_of_the_machines_own_source(machine: AptRoot, name: str):
    """apt reads no list at all where one address has two keys, as where a patch of the running minor is fetched."""
    if name.endswith(".sources"):  # beside the distribution's own, which has what the release depends on
        machine.source().unlink()
        (machine.root / "etc/apt/sources.list").unlink()
        places = (f"{machine.base}/core:/stable:/v1.34/deb/", f"{machine.base}/distribution/")
        paragraphs = (f"Types: deb\nURIs: {p}\nSuites: /\nSigned-By: {machine.keyring}\n" for p in places)
        machine.file(f"/etc/apt/sources.list.d/{name}", "\n".join(paragraphs))
    assert machine.finish("op-1", "set-source", "v1.35").code == 0
    other = machine.root / "etc/apt/keyrings/other.gpg"
    other.write_bytes(machine.keyring.read_bytes())
    machine.file("/etc/lockkeeper-node.conf", "KEYRING=/etc/apt/keyrings/other.gpg\n")
    end = machine.finish("op-2", "fetch", "1.35.4-1.1")
    assert (end.code, b"Conflicting values" in end.chunk) == (0, False)
    assert list((machine.root / "var/cache/apt/archives").glob("conntrack_*"))


def test_the_locks_of_another_package_manager_are_waited_for(machine: AptRoot):
    """Those of the lists, of the archives and of dpkg: apt's own option knows only the last."""
    verbs = {
        "var/lib/apt/lists/lock": ("set-source", "v1.35"),
        "var/cache/apt/archives/lock": ("fetch", "1.35.3-1.1"),
        "var/lib/dpkg/lock-frontend": ("hold",),
    }
    for number, (lock, verb) in enumerate(verbs.items()):
        with (machine.root / lock).open("a") as held:
            fcntl.lockf(held, fcntl.LOCK_EX)
            attempt = f"op-{number}"
            assert machine.answer("start", attempt, "1", *verb) == "STARTED"
            machine.wait_for(lambda attempt=attempt: b"another package manager" in machine.poll(attempt).chunk)
        assert machine.await_end(attempt).code == 0


def test_a_pin_and_a_hold_of_the_owner_do_not_stop_exact_versions(machine: AptRoot):
    """They are findings of the plan; the step itself does what was approved, and the hold stays."""
    machine.file("/etc/apt/preferences.d/kube", "Package: kube*\nPin: version 1.34.*\nPin-Priority: 1001\n")
    machine.finish("op-0", "hold")
    assert machine.finish("op-1", "set-source", "v1.35").code == 0
    assert machine.finish("op-2", "install-kubeadm", "1.35.4-1.1").code == 0
    assert machine.installed()["kubeadm"] == "hi 1.35.4-1.1"


def test_packages_are_fetched_beside_an_interrupted_dpkg_which_is_finished_before_they_are_installed(machine: AptRoot):
    """apt refuses either; to fetch disturbs nobody, and to finish what somebody began is for the machine's turn."""
    status = (machine.root / "var/lib/dpkg/status").read_text()
    (kubelet,) = (row for row in status.split("\n\n") if row.startswith("Package: kubelet\n"))
    half = kubelet.replace("Status: install ok installed", "Status: install ok half-configured")
    machine.file("/var/lib/dpkg/updates/0001", f"{half.strip()}\nConfig-Version: 1.34.7-1.1\n")
    assert machine.finish("op-1", "fetch", "1.35.3-1.1").code == 0
    assert list((machine.root / "var/cache/apt/archives").glob("kubeadm_1.35.3*"))
    assert "journal" in parse_facts(machine.answer("observe")).dpkg_problem
    assert machine.finish("op-2", "set-source", "v1.35").code == 0
    assert machine.finish("op-3", "install-kubeadm", "1.35.3-1.1").code == 100
    assert machine.finish("op-4", "repair").code == 0
    assert machine.installed()["kubelet"] == "ii 1.34.7-1.1"
    assert machine.finish("op-5", "install-kubeadm", "1.35.3-1.1").code == 0
