"""Who is who, kept at hand: the users and tokens that every request is held against.

Reading them from the warehouse takes milliseconds and every callback asks, so they are read
at most once a second. What this process changes is seen at once, what another console on the
same warehouse changes, or a page, within that second.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from datetime import datetime

from api.sessions import Session
from warehouse.people import Person, users
from warehouse.records import ApiToken, User
from warehouse.store import Store
from warehouse.tokens import holder, split_token, tokens

KEPT_SECONDS = 1.0


class Register:
    """The users and tokens as read a moment ago."""

    def __init__(self, store: Store, read_seconds: Callable[[], float] = time.monotonic) -> None:
        self._store = store
        self._read_seconds = read_seconds
        self._lock = threading.Lock()
        self._read_at_seconds: float | None = None
        self._users: dict[str, User] = {}
        self._tokens: dict[str, ApiToken] = {}
        self._ended_sessions = _ended_sessions(store)

    def of_session(self, session: Session) -> Person | None:
        """Who a session is of, or None if it was ended or its user switched off."""
        self.refresh()
        user = self._users.get(session.user_name)
        if user is None or not user.is_active or session.epoch != user.session_epoch:
            return None
        if session.session_id in self._ended_sessions:
            return None
        return Person(user.user_name, user.role, "browser", user.tenant)

    def of_token(self, text: str, now: datetime) -> tuple[Person, str] | None:
        """Who an API token speaks for and its id, or None if it is wrong, revoked or lapsed."""
        parts = split_token(text)
        if parts is None:
            return None
        self.refresh()
        found = self._tokens.get(parts[0])
        owner = self._users.get(found.user_name) if found else None
        person = holder(found, owner, parts[1], now)
        return (person, parts[0]) if person else None

    def end(self, session: Session) -> None:
        """The session is signed out, whoever still has its cookie."""
        self._ended_sessions.add(session.session_id)

    def forget(self) -> None:
        """Read anew at the next question; to be called after every change."""
        self._read_at_seconds = None

    def is_stale(self) -> bool:
        """Whether the next question reads the warehouse."""
        read_at = self._read_at_seconds
        return read_at is None or self._read_seconds() - read_at >= KEPT_SECONDS

    def refresh(self) -> None:
        """Read anew, if that is due."""
        with self._lock:
            if not self.is_stale():
                return
            self._read_at_seconds = self._read_seconds()
            self._users = {user.user_name: user for user in users(self._store)}
            self._tokens = {token.token_id: token for token in tokens(self._store)}


def _ended_sessions(store: Store) -> set[str]:
    """Sessions signed out before this start; the audit remembers them."""
    ended = store.query("SELECT target FROM audit_events WHERE act = 'session.end'")
    return set(ended["target"].to_list())
