"""The chore that meters: each whole hour once when it is over, and anew where late rows change it.

An hour is over when the sources have read past its end by their own clocks. Its rows are written in
one transaction under a ticket, so that a kill leaves it unmetered or metered and two consoles can't
both do it. A later version is written only where the hour comes out differently; none is deleted.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import polars as pl

from warehouse import metering, metering_alarms, metering_changes, metering_late
from warehouse.clock import Clock
from warehouse.errors import Conflict, TicketGone
from warehouse.metering_books import Books, books
from warehouse.metering_nodes import SETTLING
from warehouse.records import FleetHour, MeteredHour, MeteringRun, Ticket
from warehouse.store import Store
from warehouse.upkeep import Done

HOUR = timedelta(hours=1)
PIECE = timedelta(days=1)
"""Longest span metered at once: what is written of it holds the write lock some 50 ms."""
PIECES_A_RUN = 30
"""Most pieces in one run of the chore; the rest of a long past waits for the next."""
SILENT_AFTER = timedelta(hours=2)
"""A source this far behind the newest is not waited for; its rows then come late."""
TICKET = Ticket(decision_id="metering", purpose="execution")

_READ_UNTIL = """
    SELECT source, max(read_at) AS read_at FROM (
        SELECT source, max(measured_at) AS read_at FROM gpu_samples
        WHERE measured_at >= $since AND measured_at <= $now AND pool IS NOT NULL GROUP BY source
        UNION ALL
        SELECT source, max(measured_at) FROM node_states
        WHERE measured_at >= $since AND measured_at <= $now AND pool IS NOT NULL GROUP BY source
    ) GROUP BY source
"""
_FIRST = """
    SELECT min(first_at) FROM (
        SELECT min(happened_at) AS first_at FROM job_events UNION ALL
        SELECT min(measured_at) FROM node_states WHERE pool IS NOT NULL UNION ALL
        SELECT min(starts_at) FROM gpu_rollups WHERE pool IS NOT NULL UNION ALL
        SELECT min(measured_at) FROM gpu_samples WHERE pool IS NOT NULL
    )
"""


@dataclass
class Meter:
    """Meters a warehouse; remembers between runs how many rows each recent hour was made of."""

    store: Store
    clock: Clock
    """The console's, a simulated fleet's where there is one."""
    _late: metering_late.Watch = field(default_factory=metering_late.Watch)

    def run(self) -> Done:
        """Meter what is over, then what late rows changed; safe to repeat."""
        hours = self._first_time()
        anew = self._anew()
        words = [f"{hours} hours metered"] if hours else []
        words += [f"{anew} hours metered anew"] if anew else []
        return Done(", ".join(words) or "no hour is over", hours + anew)

    def again(self, *, since: datetime, until: datetime) -> int:
        """Meter the hours of a span anew; the answer is how many came out differently."""
        pieces = _pieces(_hour(since), _hour(until))
        return sum(self._meter(*piece, reasons={}) for piece in pieces)

    def _first_time(self) -> int:
        until = over_until(self.store, now=self.clock.now())
        since = metering.metered_until(self.store) or self._first_hour()
        if until is None or since is None:
            return 0
        pieces = _pieces(since, until)[:PIECES_A_RUN]
        return sum(self._meter(*piece) for piece in pieces)

    def _anew(self) -> int:
        until = metering.metered_until(self.store)
        if until is None:
            return 0
        found = self._late.look(self.store, until=until)
        done = sum(
            self._meter(*piece, reasons=found.words)
            for start, end in found.spans
            for piece in _pieces(start, end)
        )
        self._late.remember(found)  # only once it is done: a failure is tried again
        return done

    def _first_hour(self) -> datetime | None:
        first: datetime | None = self.store.query(_FIRST).item()
        return _hour(first) if first else None

    def _meter(
        self, since: datetime, until: datetime, reasons: dict[datetime, str] | None = None
    ) -> int:
        """Write what a span of at most a day came to; the hours written, those alike left out.

        With `reasons` by hour only hours that were metered before.
        """
        made = books(self.store, since=since, until=until)
        plan = metering_changes.plan(self.store, made, reasons, since=since, until=until)
        if plan.runs.is_empty():
            return 0
        _lay_ticket(self.store)
        try:
            with self.store.transaction():
                self.store.take(TICKET)
                self.store.append([TICKET])
                return self._write(plan, made, since, until)
        except (Conflict, TicketGone):
            return 0  # another console meters: what it leaves is found at the next run

    def _write(
        self, plan: metering_changes.Plan, made: Books, since: datetime, until: datetime
    ) -> int:
        """Inside the transaction: leave out what another console has metered meanwhile."""
        there = metering.version_of(self.store, since=since, until=until)
        runs = metering_changes.still_due(plan.runs, there)
        if runs.is_empty():
            return 0
        ids = pl.Series("run_id", [uuid.uuid4().hex for _ in range(runs.height)])
        runs = runs.with_columns(ids, metered_at=pl.lit(self.clock.now()))
        key = runs.select("hour_starts_at", "run_id")
        hours = plan.hours.join(key, on="hour_starts_at")
        fleet = plan.fleet.join(key, on="hour_starts_at").drop("metered_gpu_hours")
        counts = hours.group_by("hour_starts_at").agg(row_count=pl.len().cast(pl.Int64))
        rows = runs.join(counts, on="hour_starts_at", how="left")
        self.store.append_frame(MeteredHour, hours)
        self.store.append_frame(FleetHour, fleet)
        self.store.append_frame(MeteringRun, rows.with_columns(pl.col("row_count").fill_null(0)))
        self.store.append(metering_alarms.unknown(self.store, made, key["hour_starts_at"]))
        return runs.height


def _lay_ticket(store: Store) -> None:
    there = store.query(
        "SELECT 1 FROM tickets WHERE decision_id = $id AND purpose = $purpose LIMIT 1",
        id=TICKET.decision_id,
        purpose=TICKET.purpose,
    )
    if there.is_empty():
        store.append([TICKET])


def over_until(store: Store, *, now: datetime) -> datetime | None:
    """Up to where whole hours are over, by the clocks of the sources that read GPUs and nodes.

    Where nothing is read the console's own clock says it. None where there is nothing at all.
    """
    since = metering.metered_until(store) or datetime(1970, 1, 2, tzinfo=UTC)
    read = store.query(_READ_UNTIL, since=since, now=now)
    if read.is_empty():
        if not store.query("SELECT 1 FROM node_states WHERE pool IS NOT NULL LIMIT 1").is_empty():
            return None  # it was read before: what is silent now may still come
        is_empty = store.query("SELECT 1 FROM job_events LIMIT 1").is_empty()
        return None if is_empty else _hour(now - SETTLING)
    newest = read["read_at"].max()
    assert isinstance(newest, datetime)
    waited_for = read.filter(pl.col("read_at") >= newest - SILENT_AFTER)["read_at"].min()
    assert isinstance(waited_for, datetime)
    return _hour(waited_for - SETTLING)


def _hour(instant: datetime) -> datetime:
    return instant.replace(minute=0, second=0, microsecond=0)


def _pieces(since: datetime, until: datetime) -> list[tuple[datetime, datetime]]:
    """Whole days of UTC, and what is left before and after."""
    found = []
    while since < until:
        end = min(until, since.replace(hour=0) + PIECE)
        found.append((since, end))
        since = end
    return found
