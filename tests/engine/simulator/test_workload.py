"""Where jobs come from: hashes, generated jobs, the market, and traces that can't be trusted."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from engine.simulator.errors import TraceError
from engine.simulator.fleet import SimulatedFleet
from engine.simulator.hashing import uniform, uniforms
from engine.simulator.market import market_path
from engine.simulator.settings import FleetSettings, default_pools
from engine.simulator.trace import TraceWorkload, dense_span, read_trace, trace_pool
from engine.simulator.workload import GeneratedWorkload

POOL = default_pools()[0]


def make_trace(rows: int = 600, **changes: object) -> pl.DataFrame:
    start = datetime(2020, 1, 6)
    columns = {
        "job_id": [f"j{at}" for at in range(rows)],
        "vc": [f"vc{at % 3}" for at in range(rows)],
        "submitted_at": [start + timedelta(minutes=10 * at) for at in range(rows)],
        "duration_seconds": [3600] * rows,
        "gpu_count": [1 + at % 4 for at in range(rows)],
    }
    return pl.DataFrame({**columns, **changes})


def written(tmp_path: Path, frame: pl.DataFrame) -> Path:
    path = tmp_path / "trace.parquet"
    frame.write_parquet(path)
    return path


def test_compiled_and_array_hashes_are_one() -> None:
    times = np.arange(50)
    alone = [uniform(11, int(at), 3, 5) for at in times]
    assert uniforms(11, times, 3, 5).tolist() == alone
    assert uniforms(11, np.arange(200_000), 0, 1).mean() == pytest.approx(0.5, abs=0.005)


def test_any_window_of_generated_jobs_agrees_with_the_whole() -> None:
    source = GeneratedWorkload(POOL, 3, 0)
    whole = source.arrivals(0, 86_400)
    edges = [0, 1_000, 3_600, 40_001, 86_400]
    parts = [source.arrivals(a, b) for a, b in pairwise(edges)]
    for at, column in enumerate(whole):
        assert (np.concatenate([part[at] for part in parts]) == column).all()
    assert (np.diff(whole.submitted_at) >= 0).all()
    assert (np.diff(whole.key) > 0).all()
    assert all(source.key_of(source.job_id(int(key))) == key for key in whole.key[:50])
    assert source.key_of("h100-us-east-x") == -1


def test_generated_jobs_have_the_published_shape() -> None:
    jobs = GeneratedWorkload(POOL, 3, 0).arrivals(0, 28 * 86_400)
    assert (jobs.gpus == 1).mean() == pytest.approx(0.52, abs=0.02)
    assert jobs.gpus.mean() == pytest.approx(3.4, abs=0.2)
    assert jobs.duration_seconds.mean() > 2 * np.median(jobs.duration_seconds)
    night = jobs.submitted_at % 86_400 // 3600 == 9  # 04:00 in the pool's own time
    day = jobs.submitted_at % 86_400 // 3600 == 21
    assert day.sum() > 2 * night.sum()


def test_a_longer_market_path_begins_like_a_shorter_one() -> None:
    assert (market_path(POOL, 5, 100) == market_path(POOL, 5, 900)[:100]).all()


def test_a_trace_is_read_and_sorted(tmp_path: Path) -> None:
    frame = make_trace().sample(fraction=1.0, shuffle=True, seed=3)
    read = read_trace(written(tmp_path, frame.with_columns(clock_confidence=pl.lit("exact"))))
    assert read.columns == ["job_id", "vc", "submitted_at", "duration_seconds", "gpu_count"]
    assert read["job_id"].to_list() == [f"j{at}" for at in range(600)]


def nulled(rows: int = 5) -> list[int | None]:
    return [1, 2, None, 4, 5]


@pytest.mark.parametrize(
    ("frame", "words"),
    [
        (make_trace().drop("vc"), "column vc is missing"),
        (make_trace(5, gpu_count=["1"] * 5), "column gpu_count is String, and should be"),
        (make_trace(5, gpu_count=nulled()), r"gpu_count, row 2: is empty"),
        (make_trace(5, gpu_count=[1, 1, 1, 0, -1]), r"gpu_count, row 3: is not positive \(0\)"),
        (make_trace(5, duration_seconds=[1, -2, 1, 1, 1]), r"row 1: is negative \(-2\)"),
        (make_trace(5, duration_seconds=[1.5] * 5), "duration_seconds is Float64"),
        (make_trace(5, submitted_at=["2020"] * 5), "submitted_at is String, and should be a time"),
        (make_trace(5, job_id=["a", "b", "c", "b", "e"]), r"job_id, row 3: is there twice \(b\)"),
        (make_trace().head(0), "it has no rows"),
    ],
)
def test_a_bad_trace_is_refused_in_one_line(
    tmp_path: Path, frame: pl.DataFrame, words: str
) -> None:
    path = written(tmp_path, frame)
    with pytest.raises(TraceError, match=words) as caught:
        read_trace(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_no_file_and_no_parquet_are_refused(tmp_path: Path) -> None:
    with pytest.raises(TraceError, match="no such file"):
        read_trace(tmp_path / "absent.parquet")
    path = tmp_path / "text.parquet"
    path.write_text("job_id,vc\n")
    with pytest.raises(TraceError, match="not a Parquet file"):
        read_trace(path)
    with pytest.raises(TraceError, match="not a Parquet file"):
        read_trace(tmp_path)


def test_a_trace_starts_over_from_its_dense_start() -> None:
    source = TraceWorkload(make_trace(), seed=1)
    lap = source.lap_seconds
    first, second = source.arrivals(0, 86_400), source.arrivals(lap, lap + 86_400)
    assert (second.submitted_at == first.submitted_at + lap).all()
    assert (second.gpus == first.gpus).all()
    assert source.job_id(int(second.key[0])) == "j0@2"
    assert source.key_of("j0@2") == second.key[0]
    assert source.key_of("j0") == first.key[0]
    assert source.key_of("nobody") == -1
    both = source.arrivals(lap - 3600, lap + 3600)
    assert (np.diff(both.key) > 0).all()


def test_a_trace_s_fleet_takes_every_job_at_the_market_s_price(tmp_path: Path) -> None:
    path = written(tmp_path, make_trace())
    fleet = SimulatedFleet(FleetSettings(1, (), datetime(2026, 11, 2, tzinfo=UTC), path))
    pool = fleet.pools["trace"]
    pool.state.market[:] = pool.settings.market_usd_per_gpu_hour
    assert pool.workload.tenants == ("vc0", "vc1", "vc2")
    fleet.advance_to(6 * 3600)
    assert pool.state.metrics[0][15] == pool.state.metrics[0][16] > 30
    assert "starts over" in pool.workload.words


def test_the_dense_span_of_philly_is_the_one_its_readers_use(shared: Path) -> None:
    trace = read_trace(shared / "traces" / "philly_jobs.parquet")
    start, end = dense_span(trace["submitted_at"].dt.epoch("s").to_numpy())
    days = [datetime.fromtimestamp(at, UTC).strftime("%m-%d") for at in (start, end)]
    assert days == ["09-24", "12-11"] or days == ["09-23", "12-11"]
    source = TraceWorkload(trace, 1)
    assert trace_pool(source).owned_nodes * 8 == pytest.approx(source.mean_gpus / 0.85, abs=12)
