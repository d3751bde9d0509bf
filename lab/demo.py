"""`lockkeeper demo`: the whole product on this host's loopback, by hand in a page or as a story that checks itself."""

from __future__ import annotations

import signal
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from cluster.errors import LockkeeperError
from cluster.operation import RowState
from cluster.versions import KubeVersion, parse_target
from lab.chaos import KINDS, LEAST, unleash
from lab.rig import Rig, rig
from lab.scenarios import SCENARIOS
from lab.story import DONE, FAILED, WAITING, Story
from lab.world import World

PAGE_SPEED = 20.0  # slow enough to be watched: an upgrade takes some minutes
STORY_SPEED = 60.0
DEADLINE = 300.0  # seconds for one run of the story


def run_demo(*, scenario: str, target: str, headless: bool, chaos: str | None, speed: float, port: int) -> int:
    """Run it; returns the exit code: 0 done, 1 something is wrong, 3 stopped and waiting for a person."""
    if scenario not in SCENARIOS:
        raise LockkeeperError(f"There is no scenario `{scenario}`: name one of {', '.join(SCENARIOS)}.")
    if chaos is not None and chaos not in KINDS:
        raise LockkeeperError(f"There is no chaos `{chaos}`: name one of {', '.join(KINDS)}.")
    if chaos is not None and not headless:
        raise LockkeeperError("Chaos strikes the headless story: add --headless.")
    if headless:
        parse_target(target)  # raises: a lab takes its time to start
    chosen = speed or (STORY_SPEED if headless else PAGE_SPEED)
    with terminated_cleanly(), rig(scenario, speed=chosen, port=port) as made:
        if headless:
            return play(made, target, chaos, print_line)
        return show(made)


def show(made: Rig) -> int:
    """Serve the page until it is interrupted."""
    print_line(f"Open {made.slack.page_url} - you are Ada; type: /k8s versions")
    print_line(
        f"Then /k8s plan v1.35.4{made.named}, become Grace, and approve. Ctrl-C ends it and leaves nothing behind."
    )
    print_line(f"Logs: {made.directory}. For the command line in another terminal:")
    named = made.environment()
    print_line(f"  export LOCKKEEPER_CONFIG={named['LOCKKEEPER_CONFIG']} REDIS_URL={named['REDIS_URL']}")
    while True:
        time.sleep(3600)


def play(made: Rig, target: str, chaos: str | None, say: Callable[[str], None]) -> int:
    """Play the story, then check what the lab itself knows."""
    before, others = made.world.snapshot(), snapshots(made.others)
    strikes = unleash(chaos, made, say) if chaos else None
    story = Story(made, say)
    code = story.play(target, deadline=DEADLINE)
    if strikes is not None:
        strikes.ended.set()
    wrong = list(judge_log(made.world))
    wrong += [f"{name} was touched" for name, seen in snapshots(made.others).items() if seen != others[name]]
    if strikes is not None and len(strikes.struck) < LEAST[chaos or ""]:
        wrong.append(f"chaos struck {len(strikes.struck)} times, {LEAST[chaos or '']} were promised")
    if code == DONE:
        planned = str(made.store.plan(made.store.operations()[0].plan_id).plan.target)
        wrong.extend(judge_end(made.world, before, target, story.last_card(), planned=planned))
    if code == WAITING:
        wrong.extend(judge_stop(made))
    for sentence in wrong:
        say(f"WRONG: {sentence}")
    if code == FAILED or wrong:
        tell_logs(made, say)
        return FAILED
    starts = sum(1 for record in made.world.exec_log() if record.started)
    say(f"checked: {starts} remote commands, none started twice under one attempt id; exit {code}")
    return code


def snapshots(worlds: Mapping[str, World]) -> dict[str, dict[str, dict[str, object]]]:
    return {name: world.snapshot() for name, world in worlds.items()}


def judge_log(world: World) -> Iterator[str]:
    """The machines' own log: a remote command starts at most once per attempt id."""
    starts = Counter((r.machine, r.unit) for r in world.exec_log() if r.started)
    for (machine, unit), count in starts.items():
        if count > 1:
            yield f"{unit} was started {count} times on {machine}"


def judge_end(
    world: World, before: dict[str, dict[str, object]], target: str, card: str, *, planned: str
) -> Iterator[str]:
    """The lab's own state: every version at the target, every cordon and hold as it was, and the card says so."""
    asked = parse_target(target)
    wanted = str(asked) if isinstance(asked, KubeVersion) else planned
    for name, after in world.snapshot().items():
        for what in ("kubelet", "apiserver"):
            version = after.get(what)
            if version and version != wanted:
                yield f"{name}: {what} is {version}, not {wanted}"
        for what in ("cordoned", "holds"):
            if after[what] != before[name][what]:
                yield f"{name}: {what} was {before[name][what]} and is {after[what]}"
    if "completed" not in card.lower():
        yield f"the last card does not say that it is completed: {card[:200]!r}"


def judge_stop(made: Rig) -> Iterator[str]:
    """A stop leaves no node away: whatever is blocked was given back."""
    for operation in made.store.operations():
        for row in operation.rows:
            if row.state is RowState.BLOCKED and made.world.snapshot()[row.node]["cordoned"]:
                yield f"{row.node} is blocked and still cordoned"


def tell_logs(made: Rig, say: Callable[[str], None]) -> None:
    for part in made.parts:
        lines = part.log.read_text(encoding="utf-8", errors="replace").splitlines()[-40:]
        say(f"--- the end of {part.name}'s log")
        for line in lines:
            say(line)


@contextmanager
def terminated_cleanly() -> Iterator[None]:
    """SIGTERM and Ctrl-C end the demo like a return: every process and server of it goes."""

    def leave(number: int, frame: object) -> None:
        del frame
        raise SystemExit(128 + number)

    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, leave)
    yield


def print_line(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()
