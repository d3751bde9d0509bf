"""kubeadm's command line, kubelet --version and kubectl version."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import yaml

from lab.kubeadm.apply import Options, apply, node
from lab.kubeadm.plan import plan, show_diff
from lab.kubeadm.session import Session, failure
from lab.pulling import pull
from lab.staticpods import REGISTRY, images
from lab.toolbox import Invocation, ToolError

_VALUED = {
    "--kubeconfig", "--patches", "--ignore-preflight-errors", "--kubernetes-version", "--image-repository",
    "--cri-socket", "--config", "--feature-gates", "--v", "-v", "-o", "--output", "--cert-dir", "--skip-phases",
    "--cache-dir", "--request-timeout", "-n", "--namespace",
}  # fmt: skip
_SWITCHES = {
    "-y", "--yes", "--dry-run", "--etcd-upgrade", "--certificate-renewal", "--allow-experimental-upgrades",
}  # fmt: skip
_LEAVES = {
    "admin.conf": "ca", "apiserver": "ca", "apiserver-etcd-client": "etcd-ca",
    "apiserver-kubelet-client": "ca",
    "controller-manager.conf": "ca", "etcd-healthcheck-client": "etcd-ca", "etcd-peer": "etcd-ca",
    "etcd-server": "etcd-ca",
    "front-proxy-client": "front-proxy-ca", "scheduler.conf": "ca", "super-admin.conf": "ca",
}  # fmt: skip
YEAR = timedelta(days=365)
NO_TIME = "0001-01-01T00:00:00Z"


def _build(version: str) -> dict[str, str]:
    major, minor, _ = version.removeprefix("v").split(".")
    return {
        "major": major,
        "minor": minor,
        "gitVersion": version,
        "gitCommit": "1" * 40,
        "gitTreeState": "clean",
        "buildDate": "2026-08-01T00:00:00Z",
        "goVersion": "go1.27.3",
        "compiler": "gc",
        "platform": "linux/amd64",
    }


def _parse(args: tuple[str, ...]) -> tuple[list[str], dict[str, str]]:
    words: list[str] = []
    options: dict[str, str] = {}
    rest: Iterator[str] = iter(args)
    for word in rest:
        key, sign, value = word.partition("=")
        if key in _VALUED:
            options[{"--output": "-o", "--yes": "-y"}.get(key, key)] = value if sign else next(rest, "")
        elif key in _SWITCHES:
            options[{"--yes": "-y"}.get(key, key)] = value if sign else "true"
        elif word.startswith("-") and len(word) > 1:
            raise failure(
                f"unknown flag: {key}" if key.startswith("--") else f"unknown shorthand flag: {key!r} in {word}"
            )
        else:
            words.append(word)
    return words, options


def _need_program(call: Invocation, name: str) -> str:
    version = call.binary or call.machine.packages.release(name)
    if not version:
        raise ToolError(f"/bin/sh: {name}: not found\n", 127)
    return version


async def kubeadm(call: Invocation) -> int:
    version = _need_program(call, "kubeadm")
    words, options = _parse(call.args)
    match words:
        case ["version"]:
            return _version(call, version, options.get("-o", ""))
        case ["upgrade", verb, *rest]:
            return await _upgrade(call, version, verb, rest, options)
        case ["config", "images", ("list" | "pull") as verb]:
            return await _images(call, version, verb, options)
        case ["certs", "check-expiration"]:
            return _certs(call, version, options)
        case _:
            raise failure(f'unknown command {json.dumps(" ".join(words))} for "kubeadm"')


def _version(call: Invocation, version: str, form: str) -> int:
    if form == "short":
        call.out(f"{version}\n")
    elif form == "json":
        call.out(json.dumps({"clientVersion": _build(version)}, indent=2) + "\n")
    else:
        major, minor, _ = version.removeprefix("v").split(".")
        call.out(f'kubeadm version: &version.Info{{Major:"{major}", Minor:"{minor}", GitVersion:"{version}"}}\n')
    return 0


async def _upgrade(call: Invocation, version: str, verb: str, rest: list[str], options: Mapping[str, str]) -> int:
    view = call.machine.view
    if view is None:
        raise failure("couldn't create a Kubernetes client: this machine belongs to no cluster")
    session = Session(call, view, version)
    target = rest[0] if rest else None
    chosen = Options(version=target or "", yes=options.get("-y") == "true", dry_run=options.get("--dry-run") == "true")
    match verb:
        case "plan":
            return await plan(session, target, as_json=options.get("-o") == "json")
        case "apply":
            return await apply(session, chosen)
        case "node":
            return await node(session, chosen)
        case "diff":
            return await show_diff(session, target)
        case _:
            raise failure(f'unknown command "{verb}" for "kubeadm upgrade"')


async def _images(call: Invocation, version: str, verb: str, options: Mapping[str, str]) -> int:
    if "--config" in options:
        wanted = _declared_images(call.machine.path(options["--config"]).read_text(encoding="utf-8"))
    else:
        wanted = images(options.get("--kubernetes-version", version), options.get("--image-repository", REGISTRY))
    if verb == "list":
        body = {"kind": "Images", "apiVersion": "output.kubeadm.k8s.io/v1alpha3", "images": wanted}
        call.out(
            json.dumps(body, indent=4) + "\n" if options.get("-o") == "json" else "".join(f"{i}\n" for i in wanted)
        )
        return 0
    for image in wanted:
        if problem := await pull(call, image):
            raise failure(f'failed to pull image "{image}": failed to pull image {image}: {problem}')
        call.out(f"[config/images] Pulled {image}\n")
    return 0


def _declared_images(text: str) -> list[str]:
    """Those of a configuration file: its repository, and what it says of etcd and DNS by themselves."""
    declared = next(d for d in yaml.safe_load_all(text) if d["kind"] == "ClusterConfiguration")
    own = {"etcd": (declared.get("etcd") or {}).get("local") or {}, "coredns": declared.get("dns") or {}}
    found = []
    for usual in images(declared["kubernetesVersion"], declared.get("imageRepository", REGISTRY)):
        place, _, tag = usual.rpartition(":")
        repository, _, name = place.rpartition("/")
        wish = own.get(name, {})
        found.append(f"{wish.get('imageRepository', repository)}/{name}:{wish.get('imageTag', tag)}")
    return found


def _certs(call: Invocation, version: str, options: Mapping[str, str]) -> int:
    machine = call.machine
    if not machine.path("/etc/kubernetes/admin.conf").exists():
        key = "/etc/kubernetes/pki/apiserver.key"
        raise failure(
            "Error checking external CA condition for ca certificate authority: failure loading key for apiserver: "
            f"couldn't load the private key file {key}: open {key}: no such file or directory"
        )
    now = datetime.now(UTC)
    faults, ours = machine.faults, {"externallyManaged": machine.faults.certificates_external}
    leaves = [_certificate(call, name, now) | {"caName": ca} | ours for name, ca in _LEAVES.items()]
    ends = now + (10 * YEAR if faults.authority_days is None else timedelta(days=faults.authority_days))
    roots = [_row(ca, ends, now) | ours for ca in ("ca", "etcd-ca", "front-proxy-ca")]
    if options.get("-o") == "json":
        body = {
            "kind": "CertificateExpirationInfo",
            "apiVersion": "output.kubeadm.k8s.io/v1alpha3",
            "certificates": leaves,
            "certificateAuthorities": roots,
        }
        call.out(json.dumps(body, indent=4) + "\n")
        return 0
    if machine.view is not None:
        Session(call, machine.view, version).say_reading("check-expiration")
    call.out(
        "\nCERTIFICATE                EXPIRES                  RESIDUAL TIME   CERTIFICATE AUTHORITY   "
        "EXTERNALLY MANAGED\n"
    )
    for leaf in leaves:
        until = datetime.fromisoformat(leaf["expirationDate"]).strftime("%b %d, %Y %H:%M UTC")
        call.out(
            f"{leaf['name']:<27}{until:<25}{leaf['residualTime'] // 86400}d            {leaf['caName']:<24}no      \n"
        )
    return 0


def _certificate(call: Invocation, name: str, now: datetime) -> dict[str, Any]:
    """A leaf lives a year from its last renewal; the machine's faults may say otherwise."""
    if name in call.machine.faults.certificates_missing:
        return {"name": name, "expirationDate": NO_TIME, "residualTime": 0, "externallyManaged": False, "missing": True}
    path = call.machine.path(f"/etc/kubernetes/pki/.renewed/{name}")
    if path.exists():
        return _row(name, datetime.fromtimestamp(int(path.read_text(encoding="utf-8")), UTC) + YEAR, now)
    days = call.machine.faults.certificate_days
    return _row(name, now + (YEAR - timedelta(days=30) if days is None else timedelta(days=days)), now)


def _row(name: str, until: datetime, now: datetime) -> dict[str, Any]:
    return {
        "name": name,
        "expirationDate": until.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "residualTime": int((until - now).total_seconds()),
        "externallyManaged": False,
        "missing": False,
    }


async def kubelet(call: Invocation) -> int:
    version = _need_program(call, "kubelet")
    if call.args != ("--version",):
        raise ToolError(f'E1123 run.go:74] "command failed" err="unknown flag: {" ".join(call.args)}"\n')
    call.out(f"Kubernetes {version}\n")
    return 0


async def kubectl(call: Invocation) -> int:
    version = _need_program(call, "kubectl")
    words, options = _parse(tuple(a for a in call.args if a not in {"--client", "--client=true"}))
    if words == ["get", "configmap", "kubeadm-config"]:
        return _declaration(call, version, options)
    if words != ["version"]:
        raise ToolError(f'error: unknown command "{" ".join(words)}": kubectl on the lab\'s machines knows two\n')
    if options.get("-o") == "json":
        call.out(json.dumps({"clientVersion": _build(version), "kustomizeVersion": "v5.8.1"}, indent=2) + "\n")
    else:
        call.out(f"Client Version: {version}\nKustomize Version: v5.8.1\n")
    return 0


def _declaration(call: Invocation, version: str, options: Mapping[str, str]) -> int:
    """The one object that a machine reads with its own kubeconfig."""
    file, view = options.get("--kubeconfig", ""), call.machine.view
    if not call.machine.path(file).exists():
        raise ToolError(f"error: stat {file}: no such file or directory\n")
    if view is None or not view.reachable():
        raise ToolError("Unable to connect to the server: dial tcp: connect: connection refused\n")
    if options.get("-o") != "jsonpath={.data.ClusterConfiguration}":
        raise ToolError(f"error: the lab's kubectl does not know the output {options.get('-o')}\n")
    declared = Session(call, view, version).configuration("")
    call.out(yaml.safe_dump(declared))
    return 0
