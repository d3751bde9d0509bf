"""Mirror pods: how the static pods of a machine show in the API."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from lab import podlife
from lab.clock import micro_stamp

STATIC_PODS = "kube-system"


def mirror_pod(node: dict[str, Any], component: str, manifest: dict[str, Any], address: str) -> dict[str, Any]:
    """The running mirror pod of a manifest; its hash changes with the manifest."""
    digest = hashlib.md5(json.dumps(manifest, sort_keys=True).encode(), usedforsecurity=False).hexdigest()
    name = node["metadata"]["name"]
    meta = manifest.get("metadata", {})
    pod = {
        "kind": "Pod",
        "metadata": {
            "name": f"{component}-{name}",
            "namespace": STATIC_PODS,
            "annotations": dict(meta.get("annotations") or {})
            | {
                "kubernetes.io/config.hash": digest,
                "kubernetes.io/config.mirror": digest,
                "kubernetes.io/config.seen": micro_stamp(),
                "kubernetes.io/config.source": "file",
            },
            "labels": dict(meta.get("labels") or {"component": component, "tier": "control-plane"}),
            "ownerReferences": [
                {"apiVersion": "v1", "controller": True, "kind": "Node", "name": name, "uid": node["metadata"]["uid"]}
            ],
        },
        "spec": manifest["spec"] | _placement(name),
        "status": {"phase": "Pending", "qosClass": "Burstable"},
    }
    return podlife.running(pod, address, address)


def _placement(node_name: str) -> dict[str, Any]:
    return {
        "nodeName": node_name,
        "hostNetwork": True,
        "priority": 2000001000,
        "priorityClassName": "system-node-critical",
        "restartPolicy": "Always",
        "terminationGracePeriodSeconds": 30,
        "tolerations": [{"effect": "NoExecute", "operator": "Exists"}],
    }
