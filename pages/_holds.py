"""What holds every action back now: the kill switch, the breaker, a freeze window."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from warehouse import controls
from warehouse.controls import Limits
from warehouse.store import Store


@dataclass(frozen=True)
class Hold:
    """One of the things that hold every action back."""

    alarm: str
    """As the header says it."""
    reason: str
    """As the end of a sentence."""
    icon: str


def holds(store: Store, now: datetime) -> list[Hold]:
    """Everything that holds actions back at this instant, the weightiest first."""
    standing = controls.standing(store)
    found = []
    if standing.kill_switch.is_on:
        found.append(Hold("Kill switch is on", "the kill switch is on", "octagon-pause"))
    if standing.breaker.is_open:
        found.append(Hold("Breaker is open", "the breaker is open", "zap"))
    until = frozen_until(standing.limits, now)
    if until is not None:
        at = _at(until, now)
        found.append(Hold(f"Frozen until {at}", f"actions are frozen until {at}", "clock"))
    return found


def frozen_until(limits: Limits, now: datetime) -> datetime | None:
    """When the freeze that holds now ends, the last of them; None while none holds."""
    ends = [span.ends_at for span in limits.frozen_spans if span.starts_at <= now < span.ends_at]
    return max(ends, default=None)


def _at(instant: datetime, now: datetime) -> str:
    """The time of day, with its day where that is another."""
    there, here = instant.astimezone(UTC), now.astimezone(UTC)
    return there.strftime("%H:%M UTC" if there.date() == here.date() else "%-d %b %H:%M UTC")
