"""What holds actions back now: the kill switch, the breaker, a freeze; of one its window."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from warehouse import controls
from warehouse.controls import Limits
from warehouse.store import Store
from warehouse.windows import fresh_until, next_span, open_span, windows_of


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


def held(store: Store, action: str, now: datetime) -> list[Hold]:
    """Everything that holds one kind of action back at this instant."""
    closed = window_closed(controls.limits(store), action, now)
    return [*holds(store, now), *([closed] if closed else [])]


def window_closed(limits: Limits, action: str, now: datetime) -> Hold | None:
    """That an action's maintenance windows are closed, and when the next opens; else None."""
    windows = limits.maintenance
    if not windows_of(windows, action) or open_span(windows, action, now):
        return None
    opening = next_span(windows, action, now)
    at = _at(opening.starts_at, now) if opening else "in more than two weeks"
    return Hold(f"Its window opens {at}", f"its maintenance window opens {at}", "clock")


def fresh_for(limits: Limits, action: str, now: datetime) -> timedelta:
    """How long an approval of this instant holds."""
    seconds = limits.decision_expiry_seconds
    return fresh_until(limits.maintenance, action, now, seconds) - now


def frozen_until(limits: Limits, now: datetime) -> datetime | None:
    """When the freeze that holds now ends, the last of them; None while none holds."""
    ends = [span.ends_at for span in limits.frozen_spans if span.starts_at <= now < span.ends_at]
    return max(ends, default=None)


def _at(instant: datetime, now: datetime) -> str:
    """The time of day, with its day where that is another."""
    there, here = instant.astimezone(UTC), now.astimezone(UTC)
    return there.strftime("%H:%M UTC" if there.date() == here.date() else "%-d %b %H:%M UTC")
