"""Where a request comes from: whether its host is ours, its page is ours, its way back is safe."""

from __future__ import annotations

from urllib.parse import urlsplit

from starlette.datastructures import Headers

from api.settings import LOOPBACK_HOSTS, ApiSettings

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
"""Methods that change nothing."""


def host_is_ours(host: str, settings: ApiSettings) -> bool:
    """Whether the Host header names this console.

    On loopback any other name would be one that somebody pointed at this machine, to speak to
    it with a browser's own rights (DNS rebinding). Elsewhere all names do, unless some are set.
    """
    allowed = {name.lower() for name in settings.allowed_hosts}
    is_loopback = settings.bind_host in LOOPBACK_HOSTS
    if "*" in allowed or (not is_loopback and not allowed):
        return True
    if is_loopback:
        allowed |= set(LOOPBACK_HOSTS)
    else:
        allowed.add(settings.bind_host.lower())
    return _name(host) in allowed


def _name(host: str) -> str | None:
    try:
        return urlsplit(f"//{host}").hostname
    except ValueError:
        return None


def is_same_origin(headers: Headers) -> bool:
    """Whether a page of ours sent this. A request that doesn't say is not believed.

    `Sec-Fetch-Site` is what the browser itself says; `Origin` must agree where it is there.
    Hosts are compared and not schemes, which a proxy in front may have changed.
    """
    site, origin = headers.get("sec-fetch-site"), headers.get("origin")
    if site is not None and site != "same-origin":
        return False
    if origin is None:
        return site == "same-origin"
    return urlsplit(origin).netloc.lower() == headers.get("host", "").lower() != ""


def safe_path(next_path: str | None) -> str:
    """The way back after signing in: a path of this console, or else its front page."""
    path = next_path or "/"
    has_odd_character = any(character in "\\" or ord(character) < 0x21 for character in path)
    if not path.startswith("/") or path.startswith("//") or has_odd_character:
        return "/"
    parts = urlsplit(path)
    is_elsewhere = bool(parts.scheme or parts.netloc)
    is_the_door = parts.path in ("/sign-in", "/sign-out")
    return "/" if is_elsewhere or is_the_door else path
