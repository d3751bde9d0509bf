"""The node script's answer to `images`, read into values."""

from __future__ import annotations

from dataclasses import replace

from cluster.images import ImageOffer, ImageState
from cluster.report import Unread
from workers.node_script.lines import Lines, UnreadableAnswer

_WORDS = 3  # state, image, and the reason, which has several words


def parse_images(text: str) -> tuple[ImageOffer, ...] | Unread:
    """Read the whole answer; Unread where the machine could not tell which images its cluster wants."""
    lines = Lines(text)
    if lines.first("end") != "images":
        raise UnreadableAnswer("The machine's answer to `images` is cut: plan again.")
    if (why := lines.first("images-unread")) is not None:
        return Unread("the cluster's own image settings", why)
    offers = tuple(_offer(*value.split(" ", _WORDS - 1)) for value in lines.all("image"))
    return tuple(map(_perhaps_here, offers)) if lines.first("images-here") == "unknown" else offers


def _offer(state: str, image: str, reason: str = "") -> ImageOffer:
    return ImageOffer(image, ImageState(state), reason)


def _perhaps_here(offer: ImageOffer) -> ImageOffer:
    """What a registry does not have may be on a machine all the same."""
    if offer.state is not ImageState.ABSENT:
        return offer
    reason = f"{offer.registry} has no such image, and neither crictl nor ctr told whether it is there"
    return replace(offer, state=ImageState.UNKNOWN, reason=reason)
