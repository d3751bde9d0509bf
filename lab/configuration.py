"""The lockkeeper.yaml of a rig, with its keys and tokens in files beside it."""

from __future__ import annotations

import getpass
from pathlib import Path
from typing import Any

import pyrage
import yaml
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519

from cluster.signing import public_line
from lab.fleet import Fleet
from lab.slack import LabSlack
from lab.slack.people import TEAM

CHANNEL = "C0OPS"

# The demo's waits, in seconds; the product's defaults stand in cluster/settings.py.
DEMO_WAITS = {
    "poll": 0.25,
    "eviction_retry": 0.5,
    "stable": 1.0,
    "node_ready": 60.0,
    "reboot": 120.0,
    "control_plane": 120.0,
    "smoke": 60.0,
    "remote_step": 300.0,
    "slack_edit": 1.0,
}
DRAIN_TIMEOUT = 60  # seconds; generous, for a machine that does other things too
HOPELESS_DRAIN_TIMEOUT = 10  # where a budget allows nothing, nobody wants to wait; the smallest that the settings take


def write_config(directory: Path, *, fleet: Fleet, slack: LabSlack | None, installation: str) -> Path:
    """Write the lockkeeper.yaml of this lab, with its keys and tokens in files beside it."""
    key = ed25519.Ed25519PrivateKey.generate()
    secret(directory / "bot.key", private_text(key))
    for name in ("grace", "linus"):
        person = ed25519.Ed25519PrivateKey.generate()
        secret(directory / f"{name}.key", private_text(person))
        (directory / f"{name}.key.pub").write_text(public_line(person) + "\n", encoding="utf-8")
    data, snapshots = fleet.config(), snapshot_store(directory.absolute())
    for name, cluster in data["clusters"].items():
        hopeless = fleet.worlds[name].scenario.blocked_app
        timeout = HOPELESS_DRAIN_TIMEOUT if hopeless else DRAIN_TIMEOUT
        cluster["defaults"] = {"drain_timeout": timeout, "delete_emptydir": True}
        cluster["snapshots"] = dict(snapshots)
    data |= {
        "installation": installation,
        "people": people(directory),
        "approvals": {
            "approvers": ["grace", "linus"],
            "signing_key": {"file": str(directory / "bot.key")},
            "public_key": public_line(key),
        },
        "waits": DEMO_WAITS,
    }
    if slack is not None:
        data["approvals"]["user_groups"] = ["S0KEEPERS"]
        data["slack"] = slack_settings(directory, slack)
    path = directory / "lockkeeper.yaml"
    path.write_text(yaml.safe_dump(data, sort_keys=False), encoding="utf-8")
    return path


def slack_settings(directory: Path, slack: LabSlack) -> dict[str, Any]:
    secret(directory / "bot-token", slack.bot_token)
    secret(directory / "app-token", slack.app_token)
    return {
        "mode": "socket",
        "bot_token": {"file": str(directory / "bot-token")},
        "app_token": {"file": str(directory / "app-token")},
        "team_id": TEAM,
        "api_url": slack.api_url,
        "default_channel": CHANNEL,
    }


def snapshot_store(directory: Path) -> dict[str, Any]:
    """A folder for etcd's snapshots, and beside it the key that opens them."""
    identity = pyrage.x25519.Identity.generate()
    secret(directory / "snapshots.key", f"{identity}\n")
    (directory / "snapshots").mkdir(exist_ok=True)
    return {"store": str(directory / "snapshots"), "recipients": [str(identity.to_public())]}


def people(directory: Path) -> dict[str, Any]:
    def keys(name: str) -> list[str]:
        return [(directory / f"{name}.key.pub").read_text(encoding="utf-8").strip()]

    return {
        "ada": {"slack": "U0ADA", "logins": [getpass.getuser()]},
        "grace": {"slack": "U0GRACE", "ssh_keys": keys("grace"), "logins": ["grace"]},
        "linus": {"slack": "U0LINUS", "ssh_keys": keys("linus"), "logins": ["linus"]},
        "gus": {"slack": "U0GUS"},
        "olga": {"slack": "U0OLGA"},
    }


def private_text(key: ed25519.Ed25519PrivateKey) -> str:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.OpenSSH, serialization.NoEncryption()
    ).decode()


def secret(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch(mode=0o600)
    path.write_text(text, encoding="utf-8")
