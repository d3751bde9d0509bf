"""crictl, ctr and containerd: containers and images of one machine."""

from __future__ import annotations

import hashlib
import json

from lab.machines import Machine
from lab.pulling import pull
from lab.staticpods import COMPONENTS
from lab.toolbox import Invocation, ToolError
from lab.tools.etcd import etcdctl, etcdutl


def containers(machine: Machine) -> dict[str, tuple[str, str]]:
    """Container id → (name, image) of what the kubelet runs here from manifests."""
    found = {}
    for component in COMPONENTS:
        if machine.kubelet is not None and component in machine.kubelet.running:
            image = machine.kubelet.running[component]
            digest = hashlib.sha256(f"{machine.name} {component} {image}".encode()).hexdigest()
            found[digest[:13]] = (component, image)
    return found


async def fetch(call: Invocation, image: str) -> None:
    if problem := await pull(call, image):
        raise ToolError(f"failed to pull image {image}: {problem}\n")


async def crictl(call: Invocation) -> int:
    words = list(call.args)
    while words and words[0].startswith("-"):
        words = words[2:] if words[0] in {"-r", "--runtime-endpoint", "-i", "--image-endpoint", "-c"} else words[1:]
    verb, *rest = words or [""]
    if verb == "ps":
        return _ps(call, rest)
    if verb == "images":
        if "json" not in rest:
            call.out(f"{'IMAGE':<50}{'TAG':<20}{'IMAGE ID':<16}SIZE\n")
            for name, _, tag in (i.rpartition(":") for i in sorted(call.machine.images)):
                call.out(f"{name:<50}{tag:<20}{hashlib.sha256(name.encode()).hexdigest()[:13]:<16}1MB\n")
            return 0
        rows = [{"id": hashlib.sha256(i.encode()).hexdigest(), "repoTags": [i]} for i in sorted(call.machine.images)]
        call.out(json.dumps({"images": rows}, indent=2) + "\n")
        return 0
    if verb == "pull":
        await fetch(call, rest[-1])
        call.out(f"Image is up to date for sha256:{hashlib.sha256(rest[-1].encode()).hexdigest()}\n")
        return 0
    if verb == "exec":
        return await _exec(call, rest)
    if verb == "version":
        release = call.machine.faults.runtime or "2.1.9"
        call.out(f"Version:  0.1.0\nRuntimeName:  containerd\nRuntimeVersion:  {release}\nRuntimeApiVersion:  v1\n")
        return 0
    raise ToolError(f"No help topic for '{verb}'\n", 3)


def _ps(call: Invocation, rest: list[str]) -> int:
    name, quiet = "", False
    words = iter(rest)
    for word in words:
        if word == "--name":
            name = next(words, "").strip("^$")
        elif word in {"-q", "--quiet"}:
            quiet = True
        elif word in {"--state", "-s", "--label"}:
            next(words, None)
    if not quiet:
        call.out(f"{'CONTAINER':<20}{'IMAGE':<50}{'STATE':<10}NAME\n")
    for ident, (component, image) in containers(call.machine).items():
        if not name or name == component:
            call.out(f"{ident}\n" if quiet else f"{ident:<20}{image:<50}{'Running':<10}{component}\n")
    return 0


async def _exec(call: Invocation, rest: list[str]) -> int:
    words = [w for w in rest if w not in {"-i", "-t", "-it", "-s", "--sync"}]
    ident, *command = words or [""]
    found = containers(call.machine).get(ident)
    if found is None:
        raise ToolError(f'E1123 execing command in container failed: container "{ident}" not found\n')
    if found[0] != "etcd" or not command or command[0] not in {"etcdctl", "etcdutl"}:
        name = command[0] if command else ""
        raise ToolError(
            f'execing command in container failed: exec: "{name}": executable file not found in $PATH: unknown\n'
        )
    if call.machine.faults.no_etcdctl:
        raise ToolError(
            f'execing command in container failed: exec: "{command[0]}": executable file not found in $PATH: unknown\n'
        )
    inner = Invocation(call.machine, command[0], tuple(command[1:]), call.writer, attempt=call.attempt)
    return await (etcdctl if command[0] == "etcdctl" else etcdutl)(inner)


async def ctr(call: Invocation) -> int:
    words = list(call.args)
    while words and words[0] in {"-n", "-a"}:
        words = words[2:]
    if words[:2] == ["images", "pull"]:
        await fetch(call, words[-1])
        return 0
    if words[:2] == ["images", "ls"]:
        call.out("REF\n" + "".join(f"{i}\n" for i in sorted(call.machine.images)))
        return 0
    raise ToolError(f"No help topic for '{' '.join(words)}'\n", 3)


async def containerd(call: Invocation) -> int:
    call.out("containerd github.com/containerd/containerd/v2 2.1.9~ds1 2.1.9+ds1-5\n")
    return 0
