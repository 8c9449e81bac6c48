"""Why a target gave no answer, in few words, the same for all that fail alike."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import urlsplit

import httpx

LONGEST_REST_SECONDS = 3600.0
"""An exporter that asks to be left alone longer than this is asked again nevertheless."""


@dataclass(frozen=True)
class Failure:
    """Why a target gave no answer."""

    words: str
    """in few words, the same for all that fail alike"""
    is_refusal: bool = False
    """whether a person must change a setting"""
    rest_seconds: float | None = None
    """how long it asked to be left alone"""


def refusal_of(response: httpx.Response) -> Failure:
    """What an answer that is no success means."""
    status = response.status_code
    if response.has_redirect_location:
        where = urlsplit(response.headers["Location"]).netloc or "another path"
        return Failure(f"redirects to {where}, which is not followed ({status})", is_refusal=True)
    after = response.headers.get("Retry-After", "")
    rest = min(float(after), LONGEST_REST_SECONDS) if after.isascii() and after.isdigit() else None
    is_refusal = 400 <= status < 500 and status not in (408, 429)
    return Failure(f"answered {status} {response.reason_phrase}".strip(), is_refusal, rest)


def failure_of(error: Exception) -> Failure:
    """What it means that there was no answer."""
    said = str(error)
    if isinstance(error, UnicodeError):
        return Failure("has a name that is none")
    if isinstance(error, httpx.ConnectError):
        if "Name or service not known" in said or "getaddrinfo" in said or "resolution" in said:
            return Failure("has a name that is not known")
        if "CERTIFICATE" in said.upper() or "SSL" in said.upper():
            return Failure("shows a certificate that is not trusted", is_refusal=True)
        return Failure("refused the connection")
    if isinstance(error, httpx.DecodingError):
        return Failure("answered with what can't be unpacked")
    if isinstance(error, (httpx.RemoteProtocolError, httpx.ReadError, httpx.WriteError)):
        return Failure("broke off its answer")
    return Failure(f"could not be asked ({type(error).__name__})")
