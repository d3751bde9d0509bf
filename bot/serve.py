"""The bot's process: Slack in Socket Mode or over HTTP, the notifier beside it, and a clean end on SIGTERM."""

from __future__ import annotations

import logging
import os
import secrets
import signal
import socket
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit
from urllib.request import proxy_bypass
from wsgiref.simple_server import make_server

from slack_bolt import App
from slack_bolt.adapter.socket_mode import SocketModeHandler
from slack_sdk.errors import SlackApiError

from bot.app import build_app
from bot.bulletins import Bulletins
from bot.delivery import Delivery, connect
from bot.notifier import Notifier
from bot.outbox import Sender
from bot.people import People
from bot.rounds import Round
from bot.station import Station
from bot.stops import Stops
from bot.text import clean
from bot.web import Quiet, ThreadingServer, web_application
from cluster.errors import InvalidConfig, LockkeeperError
from cluster.glance import glance
from cluster.observe import read_lease_holder
from cluster.queues import Wakeups
from cluster.report import ClusterReport
from cluster.settings import Settings, Slack
from cluster.signing import load_signing_key
from cluster.store import Store

PING = 5  # seconds between pings; four silent ones mean a dead connection, which is then replaced
_STALE = 60.0  # seconds without a pong
_FIRST_WAIT, _LONGEST_WAIT = 0.5, 30.0  # seconds between two tries to reach Slack at start
_WORKERS = 8
_LAST_LOOK = 5.0  # seconds; below the sender's lease
_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class Bot:
    """A whole bot, built and not yet started."""

    settings: Settings
    slack: Slack
    app: App
    notifier: Notifier
    work: ThreadPoolExecutor
    clicks: ThreadPoolExecutor


def build_bot(
    settings: Settings,
    store: Store,
    wakeups: Wakeups,
    *,
    clock: Callable[[], datetime],
    observe: Callable[[str], ClusterReport] | None = None,
    lease_holder: Callable[[str], str] | None = None,
) -> Bot:
    """Put the parts together; reads secrets, and calls neither Slack nor a cluster."""
    if settings.slack is None:
        raise InvalidConfig("The configuration has no `slack` part: add it, or use the command line without Slack.")
    slack = settings.slack
    key = settings.approvals.signing_key
    client = connect(slack.bot_token.read(), slack.api_url)
    delivery = Delivery(client)
    station = Station(
        settings=settings,
        store=store,
        wakeups=wakeups,
        delivery=delivery,
        people=People(client, slack.team_id, clock),
        clock=clock,
        observe=observe or (lambda name: glance(name, settings.clusters[name], now=clock())),
        lease_holder=lease_holder or (lambda name: read_lease_holder(name, settings.clusters[name])),
        signing_key=load_signing_key(key.read()) if key else None,
    )
    secret = slack.signing_secret.read() if slack.mode == "http" and slack.signing_secret else None
    work, clicks = ThreadPoolExecutor(_WORKERS, "slack-work"), ThreadPoolExecutor(_WORKERS, "slack-clicks")
    owner = f"{socket.gethostname()}/{os.getpid()}/{secrets.token_hex(3)}"
    sender = Sender(settings, store, delivery, lambda name: look(station.observe, name))
    bulletins, stops = _bulletins(settings, store, station), Stops(settings, store)
    notifier = Notifier(store, sender, owner, settings.channel, clock, bulletins, stops)
    app = build_app(station, client=client, signing_secret=secret, work=work, clicks=clicks)
    return Bot(settings, slack, app, notifier, work, clicks)


def _bulletins(settings: Settings, store: Store, station: Station) -> Bulletins | None:
    digest, channel = settings.digest, settings.digest_channel
    if digest is None or not channel:
        return None
    ask = Round(settings, store, station.wakeups).go if digest.survey else None
    return Bulletins(digest, channel, store, station.sights, ask_machines=ask)


def look(observe: Callable[[str], ClusterReport], name: str, within: float = _LAST_LOOK) -> ClusterReport | None:
    """The cluster now, or None: neither a result nor the end of this process is held up by one that answers slowly."""
    seen: list[ClusterReport] = []

    def ask() -> None:
        try:
            seen.append(observe(name))
        except LockkeeperError as error:
            _LOG.warning("The last report of %s could not be read: %s", name, error)
        except Exception:  # noqa: BLE001 - a mistake of ours about a report must not take the result's message with it
            _LOG.exception("The last report of %s could not be made.", name)

    asking = threading.Thread(target=ask, name="last-look", daemon=True)
    asking.start()
    asking.join(within)
    if asking.is_alive():
        _LOG.warning("The last report of %s could not be read: no answer within %g s.", name, within)
    return next((report for report in seen if report.nodes_read), None)


def serve(settings: Settings) -> None:
    """Run until SIGTERM or SIGINT."""
    url = settings.redis.url.read()
    bot = build_bot(settings, Store.connect(url), Wakeups.connect(url), clock=lambda: datetime.now(UTC))
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    run(bot, stop)


def run(bot: Bot, stop: threading.Event) -> None:
    """Serve until `stop` is set, then finish what is in hand."""
    sender = threading.Thread(target=bot.notifier.run, name="notifier", daemon=True)
    sender.start()
    try:
        if bot.slack.mode == "socket":
            _run_socket(bot, stop)
        else:
            _run_http(bot, stop)
    finally:
        bot.notifier.stopping.set()
        for hands in (bot.clicks, bot.work):
            hands.shutdown(wait=True, cancel_futures=True)
        sender.join(10)


def _run_socket(bot: Bot, stop: threading.Event) -> None:
    token = bot.slack.app_token.read() if bot.slack.app_token else ""
    handler = SocketModeHandler(bot.app, token, ping_interval=PING)
    if proxy_bypass(urlsplit(bot.slack.api_url).hostname or ""):
        handler.client.proxy = None  # the client takes the proxy of the environment and forgets NO_PROXY
    reach(handler.connect, stop)
    _LOG.info("Connected to Slack.")
    stop.wait()
    handler.close()  # type: ignore[no-untyped-call]


def reach(connect: Callable[[], None], stop: threading.Event, first_wait: float = _FIRST_WAIT) -> None:
    """Try until it works or the bot is stopped; upgrades go on meanwhile, and are told afterwards."""
    wait = first_wait
    while not stop.is_set():
        try:
            connect()
        except Exception as error:  # noqa: BLE001 - the client raises bare ones too, as for a proxy that says no
            _LOG.warning("Slack cannot be reached: %s. Trying again in %g s.", _told(error), wait)
            stop.wait(wait)
            wait = min(_LONGEST_WAIT, wait * 2)
        else:
            return


def _told(error: Exception) -> str:
    """A refusal by Slack's own word for it: a wrong token is mended in the configuration, not by waiting."""
    if isinstance(error, SlackApiError) and error.response.get("error"):
        return f"it refuses apps.connections.open ({error.response['error']}); look at `slack.app_token`"
    return f"{type(error).__name__}: {clean(error, 200)}"


def socket_health(handler: SocketModeHandler) -> dict[str, Any]:
    """Whether the connection lives: connected, and answered a ping lately. Quiet workspaces are healthy too."""
    session = handler.client.current_session
    last = session.last_ping_pong_time if session is not None else None
    age = time.time() - last if last else None
    connected = bool(handler.client.is_connected())
    return {"ok": connected and (age is None or age < _STALE), "connected": connected, "last_pong_seconds_ago": age}


def _run_http(bot: Bot, stop: threading.Event) -> None:
    # every interface: Slack's requests come from outside the pod, and each one is signed
    with make_server("", bot.slack.http_port, web_application(bot.app), ThreadingServer, Quiet) as server:
        thread = threading.Thread(target=server.serve_forever, name="http", daemon=True)
        thread.start()
        stop.wait()
        server.shutdown()
        thread.join(5)
