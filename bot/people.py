"""Who a Slack account is and which groups it is in: asked of Slack, kept briefly, and nobody when Slack cannot say."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, TypeVar

from slack_sdk import WebClient

from bot.delivery import SlackAway, SlackRefused, ask
from cluster.errors import Refused
from policies.approvals import SlackUser

_USERS = timedelta(minutes=5)
_T = TypeVar("_T")


@dataclass
class People:
    """A small cache of accounts before two methods of the Web API; safe to use from several threads."""

    client: WebClient
    team: str
    clock: Callable[[], datetime]
    _users: dict[str, tuple[datetime, SlackUser]] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def user(self, user_id: str, *, fresh: bool = False) -> SlackUser | None:
        """
        The account, or None when Slack knows none; raises Refused when Slack cannot say now.

        A decision is judged by a `fresh` look: who lost a right a moment ago must not decide.
        """
        if not fresh and (found := self._kept(self._users, user_id, _USERS)):
            return found
        try:
            answer = ask("users.info", lambda: self.client.users_info(user=user_id))
        except SlackRefused as error:
            if error.code in {"user_not_found", "user_not_visible", "users_not_found"}:
                return None
            raise Refused(f"Slack does not tell who you are ({error.code}): nothing was changed.") from error
        except SlackAway as error:
            raise Refused("Slack cannot say who you are right now: nothing was changed, try again.") from error
        user = read_user(answer.get("user") or {}, self.team)
        if not (user.is_bot or user.deleted or user.is_guest or user.is_stranger):
            with self._lock:  # whoever is refused is asked for anew, so that a promotion counts at once
                self._users[user_id] = (self.clock(), user)
        return user

    def groups(self, group_ids: Iterable[str]) -> dict[str, frozenset[str]]:
        """The members of each group now; raises Refused when one cannot be read: without it nobody is an approver."""
        return {g: self._members(g) for g in group_ids}

    def _members(self, group_id: str) -> frozenset[str]:
        try:
            answer = ask("usergroups.users.list", lambda: self.client.usergroups_users_list(usergroup=group_id))
        except (SlackRefused, SlackAway) as error:
            raise Refused(
                f"Slack cannot say who is in the user group {group_id}, so nobody can approve by it: "
                "try again, or name approvers in lockkeeper.yaml."
            ) from error
        return frozenset(str(u) for u in answer.get("users") or ())

    def _kept(self, cache: Mapping[str, tuple[datetime, _T]], key: str, life: timedelta) -> _T | None:
        with self._lock:
            found = cache.get(key)
        return found[1] if found is not None and self.clock() - found[0] < life else None


def read_user(raw: Mapping[str, Any], team: str) -> SlackUser:
    """Only what decides; an account of another workspace is a stranger whatever its flags say."""
    home = str(raw.get("team_id") or "")
    return SlackUser(
        id=str(raw.get("id") or ""),
        is_bot=bool(raw.get("is_bot")),
        deleted=bool(raw.get("deleted")),
        is_guest=bool(raw.get("is_restricted") or raw.get("is_ultra_restricted")),
        is_stranger=bool(raw.get("is_stranger")) or (team.startswith("T") and home not in {"", team}),
    )
