"""The typed client says in words what is wrong with a machine's node script, and never guesses."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from cluster.errors import MachineUnreachable
from cluster.facts import OfferState
from cluster.versions import Minor
from tests.workers.node_bench import Bench, make_bench
from workers.machine import NodeMachine, NodeScriptFailed, WrongProtocol
from workers.node_script.attempts import AttemptState, StartAnswer, StartKind
from workers.node_script.lines import UnreadableAnswer
from workers.ssh import Answer


class LocalShell:
    """Runs the script on this machine, in front of what sudo may say first."""

    def __init__(self, before: bytes = b"") -> None:
        self._before = before

    def run(self, argv: tuple[str, ...], *, timeout: float) -> Answer:
        done = subprocess.run(
            ["/bin/sh", *argv], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False, timeout=timeout
        )
        return Answer(done.returncode, self._before + done.stdout)


class ToldShell:
    """Gives one answer to everything."""

    def __init__(self, code: int | None, output: bytes) -> None:
        self._answer = Answer(code, output)

    def run(self, argv: tuple[str, ...], *, timeout: float) -> Answer:
        del argv, timeout
        return self._answer


def _told(code: int | None, output: bytes) -> NodeMachine:
    return NodeMachine(ToldShell(code, output), "/usr/local/sbin/lockkeeper-node", name="w1")


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return make_bench(tmp_path / "m")


@pytest.mark.parametrize("before", [b"", b"sudo: unable to resolve host w1: Name or service not known\n"])
def test_every_verb_is_read_into_values(bench: Bench, before: bytes):
    """The whole life of an attempt, also where sudo has something to say first."""
    node = NodeMachine(LocalShell(before), str(bench.script), name="w1")
    assert node.version() == 1
    assert node.observe().boot_id == "boot-one"
    assert node.poll("op-1").state is AttemptState.ABSENT
    assert node.start("op-1", 5, "hold") == StartAnswer(StartKind.STARTED)
    end = bench.await_end("op-1")
    assert node.poll("op-1").chunk == end.chunk
    assert node.start("op-1", 5, "hold") == StartAnswer(StartKind.DONE, code=0)
    assert node.start("op-2", 4, "hold") == StartAnswer(StartKind.FENCED, fence=5)
    (job,) = node.list_jobs()
    assert (job.attempt, job.fence, job.code, job.command) == ("op-1", 5, 0, ("hold",))
    assert node.observe().fence == 5
    (offer,) = node.offers((Minor(1, 35),))
    assert offer.state is OfferState.ABSENT


def test_a_script_of_an_earlier_release_is_asked_as_it_was_then(bench: Bench):
    """It can neither wait for an end nor be brief: it refuses that once, and is not asked for it again."""
    asked: list[tuple[str, ...]] = []

    class EarlierShell(LocalShell):
        def run(self, argv: tuple[str, ...], *, timeout: float) -> Answer:
            asked.append(argv[1:])
            if len(argv) > len(("script", "poll", "op-1", "0")) or argv[1:] == ("observe", "briefly"):
                return Answer(64, b"lockkeeper-node: Wrong number of arguments: the usage is 'poll ID OFFSET'.\n")
            return super().run(argv, timeout=timeout)

    node = NodeMachine(EarlierShell(), str(bench.script), name="w1")
    assert node.poll("op-1", 0, 5).state is AttemptState.ABSENT
    assert node.poll("op-1", 0, 5).state is AttemptState.ABSENT
    assert [len(words) for words in asked] == [4, 3, 3]
    node = NodeMachine(EarlierShell(), str(bench.script), name="w1")
    assert node.observe(briefly=True).packages == node.observe().packages
    assert asked[3:] == [("observe", "briefly"), ("observe",), ("observe",)]


def test_another_protocol_is_refused_with_what_to_install(bench: Bench):
    """A script of another release is never asked for anything else."""
    with pytest.raises(WrongProtocol, match=r"protocol 2 .*`lockkeeper node-script`"):
        _told(0, b"lockkeeper-node 2\n").version()
    with pytest.raises(WrongProtocol, match="protocol unknown"):
        _told(0, b"hello\n").version()


@pytest.mark.parametrize(
    ("code", "said", "sentence"),
    [
        (1, b"sudo: a password is required\n", "sudoers"),
        (127, b"sh: 1: lockkeeper-node: not found\n", "install the output of `lockkeeper node-script`"),
        (1, b"sudo: /usr/local/sbin/lockkeeper-node: command not found\n", "install the output"),
        (64, b"lockkeeper-node: 'x' is not a verb\n", r"w1 refused `observe` \(exit 64\): .*'x' is not a verb"),
        (71, b"", "it said nothing"),
    ],
)
def test_what_is_wrong_with_the_script_is_said(code: int, said: bytes, sentence: str):
    """Each of the ways in which a machine is not set up has its own sentence."""
    with pytest.raises(NodeScriptFailed, match=sentence) as caught:
        _told(code, said).observe()
    assert caught.value.code == code


def test_an_unknown_result_is_no_failure_of_the_script():
    """A start of which nothing is known may have happened: the caller has to ask."""
    with pytest.raises(MachineUnreachable, match="w1 ended while it answered `start`"):
        _told(None, b"STARTED\n").start("op-1", 1, "hold")


def test_a_machine_that_goes_down_is_as_good_as_away():
    """It may be asked again, and nobody has to look at it."""
    with pytest.raises(MachineUnreachable, match="w1 goes down"):
        _told(75, b"lockkeeper-node: This machine goes down.\n").start("op-1", 1, "hold")


@pytest.mark.parametrize("said", [b"", b"STARTED?\n", b"DONE\n"])
def test_an_answer_that_is_none_is_not_interpreted(said: bytes):
    """Half a word is no answer."""
    with pytest.raises(UnreadableAnswer):
        _told(0, said).start("op-1", 1, "hold")


def test_a_cut_chunk_is_never_taken_for_a_whole_one():
    """The header says how many bytes follow."""
    with pytest.raises(UnreadableAnswer, match="is cut"):
        _told(0, b"RUNNING 10 boot-one 10\nshort").poll("op-1")
