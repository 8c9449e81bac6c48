"""Files are merged beside everybody else, and nothing that was read before is lost."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

from tests.makers import NOON, make_gpu_sample
from warehouse import merging
from warehouse.records import GpuSample, Ticket
from warehouse.store import Store

ROWS = 12
"""More than DuckLake would keep in the catalogue."""


def fill(store: Store, rounds: int, *, day: int = 0) -> None:
    for number in range(rounds):
        at = NOON - timedelta(days=day) + timedelta(seconds=15 * number)
        store.append([make_gpu_sample(gpu_id=f"gpu-{n}", measured_at=at) for n in range(ROWS)])


def files(store: Store) -> int:
    found = store.query(
        "SELECT file_count FROM ducklake_table_info('warehouse') WHERE table_name = 'gpu_samples'"
    )
    return int(found.item())


def test_the_files_of_each_day_become_one_sorted_by_gpu_and_old_versions_stay(
    store: Store,
) -> None:
    fill(store, 4)
    fill(store, 4, day=1)
    before = store.snapshot_id()
    fill(store, 1, day=2)
    assert files(store) == 9
    assert merging.merge(store) == 6
    assert files(store) == 3
    (kept,) = store.query(f"SELECT count(*) FROM gpu_samples AT (VERSION => {before})").row(0)
    assert kept == 8 * ROWS
    order = store.query(
        "SELECT gpu_id, measured_at FROM gpu_samples WHERE measured_at >= $at ORDER BY rowid",
        at=NOON,
    )
    assert order.equals(order.sort("gpu_id", "measured_at"))


def test_files_that_are_large_already_wait_for_the_days_end(store: Store) -> None:
    fill(store, 3)
    assert merging.merge(store, smaller_than_bytes=1) == 0
    assert merging.merge(store, smaller_than_bytes=merging.MINUTES_BYTES) == 2
    assert merging.merge(store, smaller_than_bytes=merging.MINUTES_BYTES) == 0


def test_whoever_reads_still_finds_the_files_that_were_merged(store: Store, tmp_path: Path) -> None:
    fill(store, 3)
    merging.merge(store)
    merging.let_snapshots_go(store, older_than=datetime.now(UTC) + timedelta(days=1))
    here = list((tmp_path / "home").rglob("gpu_samples/**/*.parquet"))
    assert merging.delete_dead_files(store, now=datetime.now(UTC)) == 0
    later = datetime.now(UTC) + merging.READERS_NEED + timedelta(minutes=1)
    assert merging.delete_dead_files(store, now=later) >= 3
    assert len(list((tmp_path / "home").rglob("gpu_samples/**/*.parquet"))) == len(here) - 3
    assert store.query("SELECT count(*) FROM gpu_samples").item() == 3 * ROWS


def test_rows_that_are_gone_leave_their_file_when_they_are_many(store: Store) -> None:
    fill(store, 4)
    merging.merge(store)
    store.delete(GpuSample, "gpu_id < 'gpu-5'")
    merging.flush(store)
    store.tend("ducklake_flush_inlined_data('warehouse', table_name => 'gpu_samples')")
    assert merging.rewrite(store) >= 1
    left = store.query("SELECT count(*), min(gpu_id) FROM gpu_samples").row(0)
    assert left == (4 * 5, "gpu-5")


def test_rows_in_the_catalogue_are_written_out_when_they_are_many(store: Store) -> None:
    for number in range(merging.INLINED_ROWS // 10 + 1):
        store.append([Ticket(decision_id=f"{number}-{n}", purpose="verdict") for n in range(10)])
    assert merging.flush(store) == 1
    assert store.query("SELECT count(*) FROM tickets").item() == merging.INLINED_ROWS + 10


def test_merging_and_writing_at_once_lose_nothing_and_no_writer_fails(store: Store) -> None:
    fill(store, 6)
    failed: list[BaseException] = []
    done = threading.Event()

    def write() -> None:
        try:
            fill(store, 12, day=1)
            for number in range(12):
                ticket = Ticket(decision_id=str(number), purpose="verdict")
                store.append([ticket])
                store.take(ticket)
        except BaseException as error:
            failed.append(error)
        finally:
            done.set()

    writer = threading.Thread(target=write)
    writer.start()
    while not done.is_set():
        merging.merge(store)
        merging.let_snapshots_go(store, older_than=NOON - timedelta(days=1))
    writer.join()
    assert not failed
    merging.merge(store)
    rows, once = store.query(
        "SELECT count(*), count(DISTINCT (gpu_id, measured_at)) FROM gpu_samples"
    ).row(0)
    assert (rows, once) == (18 * ROWS, 18 * ROWS)
    assert files(store) == 2
