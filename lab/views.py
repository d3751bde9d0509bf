"""What a lab shows of itself: for the demo's page, and for the check at the end of a story."""

from __future__ import annotations

from typing import Any

from lab.kubeadm.session import is_ready
from lab.machines import Machine
from lab.site import Site

Json = dict[str, Any]


def take_snapshot(site: Site) -> dict[str, Json]:
    """Facts by node name: what the headless demo compares before and after."""
    return {name: _facts(site, machine) for name, machine in site.machines.items()}


def _facts(site: Site, machine: Machine) -> Json:
    node = site.store.peek("Node", machine.name) or {"spec": {}, "status": {"nodeInfo": {}, "conditions": []}}
    server = site.cluster.servers.get(machine.name)
    return {
        "kubelet": node["status"]["nodeInfo"].get("kubeletVersion", ""),
        "apiserver": server.version if server else "",
        "kubeadm": machine.packages.release("kubeadm"),
        "cordoned": bool(node["spec"].get("unschedulable")),
        "ready": is_ready(node),
        "holds": list(machine.packages.holds()),
        "pods": [f"{p['metadata']['namespace']}/{p['metadata']['name']}" for p in _pods(site, machine.name)],
    }


def _pods(site: Site, name: str) -> list[Json]:
    return [p for p in site.store.each("Pod") if p["spec"].get("nodeName") == name]


def list_machines(site: Site) -> list[Json]:
    """One entry per machine, as the page draws it."""
    return [_entry(site, machine) for machine in site.machines.values()]


def _entry(site: Site, machine: Machine) -> Json:
    facts = _facts(site, machine)
    pods = _pods(site, machine.name)
    leaving = [p for p in pods if "deletionTimestamp" in p["metadata"]]
    return {
        "name": machine.name,
        "role": "control plane" if machine.control_plane else "worker",
        "kubelet": facts["kubelet"],
        "apiserver": facts["apiserver"],
        "ready": facts["ready"],
        "cordoned": facts["cordoned"],
        "draining": facts["cordoned"] and bool(leaving),
        "doing": machine.doing(),
        "pods": [
            {
                "name": f"{p['metadata']['namespace']}/{p['metadata']['name']}",
                "phase": p["status"].get("phase", ""),
                "terminating": p in leaving,
            }
            for p in pods
        ],
    }
