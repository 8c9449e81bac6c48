"""Samples rolled up into periods of 60, 300 and 3600 s: bit by bit, and exactly.

What was stored since the last time is found by DuckLake's snapshots, not by anybody's clock, so
nothing is missed that was committed late or by another console. Each source has a clock of its
own: a period is over once its source was read beyond it, and is then reckoned from the raw rows. A
row that comes later, or comes again, has just its GPU's periods reckoned anew. Rows, what they
replace and how far it went (`rollup_marks`) are one transaction: after a kill, and of two consoles
at once, it happened once or not at all.

Means are taken over the readings that are there: a missing one is no zero, a period without any
reading has no row. Of readings of one GPU, source and instant the last stored counts.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from warehouse.errors import Conflict
from warehouse.records import GpuRollup, RollupMark
from warehouse.rollup_marks import Mark, SourceClock, leave_mark, mark
from warehouse.store import Store

PERIODS_SECONDS = (60, 300, 3600)
"""Each is a multiple of the one before."""
PIECE = timedelta(hours=1)
"""Of a source's time that is rolled up in one transaction, where much is to be caught up with."""
_HOUR = timedelta(hours=1)
_EVER = datetime(1970, 1, 1, tzinfo=UTC)


def roll_up(store: Store, piece: timedelta = PIECE) -> int:
    """Roll up every period that is over, and anew those that changed since. Returns rows written.

    `piece` bounds how much of a source's time is rolled up in one transaction: more than an hour
    pays where readings are far between. Safe to repeat, to kill and to run from several consoles at
    once: another's turn is left to it.
    """
    written = 0
    if not store.query("SELECT count(*) FROM rollup_marks").item():
        # In a transaction of its own, so that there is always a row to take from one another.
        store.append([RollupMark(snapshot_id=0, sources={})])
    try:
        while True:
            rows, is_done = _piece(store, piece)
            written += rows
            if is_done:
                return written
    except Conflict:  # another console, or a merge, had it meanwhile: the next turn goes on
        return written


def source_clocks(store: Store) -> dict[str, datetime]:
    """By source its newest reading, the last committed taken in: what the time is by its clock.

    It asks what was stored since the last roll-up and so reads little, however much there is.
    """
    before, upto = mark(store), store.snapshot_id()
    is_known = before.snapshot_id and store.has_snapshot(before.snapshot_id)
    if is_known:
        clocks = _gone_on(before, _heard(store, before, upto))
    else:
        clocks = _from_the_start(store, before)
    return {source: clock.newest_at for source, clock in clocks.items()}


def _piece(store: Store, piece: timedelta) -> tuple[int, bool]:
    """One bounded step: the rows written, and whether all is done."""
    with store.transaction(is_long=True):
        before, upto = mark(store), store.snapshot_id()
        if before.snapshot_id == upto and not any(map(_is_behind, before.clocks.values())):
            return 0, True
        is_known = before.snapshot_id > 0 and store.has_snapshot(before.snapshot_id)
        heard = _heard(store, before, upto) if is_known else {}
        clocks = _gone_on(before, heard) if is_known else _from_the_start(store, before)
        rows = _late(store, before, upto, heard)
        for source, clock in clocks.items():
            clocks[source], added = _on_time(store, source, clock, piece)
            rows += added
        is_done = not any(map(_is_behind, clocks.values()))
        if rows or clocks != before.clocks or not is_known or upto - before.snapshot_id > _IDLE:
            leave_mark(store, Mark(upto, clocks))
    return rows, is_done


_IDLE = 200
"""Snapshots without a sample after which the mark goes on nevertheless, before they expire."""


def _is_behind(clock: SourceClock) -> bool:
    shortest = PERIODS_SECONDS[0]
    return _floor(clock.newest_at, shortest) > _floor(clock.rolled_until_at, shortest)


_STORED_SINCE = """(
    SELECT * FROM ducklake_table_insertions(
        'warehouse', 'main', 'gpu_samples', $after::BIGINT + 1, $upto::BIGINT
    )
)"""


Heard = dict[str, tuple[datetime, datetime]]
"""By source the oldest and the newest of the readings that were stored since."""


def _heard(store: Store, before: Mark, upto: int) -> Heard:
    if before.snapshot_id == upto:
        return {}
    stored = store.query(
        f"""
        SELECT source, min(measured_at) AS oldest_at, max(measured_at) AS newest_at
        FROM {_STORED_SINCE} GROUP BY source
        """,
        after=before.snapshot_id,
        upto=upto,
    )
    return {source: (oldest_at, newest_at) for source, oldest_at, newest_at in stored.iter_rows()}


def _gone_on(before: Mark, heard: Heard) -> dict[str, SourceClock]:
    """The clocks as of what was heard; a source not heard of before starts here."""
    clocks = dict(before.clocks)
    for source, (oldest_at, newest_at) in heard.items():
        known = clocks.get(source)
        if known is None:
            start = _floor(oldest_at, PERIODS_SECONDS[-1])
            clocks[source] = SourceClock(newest_at, start, _EVER)
        elif newest_at > known.newest_at:
            clocks[source] = replace(known, newest_at=newest_at)
    return clocks


def _from_the_start(store: Store, before: Mark) -> dict[str, SourceClock]:
    """The clocks with everything still to roll up: at first, or when the console was away for so
    long that the snapshots are gone by which new rows are told from old."""
    read = store.query(
        """
        WITH hours AS (
            SELECT DISTINCT source, starts_at FROM gpu_rollups WHERE period_seconds = $period
        ), read AS (
            SELECT source, min(measured_at) AS oldest_at, max(measured_at) AS newest_at
            FROM gpu_samples GROUP BY source
        )
        SELECT read.source, newest_at, time_bucket(to_seconds($period), oldest_at) AS hour_at,
            EXISTS (
                FROM hours WHERE hours.source = read.source
                    AND hours.starts_at = time_bucket(to_seconds($period), oldest_at)
            ) AS is_rolled_up
        FROM read
        """,
        period=PERIODS_SECONDS[-1],
    )
    clocks = dict(before.clocks)
    for source, newest_at, hour_at, is_rolled_up in read.iter_rows():
        known = clocks.get(source)
        # The oldest hour may have lost some of its samples after it was rolled up.
        first_at = hour_at + _HOUR * is_rolled_up
        kept_from = known.kept_from_at if known else first_at if is_rolled_up else _EVER
        start = max(kept_from, hour_at)
        clocks[source] = SourceClock(max(newest_at, start), start, kept_from)
    return clocks


def _on_time(
    store: Store, source: str, clock: SourceClock, piece: timedelta
) -> tuple[SourceClock, int]:
    """Roll up what is over and was not yet, at most a piece of it."""
    clock = _after_the_gap(store, source, clock)
    until = min(clock.newest_at, _floor(clock.rolled_until_at, 3600) + piece)
    rows = 0
    for period in PERIODS_SECONDS:
        since, over = _floor(clock.rolled_until_at, period), _floor(until, period)
        if since < over:
            span = {"period": period, "source": source, "since": since, "until": over}
            store.delete(GpuRollup, _OF_THE_SPAN, **span)
            rows += store.append_frame(GpuRollup, store.query(_rolled(_SPAN), **span))
    return replace(clock, rolled_until_at=max(until, clock.rolled_until_at)), rows


def _after_the_gap(store: Store, source: str, clock: SourceClock) -> SourceClock:
    """Where a source was silent for hours, nothing is to be rolled up in them."""
    if clock.newest_at - clock.rolled_until_at < 2 * PIECE:
        return clock
    since = _floor(clock.rolled_until_at, 3600)
    next_at = store.query(
        "SELECT min(measured_at) FROM gpu_samples WHERE source = $source AND measured_at >= $since",
        source=source,
        since=since,
    ).item()
    silent_until = _floor(next_at, 3600) if next_at else clock.newest_at
    return replace(clock, rolled_until_at=max(clock.rolled_until_at, silent_until))


def _late(store: Store, before: Mark, upto: int, heard: Heard) -> int:
    """Roll up anew what was rolled up before and has had a row since: only that."""
    rows = 0
    for source, (oldest_at, _) in heard.items():
        clock = before.clocks.get(source)
        for period in PERIODS_SECONDS if clock else ():
            assert clock
            until = _floor(clock.rolled_until_at, period)
            if oldest_at >= until:
                break  # what is late for no minute is late for no hour
            span = {
                "after": before.snapshot_id,
                "upto": upto,
                "period": period,
                "source": source,
                "since": clock.kept_from_at,
                "until": until,
            }
            rows += _anew(store, span)
    return rows


def _anew(store: Store, span: dict[str, Any]) -> int:
    found = store.query(f"SELECT min(starts_at), max(starts_at) FROM {_CHANGED}", **span)
    first, last = found.row(0)
    if first is None:
        return 0
    span = span | {"since": first, "until": last + timedelta(seconds=span["period"])}
    frame = store.query(_rolled(f"{_SPAN} AND {_IS_CHANGED}"), **span)
    store.delete(GpuRollup, f"{_OF_THE_SPAN} AND (gpu_id, starts_at) IN {_CHANGED}", **span)
    return store.append_frame(GpuRollup, frame)


_OF_THE_SPAN = """
    period_seconds = $period AND source = $source AND starts_at >= $since AND starts_at < $until
"""
_SPAN = "source = $source AND measured_at >= $since AND measured_at < $until"
_CHANGED = f"""(
    SELECT DISTINCT gpu_id, time_bucket(to_seconds($period), measured_at) AS starts_at
    FROM {_STORED_SINCE} WHERE {_SPAN}
)"""
_IS_CHANGED = f"""
    (gpu_id, time_bucket(to_seconds($period), measured_at)) IN {_CHANGED}
"""


def _rolled(where: str) -> str:
    """The roll-ups of the samples that fit `where`, one a GPU and period of `$period` seconds."""
    return f"""
        WITH once AS (
            SELECT * FROM gpu_samples WHERE {where}
            QUALIFY row_number() OVER (
                PARTITION BY gpu_id, measured_at ORDER BY stored_at DESC, rowid DESC
            ) = 1
        )
        SELECT gpu_id, arg_max(node_id, measured_at) AS node_id,
            arg_max_null(pool, measured_at) AS pool,
            arg_max_null(parent_gpu_id, measured_at) AS parent_gpu_id,
            arg_max(slot, measured_at) AS slot, $period::BIGINT AS period_seconds,
            time_bucket(to_seconds($period), measured_at) AS starts_at,
            count(*) AS sample_count, avg(utilisation_ratio) AS utilisation_mean_ratio,
            max(utilisation_ratio) AS utilisation_max_ratio,
            avg((job_id IS NOT NULL)::INT) AS held_ratio,
            avg(memory_used_bytes) AS memory_used_mean_bytes,
            avg(power_watts) AS power_mean_watts,
            max(temperature_celsius) AS temperature_max_celsius, $source AS source
        FROM once GROUP BY gpu_id, time_bucket(to_seconds($period), measured_at)
        ORDER BY gpu_id, starts_at
    """


def _floor(instant: datetime, seconds: int) -> datetime:
    """The start of the period that an instant lies in, as `time_bucket` has it."""
    return _EVER + (instant - _EVER) // timedelta(seconds=seconds) * timedelta(seconds=seconds)
