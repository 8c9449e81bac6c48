"""What the API is told at its start."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any, Protocol

from api.slack_terms import SlackTerms
from warehouse.export_terms import ExportTerms
from warehouse.settings import Settings

LOOPBACK_HOSTS = ("127.0.0.1", "localhost", "::1")
"""The names of this machine to itself."""


@dataclass(frozen=True)
class ApiSettings:
    """What the API is told at its start."""

    home: Path
    """The data folder; the session key lies in it."""
    bind_host: str = "127.0.0.1"
    """The address listened on. On loopback only loopback's names and `allowed_hosts` are
    answered, so that no name on the internet can be pointed here."""
    allowed_hosts: tuple[str, ...] = ()
    """Names by which browsers may reach the console besides; `*` allows all."""
    is_behind_https: bool = False
    """Whether browsers reach it by https even where the last hop is plain."""
    metrics_are_open: bool = False
    """Whether /metrics answers without a token."""
    requests_per_minute: int = 0
    """Requests of the API that a token may send a minute; 0 for as many as it likes."""
    session_idle: timedelta = timedelta(hours=2)
    """A session ends when nothing was asked for so long."""
    session_length: timedelta = timedelta(hours=12)
    """A session ends this long after signing in, busy or not."""
    script_hashes: Callable[[], Sequence[str]] | None = None
    """The CSP hashes of the pages' inline scripts, for Dash its `csp_hashes`. Without them
    inline scripts are allowed."""
    exports: ExportTerms | None = None
    """Where exports go; to the home without it."""
    embed_origins: tuple[str, ...] = ()
    """Origins whose pages may hold the embedded approval in a frame; none without any."""
    slack: SlackTerms = field(default_factory=SlackTerms)
    """Where decisions are posted, and what proves that an answer is Slack's."""
    led_by: Callable[[], str | None] = lambda: None
    """Who acts, where another console does; None where this one acts itself."""


class Readiness(Protocol):
    """What app.py knows of the parts it started."""

    def reasons_not_ready(self) -> list[str]:
        """In words, what keeps the console from being ready; empty when it is."""
        ...


def approvals_elsewhere(given: Settings) -> dict[str, Any]:
    """What of the console's settings says where else than in the console one may decide."""
    origins = tuple(given.embed_origins.replace(",", " ").split())
    return {"embed_origins": origins, "slack": SlackTerms.of(given)}
