"""Who is in the lab's workspace, which groups they form, and the channels they meet in."""

from dataclasses import dataclass, field, replace
from typing import Any

Json = dict[str, Any]

TEAM = "T0LAB"
OTHER_TEAM = "T0OUTSIDE"
APP = "A0LOCK"
BOT = "B0LOCK"
BOT_USER = "U0LOCK"
BOT_NAME = "lockkeeper"
BOT_TOKEN = "xoxb-lab"  # noqa: S105 - the lab's only bot token; it opens nothing but the lab
APP_TOKEN = "xapp-lab"  # noqa: S105 - the same, for Socket Mode
SLACKBOT = "USLACKBOT"


@dataclass(frozen=True, slots=True)
class Person:
    """One account, as ``users.info`` tells it."""

    id: str
    handle: str
    name: str
    part: str
    team: str = TEAM
    is_guest: bool = False
    is_stranger: bool = False
    is_bot: bool = False
    deleted: bool = False

    def profile(self) -> Json:
        return {
            "id": self.id,
            "team_id": self.team,
            "name": self.handle,
            "real_name": self.name,
            "deleted": self.deleted,
            "is_bot": self.is_bot,
            "is_app_user": False,
            "is_admin": False,
            "is_owner": False,
            "is_restricted": self.is_guest,
            "is_ultra_restricted": False,
            "is_stranger": self.is_stranger,
            "tz": "Etc/UTC",
            "tz_offset": 0,
            "profile": {
                "real_name": self.name,
                "display_name": self.handle,
                "email": f"{self.handle}@{'outside' if self.is_stranger else 'lab'}.example",
                "team": self.team,
            },
        }


@dataclass(frozen=True, slots=True)
class Group:
    """A user group, such as the approvers."""

    id: str
    handle: str
    name: str
    members: tuple[str, ...]
    enabled: bool = True

    def describe(self) -> Json:
        return {
            "id": self.id,
            "team_id": TEAM,
            "is_usergroup": True,
            "handle": self.handle,
            "name": self.name,
            "description": "",
            "date_delete": 0 if self.enabled else 1,
            "user_count": len(self.members),
        }


@dataclass(frozen=True, slots=True)
class Channel:
    """A conversation; the bot posts only where it is a member."""

    id: str
    name: str
    members: frozenset[str]
    is_private: bool = False
    is_archived: bool = False

    def describe(self) -> Json:
        return {
            "id": self.id,
            "name": self.name,
            "name_normalized": self.name,
            "is_channel": True,
            "is_group": False,
            "is_im": False,
            "is_private": self.is_private,
            "is_archived": self.is_archived,
            "is_member": BOT_USER in self.members,
            "is_ext_shared": True,
            "num_members": len(self.members),
            "context_team_id": TEAM,
        }


PEOPLE = (
    Person("U0ADA", "ada", "Ada", "requester"),
    Person("U0GRACE", "grace", "Grace", "approver"),
    Person("U0LINUS", "linus", "Linus", "second approver"),
    Person("U0GUS", "gus", "Gus", "guest", is_guest=True),
    Person("U0OLGA", "olga", "Olga", "outsider", team=OTHER_TEAM, is_stranger=True),
)
LOCKKEEPER = Person(BOT_USER, BOT_NAME, "lockkeeper", "bot", is_bot=True)
_SLACKBOT = Person(SLACKBOT, "slackbot", "Slackbot", "system", is_bot=True)
_EVERYONE = frozenset(person.id for person in PEOPLE)


def _people() -> dict[str, Person]:
    return {person.id: person for person in (*PEOPLE, LOCKKEEPER, _SLACKBOT)}


def _groups() -> dict[str, Group]:
    return {"S0KEEPERS": Group("S0KEEPERS", "keepers", "Lock keepers", ("U0GRACE", "U0LINUS"))}


def _channels() -> dict[str, Channel]:
    return {
        "C0OPS": Channel("C0OPS", "ops-prod", _EVERYONE | {BOT_USER}),
        "C0RANDOM": Channel("C0RANDOM", "random", _EVERYONE),
    }


@dataclass(slots=True)
class Directory:
    """Everybody and everything with an id; tests change it while the bot runs."""

    people: dict[str, Person] = field(default_factory=_people)
    groups: dict[str, Group] = field(default_factory=_groups)
    channels: dict[str, Channel] = field(default_factory=_channels)

    def change_person(self, person: str, **fields: Any) -> None:
        self.people[person] = replace(self.people[person], **fields)

    def change_group(self, group: str, **fields: Any) -> None:
        self.groups[group] = replace(self.groups[group], **fields)

    def change_channel(self, channel: str, **fields: Any) -> None:
        self.channels[channel] = replace(self.channels[channel], **fields)
