"""The chart and the image: rendered by the real helm, checked against the API's schemas, true to the code."""

import subprocess
import sys
import tomllib
from pathlib import Path

import kubernetes_validate
import pytest
import yaml

from cluster.inventory import Smoke
from cluster.settings import parse_settings

ROOT = Path(__file__).parent.parent
HELM = Path(sys.executable).with_name("helm")
VALUES = ROOT / "tests" / "packaging_values.yaml"


def helm(*arguments):
    return subprocess.run([HELM, *arguments], capture_output=True, text=True, check=False, cwd=ROOT)


@pytest.fixture(scope="module")
def objects():
    done = helm("template", "keeper", "helm", "--namespace", "ops", "-f", str(VALUES))
    assert done.returncode == 0, done.stderr
    return [o for o in yaml.safe_load_all(done.stdout) if o]


def named(objects, kind, name):
    return next(o for o in objects if o["kind"] == kind and o["metadata"]["name"] == name)


def test_helm_lints_the_chart_without_a_complaint():
    """Both the defaults and a user's values are sound."""
    for arguments in ((), ("-f", str(VALUES))):
        done = helm("lint", "--strict", "helm", *arguments)
        assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("version", ["1.34", "1.37"])
def test_every_object_is_valid_for_the_api(objects, version):
    """Strictly: a field that the API does not know is an error."""
    assert {o["kind"] for o in objects} >= {"Deployment", "ConfigMap", "ServiceAccount", "ClusterRole", "Role"}
    for found in objects:
        kubernetes_validate.validate(found, version, strict=True)


def test_secrets_go_only_where_they_are_needed(objects):
    """The bot never sees the SSH key; a worker neither Slack's tokens nor the signing key; each its own kubeconfigs."""
    bot = yaml.safe_dump(named(objects, "Deployment", "keeper-bot"))
    worker = yaml.safe_dump(named(objects, "Deployment", "keeper-worker"))
    assert "lockkeeper-ssh" not in bot
    assert "lockkeeper-slack" in bot
    assert "lockkeeper-signing" in bot
    assert "lockkeeper-ssh" in worker
    assert "lockkeeper-slack" not in worker
    assert "lockkeeper-signing" not in worker
    assert "lockkeeper-kubeconfigs-worker" not in bot
    assert "lockkeeper-kubeconfigs-bot" not in worker
    assert bot.count("/etc/lockkeeper/kubeconfigs") == worker.count("/etc/lockkeeper/kubeconfigs") == 1


def test_snapshots_are_mounted_where_the_configuration_has_their_store(objects):
    """In the workers alone, and nowhere unless a volume is named."""
    worker, bot = (
        named(objects, "Deployment", f"keeper-{part}")["spec"]["template"]["spec"] for part in ("worker", "bot")
    )
    text = named(objects, "ConfigMap", "keeper-config")["data"]["lockkeeper.yaml"]
    snapshots = parse_settings(yaml.safe_load(text)).clusters["prod"].snapshots
    assert snapshots is not None
    assert {"name": "snapshots", "mountPath": str(snapshots.store)} in worker["containers"][0]["volumeMounts"]
    assert {"name": "snapshots", "persistentVolumeClaim": {"claimName": "snapshots"}} in worker["volumes"]
    assert "snapshots" not in str(bot)
    assert "claimName" not in helm("template", "keeper", "helm").stdout


def test_a_token_of_the_monitoring_goes_to_workers_alone(objects):
    """They ask for alerts; the chart mounts nothing where no Secret is named."""
    worker, bot = (
        named(objects, "Deployment", f"keeper-{part}")["spec"]["template"]["spec"] for part in ("worker", "bot")
    )
    text = named(objects, "ConfigMap", "keeper-config")["data"]["lockkeeper.yaml"]
    alerts = parse_settings(yaml.safe_load(text)).clusters["prod"].alerts
    assert alerts is not None
    assert alerts.token is not None
    folder = next(m["mountPath"] for m in worker["containers"][0]["volumeMounts"] if m["name"] == "monitoring")
    assert {str(alerts.token.file), str(alerts.ca_file)} == {f"{folder}/token", f"{folder}/ca.crt"}
    assert "monitoring" not in str(bot["volumes"])
    assert "/etc/lockkeeper/monitoring" not in helm("template", "keeper", "helm").stdout


def test_secrets_of_webhooks_go_to_workers_alone(objects):
    """They sign the messages; nothing is mounted where no Secret is named."""
    worker, bot = (
        named(objects, "Deployment", f"keeper-{part}")["spec"]["template"]["spec"] for part in ("worker", "bot")
    )
    text = named(objects, "ConfigMap", "keeper-config")["data"]["lockkeeper.yaml"]
    ((hook,),) = parse_settings(yaml.safe_load(text)).clusters["prod"].hooks.values()
    folder = next(m["mountPath"] for m in worker["containers"][0]["volumeMounts"] if m["name"] == "hooks")
    assert hook.secret.file == Path(folder) / "cmdb"
    assert "webhooks" not in str(bot["volumes"])
    assert "/etc/lockkeeper/hooks" not in helm("template", "keeper", "helm").stdout


def test_a_configuration_that_is_too_large_for_a_config_map_comes_from_a_volume():
    """Of thousands of machines the API server would refuse the ConfigMap, whatever the chart says."""
    claim = "configVolume.persistentVolumeClaim.claimName=lockkeeper-config"
    found = list(yaml.safe_load_all(helm("template", "keeper", "helm", "-f", str(VALUES), "--set", claim).stdout))
    assert "ConfigMap" not in {o["kind"] for o in found}
    for part in ("bot", "worker"):
        volumes = named(found, "Deployment", f"keeper-{part}")["spec"]["template"]["spec"]["volumes"]
        assert {"name": "config", "persistentVolumeClaim": {"claimName": "lockkeeper-config"}} in volumes


def test_the_chart_writes_no_secret(objects):
    """Secrets are named, never made."""
    assert not [o for o in objects if o["kind"] == "Secret"]


def test_the_bot_may_only_read(objects):
    """Whatever the bot's token is used for, it changes nothing."""
    rules = [
        rule
        for o in objects
        if o["kind"] in {"ClusterRole", "Role"} and o["metadata"]["name"] == "keeper-bot"
        for rule in o["rules"]
    ]
    assert rules
    assert {verb for rule in rules for verb in rule["verbs"]} <= {"get", "list"}


def test_pods_are_made_in_a_namespace_of_their_own_alone(objects):
    """Whoever may create pods may read the Secrets beside them: beside smoke pods there are none, and no privileges."""
    space = named(objects, "Namespace", Smoke().namespace)
    assert space["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"
    makers = {
        (o["kind"], o["metadata"].get("namespace"))
        for o in objects
        for rule in o.get("rules", ())
        if {"pods", "deployments", "daemonsets"} & set(rule.get("resources", ())) and {"create"} & set(rule["verbs"])
    }
    assert makers == {("Role", Smoke().namespace)}


def test_nobody_gets_a_star(objects):
    """Least rights: no wildcard stands in any rule."""
    for o in objects:
        for rule in o.get("rules", ()):
            assert "*" not in [*rule.get("verbs", ()), *rule.get("resources", ()), *rule.get("apiGroups", ())]


def test_the_rendered_configuration_is_one_that_we_read(objects):
    """What the chart writes, the product accepts."""
    text = named(objects, "ConfigMap", "keeper-config")["data"]["lockkeeper.yaml"]
    assert "prod" in parse_settings(yaml.safe_load(text)).clusters


def test_values_of_the_wrong_shape_are_refused():
    """The schema catches a misspelt value before anything is installed."""
    done = helm("template", "keeper", "helm", "--set", "worker.replica=3")
    assert done.returncode != 0
    assert "replica" in done.stderr


def test_the_image_holds_what_the_wheel_holds_without_the_lab():
    """Each package but `lab` is copied; the lock that is installed has hashes and no URLs."""
    dockerfile = (ROOT / "Dockerfile").read_text()
    packages = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]["wheel"][
        "packages"
    ]
    for package in set(packages) - {"lab"}:
        assert f"COPY {package} {package}" in dockerfile
    assert "COPY lab" not in dockerfile
    assert "--require-hashes -r requirements.txt" in dockerfile


@pytest.mark.parametrize("name", ["requirements.txt", "requirements-dev.txt"])
def test_a_lock_has_hashes_and_no_urls(name):
    """A lock says which bytes, not where from."""
    text = (ROOT / name).read_text()
    assert "--hash=sha256:" in text
    assert "://" not in text


def test_the_lock_holds_every_dependency_of_the_product():
    """Nothing that pyproject asks for is missing from what the image installs."""
    wanted = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    locked = {
        line.split("==")[0].lower() for line in (ROOT / "requirements.txt").read_text().splitlines() if "==" in line
    }
    for requirement in wanted:
        assert requirement.split(">")[0].lower() in locked
