"""Approvals are signed, and a signature holds for exactly one statement, key and namespace."""

import dataclasses
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519

from cluster.approval import Approval, SignedWith, Statement
from cluster.errors import InvalidConfig
from cluster.signing import (
    fingerprint,
    is_genuine,
    load_signing_key,
    public_line,
    sign_as_bot,
    sign_with_ssh,
    verify_ssh_signature,
)

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
STATEMENT = Statement(
    plan_id="p-1a2b3c4d",
    digest="ab" * 32,
    cluster="lab",
    decision="approve",
    person="grace",
    requester="ada",
    at=NOW,
    expires_at=NOW + timedelta(hours=1),
    evidence="approver list",
    operation_id="op-1a2b3c4d",
)


def make_key(folder: Path, kind: str, *extra: str) -> Path:
    path = folder / kind
    subprocess.run(["ssh-keygen", "-q", "-t", kind, *extra, "-N", "", "-f", str(path)], check=True)
    return path


def test_the_bots_signature_is_genuine_for_its_key_alone():
    """A second bot key does not verify what the first one signed."""
    key, other = ed25519.Ed25519PrivateKey.generate(), ed25519.Ed25519PrivateKey.generate()
    approval = sign_as_bot(STATEMENT, key)
    assert is_genuine(approval, bot_key=public_line(key), person_keys=())
    assert not is_genuine(approval, bot_key=public_line(other), person_keys=())
    assert not is_genuine(approval, bot_key=None, person_keys=(public_line(key),))


@pytest.mark.parametrize("field", [f.name for f in dataclasses.fields(Statement)])
def test_changing_any_field_breaks_the_bots_signature(field):
    """No word of a statement can be changed after it was signed."""
    key = ed25519.Ed25519PrivateKey.generate()
    approval = sign_as_bot(STATEMENT, key)
    value = getattr(STATEMENT, field)
    match value:
        case datetime():
            changed = value + timedelta(seconds=1)
        case tuple():
            changed = (*value, "v1.35")
        case _:
            changed = value + "x"
    forged = dataclasses.replace(approval, statement=dataclasses.replace(STATEMENT, **{field: changed}))
    assert not is_genuine(forged, bot_key=public_line(key), person_keys=())


@pytest.mark.parametrize(("kind", "extra"), [("ed25519", ()), ("ecdsa", ("-b", "384")), ("rsa", ("-b", "2048"))])
def test_a_signature_of_ssh_keygen_is_genuine_for_the_persons_key(tmp_path, kind, extra):
    """Each kind of key that people use is read; another person's key of the same kind is refused."""
    key = make_key(tmp_path, kind, *extra)
    (tmp_path / "other").mkdir()
    other = make_key(tmp_path / "other", kind, *extra)
    approval = sign_with_ssh(STATEMENT, key)
    line = key.with_suffix(".pub").read_text()
    assert approval.signed_with is SignedWith.SSH
    assert is_genuine(approval, bot_key=None, person_keys=(line,))
    assert not is_genuine(approval, bot_key=None, person_keys=(other.with_suffix(".pub").read_text(),))


def test_a_signature_of_another_namespace_is_refused(tmp_path):
    """A signature that the person made for something else (a git commit, a file) approves nothing."""
    key = make_key(tmp_path, "ed25519")
    done = subprocess.run(
        ["ssh-keygen", "-Y", "sign", "-q", "-n", "git", "-f", str(key)],
        input=STATEMENT.signed_bytes(),
        capture_output=True,
        check=True,
    )
    line = key.with_suffix(".pub").read_text()
    assert not verify_ssh_signature(STATEMENT.signed_bytes(), done.stdout.decode(), line)


@pytest.mark.parametrize(
    "garbage",
    [
        "",
        "x",
        "-----BEGIN SSH SIGNATURE-----\n!!!\n-----END SSH SIGNATURE-----",
        "-----BEGIN SSH SIGNATURE-----\nU1NIU0lH\n-----END SSH SIGNATURE-----",
    ],
)
def test_garbage_is_not_genuine_and_raises_nothing(tmp_path, garbage):
    """Whatever stands in Redis, the check answers no."""
    line = make_key(tmp_path, "ed25519").with_suffix(".pub").read_text()
    for signed_with in SignedWith:
        approval = Approval(STATEMENT, signed_with, garbage)
        assert not is_genuine(approval, bot_key=line, person_keys=(line, "not a key"))


def test_a_fingerprint_is_the_one_that_ssh_keygen_prints(tmp_path):
    """People compare fingerprints by eye; ours are ssh-keygen's."""
    key = make_key(tmp_path, "ed25519")
    printed = subprocess.run(["ssh-keygen", "-lf", str(key)], capture_output=True, text=True, check=True).stdout
    assert fingerprint(key.with_suffix(".pub").read_text()) == printed.split()[1]


def test_a_signing_key_of_another_kind_is_refused_with_the_way_to_make_one(tmp_path):
    """The error says what to type."""
    key = make_key(tmp_path, "ecdsa", "-b", "256")
    with pytest.raises(InvalidConfig, match="ssh-keygen -t ed25519"):
        load_signing_key(key.read_text())
    with pytest.raises(InvalidConfig, match="ssh-keygen -t ed25519"):
        load_signing_key("nothing of the kind")


def test_a_missing_key_file_is_said(tmp_path):
    """A wrong path is one sentence, not a traceback."""
    with pytest.raises(InvalidConfig, match="could not sign"):
        sign_with_ssh(STATEMENT, tmp_path / "nobody")
