"""Work behind an acknowledgement, and its answer to whoever asked: in words, whatever goes wrong."""

from __future__ import annotations

import logging
import secrets
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass

from bot.asked import Asked
from bot.blocks import Message
from bot.delivery import Delivery, SlackAway, SlackRefused
from bot.station import said
from cluster.errors import LockkeeperError

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class Answers:
    """One sentence or message for each payload, and never none."""

    delivery: Delivery

    def hand_over(self, hands: Executor, asked: Asked, work: Callable[[], Message | None]) -> None:
        """Nothing may escape a listener: an exception right after ack() takes the ack back."""
        try:
            hands.submit(self._answer, asked, work)
        except RuntimeError:
            _LOG.warning("A payload came while the bot was stopping; the person has to ask again.")

    def _answer(self, asked: Asked, work: Callable[[], Message | None]) -> None:
        try:
            message = self._outcome(work)
            if message is not None:
                self.say(asked, message)
        except Exception:  # noqa: BLE001 - the edge of this thread: there is nobody left to tell
            _LOG.exception("An answer was lost.")

    @staticmethod
    def _outcome(work: Callable[[], Message | None]) -> Message | None:
        try:
            return work()
        except (SlackAway, SlackRefused) as error:
            _LOG.warning("%s", error)
            return said(str(error))
        except LockkeeperError as error:
            return said(str(error))
        except Exception:  # noqa: BLE001 - the edge: the person gets a name for it, the log the rest
            ref = secrets.token_hex(4)
            _LOG.exception("Ref %s", ref)
            return said(f"Something went wrong inside lockkeeper: look at `status` before you try again. Ref {ref}.")

    def say(self, asked: Asked, message: Message) -> None:
        """To the person who asked, by the way that is open."""
        if asked.response_url and self.delivery.respond(asked.response_url, message):
            return
        try:
            self.delivery.whisper(asked.channel, asked.user, message, asked.thread)
        except (SlackAway, SlackRefused) as error:
            _LOG.warning("An answer could not be delivered: %s", error)
