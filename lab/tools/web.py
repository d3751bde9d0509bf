"""curl on the lab's machines: their own etcd's metrics, and a registry of images."""

from __future__ import annotations

import json
import re

from lab.toolbox import Invocation, ToolError
from lab.tools.etcd import read_metrics
from lab.tools.outside import answer

_MANIFEST = re.compile(r"https://(?P<host>[^/]+)/v2/(?P<path>.+)/manifests/(?P<tag>[^/]+)")
_GATEWAY = re.compile(r"https://(?P<place>[^/]+)/v3/(?P<question>[a-z/]+)")
_TLS = ("--cacert", "--cert", "--key")
_VALUED = {"-o", "-w", "-H", "--max-time", "--proto", "--cacert", "--cert", "--key", "-d", "--connect-timeout"}


async def curl(call: Invocation) -> int:
    """By its address: a manifest in a registry, or what etcd tells of itself."""
    options, url = _parse(call.args)
    if match := _MANIFEST.fullmatch(url):
        return await _manifest(call, options, match["host"], f"{match['path']}:{match['tag']}")
    if match := _GATEWAY.fullmatch(url):
        return await answer(call, match["place"], match["question"], {options.get(o, "") for o in _TLS})
    return await read_metrics(call)


def _parse(args: tuple[str, ...]) -> tuple[dict[str, str], str]:
    options, url = {}, ""
    words = iter(args)
    for word in words:
        if word in _VALUED:
            options[word] = next(words, "")
        elif not word.startswith("-"):
            url = word
        else:
            options[word] = ""
    return options, url


async def _manifest(call: Invocation, options: dict[str, str], host: str, image: str) -> int:
    faults = call.machine.faults
    if faults.image_pull_fails:
        call.out("000" if "-w" in options else "")
        raise ToolError(f"curl: (6) Could not resolve host: {host}\n", 6)
    code, body = 200, json.dumps({"schemaVersion": 2, "manifests": []})
    if image.rpartition("/")[2] in faults.images_missing:
        errors = [{"code": "MANIFEST_UNKNOWN", "message": f"Requested entity was not found: {image}"}]
        code, body = 404, json.dumps({"errors": errors}, separators=(",", ":"))
    if "-o" in options:
        call.machine.path(options["-o"]).write_text(
            "" if "-sSIL" in options or "-I" in options else body, encoding="utf-8"
        )
    if "-w" in options:
        call.out(options["-w"].replace("%{http_code}", str(code)))
    return 0
