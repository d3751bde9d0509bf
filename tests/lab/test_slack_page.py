"""The page in a real browser: what people see, type and press there reaches the bot, and nothing else does."""

import shutil
import urllib.error
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright
from slack_bolt import App
from slack_bolt.adapter.socket_mode import SocketModeHandler
from slack_bolt.authorization import AuthorizeResult
from slack_sdk import WebClient

from lab.slack import LabSlack
from lab.slack.pagehost import Control

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(CHROMIUM is None, reason="Chromium is missing: apt-get install chromium"),
]

CARD: list[dict[str, Any]] = [
    {"type": "section", "text": {"type": "mrkdwn", "text": "Plan for `w-1` &lt;img src=x onerror=alert(1)&gt;"}},
    {
        "type": "actions",
        "elements": [
            {
                "type": "button",
                "action_id": "reject",
                "text": {"type": "plain_text", "text": "Reject…"},
                "confirm": {
                    "title": {"type": "plain_text", "text": "Sure?"},
                    "text": {"type": "plain_text", "text": "Say why in the next step."},
                    "confirm": {"type": "plain_text", "text": "Yes"},
                    "deny": {"type": "plain_text", "text": "No"},
                },
            }
        ],
    },
]
MODAL: dict[str, Any] = {
    "type": "modal",
    "callback_id": "why",
    "title": {"type": "plain_text", "text": "Reject the plan"},
    "submit": {"type": "plain_text", "text": "Reject"},
    "blocks": [
        {
            "type": "input",
            "block_id": "reason",
            "label": {"type": "plain_text", "text": "Why?"},
            "element": {"type": "plain_text_input", "action_id": "text", "multiline": True},
        }
    ],
}


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        yield launched
        launched.close()


@pytest.fixture
def slack() -> Iterator[LabSlack]:
    with LabSlack() as running:
        yield running


@pytest.fixture
def client(slack: LabSlack) -> WebClient:
    return WebClient(slack.bot_token, base_url=slack.api_url)


@pytest.fixture
def bot(slack: LabSlack, client: WebClient) -> Iterator[App]:
    def authorize() -> AuthorizeResult:
        return AuthorizeResult(enterprise_id=None, team_id="T0LAB", bot_token=slack.bot_token, bot_user_id="U0LOCK")

    app = App(client=client, authorize=authorize, listener_executor=ThreadPoolExecutor(8))
    handler = SocketModeHandler(app, slack.app_token)
    handler.connect()  # type: ignore[no-untyped-call]  # bolt
    slack.wait_for(lambda it: it.sockets.count)
    yield app
    handler.client.auto_reconnect_enabled = False
    slack.cut_sockets()
    handler.close()  # type: ignore[no-untyped-call]  # bolt


@pytest.fixture
def page(slack: LabSlack, browser: Browser) -> Iterator[Page]:
    opened = browser.new_page()
    errors: list[str] = []
    opened.on("pageerror", lambda error: errors.append(str(error)))
    opened.goto(slack.page_url)
    yield opened
    opened.close()
    assert errors == []


def test_a_typed_command_is_answered_in_the_page(page: Page, bot: App) -> None:
    """The answer is marked as visible to one person, and the next person does not see it."""
    bot.command("/k8s")(lambda ack, command: ack(f"You said {command['text']}."))
    page.get_by_test_id("composer").fill("/k8s versions")
    page.get_by_test_id("send").click()
    answer = page.get_by_test_id("message").filter(has_text="You said versions.")
    expect(answer).to_contain_text("Only visible to you")
    page.get_by_test_id("person").select_option("U0GRACE")
    expect(answer).to_have_count(0)


def test_a_rejection_goes_through_confirmation_and_modal(
    page: Page, bot: App, slack: LabSlack, client: WebClient
) -> None:
    """Declining sends nothing; an empty field is refused; the reason arrives; the card changes in place."""
    reasons: list[str] = []

    def press(ack: Any, body: dict[str, Any], client: WebClient) -> None:
        ack()
        client.views_open(trigger_id=body["trigger_id"], view=MODAL)

    def submit(ack: Any, view: dict[str, Any], client: WebClient) -> None:
        ack()
        reasons.append(view["state"]["values"]["reason"]["text"]["value"])
        client.chat_update(channel="C0OPS", ts=ts, text="Rejected :x:")

    bot.action("reject")(press)
    bot.view("why")(submit)
    ts = client.chat_postMessage(channel="C0OPS", text="Plan", blocks=CARD)["ts"]
    page.get_by_test_id("action-reject").click()
    page.get_by_test_id("confirm-no").click()
    assert slack.sockets.delivered == []
    page.get_by_test_id("action-reject").click()
    page.get_by_test_id("confirm-yes").click()
    expect(page.get_by_test_id("modal-title")).to_have_text("Reject the plan")
    page.get_by_test_id("modal-submit").click()
    expect(page.get_by_test_id("error-reason")).to_have_text("Please complete this required field.")
    page.get_by_test_id("field-reason").fill("it is Friday")
    page.get_by_test_id("modal-submit").click()
    expect(page.get_by_test_id("modal")).to_be_hidden()
    expect(page.locator(f'[data-ts="{ts}"]')).to_contain_text("Rejected")
    assert reasons == ["it is Friday"]


def test_what_is_typed_in_a_modal_survives_news_in_the_channel(page: Page, bot: App, client: WebClient) -> None:
    def press(ack: Any, body: dict[str, Any], client: WebClient) -> None:
        ack()
        client.views_open(trigger_id=body["trigger_id"], view=MODAL)

    bot.action("reject")(press)
    client.chat_postMessage(channel="C0OPS", text="Plan", blocks=CARD)
    page.get_by_test_id("action-reject").click()
    page.get_by_test_id("confirm-yes").click()
    page.get_by_test_id("field-reason").fill("half a sen")
    client.chat_postMessage(channel="C0OPS", text="news")
    expect(page.get_by_test_id("message").filter(has_text="news")).to_have_count(1)
    expect(page.get_by_test_id("field-reason")).to_have_value("half a sen")


def test_an_external_select_asks_the_app_for_its_options(page: Page, bot: App, client: WebClient) -> None:
    """The options come from the app when the menu is opened, and the chosen one comes back whole."""
    option = {"text": {"type": "plain_text", "text": "v1.35.4, the newest patch"}, "value": "v1.35.4"}
    field = {
        "type": "input",
        "block_id": "target",
        "label": {"type": "plain_text", "text": "Version"},
        "element": {"type": "external_select", "action_id": "versions", "min_query_length": 0},
    }
    chosen: list[Any] = []

    def press(ack: Any, body: dict[str, Any], client: WebClient) -> None:
        ack()
        client.views_open(trigger_id=body["trigger_id"], view={**MODAL, "blocks": [field]})

    def submit(ack: Any, view: dict[str, Any]) -> None:
        ack()
        chosen.append(view["state"]["values"]["target"]["versions"]["selected_option"])

    bot.action("reject")(press)
    bot.options("versions")(lambda ack: ack(options=[option]))
    bot.view("why")(submit)
    client.chat_postMessage(channel="C0OPS", text="Plan", blocks=CARD)
    page.get_by_test_id("action-reject").click()
    page.get_by_test_id("confirm-yes").click()
    page.get_by_test_id("field-target").focus()
    page.get_by_test_id("field-target").select_option("v1.35.4")
    page.get_by_test_id("modal-submit").click()
    expect(page.get_by_test_id("modal")).to_be_hidden()
    assert chosen == [option]


def test_text_of_a_cluster_stays_text(page: Page, client: WebClient) -> None:
    """Markup in a message is shown as it was written, and makes no element."""
    client.chat_postMessage(channel="C0OPS", text="Plan", blocks=CARD)
    expect(page.get_by_test_id("message")).to_contain_text("<img src=x onerror=alert(1)>")
    assert page.locator("img").count() == 0


def test_a_thread_opens_beside_the_channel_and_grows(page: Page, client: WebClient) -> None:
    root = client.chat_postMessage(channel="C0OPS", text="run")["ts"]
    client.chat_postMessage(channel="C0OPS", text="step one", thread_ts=root)
    page.get_by_test_id("open-thread").click()
    replies = page.get_by_test_id("replies").get_by_test_id("message")
    expect(replies).to_have_count(2)
    client.chat_postMessage(channel="C0OPS", text="step two", thread_ts=root)
    expect(replies.last).to_contain_text("step two")
    assert page.get_by_test_id("messages").get_by_test_id("message").count() == 1


def test_machines_and_controls_are_live(page: Page, slack: LabSlack) -> None:
    """The view follows the lab's own state, and a switch beside it is pressed once."""
    machine: dict[str, Any] = {
        "name": "w-1",
        "role": "worker",
        "kubelet": "v1.34.7",
        "apiserver": "",
        "cordoned": False,
        "draining": True,
        "ready": True,
        "pods": ["shop/web-0", {"name": "shop/db-0", "terminating": True}],
        "doing": "draining",
    }
    pressed: list[str] = []
    slack.watch("prod-eu", lambda: [machine], [Control("kill", "Kill a worker", lambda: pressed.append("kill"))])
    shown = page.get_by_test_id("machine-w-1")
    expect(shown).to_contain_text("v1.34.7")
    expect(shown.locator(".pod")).to_have_count(2)
    machine["kubelet"] = "v1.35.4"
    expect(shown).to_contain_text("v1.35.4")
    page.get_by_test_id("control-kill").click()
    slack.wait_for(lambda _: pressed)
    assert pressed == ["kill"]


def test_a_click_while_slack_is_away_says_so(page: Page, slack: LabSlack, client: WebClient) -> None:
    client.chat_postMessage(channel="C0OPS", text="Plan", blocks=CARD)
    slack.outage()
    page.get_by_test_id("action-reject").click()
    page.get_by_test_id("confirm-yes").click()
    expect(page.get_by_test_id("message")).to_contain_text("This did not reach the app: dispatch_failed")


def test_another_site_cannot_speak_here(slack: LabSlack) -> None:
    """A form of a foreign page cannot send JSON, so it is refused."""
    request = urllib.request.Request(f"{slack.page_url}lab/say", data=b"as=U0ADA")  # noqa: S310 - loopback
    with pytest.raises(urllib.error.HTTPError, match="415"):
        urllib.request.urlopen(request)  # noqa: S310 - loopback
    assert slack.messages("C0OPS") == []
