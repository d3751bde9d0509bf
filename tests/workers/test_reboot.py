"""A reboot is begun once, is over when the machine is in another boot, and loses neither the node nor the run."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from cluster.options import DrainMode, Options, Reboot
from cluster.plan import UpgradePlan
from cluster.procedure import Verb, itinerary, reboots
from cluster.settings import Waits
from tests.workers.lab_walk import walking
from tests.workers.runbook_fixture import Bench
from workers.login import HostKeyChanged
from workers.remote import AttemptLost
from workers.runbook import StepBlocked, Yielded, perform

ALWAYS, WHERE_ASKED = Options(reboot=Reboot.ALWAYS), Options(reboot=Reboot.IF_REQUIRED)


def verbs(plan: UpgradePlan, name: str) -> list[tuple[int, Verb]]:
    node = plan.node(name)
    assert node is not None
    return [(s.hop, s.verb) for s in itinerary(plan, node)]


@pytest.mark.parametrize("name", ["cp1", "cp2", "w1"])
def test_a_machine_is_rebooted_once_after_its_last_packages_and_before_its_node_is_judged(name: str) -> None:
    """Drained before, verified after; whatever the number of hops."""
    plan = Bench("1.35.4", "1.36.2", options=ALWAYS).plan
    way = verbs(plan, name)
    assert [hop for hop, verb in way if verb is Verb.REBOOT] == [1]
    last = [verb for hop, verb in way if hop == 1]
    at = last.index(Verb.REBOOT)
    assert last[at - 3 : at] == [Verb.DRAIN, Verb.INSTALL_KUBELET, Verb.RESTART_KUBELET]
    assert last[at + 1 : at + 4] == [Verb.VERIFY_NODE, Verb.SMOKE_TEST, Verb.UNCORDON]


def test_a_worker_that_stays_behind_is_rebooted_at_its_own_last_hop() -> None:
    """Where it is drained anyway."""
    plan = Bench("1.35.4", "1.36.2", options=ALWAYS).plan
    node = replace(plan.pools[1].nodes[0], moves=(0,))
    plan = replace(plan, pools=(plan.pools[0], replace(plan.pools[1], nodes=(node,))))
    assert [hop for hop, verb in verbs(plan, "w1") if verb is Verb.REBOOT] == [0]
    assert [reboots(plan, node, hop) for hop in (0, 1)] == [True, False]


def test_a_plan_without_reboots_has_none_and_keeps_its_digest() -> None:
    """What was approved before there were any is what it was."""
    plan = Bench().plan
    assert Verb.REBOOT not in {verb for _, verb in verbs(plan, "w1")}
    assert plan.digest != replace(plan, options=ALWAYS).digest


def test_a_reboot_is_begun_once_and_over_in_another_boot() -> None:
    """The links that break meanwhile, and the logins that are refused, are part of it."""
    bench = Bench(options=ALWAYS)
    done = perform(bench.site("w1", Verb.REBOOT))
    assert (done.sentence, done.facts) == (
        "w1 was rebooted and is back.",
        {"rebooted": "yes", "boot": "boot-2"},
    )
    assert bench.w1.words == ["reboot"]
    assert bench.told == ["w1 reboots; it is waited for, for 1200 s at most."]


def test_a_login_that_is_refused_while_the_system_comes_up_is_waited_for() -> None:
    """Nobody but root is let in then: that is no wrong key."""
    bench = Bench(options=ALWAYS)
    site = bench.site("w1", Verb.REBOOT)
    bench.w1.boot_looks = 0
    start = bench.w1.start

    def start_and_refuse(*args: object) -> object:
        answer = start(*args)  # type: ignore[arg-type]
        bench.w1.refuse_logins = 5
        return answer

    bench.w1.start = start_and_refuse  # type: ignore[method-assign,assignment]
    assert perform(site).facts["rebooted"] == "yes"


def test_another_host_key_after_a_reboot_is_not_waited_for() -> None:
    """It may be another machine."""
    bench = Bench(options=ALWAYS)

    def changed(*_: object) -> object:
        raise HostKeyChanged("w1 shows another host key")

    bench.w1.poll = changed  # type: ignore[method-assign,assignment]
    with pytest.raises(StepBlocked, match="another host key"):
        perform(bench.site("w1", Verb.REBOOT))


@pytest.mark.parametrize("end", [0, None, 143])
def test_how_the_command_ended_says_nothing_once_the_machine_is_in_another_boot(end: int | None) -> None:
    """It ended before the machine did, or was lost or ended with it."""
    bench = Bench(options=ALWAYS)
    bench.w1.ends["reboot"] = (end, b"[lockkeeper] rebooting from boot boot-1\n")
    bench.w1.boot = 1
    site = bench.site("w1", Verb.REBOOT)
    start = bench.w1.start

    def start_and_boot(*args: object) -> object:
        answer = start(*args)  # type: ignore[arg-type]
        bench.w1.boot = 2
        return answer

    bench.w1.start = start_and_boot  # type: ignore[method-assign,assignment]
    assert perform(site).facts["boot"] == "boot-2"


def test_whoever_takes_over_in_the_middle_begins_no_second_reboot() -> None:
    """The attempt's own words tell which boot it began in; the machine being away is no reason to stop."""
    bench = Bench(options=ALWAYS)
    bench.w1.boot_looks = None  # it goes down later
    site = bench.site("w1", Verb.REBOOT)
    bench.stopped = False
    looks = 0

    def leave(_: float) -> None:
        nonlocal looks
        looks += 1
        bench.stopped = looks > 2

    with pytest.raises(Yielded):
        perform(replace(site, sleep=leave))
    bench.stopped = False
    bench.w1.boot, bench.w1.cuts = 2, 4
    assert perform(site).facts["rebooted"] == "yes"
    assert bench.w1.words == ["reboot"]


def test_a_machine_that_does_not_come_back_in_time_blocks_and_is_not_rebooted_again() -> None:
    """Its time runs from when the attempt was recorded; a person brings it up, and the next attempt sees it through."""
    bench = Bench(options=ALWAYS)
    bench.w1.boot_looks = 10_000
    with pytest.raises(StepBlocked) as caught:
        perform(bench.site("w1", Verb.REBOOT))
    assert caught.value.finding.code == "reboot-not-over"
    assert "w1 is not back (w1 cannot be reached) 1200 s" in caught.value.finding.sentence
    bench.w1.cuts = 0
    assert perform(bench.site("w1", Verb.REBOOT, attempt=2)).facts["rebooted"] == "yes"
    assert bench.w1.words == ["reboot"]


def test_a_machine_that_never_goes_down_blocks_and_gets_a_new_attempt() -> None:
    """Something on it holds the reboot up."""
    bench = Bench(options=ALWAYS)
    bench.w1.boot_looks = None
    with pytest.raises(StepBlocked, match="has not gone down"):
        perform(bench.site("w1", Verb.REBOOT))
    bench.w1.boot_looks = 3
    assert perform(bench.site("w1", Verb.REBOOT, attempt=2)).facts["rebooted"] == "yes"
    assert bench.w1.words == ["reboot", "reboot"]


def test_a_deadline_that_passed_with_an_earlier_driver_is_over() -> None:
    """Nobody's time begins anew."""
    bench = Bench(options=ALWAYS)
    bench.w1.cuts = 3
    site = bench.site("w1", Verb.REBOOT)
    with pytest.raises(StepBlocked, match="is not back"):
        perform(replace(site, started_at=site.started_at - timedelta(seconds=Waits().reboot + 1)))


def test_a_reboot_that_the_machine_refuses_says_why() -> None:
    """With the tool's own words."""
    bench = Bench(options=ALWAYS)
    bench.w1.ends["reboot"] = (1, b'[lockkeeper] rebooting from boot boot-1\nFailed: Operation inhibited by "backup"\n')
    with pytest.raises(StepBlocked, match=r"cannot be rebooted \(exit 1\): .*inhibited") as caught:
        perform(bench.site("w1", Verb.REBOOT))
    assert caught.value.finding.code == "reboot-failed"


def test_an_attempt_that_vanished_before_it_rebooted_is_made_anew() -> None:
    """Without its words nothing was begun."""
    bench = Bench(options=ALWAYS)
    bench.w1.ends["reboot"] = (None, b"")
    with pytest.raises(AttemptLost):
        perform(bench.site("w1", Verb.REBOOT))


@pytest.mark.parametrize(("asks", "started"), [(True, ["reboot"]), (False, [])])
def test_where_only_those_that_ask_are_rebooted_the_machine_is_asked(*, asks: bool, started: list[str]) -> None:
    """Right then, and not at planning."""
    bench = Bench(options=WHERE_ASKED)
    bench.w1.reboot_required = asks
    done = perform(bench.site("w1", Verb.REBOOT))
    assert done.facts["rebooted"] == ("yes" if asks else "no")
    assert bench.w1.words == started


@pytest.mark.parametrize("options", [ALWAYS, WHERE_ASKED])
def test_a_node_script_that_cannot_tell_is_not_guessed(options: Options) -> None:
    """An older one also says nothing of the boot that it reboots from."""
    bench = Bench(options=options)
    bench.w1.reboot_required = None
    with pytest.raises(StepBlocked) as caught:
        perform(bench.site("w1", Verb.REBOOT))
    assert caught.value.finding.code == "reboot-impossible"
    assert bench.w1.words == []


@pytest.mark.parametrize(("reboot", "cordoned"), [(Reboot.NEVER, False), (Reboot.IF_REQUIRED, True)])
def test_a_patch_that_may_reboot_drains_the_node_first(*, reboot: Reboot, cordoned: bool) -> None:
    """Although patches restart kubelets in place otherwise."""
    bench = Bench("1.34.9", options=Options(drain=DrainMode.MINOR_ONLY, reboot=reboot))
    perform(bench.site("w1", Verb.CORDON))
    assert bool(bench.api.nodes["w1"]["spec"].get("unschedulable")) is cordoned


def test_a_lab_machine_reboots_and_its_node_is_well_again() -> None:
    """The real script over real SSH: one reboot, another boot id, and the same pods back on their way."""
    with walking("small", "1.35.4", options=Options(delete_emptydir=True, reboot=Reboot.IF_REQUIRED)) as walk:
        machine = walk.world.machines["w1"]
        before = machine.boot_id
        machine.write("/run/reboot-required", "*** System restart required ***\n")
        done = walk.take("w1", walk.position("w1", Verb.REBOOT))
        assert done.facts == {"rebooted": "yes", "boot": machine.boot_id}
        assert machine.boot_id != before
        assert len([r for r in walk.world.exec_log() if r.argv[-1] == "reboot"]) == 1
        assert walk.world.snapshot()["w1"]["ready"]
        assert not machine.path("/run/reboot-required").exists()
