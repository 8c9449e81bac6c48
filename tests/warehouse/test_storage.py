"""How large the warehouse is and how its own jobs fare."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from tests.makers import NOON, make_gpu_sample
from warehouse import storage, tidying
from warehouse.keeping import days_kept
from warehouse.records import UpkeepRun
from warehouse.store import Store
from warehouse.upkeep import Upkeep


class Still:
    """A clock that stands."""

    def __init__(self, at: datetime) -> None:
        self.at = at

    def now(self) -> datetime:
        return self.at


def test_every_table_is_read_and_its_growth_is_told_by_the_day(store: Store) -> None:
    assert storage.storage(store).is_empty()
    for hours in (0, 6):
        at = NOON + timedelta(hours=hours)
        rows = [make_gpu_sample(gpu_id=f"gpu-{n}", measured_at=at) for n in range(50)]
        store.append(rows)
        store.append(storage.read_storage(store, now=at))
    shown = {row["table_name"]: row for row in storage.storage(store).to_dicts()}
    samples = shown["gpu_samples"]
    assert (samples["row_count"], samples["file_count"], samples["oldest_at"]) == (100, 2, NOON)
    (before,) = store.query(
        "SELECT size_bytes FROM storage_readings WHERE table_name = 'gpu_samples' "
        "ORDER BY measured_at LIMIT 1"
    ).row(0)
    assert samples["growth_bytes_per_day"] == (samples["size_bytes"] - before) * 4
    assert shown[storage.CATALOGUE]["row_count"] > 1, "its rows are the versions kept"
    assert shown[storage.CATALOGUE]["size_bytes"] > 0


def test_minutes_say_nothing_of_how_a_day_grows(store: Store) -> None:
    store.append(storage.read_storage(store, now=NOON))
    store.append([make_gpu_sample(gpu_id=f"gpu-{n}") for n in range(50)])
    store.append(storage.read_storage(store, now=NOON + timedelta(minutes=10)))
    assert set(storage.storage(store)["growth_bytes_per_day"]) == {None}


def test_the_jobs_of_the_house_tell_how_they_ended_last_and_how_often_they_failed(
    store: Store,
) -> None:
    ended: tuple[tuple[int, Any], ...] = ((30, "failed"), (2, "failed"), (1, "succeeded"))
    for hours, outcome in ended:
        store.append(
            [
                UpkeepRun(
                    job="retention", outcome=outcome, detail=f"{hours} h ago", row_count=1,
                    started_at=NOON - timedelta(hours=hours), duration_seconds=0.5,
                )
            ]
        )  # fmt: skip
    (row,) = storage.jobs_of_the_house(store, now=NOON).to_dicts()
    assert (row["outcome"], row["detail"]) == ("succeeded", "1 h ago")
    assert (row["runs_in_24h"], row["failures_in_24h"]) == (2, 1)


def test_the_chores_keep_a_warehouse_that_lives(store: Store) -> None:
    for minute in range(12):
        at = NOON + timedelta(minutes=minute)
        store.append([make_gpu_sample(gpu_id=f"gpu-{n}", measured_at=at) for n in range(12)])
    upkeep = Upkeep(store, Still(NOON))
    done = {
        chore.name: upkeep.run(chore)
        for chore in tidying.house_chores(store, Still(NOON), days_kept(sample_days=3))
    }
    assert {run.outcome for run in done.values() if run} == {"succeeded"}
    assert all(
        run and run.row_count for name, run in done.items() if name in ("roll_up", "storage")
    )
    assert done["merge_minutes"]
    assert done["merge_minutes"].row_count >= 11


def test_days_are_merged_once_a_day(store: Store) -> None:
    clock = Still(NOON)
    chores = tidying.house_chores(store, clock, days_kept(sample_days=3))
    (merge_days,) = (chore for chore in chores if chore.name == "merge_days")
    assert "files fewer" in merge_days.act().detail
    assert merge_days.act().detail == "done today already, or too early"
    clock.at = NOON + timedelta(hours=12, minutes=5)
    assert "too early" in merge_days.act().detail
    clock.at += timedelta(minutes=30)
    assert "files fewer" in merge_days.act().detail
