"""A large cluster to ask: its API, a Redis and a lockkeeper.yaml: `python -m tests.scale_site 5000 DIR [SECONDS]`."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import yaml

from lab.redis import RedisServer
from tests import scale_fixture as scale
from tests.scale_api import big_api


def written(size: int, kubeconfig: str) -> dict[str, Any]:
    """As somebody writes it: what has a default is left out, and no two machines are alike."""
    machines = {
        name: {
            "address": f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}",
            "key_file": "/etc/lockkeeper/ssh/id_ed25519",
            "host_key": f"SHA256:{number:043d}",
        }
        for number, name in enumerate(scale.names(size))
    }
    return {
        "clusters": {"prod": {"kubeconfig": kubeconfig, "channel": "C0OPS", "machines": machines}},
        "people": {"ada": {"slack": "U0ADA"}, "grace": {"slack": "U0GRACE"}},
        "approvals": {"approvers": ["grace"]},
    }


def main() -> None:
    """Print where everything is as one JSON line, and serve until standard input ends."""
    size, folder, pause = int(sys.argv[1]), Path(sys.argv[2]), float((*sys.argv, "0")[3])
    with big_api(size, folder, pause) as (_, cluster), RedisServer.start(folder / "redis") as redis:
        config = folder / "lockkeeper.yaml"
        config.write_text(yaml.safe_dump(written(size, str(cluster.kubeconfig))), encoding="utf-8")
        where = {"kubeconfig": str(cluster.kubeconfig), "config": str(config), "redis": redis.url}
        sys.stdout.write(json.dumps(where) + "\n")
        sys.stdout.flush()
        sys.stdin.read()


if __name__ == "__main__":
    main()
