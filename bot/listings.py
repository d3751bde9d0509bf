"""Everything that runs in one cluster as a file, for whom the parts of a message are too short."""

from __future__ import annotations

from bot import terminal
from bot.asked import Asked
from bot.blocks import Message
from bot.exports import put_file
from bot.plan_export import Document
from bot.station import Station
from bot.text import clean, code


def file_everything(station: Station, asked: Asked, cluster: str) -> Message:
    """Put the whole report, each image and machine with it, where the button is: everybody there sees it."""
    station.check_home(asked)
    name, _ = station.settings.cluster(cluster)
    seen = station.sights.overview(name)
    document = Document(f"versions-{clean(name, 60)}.txt", terminal.render_report(seen, images=True) + "\n")
    put_file(station, (asked.channel, asked.thread), document, f"`lockkeeper versions {name} --images`")
    return Message(f"{code(document.name)} is in this channel now, for everybody in it.")
