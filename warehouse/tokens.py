"""Secrets that programs show at the door, and the one that opens it for the first time.

An API token is `pht_<id>_<secret>`: it is found by its id, and of its secret, 256 random bits,
only the SHA-256 is kept. The first sign-in's token is one of the same table, of a kind that
the API refuses, so that it too is kept hashed and works once.

    TokenError
    ├── NoSuchToken      no token has this id
    ├── TooMuch          a token may do at most what its owner may
    └── LinkIsUsed       the first sign-in has happened, or a newer link was printed
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, cast

from warehouse.people import (
    ADMIN_NAME,
    ROLES,
    TICK,
    NoSuchUser,
    Passwords,
    Person,
    activate,
    create_user,
    has_admin,
    includes,
    set_password,
    set_role,
    strong,
    user,
)
from warehouse.records import ApiToken, Role, User
from warehouse.store import Store

PREFIX = "pht"
FIRST_PREFIX = "first"
"""Ids that begin so are the first sign-in's, and open nothing else."""

SECRET_BYTES = 32
ID_BYTES = 8
VALIDITY_DEFAULT = timedelta(days=90)
FIRST_VALIDITY = timedelta(hours=24)

_NEWEST = """
    SELECT * FROM api_tokens
    QUALIFY row_number() OVER (PARTITION BY token_id ORDER BY recorded_at DESC, rowid DESC) = 1
"""


class TokenError(Exception):
    """This can't be done with this token; the sentence says what to do next."""


class NoSuchToken(TokenError):
    """No token has this id."""


class TooMuch(TokenError):
    """A token may do at most what its owner may."""


class LinkIsUsed(TokenError):
    """The first sign-in has happened, or a newer link was printed."""


@dataclass(frozen=True)
class NewToken:
    """A token as it is told to its owner, once."""

    token: str
    record: ApiToken


# -- API tokens ------------------------------------------------------------------------


def tokens(store: Store) -> list[ApiToken]:
    """Every API token, those revoked and lapsed included, the newest first."""
    mine = f"SELECT * FROM ({_NEWEST}) WHERE NOT starts_with(token_id, $first)"
    return store.rows(ApiToken, f"{mine} ORDER BY recorded_at DESC, token_id", first=FIRST_PREFIX)


def token(store: Store, token_id: str) -> ApiToken:
    """One API token.

    Raises:
        NoSuchToken: no token has this id.
    """
    found = store.rows(
        ApiToken,
        "SELECT * FROM api_tokens WHERE token_id = $token_id ORDER BY recorded_at DESC LIMIT 1",
        token_id=token_id,
    )
    if not found or token_id.startswith(FIRST_PREFIX):
        raise NoSuchToken(f"there is no token {token_id}: read the list again")
    return found[0]


def issue_token(
    store: Store,
    user_name: str,
    role: Role,
    label: str,
    *,
    now: datetime,
    validity: timedelta | None = VALIDITY_DEFAULT,
) -> NewToken:
    """Make a token; it is told this once. None as validity: until it is revoked.

    Raises:
        NoSuchUser: nobody has this name.
        TooMuch: the role is above its owner's.
    """
    owner = user(store, user_name)
    if not includes(owner.role, role):
        raise TooMuch(f"{user_name} is {owner.role}: a token of theirs can't be {role}")
    expires_at = None if validity is None else now + validity
    made, secret = _made(user_name, role, label, expires_at, now, id_prefix="")
    store.append([made])
    return NewToken(f"{PREFIX}_{made.token_id}_{secret}", made)


def revoke_token(store: Store, token_id: str, *, now: datetime) -> ApiToken:
    """Make a token useless.

    Raises:
        NoSuchToken: no token has this id.
    """
    with store.transaction():
        old = token(store, token_id)
        store.append([_revoked(old, now)])
    return _revoked(old, now)


def split_token(text: str) -> tuple[str, str] | None:
    """The id and the secret of an API token, or None if this is none."""
    prefix, _, rest = text.partition("_")
    token_id, _, secret = rest.partition("_")
    if prefix != PREFIX or not secret or token_id.startswith(FIRST_PREFIX):
        return None
    return token_id, secret


def holder(found: ApiToken | None, owner: User | None, secret: str, now: datetime) -> Person | None:
    """Who a token speaks for, or None where it is wrong, revoked or lapsed.

    What it may do is the lesser of its own role and its owner's, who may have lost theirs.
    """
    if found is None or not _holds(found, secret, now) or owner is None or not owner.is_active:
        return None
    role = min(found.role, owner.role, key=ROLES.index)
    return Person(owner.user_name, role, "api", owner.tenant)


# -- the first sign-in -----------------------------------------------------------------


def first_sign_in(store: Store, *, now: datetime) -> str | None:
    """A new one-time token that lets its bearer choose the admin's password.

    None where an admin can sign in already. The one given out before no longer works.
    """
    with store.transaction():
        if has_admin(store):
            return None
        store.append(_revoked(old, now) for old in _first_tokens(store) if old.is_active)
        expires_at = now + FIRST_VALIDITY
        made, secret = _made(
            ADMIN_NAME, "admin", "first sign-in", expires_at, now, id_prefix=FIRST_PREFIX
        )
        store.append([made])
    return f"{made.token_id}.{secret}"


def opens_first_time(store: Store, token: str, *, now: datetime) -> bool:
    """Whether this is the one-time token, not used yet."""
    return _first_token(store, token, now) is not None and not has_admin(store)


def use_first_sign_in(
    store: Store, passwords: Passwords, token: str, password: str, *, now: datetime
) -> User:
    """Use the one-time token up and give the admin this password.

    Raises:
        LinkIsUsed: it was used, has lapsed, or a newer one was given out.
        WeakPassword: choose another; the token still works.
    """
    strong(ADMIN_NAME, password)
    with store.transaction():
        first = _first_token(store, token, now)
        if first is None or has_admin(store):
            raise LinkIsUsed("this link was used or has expired: start the console for a new one")
        store.append([_revoked(first, now)])
        return make_admin(store, passwords, password, now=now)


def make_admin(store: Store, passwords: Passwords, password: str, *, now: datetime) -> User:
    """The admin with this password, whether or not there was one.

    Raises:
        WeakPassword: choose another.
    """
    try:
        user(store, ADMIN_NAME)
    except NoSuchUser:
        return create_user(store, passwords, ADMIN_NAME, "admin", now=now, password=password)
    set_password(store, passwords, ADMIN_NAME, password, now=now)
    set_role(store, ADMIN_NAME, "admin", now=now)
    return activate(store, ADMIN_NAME, now=now)


# -- how -------------------------------------------------------------------------------


def _made(
    user_name: str,
    role: Role,
    label: str,
    expires_at: datetime | None,
    now: datetime,
    *,
    id_prefix: str,
) -> tuple[ApiToken, str]:
    secret = secrets.token_urlsafe(SECRET_BYTES)
    made = ApiToken(
        token_id=id_prefix + secrets.token_hex(ID_BYTES),
        secret_hash=_hashed(secret),
        user_name=user_name,
        role=role,
        label=label,
        is_active=True,
        recorded_at=now,
        expires_at=expires_at,
    )
    return made, secret


def _hashed(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


def _holds(found: ApiToken, secret: str, now: datetime) -> bool:
    is_right = hmac.compare_digest(found.secret_hash, _hashed(secret))
    is_timely = found.expires_at is None or now < found.expires_at
    return is_right and is_timely and found.is_active


def _revoked(old: ApiToken, now: datetime) -> ApiToken:
    at = max(now, old.recorded_at + TICK)
    revoked: ApiToken = replace(cast(Any, old), is_active=False, recorded_at=at)
    return revoked


def _first_tokens(store: Store) -> list[ApiToken]:
    first = f"SELECT * FROM ({_NEWEST}) WHERE starts_with(token_id, $first)"
    return store.rows(ApiToken, first, first=FIRST_PREFIX)


def _first_token(store: Store, text: str, now: datetime) -> ApiToken | None:
    token_id, _, secret = text.partition(".")
    found = [each for each in _first_tokens(store) if each.token_id == token_id]
    return found[0] if found and _holds(found[0], secret, now) else None
