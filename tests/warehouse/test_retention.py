"""Rows are kept for their days: by table, by their own clock, by whole days."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from tests.makers import NOON, make_charge, make_gpu_sample
from warehouse import retention, rollups
from warehouse.keeping import KEEP_PREFIX, UnusableDays, days_kept, kept_apart
from warehouse.records import ClusterPod, CollectorRun, GpuRollup
from warehouse.schema import columns_of
from warehouse.store import Store


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, _, _ in kept_apart():
        monkeypatch.delenv(f"{KEEP_PREFIX}{name}_DAYS".upper(), raising=False)


def test_every_table_by_day_has_a_setting_and_money_is_kept_for_ever(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PILOTHOUSE_KEEP_GPU_SHARES_DAYS", "9")
    monkeypatch.setenv("PILOTHOUSE_KEEP_COLLECTOR_RUNS_DAYS", "0")
    days = days_kept(sample_days=5)
    assert (days["gpu_samples"], days["gpu_processes"], days["gpu_shares"]) == (5, 5, 9)
    assert (days["gpu_rollups_60"], days["gpu_rollups_3600"]) == (14, 1100)
    assert days["collector_runs"] is None
    assert {days[name] for name in ("charges", "metered_hours", "fleet_hours", "decisions")} == {
        None
    }


def test_days_that_are_none_are_refused_with_the_settings_name(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PILOTHOUSE_KEEP_OFFERS_DAYS", "-1")
    with pytest.raises(UnusableDays, match="PILOTHOUSE_KEEP_OFFERS_DAYS is '-1': give it days"):
        days_kept(sample_days=3)


def test_samples_go_by_the_clock_of_their_own_source_once_they_are_rolled_up(
    store: Store,
) -> None:
    behind = NOON - timedelta(days=20)
    for age in (0, 5):
        for source, now in (("nvml", behind), ("simulator", NOON)):
            at = now - timedelta(days=age)
            store.append([make_gpu_sample(gpu_id=source, source=source, measured_at=at)])
    assert retention.let_go(store, {"gpu_samples": 3.0}) == 2
    kept = store.query("SELECT measured_at FROM gpu_samples ORDER BY 1")["measured_at"].to_list()
    assert kept == [behind, NOON]
    rolled = "SELECT count(*) FROM gpu_rollups WHERE starts_at < $at AND source = 'simulator'"
    assert store.query(rolled, at=NOON).item() == len(rollups.PERIODS_SECONDS)


def test_a_row_that_comes_after_its_day_was_let_go_changes_no_roll_up(store: Store) -> None:
    long_ago = NOON - timedelta(days=5)
    store.append([make_gpu_sample(measured_at=long_ago + timedelta(seconds=n)) for n in range(50)])
    store.append([make_gpu_sample(measured_at=NOON)])
    retention.let_go(store, {"gpu_samples": 3.0})
    store.append([make_gpu_sample(measured_at=long_ago + timedelta(seconds=7))])
    rollups.roll_up(store)
    counts = store.query("SELECT DISTINCT sample_count FROM gpu_rollups")["sample_count"]
    assert counts.to_list() == [50]


def test_roll_ups_are_kept_by_their_length(store: Store) -> None:
    store.append(
        [
            GpuRollup(
                gpu_id="gpu-0", node_id="node-0", slot=0, period_seconds=period,
                starts_at=NOON - timedelta(days=age), sample_count=4, source="test",
            )
            for period in rollups.PERIODS_SECONDS
            for age in (0, 20, 100)
        ]
    )  # fmt: skip
    assert retention.let_go(store, days_kept(sample_days=3)) == 3
    left = store.query("SELECT period_seconds, count(*) FROM gpu_rollups GROUP BY 1 ORDER BY 1")
    assert left.rows() == [(60, 1), (300, 2), (3600, 3)]


def test_whole_days_go_with_their_files_and_money_stays(store: Store) -> None:
    for age in range(20):
        at = NOON - timedelta(days=age)
        runs = [
            CollectorRun(
                collector=f"c-{n}", outcome="succeeded", row_count=1, attempt_count=1,
                started_at=at - timedelta(hours=n), duration_seconds=1.0,
            )
            for n in range(12)
        ]  # fmt: skip
        store.append([*runs, make_charge(period_starts_at=at, period_ends_at=at)])
    assert retention.let_go(store, days_kept(sample_days=3)) == 5 * 12
    oldest, charges = store.query(
        "SELECT min(started_at), (SELECT count(*) FROM charges) FROM collector_runs"
    ).row(0)
    assert (oldest, charges) == (NOON - timedelta(days=14, hours=11), 20)
    info = store.query(
        "SELECT file_count, delete_file_count FROM ducklake_table_info('warehouse') "
        "WHERE table_name = 'collector_runs'"
    )
    assert info.row(0) == (15, 0), "no file was written anew"


_ANY: dict[str, Any] = {
    "VARCHAR": "x",
    "BIGINT": 0,
    "DOUBLE": 0.0,
    "BOOLEAN": False,
    "TIMESTAMPTZ": NOON,
}


def make_pod(**changes: Any) -> ClusterPod:
    given: dict[str, Any] = {
        column.name: _ANY[column.sql_type]
        for column in columns_of(ClusterPod)
        if not column.nullable
    }
    return ClusterPod(**given | {"measured_at": NOON} | changes)


def test_of_what_is_told_when_it_changes_the_newest_word_stays(store: Store) -> None:
    long_ago, once = NOON - timedelta(days=50), NOON - timedelta(days=60)
    store.append(
        [
            make_pod(pod_id="still", measured_at=once),
            make_pod(pod_id="still", measured_at=long_ago),
            make_pod(pod_id="gone", measured_at=once),
            make_pod(pod_id="gone", measured_at=long_ago, is_gone=True),
            make_pod(pod_id="new"),
        ]
    )
    assert retention.let_go(store, days_kept(sample_days=3)) == 3
    left = store.query("SELECT pod_id, measured_at FROM cluster_pods ORDER BY 1").rows()
    assert left == [("new", NOON), ("still", long_ago)]
