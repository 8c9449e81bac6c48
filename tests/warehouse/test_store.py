from __future__ import annotations

import threading
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import polars as pl
import pytest

from tests.makers import NOON, make_decision, make_gpu_sample
from warehouse.records import Decision, GpuSample, Ticket
from warehouse.store import (
    InUse,
    InvalidRow,
    Location,
    NotWritable,
    Store,
    TicketGone,
    Unreadable,
)

TICKET = Ticket(decision_id="decision-1", purpose="verdict")


def test_a_row_comes_back_as_it_went_in(store: Store) -> None:
    sample = make_gpu_sample(energy_joules=None, throttle_reasons="")
    store.append([sample])
    assert store.rows(GpuSample, "SELECT * FROM gpu_samples") == [sample]


def test_words_and_lists_inside_a_row_come_back_as_they_went_in(store: Store) -> None:
    decision = make_decision(evidence={"price": 2.5, "words": "it's ü"}, alternatives=[])
    store.append([decision])
    assert store.rows(Decision, "SELECT * FROM decisions") == [decision]


def test_rows_of_several_classes_are_stored_together_or_not_at_all(store: Store) -> None:
    with pytest.raises(InvalidRow):
        store.append([TICKET, make_gpu_sample(utilisation_ratio=1.5)])
    assert store.rows(Ticket, "SELECT * FROM tickets") == []


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"utilisation_ratio": 1.01}, "utilisation_ratio is 1.01, above 1"),
        ({"utilisation_ratio": float("nan")}, "not a number in row 0: use None"),
        ({"power_watts": -1.0}, "power_watts is -1.0, below 0"),
        ({"gpu_id": None}, "gpu_id is required, and row 0 has none"),
        ({"power_watts": "hot"}, "power_watts takes DECIMAL"),
    ],
)
def test_a_row_out_of_its_declaration_is_refused_by_name(
    store: Store, changes: dict[str, object], words: str
) -> None:
    with pytest.raises(InvalidRow, match=words):
        store.append([make_gpu_sample(**changes)])
    assert store.query("SELECT count(*) AS n FROM gpu_samples").item() == 0


def test_a_word_outside_its_choices_is_refused(store: Store) -> None:
    with pytest.raises(InvalidRow, match="purpose takes one of verdict, execution, undo"):
        store.append([replace(TICKET, purpose="joy")])  # type: ignore[arg-type]


def test_a_frame_with_an_unknown_or_a_missing_column_is_refused(store: Store) -> None:
    with pytest.raises(InvalidRow, match="no column colour"):
        store.append_frame(Ticket, pl.DataFrame({"colour": ["red"]}))
    with pytest.raises(InvalidRow, match=r"tickets\.purpose is required"):
        store.append_frame(Ticket, pl.DataFrame({"decision_id": ["a"]}))


def test_what_a_failed_transaction_wrote_is_gone(store: Store) -> None:
    def fail_half_way() -> None:
        with store.transaction():
            store.append([make_gpu_sample(), make_gpu_sample(gpu_id="gpu-1")])
            store.append([make_gpu_sample(power_watts=-1.0)])

    with pytest.raises(InvalidRow):
        fail_half_way()
    assert store.query("SELECT count(*) AS n FROM gpu_samples").item() == 0
    store.append([make_gpu_sample()])
    assert store.query("SELECT count(*) AS n FROM gpu_samples").item() == 1


def test_a_ticket_is_good_once(store: Store) -> None:
    store.append([TICKET])
    with store.transaction():
        store.take(TICKET)
    with pytest.raises(TicketGone), store.transaction():
        store.take(TICKET)


def test_of_many_who_take_a_ticket_at_once_one_gets_it(store: Store) -> None:
    store.append([TICKET])
    start = threading.Barrier(8)
    won: list[bool] = []

    def try_it() -> None:
        start.wait()
        try:
            with store.transaction():
                store.take(TICKET)
            won.append(True)
        except TicketGone:
            won.append(False)

    threads = [threading.Thread(target=try_it) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(won) == [False] * 7 + [True]


def test_a_snapshot_can_be_read_again(store: Store) -> None:
    store.append([make_gpu_sample()])
    before = store.snapshot_id()
    store.append([make_gpu_sample(gpu_id="gpu-1")])
    sql = "SELECT count(*) AS n FROM gpu_samples"
    assert store.query(sql).item() == 2
    assert store.query(f"{sql} AT (VERSION => {before})").item() == 1


def test_tidying_and_retention_lose_nothing_they_should_keep(store: Store) -> None:
    for day in range(4):
        for gpu in range(3):
            at = NOON - timedelta(days=day)
            store.append([make_gpu_sample(gpu_id=f"gpu-{gpu}", measured_at=at)])
    assert store.delete(GpuSample, "measured_at < $at", at=NOON - timedelta(days=2)) == 3
    store.tend("ducklake_merge_adjacent_files('warehouse')")
    days = store.query("SELECT measured_at, count(*) AS n FROM gpu_samples GROUP BY 1 ORDER BY 1")
    assert days["n"].to_list() == [3, 3, 3]


def test_a_second_console_on_one_warehouse_is_told_so(store: Store, tmp_path: Path) -> None:
    with pytest.raises(InUse, match="another console has the warehouse"):
        Store(Location.embedded(tmp_path / "home"))


def test_a_folder_that_cannot_be_made_is_said_with_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(NotWritable, match="give PILOTHOUSE_HOME a folder"):
        Location.embedded(tmp_path / "file" / "home")


def test_a_catalogue_that_is_none_is_said_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / "catalogue.duckdb").write_text("not a database" * 1000)
    with pytest.raises(Unreadable, match="restore it from a backup"):
        Store(Location.embedded(tmp_path))
    assert (tmp_path / "catalogue.duckdb").read_text().startswith("not a database")


def test_a_warehouse_opens_again_with_all_its_rows(tmp_path: Path) -> None:
    first = Store(Location.embedded(tmp_path))
    first.append([make_gpu_sample(), TICKET])
    first.close()
    second = Store(Location.embedded(tmp_path))
    assert second.rows(Ticket, "SELECT * FROM tickets") == [TICKET]
    assert second.rows(GpuSample, "SELECT * FROM gpu_samples") == [make_gpu_sample()]
    second.close()


def test_a_warehouse_that_was_moved_opens_with_all_its_rows(tmp_path: Path) -> None:
    first = Store(Location.embedded(tmp_path / "here"))
    first.append([make_gpu_sample(gpu_id=f"gpu-{n}") for n in range(200)])
    first.close()
    (tmp_path / "here").rename(tmp_path / "there")
    moved = Store(Location.embedded(tmp_path / "there"))
    moved.append([make_gpu_sample(gpu_id="new")])
    assert moved.query("SELECT count(DISTINCT gpu_id) AS n FROM gpu_samples").item() == 201
    moved.close()
