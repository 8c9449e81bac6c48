"""What came late: rows of hours that were metered before they came.

No table but `gpu_samples` says when a row was stored, so rows are counted: by hour for the last two
days, of job events by day for the last five weeks. An hour that grew is looked at again, and for
events every hour after it, since who holds a GPU is carried on. After a start nothing is
remembered, and the two days are looked at once.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta

from warehouse.store import Store

HOUR = timedelta(hours=1)
WATCHED = timedelta(hours=48)
"""Hours whose rows of every table are counted; raw readings are kept for longer."""
EVENTS_WATCHED = timedelta(days=35)

NAMES = {
    "events": "job events",
    "samples": "readings of GPUs",
    "shares": "readings of shares",
    "nodes": "readings of nodes",
    "prices": "list prices",
    "costs": "unit costs",
}
_CARRIED_ON = ("events", "prices", "costs")
"""What changes not only its own hour but those after it."""

_COUNTS = """
    SELECT make_timestamptz(epoch_us(happened_at) // 3600000000 * 3600000000) AS hour,
        'events' AS kind, count(*) AS n FROM job_events
    WHERE happened_at >= $since AND happened_at < $until AND event <> 'checkpointed' GROUP BY 1
    UNION ALL SELECT make_timestamptz(epoch_us(measured_at) // 3600000000 * 3600000000),
        'samples', count(*) FROM gpu_samples
    WHERE measured_at >= $since AND measured_at < $until AND pool IS NOT NULL GROUP BY 1
    UNION ALL SELECT make_timestamptz(epoch_us(measured_at) // 3600000000 * 3600000000),
        'shares', count(*) FROM gpu_shares
    WHERE measured_at >= $since AND measured_at < $until AND pool IS NOT NULL GROUP BY 1
    UNION ALL SELECT make_timestamptz(epoch_us(measured_at) // 3600000000 * 3600000000),
        'nodes', count(*) FROM node_states
    WHERE measured_at >= $since AND measured_at < $until AND pool IS NOT NULL GROUP BY 1
    UNION ALL SELECT make_timestamptz(epoch_us(in_force_from_at) // 3600000000 * 3600000000),
        'prices', count(*) FROM price_list
    WHERE in_force_from_at >= $since AND in_force_from_at < $until GROUP BY 1
    UNION ALL SELECT make_timestamptz(epoch_us(in_force_from_at) // 3600000000 * 3600000000),
        'costs', count(*) FROM unit_costs
    WHERE in_force_from_at >= $since AND in_force_from_at < $until GROUP BY 1
"""
_OLD_EVENTS = """
    SELECT make_timestamptz(epoch_us(happened_at) // 86400000000 * 86400000000) AS day,
        count(*) AS n FROM job_events
    WHERE happened_at >= $since AND happened_at < $until AND event <> 'checkpointed' GROUP BY 1
"""

Counts = dict[tuple[datetime, str], int]


@dataclass(frozen=True)
class Found:
    """What is to be looked at again."""

    spans: list[tuple[datetime, datetime]]
    """Spans of whole hours, in time order and apart."""
    words: dict[datetime, str]
    """Why, by hour."""
    counts: Counts
    old_days: dict[datetime, int]
    until: datetime


@dataclass
class Watch:
    """Remembers of how many rows each hour was made."""

    _counts: Counts | None = None
    _old_days: dict[datetime, int] = field(default_factory=dict)
    _until: datetime | None = None

    def look(self, store: Store, *, until: datetime) -> Found:
        """Which hours before `until`, the end of what is metered, have more rows than they had."""
        since = until - WATCHED
        counts: Counts = {
            (hour, kind): n
            for hour, kind, n in store.query(_COUNTS, since=since, until=until).iter_rows()
        }
        days = dict(
            store.query(
                _OLD_EVENTS, since=_day(since - EVENTS_WATCHED), until=_day(since)
            ).iter_rows()
        )
        causes = self._causes(counts, since, until)
        spans = _joined(sorted(causes))
        grown = [day for day, n in days.items() if day in self._old_days
                 and n > self._old_days[day]]  # fmt: skip
        if grown:
            spans = [(min(grown), until)]
            causes |= {
                hour: f"job events of {min(grown):%Y-%m-%d} came late"
                for hour in _hours(min(grown), until)
            }
        return Found(spans, causes, counts, days, until)

    def remember(self, found: Found) -> None:
        """What was found has been dealt with."""
        self._counts, self._old_days, self._until = found.counts, found.old_days, found.until

    def _causes(self, counts: Counts, since: datetime, until: datetime) -> dict[datetime, str]:
        if self._counts is None or self._until is None:
            why = "found anew after a start of the console"
            return dict.fromkeys(_hours(since, until), why)
        more: dict[datetime, dict[str, int]] = {}
        for (hour, kind), n in counts.items():
            late = n - self._counts.get((hour, kind), 0)
            if late > 0 and hour < self._until:
                last = self._until if kind in _CARRIED_ON else hour + 2 * HOUR
                for each in _hours(hour, min(last, self._until)):
                    told = more.setdefault(each, {})
                    told[kind] = told.get(kind, 0) + late
        return {hour: _words(told) for hour, told in more.items()}


def _words(told: dict[str, int]) -> str:
    parts = [f"{n} {NAMES[kind]}" for kind, n in told.items()]
    return f"{' and '.join(parts)} came late"


def _hours(since: datetime, until: datetime) -> list[datetime]:
    return [since + n * HOUR for n in range(int((until - since) / HOUR))]


def _joined(hours: list[datetime]) -> list[tuple[datetime, datetime]]:
    spans: list[tuple[datetime, datetime]] = []
    for hour in hours:
        if spans and spans[-1][1] == hour:
            spans[-1] = (spans[-1][0], hour + HOUR)
        else:
            spans.append((hour, hour + HOUR))
    return spans


def _day(instant: datetime) -> datetime:
    return instant.replace(hour=0, minute=0, second=0, microsecond=0)
