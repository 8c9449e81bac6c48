"""The copy of the catalogue that questions are answered from."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import duckdb
import pytest

from tests.makers import NOON, make_gpu_sample, make_pool_state
from tests.warehouse.analyst_attacks import HASH, TOKEN
from tests.warehouse.analyst_scene import MARA, fill, make_analyst
from warehouse.analyst_catalogue import KEPT, Copies
from warehouse.analyst_errors import Broken
from warehouse.analyst_rules import OPEN, WITHHELD
from warehouse.clock import WallClock
from warehouse.records import GpuSample
from warehouse.store import Store


@pytest.fixture
def copies(store: Store, tmp_path: Path) -> Iterator[Copies]:
    fill(store)
    home = tmp_path / "home"
    made = Copies(store, f"{home}/parquet/", home / "questions", WallClock())
    yield made
    made.close()


def test_it_holds_nothing_of_what_is_withheld(copies: Copies, store: Store) -> None:
    copy = copies.current()
    held = copy.file.read_bytes()
    for secret in (HASH, TOKEN, "user-01", "password_hash", "secret_hash", "api_tokens"):
        assert secret.encode() not in held, secret
    with duckdb.connect(str(copy.file), read_only=True) as opened:
        ids = {i for (i,) in opened.execute("SELECT table_id FROM ducklake_table").fetchall()}
        for (name,) in opened.execute(
            "SELECT DISTINCT table_name FROM duckdb_columns() WHERE column_name = 'table_id'"
        ).fetchall():
            found = opened.execute(f"SELECT DISTINCT table_id FROM {name}").fetchall()
            assert {i for (i,) in found} <= ids, name
        tables = opened.execute("SELECT table_name FROM duckdb_tables()").fetchall()
    inlined = {name for (name,) in tables if name.startswith("ducklake_inlined_data_")}
    assert all(
        int(name.split("_")[3]) in ids for name in inlined - {"ducklake_inlined_data_tables"}
    )
    assert set(copy.names) & WITHHELD.keys() == set()
    assert set(copy.names) >= OPEN
    assert not any("/users/" in folder for folder in copy.folders)


def test_only_its_owner_may_read_it(copies: Copies) -> None:
    copy = copies.current()
    assert copy.file.stat().st_mode & 0o077 == 0
    assert copy.file.parent.stat().st_mode & 0o077 == 0


def test_a_young_copy_is_used_again_and_old_ones_are_taken_away(
    copies: Copies, store: Store
) -> None:
    first = copies.current()
    store.append([make_pool_state(measured_at=NOON + timedelta(minutes=9))])
    assert copies.current() is first
    made = [copies.current(is_fresh=True) for _ in range(KEPT + 2)]
    assert made[-1].snapshot_id > first.snapshot_id
    left = sorted(first.file.parent.glob("catalogue-*"))
    assert left == sorted(copy.file for copy in made[-KEPT:])
    copies.close()
    assert list(first.file.parent.glob("catalogue-*")) == []


def test_rows_in_files_rows_in_the_catalogue_and_deleted_rows_are_told_apart(
    store: Store, tmp_path: Path
) -> None:
    fill(store)
    store.append([make_gpu_sample(gpu_id="late", measured_at=NOON)])
    store.delete(
        GpuSample, "gpu_id = 'gpu-3' AND measured_at < $at", at=NOON - timedelta(minutes=20)
    )
    store.delete(GpuSample, "gpu_id = 'gpu-5'")
    sql = "SELECT gpu_id, count(*) AS n, max(measured_at) AS at FROM gpu_samples GROUP BY 1"
    sql += " ORDER BY gpu_id"
    wanted = store.query(sql)
    assert wanted.height == 8
    analyst = make_analyst(store, tmp_path / "home")
    answer = analyst.ask(sql, MARA)
    assert analyst.answers.rows(answer).equals(wanted)
    analyst.close()


def test_every_open_table_can_be_read_from_it(store: Store, tmp_path: Path) -> None:
    fill(store)
    analyst = make_analyst(store, tmp_path / "home")
    names = sorted(OPEN)
    counted = " UNION ALL ".join(
        f"SELECT '{name}' AS t, count(*) AS n FROM {name}" for name in names
    )
    answer = analyst.ask(f"{counted} ORDER BY t", MARA)
    assert analyst.answers.rows(answer).equals(store.query(f"{counted} ORDER BY t"))
    analyst.close()


def test_files_merged_away_since_the_copy_are_looked_for_in_a_fresh_one(
    store: Store, tmp_path: Path
) -> None:
    fill(store)
    home = tmp_path / "home"
    samples = home / "parquet" / "main" / "gpu_samples"
    analyst = make_analyst(store, home)
    sql = "SELECT sum(power_watts) AS watts FROM gpu_samples"
    first = analyst.answers.rows(analyst.ask(sql, MARA)).item()
    before = set(samples.rglob("*.parquet"))
    store.append([make_gpu_sample(gpu_id="late", power_watts=50.0, measured_at=NOON)] * 20)
    store.tend("ducklake_merge_adjacent_files('warehouse')")
    store.tend("ducklake_cleanup_old_files('warehouse', cleanup_all => true)")
    assert before - set(samples.rglob("*.parquet")), "nothing was merged away"
    assert analyst.answers.rows(analyst.ask(sql, MARA)).item() == pytest.approx(first + 1_000)
    for file in samples.rglob("*.parquet"):
        file.rename(file.with_suffix(".gone"))
    with pytest.raises(Broken, match="merged away"):
        analyst.ask(sql, MARA)
    analyst.close()
