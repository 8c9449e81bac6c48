"""Settings that the market's collectors share, and how they introduce themselves."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version

from pydantic import Field

from collectors.base import CollectorSettings, settings_from

SHARED = "market"
"""Whose settings these are: `PILOTHOUSE_MARKET_…`."""

URL_PATTERN = r"^https?://[^/\s]+[^\s]*$"


class MarketSettings(CollectorSettings):
    """What all of the market's collectors go by."""

    contact: str = Field(default="", pattern=r"^[\x21-\x7e]*$", max_length=200)
    """Address of yours, an e-mail's or a page's, that goes into the User-Agent."""
    jump_bound_ratio: float = Field(default=3.0, gt=1.0)
    """A price more than so many times the last good one, or less than that part of it, is an
    alarm and no price."""
    least_usd_per_gpu_hour: float = Field(default=0.005, gt=0.0)
    """A price of one GPU below this is an alarm and no price, for example one of a second."""
    most_usd_per_gpu_hour: float = Field(default=100.0, gt=0.0)
    """A price of one GPU above this is an alarm and no price, for example one in cents."""
    cross_check_bound_ratio: float = Field(default=1.25, gt=1.0)
    """A pricing page that differs from the interface by more than this factor is an alarm."""

    @property
    def user_agent(self) -> str:
        """How every request introduces itself."""
        address = f" (+{self.contact})" if self.contact else ""
        return f"Pilothouse/{_version()}{address}"


DEFAULTS = MarketSettings()


def market_settings(environ: Mapping[str, str]) -> MarketSettings:
    """The shared settings out of the environment.

    Raises:
        InvalidSetting: one can't be understood.
    """
    return settings_from(environ, SHARED, MarketSettings)


def _version() -> str:
    try:
        return version("pilothouse")
    except PackageNotFoundError:  # run from a folder that was never installed
        return "0"
