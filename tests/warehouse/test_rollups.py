"""Roll-ups against an independent reckoning from the raw rows, late and repeated ones included."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from tests.makers import NOON, make_gpu_sample
from warehouse import merging, rollups
from warehouse.records import GpuRollup, GpuSample
from warehouse.schema import INSTANT
from warehouse.store import Location, Store

HOUR = timedelta(hours=1)


@pytest.fixture(scope="module")
def shared_store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """One warehouse for many examples: each is a source of its own."""
    opened = Store(Location.embedded(tmp_path_factory.mktemp("rollups")))
    yield opened
    opened.close()


def reckoned(rows: list[GpuSample], period_seconds: int) -> pl.DataFrame:
    """The roll-ups of one source by Polars alone, in the order in which its rows were stored."""
    names = ("gpu_id", "node_id", "measured_at", "stored_at", "utilisation_ratio", "power_watts",
             "temperature_celsius", "memory_used_bytes", "job_id")  # fmt: skip
    kinds = {name: pl.Float64 for name in names if name.endswith(("ratio", "watts", "celsius"))}
    types: dict[str, Any] = {**kinds, "memory_used_bytes": pl.Int64, "job_id": pl.String}
    frame = pl.DataFrame(
        {name: [getattr(row, name) for row in rows] for name in names}, schema_overrides=types
    ).with_columns(pl.col("measured_at", "stored_at").cast(INSTANT))
    once = frame.sort("stored_at", maintain_order=True).unique(
        ["gpu_id", "measured_at"], keep="last", maintain_order=True
    )
    starts_at = pl.col("measured_at").dt.truncate(f"{period_seconds}s").alias("starts_at")
    is_over = starts_at + timedelta(seconds=period_seconds) <= pl.col("measured_at").max()
    return (
        once.filter(is_over)
        .group_by("gpu_id", starts_at)
        .agg(
            pl.len().cast(pl.Int64).alias("sample_count"),
            pl.col("utilisation_ratio").mean().alias("utilisation_mean_ratio"),
            pl.col("utilisation_ratio").max().alias("utilisation_max_ratio"),
            pl.col("job_id").is_not_null().mean().alias("held_ratio"),
            pl.col("memory_used_bytes").mean().alias("memory_used_mean_bytes"),
            pl.col("power_watts").mean().alias("power_mean_watts"),
            pl.col("temperature_celsius").max().alias("temperature_max_celsius"),
        )
        .sort("gpu_id", "starts_at")
    )


def stored(store: Store, source: str, period_seconds: int) -> pl.DataFrame:
    return store.query(
        """
        SELECT gpu_id, starts_at, sample_count, utilisation_mean_ratio, utilisation_max_ratio,
            held_ratio, memory_used_mean_bytes, power_mean_watts, temperature_max_celsius
        FROM gpu_rollups WHERE source = $source AND period_seconds = $period ORDER BY ALL
        """,
        source=source,
        period=period_seconds,
    )


def compare(store: Store, source: str, rows: list[GpuSample]) -> None:
    for period in rollups.PERIODS_SECONDS:
        # A mean is kept to the digits that its source tells: a millionth, a milliwatt.
        assert_frame_equal(
            stored(store, source, period), reckoned(rows, period), abs_tol=5.1e-4, rel_tol=1e-12
        )
        if rows:
            fine, exact = stored(store, source, period), reckoned(rows, period)
            ratios = ["utilisation_mean_ratio", "held_ratio"]
            assert_frame_equal(fine.select(ratios), exact.select(ratios), abs_tol=5.1e-7)


@st.composite
def batches(draw: st.DrawFn) -> list[list[dict[str, Any]]]:
    """Readings in the order in which they are stored: late ones and repeated ones among them."""
    reading = st.fixed_dictionaries(
        {
            "gpu_id": st.sampled_from(["a", "b"]),
            "second": st.integers(0, 2 * 3600 // 15).map(lambda n: 15 * n),
            "utilisation_ratio": st.none() | st.integers(0, 100).map(lambda n: n / 100),
            "power_watts": st.none() | st.integers(0, 700_000).map(lambda n: n / 1000),
            "temperature_celsius": st.none() | st.integers(20, 90).map(float),
            "memory_used_bytes": st.none() | st.integers(0, 2**36),
            "job_id": st.none() | st.just("job-1"),
        }
    )
    return draw(st.lists(st.lists(reading, min_size=1, max_size=12), min_size=1, max_size=4))


_sources = iter(range(10**9))


@settings(max_examples=12, deadline=None)
@given(batches())
def test_every_length_equals_the_raw_rows_whenever_they_came(
    shared_store: Store, drawn: list[list[dict[str, Any]]]
) -> None:
    source = f"source-{next(_sources)}"
    rows: list[GpuSample] = []
    for turn, batch in enumerate(drawn):
        came = [
            make_gpu_sample(
                source=source,
                tenant="blue" if each["job_id"] else None,
                measured_at=NOON + timedelta(seconds=each["second"]),
                stored_at=NOON + turn * HOUR + timedelta(seconds=n),
                **{name: value for name, value in each.items() if name != "second"},
            )
            for n, each in enumerate(batch)
        ]
        shared_store.append(came)
        rows += came
        rollups.roll_up(shared_store)
        compare(shared_store, source, rows)


def test_a_late_row_has_its_own_periods_reckoned_anew_and_no_others(store: Store) -> None:
    rows = [
        make_gpu_sample(gpu_id=gpu, measured_at=NOON + timedelta(seconds=30 * n))
        for gpu in ("a", "b")
        for n in range(241)
    ]
    store.append(rows)
    rollups.roll_up(store)
    late = make_gpu_sample(
        gpu_id="a", measured_at=NOON + timedelta(seconds=45), utilisation_ratio=1.0
    )
    store.append([late])
    assert rollups.roll_up(store) == len(rollups.PERIODS_SECONDS)
    assert rollups.roll_up(store) == 0
    compare(store, "test", [*rows, late])


def test_what_was_stored_is_found_also_after_its_files_were_merged(store: Store) -> None:
    rows = [make_gpu_sample(measured_at=NOON + timedelta(minutes=n)) for n in range(20)]
    for row in rows:
        store.append([row])
    rollups.roll_up(store)
    late = [
        make_gpu_sample(gpu_id=f"gpu-{n}", measured_at=NOON + timedelta(seconds=7 * n))
        for n in range(30)
    ]
    store.append(late)
    merging.flush(store)
    merging.merge(store)
    rollups.roll_up(store)
    compare(store, "test", [*rows, *late])


def test_where_the_snapshots_are_gone_all_raw_rows_are_rolled_up_anew(
    store: Store, now: datetime
) -> None:
    rows = [make_gpu_sample(measured_at=NOON + timedelta(minutes=n)) for n in range(90)]
    store.append(rows)
    rollups.roll_up(store)
    late = make_gpu_sample(gpu_id="late", measured_at=NOON + timedelta(minutes=3))
    store.append([late])
    merging.let_snapshots_go(store, older_than=now + timedelta(days=36_500))
    rollups.roll_up(store)
    compare(store, "test", [*rows, late])


def test_a_period_is_over_by_the_clock_of_its_own_source(store: Store) -> None:
    behind = NOON - timedelta(days=20)
    for source, at in (("nvml", behind), ("simulator", NOON)):
        store.append([make_gpu_sample(gpu_id=source, source=source, measured_at=at)])
    assert rollups.roll_up(store) == 0
    assert rollups.source_clocks(store) == {"nvml": behind, "simulator": NOON}
    store.append(
        [make_gpu_sample(gpu_id="nvml", source="nvml", measured_at=behind + timedelta(minutes=6))]
    )
    assert rollups.source_clocks(store)["nvml"] == behind + timedelta(minutes=6)
    assert rollups.roll_up(store) == 2, "its minute and its five, and nothing of the other's"


def test_hours_that_an_older_console_rolled_up_stay_and_are_not_doubled(store: Store) -> None:
    hour = GpuRollup(
        gpu_id="gpu-0", node_id="node-0", slot=0, period_seconds=3600, starts_at=NOON,
        sample_count=240, utilisation_mean_ratio=0.25, source="test",
    )  # fmt: skip
    store.append([hour])
    # Of that hour retention has left a part alone.
    store.append([make_gpu_sample(measured_at=NOON + timedelta(minutes=n)) for n in range(50, 130)])
    rollups.roll_up(store)
    hours = stored(store, "test", 3600)
    assert hours["sample_count"].to_list() == [240, 60]
    store.append([make_gpu_sample(gpu_id="late", measured_at=NOON + timedelta(minutes=55))])
    rollups.roll_up(store)
    assert stored(store, "test", 3600).equals(hours), "its other samples are gone"


def test_of_consoles_that_roll_up_at_once_each_period_is_written_once(store: Store) -> None:
    rows = [make_gpu_sample(measured_at=NOON + timedelta(seconds=15 * n)) for n in range(1000)]
    store.append(rows)
    start = threading.Barrier(4)

    def roll() -> None:
        start.wait()
        rollups.roll_up(store)

    threads = [threading.Thread(target=roll) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    rollups.roll_up(store)  # those that lost left the rest for the next turn
    compare(store, "test", rows)


def test_a_roll_up_that_is_cut_off_leaves_nothing_behind(store: Store) -> None:
    rows = [make_gpu_sample(measured_at=NOON + timedelta(minutes=n)) for n in range(70)]
    store.append(rows)

    def cut_off() -> None:
        with store.transaction():
            rollups.roll_up(store)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        cut_off()
    assert store.query("SELECT count(*) FROM gpu_rollups").item() == 0
    rollups.roll_up(store)
    compare(store, "test", rows)


def test_a_mig_instance_is_rolled_up_as_itself(store: Store) -> None:
    for minute in (0, 1):
        at = NOON + timedelta(minutes=minute)
        store.append(
            [
                make_gpu_sample(measured_at=at),
                make_gpu_sample(
                    gpu_id="mig-1",
                    parent_gpu_id="gpu-0",
                    mig_profile="1g.10gb",
                    utilisation_ratio=None,
                    measured_at=at,
                ),
            ]
        )
    rollups.roll_up(store)
    found = store.rows(GpuRollup, "SELECT * FROM gpu_rollups ORDER BY gpu_id")
    assert [(each.gpu_id, each.parent_gpu_id) for each in found] == [
        ("gpu-0", None),
        ("mig-1", "gpu-0"),
    ]
    assert found[1].utilisation_mean_ratio is None, "a missing reading is not a zero"
