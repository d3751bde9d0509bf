"""What people do in the workspace: say, click, choose, submit and close; and what they see when it fails."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

from lab.slack import forms, modals, payloads
from lab.slack.chat import read_content
from lab.slack.escaping import escape_mrkdwn
from lab.slack.people import BOT_NAME, BOT_USER, Channel, Person
from lab.slack.refusals import Refused
from lab.slack.sockets import Ack, Sockets
from lab.slack.tickets import ResponseUrl
from lab.slack.workspace import Json, Message, View, Workspace

_HANDLE = re.compile(r"(?<![\w<@])@([a-z][a-z0-9._-]*)")


class ImpossibleError(LookupError):
    """A person of the lab was asked to do what nobody could do in Slack."""


@dataclass(slots=True)
class Gestures:
    """Every method returns the error that the person sees, or nothing."""

    workspace: Workspace
    sockets: Sockets
    clock: Callable[[], float]
    commands: set[str] = field(default_factory=lambda: {"/k8s"})

    async def say(self, user: str, channel: str, text: str, thread: str = "") -> str:
        """Type a slash command, a mention or plain words."""
        person, place = self._person(user), self._place(user, channel)
        if text.startswith("/"):
            return await self._command(person, place, text, thread)
        body: Json = {
            "type": "message",
            "user": user,
            "team": person.team,
            "ts": self.workspace.stamp(self.clock()),
            "text": self._written(text, with_names=False),
        }
        if thread:
            body["thread_ts"] = thread
        message = self.workspace.post(Message(channel, body))
        if f"<@{BOT_USER}>" in body["text"] and BOT_USER in place.members:
            self.sockets.publish(payloads.mention(message))
        return ""

    def _written(self, text: str, *, with_names: bool) -> str:
        """Typed handles become ids, as Slack's composer does it."""
        people = {person.handle: person.id for person in self.workspace.directory.people.values()}

        def identify(match: re.Match[str]) -> str:
            name = match[1]
            if name not in people:
                return match[0]
            return f"<@{people[name]}|{name}>" if with_names else f"<@{people[name]}>"

        return escape_mrkdwn(_HANDLE.sub(identify, text))

    async def _command(self, person: Person, place: Channel, text: str, thread: str) -> str:
        command, _, words = text.partition(" ")
        if thread:
            refusal = f"{command} is not supported in threads. Sorry! Mention @{BOT_NAME} here instead."
            self._whisper(person, place, refusal, thread)
            return "not_supported_in_threads"
        if command not in self.commands:
            self._whisper(
                person,
                place,
                f"{command} is not a valid command. In Slack, all messages that start "
                "with the “/” character are interpreted as commands.",
            )
            return "not_a_command"
        source = self._source(person, ResponseUrl(person.id, place.id, self.clock()), "commands")
        written = self._written(words.strip(), with_names=True)
        ack = await self.sockets.deliver("slash_commands", payloads.slash_command(source, place, command, written))
        if ack.error:
            self._whisper(person, place, f"{command} failed with the error “{ack.error}”")
            return ack.error
        return self._answer(person, place, command, ack)

    def _answer(self, person: Person, place: Channel, command: str, ack: Ack) -> str:
        """What a command's ack says is shown like a response."""
        if not ack.payload:
            return ""
        public = ack.payload.get("response_type") == "in_channel"
        try:
            content = read_content(ack.payload, total_limit=False)
        except Refused as refused:
            self._whisper(person, place, f"{command} failed with the error “{refused.code}”")
            return refused.code
        self.workspace.post_as_bot(place.id, content, self.clock(), visible_to="" if public else person.id)
        return ""

    async def act(self, user: str, message: Message, action_id: str, chosen: Any = None) -> str:
        """Press a button of a message, or choose in one of its menus."""
        person, place = self._person(user), self._place(user, message.channel)
        if message.visible_to not in {"", user}:
            raise ImpossibleError(f"{user} does not see the ephemeral message {message.ts}.")
        block, element = self._element(message.body.get("blocks", []), action_id)
        answers = ResponseUrl(user, place.id, self.clock(), message.thread, message.ts)
        source = self._source(person, answers, "actions")
        action = self._action(block, element, chosen)
        payload = payloads.message_action(source, place, message, action)
        return (await self.sockets.deliver("interactive", payload)).error

    async def act_in_view(self, user: str, view: View, action_id: str, chosen: Any = None) -> str:
        person = self._person(user)
        block, element = self._element(view.body["blocks"], action_id)
        payload = payloads.view_action(self._plain_source(person, view), view, self._action(block, element, chosen))
        return (await self.sockets.deliver("interactive", payload)).error

    async def suggest(self, user: str, view: View, action_id: str, typed: str) -> list[Json]:
        """What an external select offers for these letters."""
        block, element = self._element(view.body["blocks"], action_id)
        place = {"container": {"type": "view", "view_id": view.id}, "view": view.body}
        source = self._plain_source(self._person(user), view)
        payload = payloads.suggestion(source, place, element, block["block_id"], typed)
        ack = await self.sockets.deliver("interactive", payload)
        options: list[Json] = ack.payload.get("options", [])
        return options

    async def submit(self, user: str, view: View, filled: forms.Filled) -> str:
        """Press a modal's submit button."""
        view.body["state"] = {"values": forms.read_state(view.body["blocks"], filled)}
        view.errors = forms.missing(view.body["blocks"], view.body["state"]["values"])
        view.failed = ""
        if not view.errors:
            source = self._plain_source(self._person(user), view)
            ack = await self.sockets.deliver("interactive", payloads.view_submission(source, view))
            self._apply(view, ack)
        self.workspace.viewed(user)
        return view.failed or "; ".join(view.errors.values())

    def _apply(self, view: View, ack: Ack) -> None:
        """What the app answered to a submission happens to the modal."""
        stack = self.workspace.stack(view.user)
        if ack.error:
            view.failed = "We had some trouble connecting. Try again?"
            return
        try:
            match ack.payload.get("response_action"):
                case "errors":
                    view.errors = dict(ack.payload["errors"])
                case "update":
                    modals.replace_view(self.workspace, view, ack.payload["view"])
                case "push":
                    modals.put_on_stack(self.workspace, view.user, ack.payload["view"], fresh=False)
                case "clear":
                    stack.clear()
                case _ if view in stack:
                    stack.remove(view)
        except Refused as refused:
            view.failed = f"The app's answer was refused: {'; '.join((refused.code, *refused.messages))}"

    async def close(self, user: str, view: View) -> str:
        """Close a modal by its cross or its close button."""
        cleared = bool(view.body["clear_on_close"])
        stack = self.workspace.stack(user)
        if cleared:
            stack.clear()
        elif view in stack:
            stack.remove(view)
        self.workspace.viewed(user)
        if not view.body["notify_on_close"]:
            return ""
        payload = payloads.view_closed(self._plain_source(self._person(user), view), view, cleared=cleared)
        return (await self.sockets.deliver("interactive", payload)).error

    def _action(self, block: Json, element: Json, chosen: Any) -> Json:
        if element["type"] in {"static_select", "overflow", "radio_buttons"}:
            chosen = forms.option(element, chosen)
        return payloads.action_of(element, block["block_id"], self.workspace.stamp(self.clock()), chosen)

    @staticmethod
    def _element(blocks: list[Json], action_id: str) -> tuple[Json, Json]:
        for block, element in _acting(blocks):
            if element.get("action_id") == action_id:
                return block, element
        shown = ", ".join(element["action_id"] for _, element in _acting(blocks)) or "none"
        raise ImpossibleError(f"There is no `{action_id}` to click; the message offers: {shown}.")

    def _source(self, person: Person, url: ResponseUrl, kind: Literal["commands", "actions"]) -> payloads.Source:
        now = self.clock()
        path = self.workspace.tickets.response_url(url, kind)
        trigger = self.workspace.tickets.trigger(person.id, now)
        return payloads.Source(person, trigger, self.workspace.api.rstrip("/") + path)

    def _plain_source(self, person: Person, view: View) -> payloads.Source:
        return payloads.Source(person, self.workspace.tickets.trigger(person.id, self.clock(), view.id))

    def _whisper(self, person: Person, place: Channel, text: str, thread: str = "") -> None:
        self.workspace.whisper(place.id, person.id, text, self.clock(), thread)

    def _person(self, user: str) -> Person:
        if user not in self.workspace.directory.people:
            raise ImpossibleError(f"There is nobody with the id {user} in the lab's Slack.")
        return self.workspace.directory.people[user]

    def _place(self, user: str, channel: str) -> Channel:
        place = self.workspace.directory.channels.get(channel)
        if place is None or user not in place.members:
            raise ImpossibleError(f"{user} is not in a channel {channel}.")
        return place


def _acting(blocks: list[Json]) -> Iterator[tuple[Json, Json]]:
    for block in blocks:
        held = block.get("elements", []) if block["type"] == "actions" else []
        for element in (*held, block.get("accessory"), block.get("element")):
            if isinstance(element, dict) and element["type"] != "image":
                yield block, element
