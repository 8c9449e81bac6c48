"""Who may do what: people, their roles and their passwords.

A user is the newest row of its name. The questions and verbs take `now` from the machine's
clock, not from a simulated fleet's: a session must not age sixty times as fast as its owner.

    PeopleError
    ├── NoSuchUser       nobody has this name
    ├── NameTaken        somebody has it
    ├── BadName          a name is 1 to 64 letters, digits, dots, dashes, underscores or @
    ├── WeakPassword     too short, too long, or the name itself
    └── LastAdmin        it would leave nobody who can administer
"""

from __future__ import annotations

import re
import threading
from contextvars import ContextVar
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Literal, cast, get_args

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from warehouse.records import Role, User
from warehouse.store import Store

ROLES: tuple[Role, ...] = get_args(Role)
"""Every role, each of which may do what the ones before it may."""

ADMIN_NAME = "admin"
"""The first user, who makes the others."""

PASSWORD_LENGTH_MIN = 12
PASSWORD_LENGTH_MAX = 256
HASHES_AT_ONCE = 2
"""A hash takes 64 MiB; so many at a time keep a flood of sign-ins from taking it all."""

TICK = timedelta(microseconds=1)
"""How far apart the rows of one name are at least, so that one of them is the newest."""

_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._@-]{0,62}[A-Za-z0-9])?")

_NEWEST = """
    SELECT * FROM users
    QUALIFY row_number() OVER (PARTITION BY user_name ORDER BY recorded_at DESC, rowid DESC) = 1
"""


class PeopleError(Exception):
    """This can't be done to this user; the sentence says what to do next."""


class NoSuchUser(PeopleError):
    """Nobody has this name."""


class NameTaken(PeopleError):
    """Somebody has this name."""


class BadName(PeopleError):
    """This can't be a name."""


class WeakPassword(PeopleError):
    """This can't be a password."""


class LastAdmin(PeopleError):
    """It would leave nobody who can administer."""


@dataclass(frozen=True)
class Person:
    """Who asks."""

    name: str
    role: Role
    via: Literal["browser", "api", "console"]
    tenant: str | None = None
    """Whose person it is; None of operators."""

    def may(self, role: Role) -> bool:
        """Whether it may do what needs this role."""
        return includes(self.role, role)


current_person: ContextVar[Person | None] = ContextVar("current_person", default=None)
"""Who asks for what is being answered now; set at the door, None outside of a request."""


def includes(role: Role, needed: Role) -> bool:
    """Whether a role may do all that another may."""
    return ROLES.index(role) >= ROLES.index(needed)


class Passwords:
    """Hashes passwords with argon2id and checks them, a few at a time."""

    def __init__(self, hasher: PasswordHasher | None = None) -> None:
        self._hasher = hasher or PasswordHasher()
        self._slots = threading.BoundedSemaphore(HASHES_AT_ONCE)
        self._nobody = self._hasher.hash("the password of nobody")

    def hashed(self, password: str) -> str:
        """What is kept of a password."""
        with self._slots:
            return self._hasher.hash(password)

    def match(self, kept: str | None, password: str) -> bool:
        """Whether this is the password; takes as long where there is none to compare with."""
        with self._slots:
            try:
                self._hasher.verify(kept or self._nobody, password[:PASSWORD_LENGTH_MAX])
            except (VerificationError, InvalidHashError):
                return False
        return kept is not None

    def are_outdated(self, kept: str) -> bool:
        """Whether the cost of hashing has been raised since this was kept."""
        return self._hasher.check_needs_rehash(kept)


# -- questions -------------------------------------------------------------------------


def users(store: Store) -> list[User]:
    """Everybody, those switched off included, by name."""
    return store.rows(User, f"{_NEWEST} ORDER BY user_name")


def user(store: Store, user_name: str) -> User:
    """One user.

    Raises:
        NoSuchUser: nobody has this name.
    """
    found = store.rows(
        User,
        "SELECT * FROM users WHERE user_name = $user_name ORDER BY recorded_at DESC LIMIT 1",
        user_name=user_name,
    )
    if not found:
        raise NoSuchUser(f"there is no user {user_name}: create it first")
    return found[0]


def has_admin(store: Store) -> bool:
    """Whether somebody can sign in to administer; if not, this is a first run."""
    return any(_administers(each) for each in users(store))


def may_decide(store: Store, user_name: str) -> bool:
    """Whether this is a user who may decide, now."""
    try:
        found = user(store, user_name)
    except NoSuchUser:
        return False
    return found.is_active and includes(found.role, "operator")


def authenticate(
    store: Store, passwords: Passwords, user_name: str, password: str, *, now: datetime
) -> User | None:
    """The user with this name and password, or None; both cases take the same time.

    The caller bounds how often this may be tried. A hash of an older cost is renewed.
    """
    try:
        found: User | None = user(store, user_name)
    except NoSuchUser:
        found = None
    kept = found.password_hash if found and found.is_active else None
    if not passwords.match(kept, password) or found is None or kept is None:
        return None
    if passwords.are_outdated(kept):
        renewed = passwords.hashed(password)
        return _changed(store, user_name, now=now, password_hash=renewed)
    return found


# -- verbs -----------------------------------------------------------------------------


def create_user(
    store: Store,
    passwords: Passwords,
    user_name: str,
    role: Role,
    *,
    now: datetime,
    password: str | None = None,
) -> User:
    """Make a user; without a password it can only be used through tokens.

    Raises:
        BadName, NameTaken, WeakPassword: see the top of this module.
    """
    if not _NAME.fullmatch(user_name):
        raise BadName("a name is 1 to 64 letters, digits, dots, dashes, underscores or @")
    kept = None if password is None else passwords.hashed(strong(user_name, password))
    made = User(
        user_name=user_name,
        role=role,
        password_hash=kept,
        is_active=True,
        session_epoch=0,
        recorded_at=now,
    )
    with store.transaction():
        if any(each.user_name.lower() == user_name.lower() for each in users(store)):
            raise NameTaken(f"there is a user {user_name} already: choose another name")
        store.append([made])
    return made


def set_password(
    store: Store, passwords: Passwords, user_name: str, password: str, *, now: datetime
) -> User:
    """Give a user a new password; all its sessions end.

    Raises:
        NoSuchUser, WeakPassword: see the top of this module.
    """
    kept = passwords.hashed(strong(user_name, password))
    return _changed(store, user_name, now=now, ends_sessions=True, password_hash=kept)


def set_role(store: Store, user_name: str, role: Role, *, now: datetime) -> User:
    """Give a user another role, in force at once.

    Raises:
        NoSuchUser, LastAdmin: see the top of this module.
    """
    return _changed(store, user_name, now=now, role=role)


def deactivate(store: Store, user_name: str, *, now: datetime) -> User:
    """Switch a user off: its sessions end, its tokens are refused.

    Raises:
        NoSuchUser, LastAdmin: see the top of this module.
    """
    return _changed(store, user_name, now=now, ends_sessions=True, is_active=False)


def activate(store: Store, user_name: str, *, now: datetime) -> User:
    """Switch a user on again.

    Raises:
        NoSuchUser: nobody has this name.
    """
    return _changed(store, user_name, now=now, is_active=True)


def end_sessions(store: Store, user_name: str, *, now: datetime) -> User:
    """Sign a user out everywhere.

    Raises:
        NoSuchUser: nobody has this name.
    """
    return _changed(store, user_name, now=now, ends_sessions=True)


def strong(user_name: str, password: str) -> str:
    """The password, where it will do.

    Raises:
        WeakPassword: it is too short, too long, or the name itself.
    """
    if len(password) < PASSWORD_LENGTH_MIN:
        raise WeakPassword(f"a password has at least {PASSWORD_LENGTH_MIN} characters")
    if len(password) > PASSWORD_LENGTH_MAX:
        raise WeakPassword(f"a password has at most {PASSWORD_LENGTH_MAX} characters")
    if len(set(password)) < 5 or user_name.lower() == password.lower():
        raise WeakPassword("this password is too easy to guess: choose another")
    return password


# -- how -------------------------------------------------------------------------------


def _changed(
    store: Store, user_name: str, *, now: datetime, ends_sessions: bool = False, **changes: Any
) -> User:
    with store.transaction():
        old = user(store, user_name)
        epoch = old.session_epoch + ends_sessions
        at = max(now, old.recorded_at + TICK)
        new: User = replace(cast(Any, old), **changes, session_epoch=epoch, recorded_at=at)
        _refuse_last_admin(store, old, new)
        store.append([new])
    return new


def _refuse_last_admin(store: Store, old: User, new: User) -> None:
    if not _administers(old) or _administers(new):
        return
    if not any(_administers(each) for each in users(store) if each.user_name != old.user_name):
        raise LastAdmin(f"{old.user_name} is the only admin: make another one first")


def _administers(each: User) -> bool:
    return each.is_active and each.role == "admin" and each.password_hash is not None
