"""The lab's Web API refuses what Slack refuses, and hands text back as Slack does."""

import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest
from slack_sdk import WebClient
from slack_sdk.errors import SlackApiError
from slack_sdk.webhook import WebhookClient

from lab.slack import LabSlack
from lab.slack.faults import Outage
from lab.slack.people import OTHER_TEAM
from lab.slack.tickets import RESPONSE_LIFE, TRIGGER_LIFE, ResponseUrl

VIEW = {"type": "modal", "title": {"type": "plain_text", "text": "Plan"}, "blocks": []}


class Clock:
    """Time as the test says it is."""

    def __init__(self) -> None:
        self.now = 1_790_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def slack(clock: Clock) -> Iterator[LabSlack]:
    with LabSlack(clock=clock) as running:
        yield running


@pytest.fixture
def client(slack: LabSlack) -> WebClient:
    return WebClient(slack.bot_token, base_url=slack.api_url)


def _section(text: str) -> dict[str, Any]:
    return {"type": "section", "text": {"type": "mrkdwn", "text": text}}


def _code(call: Any, *args: Any, **kwargs: Any) -> str:
    with pytest.raises(SlackApiError) as caught:
        call(*args, **kwargs)
    return str(caught.value.response["error"])


def test_a_message_is_posted_edited_and_deleted(slack: LabSlack, client: WebClient) -> None:
    ts = client.chat_postMessage(channel="C0OPS", text="one", metadata={"event_type": "run", "event_payload": {}})["ts"]
    assert slack.messages("C0OPS")[0]["metadata"]["event_type"] == "run"
    client.chat_update(channel="C0OPS", ts=ts, text="two", blocks=[_section("two")])
    assert [one["blocks"][0]["text"]["text"] for one in slack.messages("C0OPS")] == ["two"]
    client.chat_update(channel="C0OPS", ts=ts, text="three")
    assert "blocks" not in slack.messages("C0OPS")[0]
    client.chat_delete(channel="C0OPS", ts=ts)
    assert slack.messages("C0OPS") == []
    assert [change.kind for change in slack.changes()] == ["posted", "edited", "edited", "deleted"]


def test_echoed_text_is_escaped_and_tokens_are_kept(slack: LabSlack, client: WebClient) -> None:
    """An unescaped character grows; an entity and a mention stay as they were sent."""
    blocks = [
        _section("a < b & <@U0ADA> &amp; <https://x.example|x>"),
        {
            "type": "rich_text",
            "elements": [{"type": "rich_text_section", "elements": [{"type": "text", "text": "<@U0ADA> &amp;"}]}],
        },
        {"type": "header", "text": {"type": "plain_text", "text": "<!channel>"}},
    ]
    client.chat_postMessage(channel="C0OPS", text="1 < 2", blocks=blocks)
    [message] = slack.messages("C0OPS")
    assert message["text"] == "1 &lt; 2"
    assert message["blocks"][0]["text"]["text"] == "a &lt; b &amp; <@U0ADA> &amp; <https://x.example|x>"
    assert message["blocks"][1]["elements"][0]["elements"][0]["text"] == "&lt;@U0ADA&gt; &amp;amp;"
    assert message["blocks"][2]["text"]["text"] == "&lt;!channel&gt;"
    assert slack.text(message).splitlines() == ["a < b & @ada & x (https://x.example)", "<@U0ADA> &amp;", "<!CHANNEL>"]


def test_a_replayed_echo_no_longer_fits(slack: LabSlack, client: WebClient) -> None:
    """Rebuilding a card from what Slack hands back breaks on long texts, here as there."""
    text = "&" * 2999 + "x"
    ts = client.chat_postMessage(channel="C0OPS", text="t", blocks=[_section(text)])["ts"]
    echoed = slack.messages("C0OPS")[0]["blocks"]
    assert _code(client.chat_update, channel="C0OPS", ts=ts, text="t", blocks=echoed) == "invalid_blocks"


def test_blocks_are_refused_with_pointers(client: WebClient) -> None:
    with pytest.raises(SlackApiError) as caught:
        client.chat_postMessage(channel="C0OPS", text="t", blocks=[_section("x" * 3001)])
    assert caught.value.response["error"] == "invalid_blocks"
    [message] = caught.value.response["response_metadata"]["messages"]
    assert message == "[ERROR] must be less than 3001 characters [json-pointer:/blocks/0/text/text]"


def test_too_much_text_and_a_second_table_are_refused(client: WebClient) -> None:
    table = {"type": "table", "rows": [[{"type": "raw_text", "text": "x"}]]}
    many = [_section("x" * 2900) for _ in range(4)]
    assert _code(client.chat_postMessage, channel="C0OPS", text="t", blocks=many) == "msg_blocks_too_long"
    assert _code(client.chat_postMessage, channel="C0OPS", text="t", blocks=[table, table]) == "invalid_attachments"


@pytest.mark.parametrize(
    ("channel", "code"), [("C0RANDOM", "not_in_channel"), ("C0NOWHERE", "channel_not_found"), ("", "channel_not_found")]
)
def test_the_bot_posts_only_where_it_is_a_member(client: WebClient, channel: str, code: str) -> None:
    assert _code(client.chat_postMessage, channel=channel, text="t") == code


def test_other_peoples_and_missing_messages_cannot_be_edited(slack: LabSlack, client: WebClient) -> None:
    slack.say("U0ADA", "C0OPS", "hello")
    ts = slack.messages("C0OPS")[0]["ts"]
    assert _code(client.chat_update, channel="C0OPS", ts=ts, text="x") == "cant_update_message"
    assert _code(client.chat_update, channel="C0OPS", ts="1.000001", text="x") == "message_not_found"
    assert _code(client.api_call, "chat.postMessage", json={"channel": "C0OPS"}) == "no_text"


def test_an_ephemeral_is_seen_by_one_person_and_cannot_be_edited(slack: LabSlack, client: WebClient) -> None:
    ts = client.chat_postEphemeral(channel="C0OPS", user="U0GUS", text="psst")["message_ts"]
    assert [one["text"] for one in slack.ephemerals("U0GUS")] == ["psst"]
    assert slack.messages("C0OPS") == slack.ephemerals("U0ADA") == []
    assert _code(client.chat_update, channel="C0OPS", ts=ts, text="x") == "message_not_found"


def test_replies_are_counted_and_may_be_broadcast(slack: LabSlack, client: WebClient) -> None:
    root = client.chat_postMessage(channel="C0OPS", text="root")["ts"]
    client.chat_postMessage(channel="C0OPS", text="aside", thread_ts=root)
    reply = client.chat_postMessage(channel="C0OPS", text="loud", thread_ts=root, reply_broadcast=True)["ts"]
    assert [one["text"] for one in slack.thread("C0OPS", root)] == ["aside", "loud"]
    assert slack.messages("C0OPS")[0]["reply_count"] == 2
    assert slack.messages("C0OPS")[2]["subtype"] == "thread_broadcast"
    link = client.chat_getPermalink(channel="C0OPS", message_ts=reply)["permalink"]
    assert link.startswith(slack.page_url)
    assert f"thread_ts={root}" in link


def test_the_sixth_post_in_a_second_is_throttled_and_the_next_second_is_not(clock: Clock, client: WebClient) -> None:
    """A burst of five passes in one channel; Retry-After is told; an edit has its own count."""
    stamps = [client.chat_postMessage(channel="C0OPS", text="t")["ts"] for _ in range(5)]
    with pytest.raises(SlackApiError) as caught:
        client.chat_postMessage(channel="C0OPS", text="t")
    assert caught.value.response.status_code == 429
    assert caught.value.response["error"] == "ratelimited"
    assert caught.value.response.headers["Retry-After"] == "1"
    assert client.chat_postMessage(channel="U0ADA", text="elsewhere")["ok"]
    assert client.chat_update(channel="C0OPS", ts=stamps[0], text="x")["ok"]
    clock.now += 1
    assert client.chat_postMessage(channel="C0OPS", text="t")["ok"]


def test_a_test_may_demand_a_429(slack: LabSlack, client: WebClient) -> None:
    slack.rate_limit("users.info", retry_after=7, times=2)
    codes = [_code(client.users_info, user="U0ADA") for _ in range(2)]
    assert codes == ["ratelimited", "ratelimited"]
    assert client.users_info(user="U0ADA")["ok"]


def test_a_trigger_lives_three_seconds(slack: LabSlack, clock: Clock, client: WebClient) -> None:
    trigger = slack.workspace.tickets.trigger("U0ADA", clock.now)
    clock.now += TRIGGER_LIFE + 0.1
    assert _code(client.views_open, trigger_id=trigger, view=VIEW) == "expired_trigger_id"
    assert _code(client.views_open, trigger_id="made.up", view=VIEW) == "invalid_trigger_id"


def test_a_bad_modal_is_refused_and_an_old_hash_conflicts(slack: LabSlack, clock: Clock, client: WebClient) -> None:
    trigger = slack.workspace.tickets.trigger("U0ADA", clock.now)
    long = {**VIEW, "title": {"type": "plain_text", "text": "x" * 25}}
    assert _code(client.views_open, trigger_id=trigger, view=long) == "invalid_arguments"
    view = client.views_open(trigger_id=trigger, view=VIEW)["view"]
    client.views_update(view_id=view["id"], view=VIEW, hash=view["hash"])
    assert _code(client.views_update, view_id=view["id"], view=VIEW, hash=view["hash"]) == "hash_conflict"
    assert _code(client.views_update, view_id="V0", view=VIEW) == "not_found"


def test_a_response_url_works_five_times_in_half_an_hour(slack: LabSlack, clock: Clock) -> None:
    def fresh() -> WebhookClient:
        path = slack.workspace.tickets.response_url(ResponseUrl("U0ADA", "C0OPS", clock.now), "commands")
        return WebhookClient(slack.workspace.api.rstrip("/") + path)

    url = fresh()
    answers = [url.send(text=f"{number}") for number in range(6)]
    assert [one.status_code for one in answers] == [200] * 5 + [404]
    assert answers[-1].body == "used_url"
    late = fresh()
    clock.now += RESPONSE_LIFE + 1
    assert late.send(text="late").body == "expired_url"
    assert len(slack.ephemerals("U0ADA")) == 5


def test_a_response_replaces_or_deletes_its_original(slack: LabSlack, clock: Clock, client: WebClient) -> None:
    ts = client.chat_postMessage(channel="C0OPS", text="card")["ts"]
    url = ResponseUrl("U0ADA", "C0OPS", clock.now, message=ts)
    hook = WebhookClient(slack.workspace.api.rstrip("/") + slack.workspace.tickets.response_url(url, "actions"))
    hook.send(text="new card", replace_original=True)
    assert [one["text"] for one in slack.messages("C0OPS")] == ["new card"]
    hook.send(text="all see it", response_type="in_channel")
    hook.send(delete_original=True)
    assert [one["text"] for one in slack.messages("C0OPS")] == ["all see it"]


@pytest.mark.parametrize(
    ("person", "expected"),
    [
        ("U0ADA", {"is_restricted": False, "is_stranger": False, "team_id": "T0LAB"}),
        ("U0GUS", {"is_restricted": True, "is_stranger": False, "team_id": "T0LAB"}),
        ("U0OLGA", {"is_restricted": False, "is_stranger": True, "team_id": OTHER_TEAM}),
    ],
)
def test_guests_and_outsiders_are_told_apart(client: WebClient, person: str, expected: dict[str, Any]) -> None:
    user = client.users_info(user=person)["user"]
    assert {name: user[name] for name in expected} == expected


def test_a_group_tells_its_members_and_a_disabled_one_nobody(slack: LabSlack, client: WebClient) -> None:
    assert client.usergroups_users_list(usergroup="S0KEEPERS")["users"] == ["U0GRACE", "U0LINUS"]
    slack.directory.change_group("S0KEEPERS", enabled=False)
    assert client.usergroups_users_list(usergroup="S0KEEPERS")["users"] == []
    assert client.usergroups_list()["usergroups"] == []
    assert _code(client.usergroups_users_list, usergroup="S0NONE") == "no_such_subteam"


def test_tokens_are_checked(slack: LabSlack) -> None:
    assert _code(WebClient("xoxb-other", base_url=slack.api_url).auth_test) == "invalid_auth"
    assert _code(WebClient(slack.app_token, base_url=slack.api_url).auth_test) == "not_allowed_token_type"
    wrong = WebClient(slack.bot_token, base_url=slack.api_url)
    assert _code(wrong.apps_connections_open, app_token=slack.bot_token) == "not_allowed_token_type"
    assert _code(wrong.api_call, "chat.sing") == "unknown_method"
    assert wrong.auth_test()["user_id"] == "U0LOCK"


def test_a_file_is_uploaded_into_a_thread(slack: LabSlack, client: WebClient) -> None:
    root = client.chat_postMessage(channel="C0OPS", text="root")["ts"]
    client.files_upload_v2(channel="C0OPS", thread_ts=root, filename="plan.csv", content="a,b\n", initial_comment="all")
    [message] = slack.thread("C0OPS", root)
    assert message["files"][0]["name"] == "plan.csv"
    assert slack.workspace.files[message["files"][0]["id"]]["content"] == b"a,b\n"


def test_in_an_html_outage_the_page_stays(slack: LabSlack, client: WebClient) -> None:
    """The API answers 503 with a page of HTML; people still see their channels."""
    slack.outage(kind=Outage.HTML)
    with pytest.raises(SlackApiError, match="503"):
        client.auth_test()
    with urllib.request.urlopen(slack.page_url) as page:  # noqa: S310 - loopback
        assert page.status == 200
    slack.outage(False)
    assert client.auth_test()["ok"]


def test_in_an_outage_connections_are_refused(slack: LabSlack, client: WebClient) -> None:
    slack.outage()
    with pytest.raises(urllib.error.URLError, match="refused"):
        urllib.request.urlopen(slack.api_url)  # noqa: S310 - loopback
    slack.outage(False)
    assert client.auth_test()["ok"]


def test_a_taken_port_is_said_in_one_sentence(slack: LabSlack) -> None:
    taken = int(slack.page_url.rstrip("/").rpartition(":")[2])
    with pytest.raises(OSError, match=f"Port {taken} on 127.0.0.1 is taken"):
        LabSlack().start(taken)
