"""What the README says is true: commands, verbs, scenarios, the configuration, every link."""

import json
import re
from pathlib import Path

import pytest
import typer
import yaml

from cluster.inventory import Cluster
from cluster.settings import Settings, parse_settings
from lab.chaos import KINDS
from lab.scenarios import SCENARIOS
from lockkeeper import app

KEY = "AAAAC3NzaC1lZDI1NTE5AAAAIJrk2G0ESi5rmQJr1aWgop7hHPyekVjKk4YcUh8AeqK+"
ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").rglob("*.md"))]


@pytest.mark.parametrize(
    "command",
    [
        "help",
        "versions",
        "survey",
        "plan",
        "export",
        "dry-run",
        "status",
        "pause",
        "resume",
        "cancel",
        "retry",
        "skip",
        "extend",
        "force-delete",
    ],
)
def test_every_command_of_slack_is_in_the_readme(command):
    """A command that nobody can find does not exist."""
    assert f"/k8s {command}" in README


@pytest.mark.parametrize("verb", sorted(typer.main.get_command(app).commands))
def test_every_verb_of_the_command_line_is_in_the_readme_or_its_pages(verb):
    """The same for the terminal."""
    assert f"lockkeeper {verb}" in README or verb in {"pause", "resume", "cancel", "retry", "reject", "events"}
    assert verb in README


@pytest.mark.parametrize("name", [*SCENARIOS, *KINDS])
def test_every_scenario_and_chaos_is_in_the_readme(name):
    """What the demo can play is listed."""
    assert name in README


def test_the_configuration_of_the_readme_is_one_that_we_read():
    """Copied, with real fingerprints and keys in the gaps, it is accepted."""
    text = next(b for b in re.findall(r"```yaml\n(.*?)```", README, re.DOTALL) if "clusters:" in b)
    filled = text.replace("SHA256:…", "SHA256:" + "a" * 43).replace("AAAA…", KEY)
    settings = parse_settings(yaml.safe_load(filled))
    assert settings.slack is not None
    assert settings.approvals.approvers == ("grace",)


@pytest.mark.parametrize("setting", [*Settings.model_fields, *Cluster.model_fields])
def test_every_setting_is_documented(setting):
    """Each top-level and cluster setting has its row in docs/settings.md or stands in the README."""
    assert f"`{setting}`" in (ROOT / "docs" / "settings.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_every_link_inside_the_repository_leads_somewhere(page):
    """A page that names another one names one that is there."""
    for target in re.findall(r"\]\(([^)#]+?)(?:#[^)]*)?\)", page.read_text(encoding="utf-8")):
        if "://" not in target:
            assert (page.parent / target).exists(), target


def test_the_scopes_of_the_readme_are_those_of_the_manifest():
    """What a person clicks together and what the manifest asks for are the same."""
    manifest = json.loads((ROOT / "docs" / "slack-manifest.json").read_text(encoding="utf-8"))
    named = re.search(r"Bot scopes: (.*?)\. Install", README, re.DOTALL)
    assert named is not None
    assert set(re.findall(r"`([^`]+)`", named[1])) == set(manifest["oauth_config"]["scopes"]["bot"])
