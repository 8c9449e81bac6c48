"""Windows of time: freezes, in which nothing is begun, and maintenance windows, in which some is.

A freeze is two instants. A maintenance window comes back on its weekdays at a time of day in its
own time zone; one that ends at or before its start ends on the next day. Where clocks are set
forward over a time of day it is the same instant an hour later on the dial; where they are set back
the first of the two is meant.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from warehouse.actions import ACTION_SPECS

WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
LOOK = timedelta(days=16)
"""How far a window is looked for; one of a single weekday may lose a night to summer time."""
_DAY = timedelta(days=1)


class InvalidWindow(ValueError):
    """No such window can be; the sentence says what would do."""


@dataclass(frozen=True)
class FreezeWindow:
    """A time in which nothing is carried out."""

    starts_at: datetime
    ends_at: datetime
    reason: str


@dataclass(frozen=True)
class Span:
    """A time from an instant to another, exclusive."""

    starts_at: datetime
    ends_at: datetime

    def holds(self, at: datetime) -> bool:
        """Whether an instant lies in it."""
        return self.starts_at <= at < self.ends_at


@dataclass(frozen=True)
class MaintenanceWindow:
    """The only times in which some actions are begun."""

    actions: tuple[str, ...]
    weekdays: tuple[str, ...]
    """Days on which it starts, of `WEEKDAYS`."""
    starts: time
    ends: time
    time_zone: str

    def spans(self, after: datetime, before: datetime) -> Iterator[Span]:
        """Every time it is open that touches these instants, in order."""
        day = (after.astimezone(ZoneInfo(self.time_zone)) - 2 * _DAY).date()
        while True:
            if WEEKDAYS[day.weekday()] in self.weekdays:
                span = self._of(day)
                if span.starts_at >= before:
                    return
                if span.ends_at > max(after, span.starts_at):
                    yield span
            elif self._instant(day, time(0)) >= before:
                return
            day += _DAY

    def _of(self, day: date) -> Span:
        last = day if self.ends > self.starts else day + _DAY
        return Span(self._instant(day, self.starts), self._instant(last, self.ends))

    def _instant(self, day: date, at: time) -> datetime:
        return datetime.combine(day, at, ZoneInfo(self.time_zone)).astimezone(UTC)

    def as_sent(self) -> dict[str, Any]:
        """As it is kept and sent."""
        return {
            "actions": list(self.actions),
            "weekdays": list(self.weekdays),
            "starts": f"{self.starts:%H:%M}",
            "ends": f"{self.ends:%H:%M}",
            "time_zone": self.time_zone,
        }

    @property
    def sentence(self) -> str:
        """When it is open, in words."""
        days = "every day" if len(self.weekdays) == 7 else ", ".join(self.weekdays)
        return f"{days} {self.starts:%H:%M} to {self.ends:%H:%M} {self.time_zone}"


Windows = Sequence[MaintenanceWindow]


def windows_of(windows: Windows, action: str) -> list[MaintenanceWindow]:
    """The windows that name an action; where there are none it may be begun at any time."""
    return [window for window in windows if action in window.actions]


def open_span(windows: Windows, action: str, at: datetime) -> Span | None:
    """The time in which an action may be begun at this instant, the one that ends last."""
    found = [span for span in _spans(windows, action, at, at + _DAY) if span.holds(at)]
    return max(found, key=lambda span: span.ends_at, default=None)


def next_span(windows: Windows, action: str, at: datetime) -> Span | None:
    """The first time, still to end, in which an action may be begun; it may have started."""
    return min(
        _spans(windows, action, at, at + LOOK), key=lambda span: span.starts_at, default=None
    )


def closed_since(windows: Windows, action: str, at: datetime) -> datetime | None:
    """When the last of an action's windows closed; None where none was open lately."""
    ends = [span.ends_at for span in _spans(windows, action, at - LOOK, at) if span.ends_at <= at]
    return max(ends, default=None)


def fresh_until(windows: Windows, action: str, decided_at: datetime, seconds: float) -> datetime:
    """How long an approval holds: its time, or to the end of the window after it."""
    least = decided_at + timedelta(seconds=seconds)
    span = next_span(windows, action, decided_at)
    return least if span is None else max(least, span.ends_at)


def _spans(windows: Windows, action: str, after: datetime, before: datetime) -> list[Span]:
    return [span for window in windows_of(windows, action) for span in window.spans(after, before)]


# -- as they are sent ------------------------------------------------------------------


def freeze_window(window: Mapping[str, Any]) -> FreezeWindow:
    """A freeze as it was sent.

    Raises:
        InvalidWindow: it lacks an instant or a time zone, or ends before it starts.
    """
    try:
        starts_at = datetime.fromisoformat(window["starts_at"])
        ends_at = datetime.fromisoformat(window["ends_at"])
    except (KeyError, TypeError, ValueError) as error:
        raise InvalidWindow(
            "a freeze window needs starts_at and ends_at as ISO 8601, "
            f"for example 2026-12-24T00:00:00+00:00 ({error})"
        ) from error
    if starts_at.tzinfo is None or ends_at.tzinfo is None or ends_at <= starts_at:
        raise InvalidWindow("a freeze window ends after it starts, and both name their time zone")
    return FreezeWindow(starts_at, ends_at, str(window.get("reason") or ""))


def maintenance_window(window: Mapping[str, Any]) -> MaintenanceWindow:
    """A maintenance window as it was sent.

    Raises:
        InvalidWindow: an action, a weekday, a time of day or the time zone is none.
    """
    unknown = set(window) - {"actions", "weekdays", "starts", "ends", "time_zone"}
    if unknown:
        raise InvalidWindow(f"a maintenance window has no {', '.join(sorted(map(str, unknown)))}")
    governed = tuple(name for name in ACTION_SPECS if name != "do_nothing")
    return MaintenanceWindow(
        actions=_chosen(window, "actions", governed),
        weekdays=_chosen(window, "weekdays", WEEKDAYS),
        starts=_time_of_day(window, "starts"),
        ends=_time_of_day(window, "ends"),
        time_zone=_zone(window.get("time_zone", "UTC")),
    )


def _chosen(window: Mapping[str, Any], name: str, known: Sequence[str]) -> tuple[str, ...]:
    given = window.get(name)
    if not isinstance(given, (list, tuple)) or not given or not set(map(str, given)) <= set(known):
        raise InvalidWindow(
            f"a maintenance window's {name} are a list of {', '.join(known)}, not {given!r}"
        )
    return tuple(each for each in known if each in given)


def _time_of_day(window: Mapping[str, Any], name: str) -> time:
    given = window.get(name)
    try:
        return datetime.strptime(str(given), "%H:%M").time()  # a time of day has no zone of its own
    except ValueError as error:
        raise InvalidWindow(
            f"a maintenance window's {name} is a time of day like 02:00, not {given!r}"
        ) from error


def _zone(name: Any) -> str:
    try:
        ZoneInfo(str(name))
    except (KeyError, ValueError, OSError) as error:
        raise InvalidWindow(
            f"{name!r} is no time zone: use a name like Europe/Berlin or UTC"
        ) from error
    return str(name)
