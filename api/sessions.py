"""Sessions: a signed cookie says who signed in and when; nothing else is kept of them."""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path

from itsdangerous import BadSignature, URLSafeSerializer

from warehouse.records import User

KEY_FILE = "secret.key"
KEY_BYTES = 32
RENEWED_AFTER = timedelta(minutes=5)
"""A cookie is given anew when its last use is so long ago; not on every answer."""


class UnusableKey(Exception):
    """The key file can't be read or made; the sentence says what to do next."""


@dataclass(frozen=True)
class Session:
    """What the cookie says. Seconds are since 1970."""

    session_id: str
    user_name: str
    epoch: int
    """The user's session epoch at sign-in; the session ends when that is raised."""
    started_seconds: float
    seen_seconds: float


def secret_key(home: Path) -> bytes:
    """The key that cookies are signed with: made once, readable by this user alone.

    Raises:
        UnusableKey: it can't be read, made, or is too short to be one.
    """
    path = home / KEY_FILE
    try:
        _make_key(path)
        path.chmod(0o600)
        key = path.read_bytes()
    except OSError as error:
        raise UnusableKey(f"{path} can't be used ({error.strerror}): see who owns it") from error
    if len(key) < KEY_BYTES:
        raise UnusableKey(f"{path} is no key: delete it, and everybody signs in again")
    return key


def _make_key(path: Path) -> None:
    """The file appears whole or not at all, so that a crash leaves no short key behind."""
    if path.exists():
        return
    fresh = path.with_name(f"{KEY_FILE}.{secrets.token_hex(4)}")
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(secrets.token_bytes(KEY_BYTES))
        file.flush()
        os.fsync(file.fileno())
    try:
        os.link(fresh, path)  # fails where another console was faster, whose key then holds
    except FileExistsError:
        pass
    finally:
        fresh.unlink()


class Sessions:
    """Makes and reads session cookies, and the tokens of the sign-in form."""

    def __init__(self, key: bytes, *, idle: timedelta, length: timedelta) -> None:
        self._signer = _signer(key, "session")
        self._form_key = hashlib.sha256(b"form" + key).digest()
        self._idle, self._length = idle, length
        # Cookies are shared by the ports of a host: two consoles must not take each other's.
        self.name = f"pilothouse_{hashlib.sha256(b'name' + key).hexdigest()[:8]}"

    def cookie_name(self, is_secure: bool) -> str:
        """The session cookie's name; by https one that no other host can set."""
        return f"__Host-{self.name}" if is_secure else self.name

    def started(self, user: User, now: datetime) -> Session:
        """A new session of a user."""
        at = now.timestamp()
        return Session(secrets.token_urlsafe(12), user.user_name, user.session_epoch, at, at)

    def cookie_of(self, session: Session) -> str:
        """A session as the cookie's value."""
        return str(self._signer.dumps(asdict(session)))

    def session_of(self, cookie: str, now: datetime) -> Session | None:
        """What a cookie says, or None where it is forged, idle for too long, or too old."""
        try:
            session = Session(**self._signer.loads(cookie))
        except (BadSignature, TypeError):
            return None
        at = now.timestamp()
        is_idle = at - session.seen_seconds > self._idle.total_seconds()
        is_old = at - session.started_seconds > self._length.total_seconds()
        return None if is_idle or is_old else session

    def renewed(self, session: Session, now: datetime) -> Session | None:
        """The session as seen now, where its cookie is due to be given anew."""
        at = now.timestamp()
        if at - session.seen_seconds < RENEWED_AFTER.total_seconds():
            return None
        return replace(session, seen_seconds=at)

    def form_token(self, cookie: str) -> str:
        """What a form must carry, given the random cookie its page was sent with."""
        return hmac.new(self._form_key, cookie.encode(), "sha256").hexdigest()

    def form_is_ours(self, cookie: str | None, token: str) -> bool:
        """Whether a form was sent by a page of ours, in the browser that got it."""
        return bool(cookie) and hmac.compare_digest(self.form_token(cookie or ""), token)


def _signer(key: bytes, purpose: str) -> URLSafeSerializer:
    return URLSafeSerializer(
        key, salt=f"pilothouse.{purpose}", signer_kwargs={"digest_method": hashlib.sha256}
    )
