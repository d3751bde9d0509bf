"""The node script: its parts joined into the one file that an administrator installs on every machine."""

from __future__ import annotations

import re
from importlib.resources import files

from cluster.errors import LockkeeperError

PROTOCOL = 1  # what `version` must answer; a machine with another one is refused at preflight
PRODUCTION_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

# Both constants end up between single quotes in a shell script, and a PATH is split at colons.
_SAFE_PATH = re.compile(r"/[A-Za-z0-9/._+@~-]*")


def render(*, root: str = "/", tools: str | None = None) -> str:
    """The whole script; `root` and `tools` are other than the defaults only for a laptop's lab."""
    for name, value in (("root", root), ("tools", tools or "/")):
        if not _SAFE_PATH.fullmatch(value):
            raise LockkeeperError(
                f"The {name} folder `{value}` cannot be used in the node script: give an absolute path of letters, "
                "digits and /._+@~-."
            )
    path = PRODUCTION_PATH if tools is None else f"{tools.rstrip('/')}:/usr/bin:/bin"
    parts = sorted((p for p in (files(__name__) / "parts").iterdir() if p.name.endswith(".sh")), key=lambda p: p.name)
    text = "\n".join(part.read_text(encoding="utf-8") for part in parts)
    return text.replace("@ROOT@", root.rstrip("/")).replace("@TOOLS@", path)
