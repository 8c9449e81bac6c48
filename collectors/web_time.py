"""What an HTTP answer says of time: when it was given, and when one may ask again."""

from __future__ import annotations

from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

import httpx


def given_at(response: httpx.Response, received_at: datetime) -> datetime:
    """The instant (UTC) by the source's own clock; `received_at` where it doesn't say."""
    return _instant(response.headers.get("Date", "")) or received_at


def age_seconds(response: httpx.Response) -> float:
    """How long a cache on the way has kept the answer."""
    return _whole_seconds(response.headers.get("Age", "")) or 0.0


def retry_after_seconds(response: httpx.Response, received_at: datetime) -> float | None:
    """What `Retry-After` asks for, in either of its forms (RFC 9110, 10.2.3); None if nothing."""
    text = response.headers.get("Retry-After", "").strip()
    if (seconds := _whole_seconds(text)) is not None:
        return seconds
    if (instant := _instant(text)) is None:
        return None
    return max((instant - given_at(response, received_at)).total_seconds(), 0.0)


def _whole_seconds(text: str) -> float | None:
    return float(text) if text.isascii() and text.isdigit() else None


def _instant(text: str) -> datetime | None:
    try:
        instant = parsedate_to_datetime(text)
    except ValueError:
        return None
    return instant.replace(tzinfo=UTC) if instant.tzinfo is None else instant.astimezone(UTC)
