"""How long rows are kept: by table, by whole days, and by the clock of whoever brought them.

Money and decisions are kept for ever, unless a setting says otherwise. A day goes as a whole, which
DuckLake does by letting its files go; nothing is written anew. A source that fell silent loses
nothing: its clock stands still.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime, time, timedelta
from typing import Any

from warehouse import rollup_marks, rollups
from warehouse.errors import Conflict
from warehouse.keeping import Days, kept_apart
from warehouse.records import GpuRollup, GpuSample
from warehouse.schema import Table
from warehouse.store import Store


@dataclass(frozen=True)
class _Kept:
    """Rows that go by one clock: a table's, a source's, or a length's of roll-ups."""

    table: Table
    where: str
    parameters: dict[str, Any]


def let_go(store: Store, days: Days) -> int:
    """Let the rows go that are older than is kept; returns how many.

    Raw samples go only once they are rolled up. A day at a time, and nobody waits but for its
    commit; where somebody else had the same rows, its turn comes again.
    """
    rollups.roll_up(store)
    gone = 0
    for name, table, _ in kept_apart():
        keep = days.get(name)
        if keep is not None:
            gone += _let_table_go(store, name, table, timedelta(days=keep))
    return gone


def _let_table_go(store: Store, name: str, table: Table, keep: timedelta) -> int:
    gone = 0
    for part, newest_at in _parts(store, name, table):
        cut = _midnight(newest_at - keep)
        if table.record is GpuSample:
            cut = _only_what_is_rolled_up(store, part, cut)
        for day in _days_before(store, part, cut):
            try:
                gone += _let_day_go(store, part, day)
            except Conflict:
                break
    return gone


def _parts(store: Store, name: str, table: Table) -> list[tuple[_Kept, datetime]]:
    """What of a table goes by one clock, with what the time is by it."""
    by_source = "source" in {column.name for column in table.columns} and not table.newest_of
    period = "period_seconds = $period" if table.record is GpuRollup else "true"
    given = {"period": int(name.rpartition("_")[2])} if table.record is GpuRollup else {}
    who = "source" if by_source else "NULL::VARCHAR AS source"
    clocks = store.query(
        f'SELECT {who}, max("{table.partition_by}") AS newest_at FROM {table.name} '
        f"WHERE {period} GROUP BY ALL",
        **given,
    )
    return [
        (_Kept(table, f"{period} AND source = $source", given | {"source": source}), newest_at)
        if by_source and source is not None
        else (
            _Kept(table, f"{period} AND source IS NULL" if by_source else period, given),
            newest_at,
        )
        for source, newest_at in clocks.iter_rows()
        if newest_at is not None
    ]


def _only_what_is_rolled_up(store: Store, part: _Kept, cut: datetime) -> datetime:
    clock = rollup_marks.mark(store).clocks.get(part.parameters.get("source", ""))
    return min(cut, _midnight(clock.rolled_until_at)) if clock else _midnight(_EVER)


def _days_before(store: Store, part: _Kept, cut: datetime) -> list[datetime]:
    at = f'"{part.table.partition_by}"'
    found = store.query(
        f"SELECT DISTINCT date_trunc('day', {at}) AS day FROM {part.table.name} "
        f"WHERE {at} < $cut AND {part.where}{_superseded(part.table)} ORDER BY 1",
        cut=cut,
        **part.parameters,
    )
    return found["day"].to_list()


def _let_day_go(store: Store, part: _Kept, day: datetime) -> int:
    at = f'"{part.table.partition_by}"'
    until = day + timedelta(days=1)
    with store.transaction(is_long=True):
        if part.table.record is GpuSample:
            _mark_kept_from(store, part.parameters["source"], until)
        return store.delete(
            part.table.record,
            f"{at} >= $day AND {at} < $until AND {part.where}{_superseded(part.table)}",
            day=day,
            until=until,
            **part.parameters,
        )


def _superseded(table: Table) -> str:
    """Of a table that is written when something changed, all but the newest row of each thing; of
    a thing that is gone the newest too."""
    if not table.newest_of:
        return ""
    same = " AND ".join(f'later."{key}" = {table.name}."{key}"' for key in table.newest_of)
    at, names = f'"{table.partition_by}"', {column.name for column in table.columns}
    gone = "is_gone OR " if "is_gone" in names else ""
    return (
        f" AND ({gone}EXISTS (SELECT 1 FROM {table.name} AS later "
        f"WHERE {same} AND later.{at} > {table.name}.{at}))"
    )


def _mark_kept_from(store: Store, source: str, instant: datetime) -> None:
    mark = rollup_marks.mark(store)
    clock = mark.clocks[source]
    clocks = mark.clocks | {source: replace(clock, kept_from_at=max(clock.kept_from_at, instant))}
    rollup_marks.leave_mark(store, replace(mark, clocks=clocks))


_EVER = datetime(1970, 1, 1, tzinfo=UTC)


def _midnight(instant: datetime) -> datetime:
    return datetime.combine(instant.astimezone(UTC).date(), time(), UTC)
