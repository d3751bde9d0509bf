"""`lockkeeper demo --headless` plays the whole story on the lab, with and without faults, and checks itself."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
pytestmark = [pytest.mark.story, pytest.mark.timeout(420)]


def play(*arguments):
    """Run the demo as a person would; its whole output is in the report of a failure."""
    command = [sys.executable, "-m", "lockkeeper", "demo", "--headless", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    sys.stdout.write(done.stdout + done.stderr)
    return done


def test_a_cluster_of_seven_goes_up_one_minor():
    """3 + 4 machines go from v1.34.7 to v1.35.4, and the last card says so."""
    done = play("--scenario", "healthy", "--target", "v1.35.4")
    assert done.returncode == 0
    assert "none started twice" in done.stdout
    assert "v1.34.7" in done.stdout
    assert "WRONG" not in done.stdout


def test_two_minors_go_through_the_one_between():
    """No machine ever skips a minor."""
    done = play("--scenario", "two-minors", "--target", "v1.36.2")
    assert done.returncode == 0
    assert done.stdout.index("v1.35.4") < done.stdout.rindex("v1.36.2")


def test_a_hand_edited_api_server_is_put_back_before_anything_else():
    """The plan says what kubeadm would be confused by; the revert is approved and runs first."""
    done = play("--scenario", "hand-edited-apiserver", "--target", "v1.35.4")
    assert done.returncode == 0
    assert "hand-edited-apiserver" in done.stdout
    assert "kubeadm" in done.stdout


@pytest.mark.parametrize("chaos", ["worker-kill", "ssh-cut", "redis-restart", "slack-outage"])
def test_a_run_survives(chaos):
    """The same end, no remote command started twice, and chaos really struck; its only API server was away, too."""
    done = play("--scenario", "small", "--target", "v1.35", "--chaos", chaos)
    assert done.returncode == 0
    assert "[chaos]" in done.stdout
    assert "none started twice" in done.stdout
    assert "(api-away)" in done.stdout
    assert "lab is at v1.35.4" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--scenario", "imaginary"), "There is no scenario `imaginary`: name one of"),
        (("--chaos", "meteor"), "There is no chaos `meteor`: name one of"),
    ],
)
def test_a_wrong_word_is_answered_with_the_right_ones(arguments, words):
    """Nothing is started for a scenario that does not exist."""
    done = play(*arguments)
    assert done.returncode == 1
    assert words in done.stderr
