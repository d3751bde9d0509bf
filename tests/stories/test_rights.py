"""A whole upgrade with exactly the rights that the chart gives: nothing is refused, and nothing is granted in vain."""

import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
import yaml

from lab.identity import Ask
from lab.pki import write_kubeconfig
from lab.rig import rig
from lab.story import DONE, Story
from policies.deprecations import read_file

ROOT = Path(__file__).parents[2]
HELM = Path(sys.executable).with_name("helm")
STABLE = re.compile(r".+/v\d+")
ACCOUNTS = {"serve": "lockkeeper-bot", "worker": "lockkeeper-worker"}  # by the verb that uses it
# Only asked for where an operation that has ended left its Lease behind.
NOT_TRIED = {("lockkeeper-worker", "patch", "leases")}
# Only asked for where an API server was asked for an old version of them: who wrote them in it?
WRITTEN = {
    ("lockkeeper-worker", "list", resource)
    for removal in read_file().removals
    for resource in removal.resources
    if STABLE.fullmatch(removal.replacement) and resource not in {"events", "selfsubjectreviews"}
}
pytestmark = [pytest.mark.story, pytest.mark.timeout(300)]


def rendered():
    """What the README has one apply to a cluster that lockkeeper does not run in."""
    command = "template lockkeeper helm --namespace lockkeeper --set rbac.create=true -s templates/rbac.yaml"
    assert f"helm {command} > rights.yaml" in (ROOT / "README.md").read_text(encoding="utf-8")
    done = subprocess.run([HELM, *command.split()], capture_output=True, text=True, check=True, cwd=ROOT)
    return [o for o in yaml.safe_load_all(done.stdout) if o]


def rules_of(account, objects):
    """Each rule that some binding gives the account; those of a Role with its namespace."""
    roles = {(o["kind"], o["metadata"].get("namespace"), o["metadata"]["name"]): o.get("rules") for o in objects}
    subject = {"kind": "ServiceAccount", "name": account, "namespace": "lockkeeper"}
    for binding in objects:
        if subject not in binding.get("subjects", ()):
            continue
        kind, namespace = binding["roleRef"]["kind"], binding["metadata"].get("namespace")
        for rule in roles[kind, namespace, binding["roleRef"]["name"]]:
            yield {**rule, "namespace": namespace} if namespace else rule


def admit_parts(world, objects):
    """A token for each account, with exactly its rules; and the kubeconfigs with them."""
    made = {}
    for verb, account in ACCOUNTS.items():
        rules = list(rules_of(account, objects))
        assert rules, account
        world.call(lambda account=account, rules=rules: world.cluster.identities.admit(account, account, rules))
        path = world.kubeconfig.with_name(f"{verb}.kubeconfig")
        made[verb] = write_kubeconfig(path, world.cluster.balancer.url, world.cluster.authority, account, user=account)
    return made


def keep_a_volume(world):
    """A DaemonSet that stays during a drain, with a volume of its own: the drain has to tell it from the others."""
    name, labels = {"name": "logs", "namespace": "demo"}, {"app": "logs"}
    claim = {"name": "logs", "persistentVolumeClaim": {"claimName": "logs"}}
    pod = {"containers": [{"name": "logs", "image": "registry.lab/app:1"}], "volumes": [claim]}
    template = {"metadata": {"labels": labels}, "spec": pod}
    attached = {"attacher": "csi.lab", "nodeName": "w1", "source": {"persistentVolumeName": "pv-logs"}}
    for thing in (
        {"kind": "PersistentVolumeClaim", "metadata": name, "spec": {"volumeName": "pv-logs"}},
        {"kind": "DaemonSet", "metadata": name, "spec": {"selector": {"matchLabels": labels}, "template": template}},
        {"kind": "VolumeAttachment", "metadata": {"name": "csi-1"}, "spec": attached, "status": {"attached": True}},
    ):
        world.call(lambda thing=thing: world.cluster.store.put(thing))


def keep_a_webhook(world):
    """One that is asked about some pods only and that nobody answers for: its service is looked for, too."""
    rule = {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"]}
    hook = {
        "name": "guard.example.org",
        "rules": [rule],
        "objectSelector": {"matchLabels": {"guarded": "yes"}},
        "clientConfig": {"service": {"namespace": "demo", "name": "guard"}},
    }
    thing = {"kind": "ValidatingWebhookConfiguration", "metadata": {"name": "guard"}, "webhooks": [hook]}
    world.call(lambda: world.cluster.store.put(thing))


def granted(objects):
    """Every (account, verb, resource) of the chart."""
    for account in ACCOUNTS.values():
        for rule in rules_of(account, objects):
            for verb in rule["verbs"]:
                yield from ((account, verb, resource) for resource in rule.get("resources", ()))


def test_a_whole_upgrade_needs_the_rights_of_the_chart_and_no_others():
    """Nothing that was asked is denied, and nothing that is granted is idle; the bot only ever read."""
    objects = rendered()

    def kubeconfigs(world):
        keep_a_volume(world)
        keep_a_webhook(world)
        return admit_parts(world, objects)

    lines = []
    with rig("small", speed=100, workers=1, kubeconfigs=kubeconfigs) as made:
        ended = Story(made, lines.append).play("v1.35.4", deadline=200)
        asked = made.world.call(lambda: dict(made.world.cluster.identities.asked))
        kubelets = {m["kubelet"] for m in made.world.snapshot().values()}
    denied = [(who, wish) for (who, wish), allowed in asked.items() if not allowed]
    assert denied == []
    assert ended == DONE, "\n".join(lines)
    assert kubelets == {"v1.35.4"}
    assert not any("forbidden" in line.lower() for line in lines)
    used = Counter((who, wish.verb, resource_of(wish)) for who, wish in asked if isinstance(wish, Ask))
    assert set(granted(objects)) >= WRITTEN
    assert set(granted(objects)) - set(used) - WRITTEN == NOT_TRIED
    assert {verb for who, verb, _ in used if who == ACCOUNTS["serve"]} <= {"get", "list"}


def resource_of(ask):
    return f"{ask.resource.plural}/{ask.subresource}" if ask.subresource else ask.resource.plural
