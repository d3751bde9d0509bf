"""lockkeeper.yaml: a wrong file is refused at start, with every mistake in it, each with its path."""

import copy
import re

import pytest
import yaml

from cluster.errors import InvalidConfig, UnknownThing
from cluster.settings import Digest, load_settings, parse_settings

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJrk2G0ESi5rmQJr1aWgop7hHPyekVjKk4YcUh8AeqK+ grace"
GOOD = {
    "clusters": {
        "prod": {
            "kubeconfig": "/etc/lockkeeper/prod.kubeconfig",
            "channel": "C0OPS",
            "machines": {
                "cp1": {"address": "10.0.0.11", "key_file": "/etc/lockkeeper/id", "host_key": "SHA256:" + "a" * 43},
            },
            "pools": {"workers": {"selector": "role=worker", "max_unavailable": "10%"}},
        }
    },
    "people": {"ada": {"slack": "U0ADA"}, "grace": {"slack": "U0GRACE", "ssh_keys": [KEY]}},
    "approvals": {"approvers": ["grace"]},
    "slack": {
        "bot_token": {"env": "SLACK_BOT_TOKEN"},
        "app_token": {"env": "SLACK_APP_TOKEN"},
        "team_id": "T0TEAM",
    },
}


def changed(path, value):
    data = copy.deepcopy(GOOD)
    place = data
    *way, last = path.split(".")
    for part in way:
        place = place.setdefault(part, {})
    if value is None:
        del place[last]
    else:
        place[last] = value
    return data


def test_a_good_file_is_read():
    """Defaults fill what the file leaves out."""
    settings = parse_settings(GOOD)
    name, cluster = settings.cluster(None)
    assert name == "prod"
    assert cluster.machines["cp1"].port == 22
    assert cluster.pools["workers"].limit(45) == 4
    assert settings.waits.poll == 2.0
    assert settings.channel("prod") == "C0OPS"


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        (
            "clusters.prod.machines.cp1.host_key",
            "SHA256:short",
            "clusters.prod.machines.cp1.host_key: must be a fingerprint",
        ),
        ("clusters.prod.machines.cp1.host_key", None, "clusters.prod.machines.cp1.host_key: is missing"),
        ("clusters.prod.machines.cp1.adress", "x", "clusters.prod.machines.cp1.adress: is not a setting that we know"),
        (
            "clusters.prod.pools.workers.max_unavailable",
            0,
            "clusters.prod.pools.workers.max_unavailable: must be a whole",
        ),
        (
            "clusters.prod.pools.workers.max_unavailable",
            "0%",
            "clusters.prod.pools.workers.max_unavailable: must be a whole",
        ),
        ("clusters.prod.kubeconfig", None, "clusters.prod: name exactly one of `kubeconfig"),
        ("clusters.prod.kubeconfig", 3, "clusters.prod.kubeconfig: should be a path, in text"),
        ("clusters.prod", 3, "clusters.prod: should be a mapping of settings"),
        ("digest", {"every": "hourly"}, "digest.every: "),
        ("clusters.prod.windows", [{"opens": "22:00"}], "clusters.prod.windows.0.closes: is missing"),
        ("clusters.prod.windows", [{"opens": "24:00", "closes": "04:00"}], "clusters.prod.windows.0.opens: "),
        ("clusters.prod.windows", [{"days": ["mon"], "opens": "1:00"}], "clusters.prod.windows.0.days.0: "),
        ("clusters.prod.timezone", "Mars/Olympus", "clusters.prod.timezone: must be a time zone"),
        (
            "clusters.prod.freezes",
            [{"begins": "2026-12-24", "ends": "2026-12-23"}],
            "clusters.prod.freezes.0: `ends` is the last day of the freeze",
        ),
        ("digest", {"at": "9:00"}, "digest.at: "),
        ("digest", {"timezone": "Mars/Olympus"}, "digest.timezone: must be a time zone"),
        ("digest", {}, "`digest` has nowhere to go"),
        ("clusters", {}, "clusters: "),
        ("approvals", {"approvers": []}, "approvals: name at least one"),
        ("approvals.approvers", ["linus"], "names linus, who is not in `people`"),
        ("people.ada.slack", "U0GRACE", "gives U0GRACE to two persons"),
        ("slack.app_token", None, "slack: `mode: socket` needs `app_token`"),
        ("slack.mode", "http", "slack: `mode: http` needs `signing_secret`"),
        ("slack.api_url", "http://example.com/api/", "slack: `api_url` must be https"),
        ("slack.bot_token", {"env": "A", "file": "/b"}, "slack.bot_token: name exactly one of `env` and `file`"),
        ("slack.bot_token", "xoxb-in-the-file", "slack.bot_token: "),
        ("clusters.prod.channel", None, "no Slack channel for prod"),
        (
            "clusters.prod.channel",
            "#ops",
            "clusters.prod.channel: must be a channel's id like C0123456789, not its name",
        ),
        ("slack.default_channel", "ops", "slack.default_channel: must be a channel's id"),
        ("slack.team_id", "acme", "slack.team_id: must be the id of a workspace like T0123456789"),
        ("people.ada.slack", "@ada", "people.ada.slack: must be a person's id like U0123ADA, not a name"),
        ("approvals.user_groups", ["@keepers"], "approvals.user_groups.0: must be a user group's id like S0123KEEPERS"),
        ("slack.command", "k8s", "slack.command: must be a command like /k8s"),
        ("people.ada.ssh_keys", ["ssh-ed25519 AAAA… ada"], "people.ada.ssh_keys.0: must be a whole public key"),
        ("people.ada.ssh_keys", ["/home/ada/.ssh/id_ed25519.pub"], "people.ada.ssh_keys.0: must be a whole public key"),
        ("people.ada.ssh_keys", [KEY[:40]], "people.ada.ssh_keys.0: must be a whole public key"),
        ("approvals.public_key", "SHA256:abc", "approvals.public_key: must be a whole public key"),
        ("clusters", {}, "clusters: must name at least one"),
        ("clusters.prod.hooks", {"pre-dran": []}, "clusters.prod.hooks.pre-dran: input should be 'pre-run', 'pre-"),
        ("clusters.prod.hooks", {"pre-run": {}}, "clusters.prod.hooks.pre-run: should be a list"),
        (
            "clusters.prod.hooks",
            {"pre-run": [{"command": "a", "timeout": "5x"}]},
            "clusters.prod.hooks.pre-run.0.timeout: must be whole seconds, or a time like 90s, 15m or 2h",
        ),
        (
            "clusters.prod.hooks",
            {"pre-run": [{"command": "a", "tries": 3}]},
            "clusters.prod.hooks.pre-run.0: `tries` and `ca_file` belong to a `webhook`",
        ),
        ("clusters.prod.defaults.surge", "maybe", "clusters.prod.defaults.surge: should be true or false"),
        (
            "clusters.prod.pools.workers.selector",
            "a=b,role in (web",
            "clusters.prod.pools.workers.selector: the selector `role in (web` cannot be read",
        ),
        ("waits", {"place": "30m"}, "waits.place: should be a number"),
    ],
)
def test_a_mistake_is_named_with_its_path(path, value, words):
    """Each mistake says where it is and what is wanted there."""
    with pytest.raises(InvalidConfig, match=re.escape(words)):
        parse_settings(changed(path, value))


def test_every_mistake_is_listed_at_once():
    """Nobody likes to correct a file one error at a time."""
    data = changed("clusters.prod.machines.cp1.port", 70000)
    data["clusters"]["prod"]["machines"]["cp1"]["host_key"] = "nonsense"
    data["approvals"] = {}
    with pytest.raises(InvalidConfig) as caught:
        parse_settings(data)
    text = str(caught.value)
    assert text.startswith("lockkeeper.yaml has 3 mistakes")
    assert all(word in text for word in ("cp1.port", "cp1.host_key", "approvals:"))


def test_every_name_that_leads_nowhere_is_listed_at_once():
    """An approver whom nobody knows, a cluster without a channel, and one account of two persons."""
    data = changed("approvals.approvers", ["bob"])
    del data["clusters"]["prod"]["channel"]
    data["people"]["ada"]["slack"] = "U0GRACE"
    with pytest.raises(InvalidConfig) as caught:
        parse_settings(data)
    text = str(caught.value)
    assert text.startswith("lockkeeper.yaml has 3 mistakes")
    assert all(word in text for word in ("bob", "no Slack channel for prod", "U0GRACE"))


def test_a_mistake_in_a_field_hides_no_name_that_leads_nowhere():
    """Both kinds stand in one list: nobody corrects the field only to learn of the name."""
    data = changed("clusters.prod.machines.cp1.port", 70000)
    data["approvals"]["approvers"] = ["bob"]
    with pytest.raises(InvalidConfig) as caught:
        parse_settings(data)
    text = str(caught.value)
    assert text.startswith("lockkeeper.yaml has 2 mistakes")
    assert "cp1.port" in text
    assert "names bob, who is not in `people`" in text


@pytest.mark.parametrize("file", [None, [], "text", {"people": [], "clusters": 3, "slack": "x", "approvals": None}])
def test_a_file_of_another_shape_is_refused_in_words(file):
    """The search for lost names takes whatever a file holds."""
    with pytest.raises(InvalidConfig, match="correct it and start again"):
        parse_settings(file)


def test_a_missing_file_and_a_file_that_is_not_yaml_are_said(tmp_path):
    """Both name the file."""
    with pytest.raises(InvalidConfig, match=r"nowhere\.yaml cannot be read"):
        load_settings(tmp_path / "nowhere.yaml")
    page = tmp_path / "page.yaml"
    page.write_bytes(b"\xff\xfea: 1")
    with pytest.raises(InvalidConfig, match=r"page\.yaml is not text in UTF-8"):
        load_settings(page)
    bad = tmp_path / "bad.yaml"
    bad.write_text("clusters: [unclosed")
    with pytest.raises(InvalidConfig, match=r"bad\.yaml is not YAML"):
        load_settings(bad)
    empty = tmp_path / "empty.yaml"
    empty.write_text("")
    with pytest.raises(InvalidConfig, match=r"empty\.yaml has a mistake.*\n.*should be a mapping of settings"):
        load_settings(empty)


def test_a_secret_is_read_from_its_place_and_its_absence_is_said(monkeypatch, tmp_path):
    """Secrets come from the environment or a file; an empty one is refused with what to do."""
    settings = parse_settings(GOOD)
    monkeypatch.setenv("SLACK_BOT_TOKEN", " xoxb-1 \n")
    assert settings.slack is not None
    assert settings.slack.bot_token.read() == "xoxb-1"
    monkeypatch.delenv("SLACK_BOT_TOKEN")
    with pytest.raises(InvalidConfig, match="SLACK_BOT_TOKEN is empty"):
        settings.slack.bot_token.read()
    from_file = parse_settings(changed("slack.bot_token", {"file": str(tmp_path / "token")}))
    assert from_file.slack is not None
    with pytest.raises(InvalidConfig, match="cannot be read"):
        from_file.slack.bot_token.read()


def test_an_unknown_cluster_is_answered_with_those_that_exist():
    """The answer to a wrong name is the list of right ones."""
    settings = parse_settings(GOOD)
    with pytest.raises(UnknownThing, match=r"no cluster `staging`.*`prod`"):
        settings.cluster("staging")


def test_an_hour_without_quotation_marks_is_read_as_it_was_meant():
    """YAML reads 10:30 as a number of sixtieths; 09:00 it leaves alone."""
    assert Digest.model_validate(yaml.safe_load("at: 10:30")).at == "10:30"
    assert Digest.model_validate(yaml.safe_load("at: 09:00")).at == "09:00"


def test_the_periodic_report_goes_to_its_channel_or_the_default_one():
    """And nowhere without Slack."""
    slack = {
        "bot_token": {"env": "A"},
        "app_token": {"env": "B"},
        "team_id": "T0TEAM",
        "default_channel": "C0DEFAULT",
    }
    data = {**changed("installation", "ops"), "slack": slack}
    assert parse_settings(data).digest_channel is None
    assert parse_settings({**data, "digest": {}}).digest_channel == "C0DEFAULT"
    assert parse_settings({**data, "digest": {"channel": "C0NEWS"}}).digest_channel == "C0NEWS"


def test_a_cluster_that_was_taken_out_of_the_configuration_is_told_of_nowhere():
    """What the record still says of it must not stop the telling of all others."""
    settings = parse_settings(changed("clusters.prod.channel", "C0PROD"))
    assert (settings.channel("prod"), settings.channel("gone")) == ("C0PROD", None)


RECIPIENT = "age1ua6aha78tydma754jlxcwcvhqu2tq3znjffs8h6ydpx38xhvxgequcgrn4"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"recipients": []}, "snapshots.recipients: must name at least one"),
        ({"recipients": [RECIPIENT, RECIPIENT[:-1] + "5"]}, "snapshots.recipients.1: must be an age recipient"),
        ({"recipients": ["ssh-ed25519 AAAA"]}, "`ssh-ed25519 AAAA` is none"),
        ({"store": "snapshots"}, "snapshots.store: must be an absolute path"),
        ({"store": "/srv/../etc"}, "snapshots.store: must be an absolute path"),
        ({"keep": 0}, "snapshots.keep: "),
    ],
)
def test_a_mistake_about_snapshots_is_found_at_start(changes, words):
    """And not when the first one is to be stored; of several recipients the wrong one is named."""
    whole = {"store": "/snapshots", "recipients": [RECIPIENT]}
    assert parse_settings(changed("clusters.prod.snapshots", whole)).clusters["prod"].snapshots is not None
    with pytest.raises(InvalidConfig, match=re.escape(words)):
        parse_settings(changed("clusters.prod.snapshots", {**whole, **changes}))


def test_a_secret_key_in_place_of_a_recipient_is_never_repeated():
    """Whoever reads the complaint in a log must not be able to open a snapshot."""
    secret = "AGE-SECRET-KEY-17HXRPGL2GFD8AVTHUKUGHKC8D3K7Y8PZGG6AY3TNUHMF772V4DXSSRYHRH"
    with pytest.raises(InvalidConfig, match="is a secret key") as told:
        parse_settings(changed("clusters.prod.snapshots", {"store": "/s", "recipients": [secret]}))
    assert "17HXRPGL" not in str(told.value)
