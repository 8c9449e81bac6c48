from __future__ import annotations

from pathlib import Path

import pytest

from tests.makers import NOON, make_gpu_sample, make_pool_state
from warehouse import migrations
from warehouse.connecting import METADATA
from warehouse.records import Offer
from warehouse.schema import TABLES
from warehouse.store import Location, Store, WarehouseError


def test_new_tables_are_empty_and_say_so_to_every_question(store: Store) -> None:
    for table in TABLES.values():
        assert store.query(f"SELECT count(*) AS n FROM {table.name}").item() == 0
    assert store.query("SELECT max(measured_at) AS at FROM pool_states").item() is None
    earlier = make_pool_state(measured_at=NOON.replace(year=2017))
    store.append([earlier])
    newest = store.query("SELECT max(measured_at) AS at FROM pool_states").item()
    assert newest == earlier.measured_at, "nothing but the row stored is remembered"


def test_a_kill_between_making_tables_and_emptying_them_leaves_no_blank_row(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(migrations, "take_blanks", lambda cursor: None)
        Store(Location.embedded(tmp_path)).close()
    opened = Store(Location.embedded(tmp_path))
    assert opened.query("SELECT count(*) AS n FROM users").item() == 0
    opened.close()


def known_columns(store: Store, table: str) -> int:
    """Of how many columns DuckLake keeps statistics: without, each question asks for each anew."""
    sql = (
        f"SELECT count(*) AS n FROM {METADATA}.ducklake_table_column_stats "
        f"JOIN {METADATA}.ducklake_table USING (table_id) "
        "WHERE table_name = $table AND end_snapshot IS NULL"
    )
    return int(store.query(sql, table=table).item())


def test_every_new_table_has_statistics_though_it_is_empty(store: Store) -> None:
    unknown = {
        table.name
        for table in TABLES.values()
        if table.columns[0].sql_type == "VARCHAR"
        and known_columns(store, table.name) < len(table.columns)
    }
    assert not unknown


def test_an_older_warehouse_is_given_statistics_of_its_empty_tables(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(migrations, "_fill_blank", lambda cursor, table: None)
        patch.setattr(migrations, "STEPS", migrations.STEPS[:1])
        older = Store(Location.embedded(tmp_path))
        older.append([make_pool_state()])
        assert not known_columns(older, "offers")
        older.close()
    newer = Store(Location.embedded(tmp_path))
    assert known_columns(newer, "offers") == len(TABLES[Offer].columns)
    assert newer.query("SELECT count(*) AS n FROM offers").item() == 0
    assert newer.query("SELECT count(*) AS n FROM pool_states").item() == 1
    newer.close()


def test_a_column_that_came_later_is_added_and_old_rows_are_kept(tmp_path: Path) -> None:
    store = Store(Location.embedded(tmp_path))
    store.append([make_gpu_sample()])
    store._cursor().execute("ALTER TABLE gpu_samples DROP COLUMN process_count")
    store.close()
    opened = Store(Location.embedded(tmp_path))
    opened.append([make_gpu_sample(gpu_id="new", process_count=3)])
    counts = opened.query("SELECT process_count AS n FROM gpu_samples ORDER BY gpu_id")
    assert counts["n"].to_list() == [None, 3]
    opened.close()


def test_a_step_runs_once_and_only_on_a_warehouse_that_is_older(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Store(Location.embedded(tmp_path)).close()
    runs: list[int] = []
    monkeypatch.setattr(migrations, "STEPS", (*migrations.STEPS, lambda cursor: runs.append(1)))
    for _ in range(2):
        Store(Location.embedded(tmp_path)).close()
    Store(Location.embedded(tmp_path / "new")).close()
    assert runs == [1]


def test_a_warehouse_of_a_newer_pilothouse_is_refused_and_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(migrations, "STEPS", (*migrations.STEPS, lambda cursor: None))
        Store(Location.embedded(tmp_path)).close()
    with pytest.raises(WarehouseError, match="start the newer Pilothouse"):
        Store(Location.embedded(tmp_path))
