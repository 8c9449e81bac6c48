"""Figures and instants as people read them. None is a missing measurement and reads "–"."""

from __future__ import annotations

from datetime import UTC, datetime

MISSING = "–"
ABBREVIATIONS = {"gpu": "GPU", "gpus": "GPUs", "usd": "USD", "id": "id", "p95": "p95"}
THIN = "\u202f"
"""A narrow space that does not break, between a figure and its unit."""


def usd(amount: float | None, decimals: int | None = None) -> str:
    """An amount in dollars: `$1,234`, cents only below a hundred."""
    if amount is None:
        return MISSING
    places = decimals if decimals is not None else (2 if abs(amount) < 100 else 0)
    sign = "−" if amount < 0 and round(amount, places) != 0 else ""
    return f"{sign}${abs(amount):,.{places}f}"


def signed_usd(amount: float | None, decimals: int | None = None) -> str:
    """An amount in dollars with its sign."""
    if amount is None:
        return MISSING
    return usd(amount, decimals) if amount < 0 else f"+{usd(amount, decimals)}"


def short_usd(amount: float | None) -> str:
    """An amount in dollars, in thousands or millions where it is that large."""
    if amount is None:
        return MISSING
    size = abs(amount)
    if size >= 1e6:
        return f"{'−' if amount < 0 else ''}${size / 1e6:,.2f}{THIN}M"
    if size >= 1e5:
        return f"{'−' if amount < 0 else ''}${size / 1e3:,.0f}{THIN}k"
    return usd(amount, 0 if size >= 100 else 2)


def percent(ratio: float | None, decimals: int = 0) -> str:
    """A ratio as a percentage."""
    return MISSING if ratio is None else f"{ratio * 100:.{decimals}f}{THIN}%"


def count(number: float | None) -> str:
    """A whole number."""
    return MISSING if number is None else f"{number:,.0f}"


def duration(seconds: float | None) -> str:
    """A span in its two largest units: `45 s`, `12 min`, `3 h 20 min`, `2 d 4 h`."""
    if seconds is None:
        return MISSING
    whole = round(seconds)
    if whole < 90:
        return f"{whole}{THIN}s"
    minutes = round(whole / 60)
    if minutes < 90:
        return f"{minutes}{THIN}min"
    hours, minutes = divmod(minutes, 60)
    if hours < 48:
        return f"{hours}{THIN}h" + (f" {minutes}{THIN}min" if minutes and hours < 10 else "")
    days, hours = divmod(hours, 24)
    return f"{days}{THIN}d" + (f" {hours}{THIN}h" if hours and days < 10 else "")


def age(at: datetime | None, now: datetime) -> str:
    """How long ago an instant was."""
    if at is None:
        return "never"
    seconds = (now - at).total_seconds()
    return "now" if seconds < 1.5 else f"{duration(seconds)} ago"


def until(at: datetime, now: datetime) -> str:
    """How long until an instant."""
    seconds = (at - now).total_seconds()
    return "now" if seconds <= 0 else f"in {duration(seconds)}"


def instant(at: datetime | None) -> str:
    """An instant in UTC, to the minute."""
    return MISSING if at is None else at.astimezone(UTC).strftime("%-d %b %H:%M")


def exact_instant(at: datetime | None) -> str:
    """An instant in UTC, to the second, with its year."""
    return MISSING if at is None else at.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def words(name: str) -> str:
    """A name of the code as people write it: `scale_up` is `Scale up`, `gpus_on` is `GPUs on`."""
    said = " ".join(ABBREVIATIONS.get(part, part) for part in name.split("_"))
    return said[:1].upper() + said[1:]
