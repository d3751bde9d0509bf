"""Everything that runs, in one cluster or in all of them, as a file: for whom the parts of a message are too short."""

from __future__ import annotations

from bot import terminal
from bot.asked import Asked
from bot.blocks import Message
from bot.exports import put_file
from bot.fleet_card import FLEET
from bot.plan_export import Document
from bot.station import Station
from bot.text import clean, code


def file_everything(station: Station, asked: Asked, cluster: str) -> Message:
    """Put the whole report, each image and machine with it, where the button is: everybody there sees it."""
    station.check_home(asked)
    document, typed = _all_clusters(station) if cluster == FLEET else _one_cluster(station, cluster)
    put_file(station, (asked.channel, asked.thread), document, f"`{typed}`")
    return Message(f"{code(document.name)} is in this channel now, for everybody in it.")


def _one_cluster(station: Station, cluster: str) -> tuple[Document, str]:
    """With what would show the same on a terminal."""
    name, _ = station.settings.cluster(cluster)
    text = terminal.render_report(station.sights.overview(name), images=True)
    return Document(f"versions-{clean(name, 60)}.txt", f"{text}\n"), f"lockkeeper versions {name} --images"


def _all_clusters(station: Station) -> tuple[Document, str]:
    return Document("versions.txt", f"{terminal.render_fleet(station.sights.fleet())}\n"), "lockkeeper versions"
