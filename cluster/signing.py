"""Signatures on approvals: the bot's Ed25519 key, or a person's SSH key in the SSHSIG form of `ssh-keygen -Y`."""

from __future__ import annotations

import base64
import binascii
import hashlib
import struct
import subprocess
from pathlib import Path

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

from cluster.approval import Approval, SignedWith, Statement
from cluster.errors import InvalidConfig

SSH_NAMESPACE = "lockkeeper"  # as in: ssh-keygen -Y sign -n lockkeeper
_MAGIC = b"SSHSIG"
_ARMOR = ("-----BEGIN SSH SIGNATURE-----", "-----END SSH SIGNATURE-----")
_HASHES = {b"sha256": hashlib.sha256, b"sha512": hashlib.sha512}


def load_signing_key(text: str) -> ed25519.Ed25519PrivateKey:
    """Read the bot's private key (OpenSSH or PEM, unencrypted); raises InvalidConfig for any other key."""
    load = serialization.load_ssh_private_key if "OPENSSH" in text else serialization.load_pem_private_key
    try:
        key = load(text.strip().encode() + b"\n", None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise InvalidConfig(
            "approvals.signing_key cannot be read: make one with: ssh-keygen -t ed25519 -N '' -f bot.key"
        ) from error
    if not isinstance(key, ed25519.Ed25519PrivateKey):
        raise InvalidConfig(
            "approvals.signing_key is not an Ed25519 key: make one with: ssh-keygen -t ed25519 -N '' -f bot.key"
        )
    return key


def public_line(key: ed25519.Ed25519PrivateKey) -> str:
    """The public half as one authorized_keys line."""
    form = serialization.PublicFormat.OpenSSH
    return key.public_key().public_bytes(serialization.Encoding.OpenSSH, form).decode()


def fingerprint(line: str) -> str:
    """`SHA256:…` of an authorized_keys line, as ssh-keygen prints it; "" for a line that is none."""
    try:
        blob = base64.b64decode(line.split()[1], validate=True)
    except (IndexError, binascii.Error):
        return ""
    return "SHA256:" + base64.b64encode(hashlib.sha256(blob).digest()).decode().rstrip("=")


def sign_as_bot(statement: Statement, key: ed25519.Ed25519PrivateKey) -> Approval:
    return Approval(statement, SignedWith.BOT, bot_signature(statement.signed_bytes(), key))


def bot_signature(message: bytes, key: ed25519.Ed25519PrivateKey) -> str:
    return base64.b64encode(key.sign(message)).decode()


def sign_with_ssh(statement: Statement, key_file: Path) -> Approval:
    return Approval(statement, SignedWith.SSH, ssh_signature(statement.signed_bytes(), key_file))


def ssh_signature(message: bytes, key_file: Path) -> str:
    """Sign with a person's SSH key through `ssh-keygen -Y sign`, which also speaks to agents and hardware keys.

    `key_file` is the private key, or the public one of a key that the agent holds. Raises InvalidConfig.
    """
    command = ["ssh-keygen", "-Y", "sign", "-q", "-n", SSH_NAMESPACE, "-f", str(key_file)]
    try:
        done = subprocess.run(command, input=message, capture_output=True, check=False)
    except FileNotFoundError as error:
        raise InvalidConfig("ssh-keygen is missing: install it, with: sudo apt-get install openssh-client") from error
    if done.returncode != 0:
        reason = done.stderr.decode(errors="replace").strip().splitlines()
        raise InvalidConfig(
            f"ssh-keygen could not sign with {key_file}: {reason[-1] if reason else 'no reason given'}."
        )
    return done.stdout.decode()


def is_genuine(approval: Approval, *, bot_key: str | None, person_keys: tuple[str, ...]) -> bool:
    """Whether the bot (`bot_key`, its public line) or one of the person's SSH keys signed exactly this statement."""
    message = approval.statement.signed_bytes()
    return is_signed(message, approval.signature, approval.signed_with, bot_key=bot_key, person_keys=person_keys)


def is_signed(
    message: bytes, signature: str, signed_with: SignedWith, *, bot_key: str | None, person_keys: tuple[str, ...]
) -> bool:
    """Whether the bot, or the owner of one of these SSH keys, signed exactly this."""
    if signed_with is SignedWith.BOT:
        return bot_key is not None and _bot_signed(message, signature, bot_key)
    return any(verify_ssh_signature(message, signature, line) for line in person_keys)


def _bot_signed(message: bytes, signature: str, line: str) -> bool:
    try:
        key = serialization.load_ssh_public_key(line.encode())
        if not isinstance(key, ed25519.Ed25519PublicKey):
            return False
        key.verify(base64.b64decode(signature, validate=True), message)
    except (InvalidSignature, ValueError, UnsupportedAlgorithm):
        return False
    return True


def verify_ssh_signature(message: bytes, armored: str, line: str) -> bool:
    """Check an armored SSHSIG (OpenSSH PROTOCOL.sshsig, version 1, our namespace) by the key of `line`."""
    try:
        blob = _unarmor(armored)
        public, namespace, hash_name, signature = _fields(blob)
        if namespace != SSH_NAMESPACE.encode() or public != base64.b64decode(line.split()[1]):
            return False
        digest = _HASHES[hash_name](message).digest()
        signed = _MAGIC + b"".join(_string(part) for part in (namespace, b"", hash_name, digest))
        _verify(serialization.load_ssh_public_key(line.encode()), signature, signed)
    except (InvalidSignature, ValueError, IndexError, KeyError, struct.error, UnsupportedAlgorithm):
        return False
    return True


def _unarmor(armored: str) -> bytes:
    lines = [part.strip() for part in armored.strip().splitlines()]
    if len(lines) < 3 or (lines[0], lines[-1]) != _ARMOR:  # noqa: PLR2004 - two armor lines and a body
        raise ValueError("not an SSH signature")
    blob = base64.b64decode("".join(lines[1:-1]), validate=True)
    if not blob.startswith(_MAGIC) or struct.unpack(">I", blob[6:10])[0] != 1:
        raise ValueError("not an SSH signature of version 1")
    return blob[10:]


def _fields(blob: bytes) -> tuple[bytes, bytes, bytes, bytes]:
    public, rest = _take(blob)
    namespace, rest = _take(rest)
    _reserved, rest = _take(rest)
    hash_name, rest = _take(rest)
    signature, _rest = _take(rest)
    return public, namespace, hash_name, signature


def _take(data: bytes) -> tuple[bytes, bytes]:
    (size,) = struct.unpack(">I", data[:4])
    if len(data) < 4 + size:
        raise ValueError("cut short")
    return data[4 : 4 + size], data[4 + size :]


def _string(part: bytes) -> bytes:
    return struct.pack(">I", len(part)) + part


def _verify(key: object, signature: bytes, signed: bytes) -> None:
    algorithm, rest = _take(signature)
    value, _ = _take(rest)
    if isinstance(key, ed25519.Ed25519PublicKey) and algorithm == b"ssh-ed25519":
        key.verify(value, signed)
    elif isinstance(key, rsa.RSAPublicKey) and algorithm in {b"rsa-sha2-512", b"rsa-sha2-256"}:
        chosen = hashes.SHA512() if algorithm.endswith(b"512") else hashes.SHA256()
        key.verify(value, signed, padding.PKCS1v15(), chosen)
    elif isinstance(key, ec.EllipticCurvePublicKey) and algorithm.startswith(b"ecdsa-sha2-"):
        r, tail = _take(value)
        s, _ = _take(tail)
        by_size = {256: hashes.SHA256(), 384: hashes.SHA384(), 521: hashes.SHA512()}
        der = encode_dss_signature(int.from_bytes(r, "big"), int.from_bytes(s, "big"))
        key.verify(der, signed, ec.ECDSA(by_size[key.curve.key_size]))
    else:
        raise ValueError("an unsupported key type")
