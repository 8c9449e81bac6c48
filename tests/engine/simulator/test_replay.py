"""The exact replay: to the second what others published, and what the rules say elsewhere."""

import importlib.util
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.simulator.errors import NeverFits, SimulatorError
from engine.simulator.replay import Order, replay

_spec = importlib.util.spec_from_file_location("reference", Path(__file__).parent / "reference.py")
assert _spec is not None
assert _spec.loader is not None
_reference = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(_reference)
reference_starts = _reference.reference_starts


def frames(
    jobs: list[tuple[int, int, int]], sizes: list[int], vc: str = "a"
) -> tuple[pl.DataFrame, pl.DataFrame]:
    submitted, durations, gpus = zip(*jobs, strict=True)
    return (
        pl.DataFrame(
            {
                "job_id": [f"{vc}-{at}" for at in range(len(jobs))],
                "vc": vc,
                "submitted_seconds": submitted,
                "duration_seconds": durations,
                "gpu_count": gpus,
            }
        ),
        pl.DataFrame({"vc": vc, "gpu_count": sizes}),
    )


@pytest.fixture(scope="module")
def philly(shared: Path) -> tuple[pl.DataFrame, pl.DataFrame]:
    traces = shared / "traces"
    return (
        pl.read_parquet(traces / "philly_schedules.parquet"),
        pl.read_parquet(traces / "philly_nodes.parquet"),
    )


@pytest.mark.parametrize("order", ["fifo", "sjf"])
def test_every_published_start_comes_out_to_the_second(
    philly: tuple[pl.DataFrame, pl.DataFrame], order: Order
) -> None:
    schedules, nodes = philly
    started = replay(schedules, nodes, order)
    assert (started == schedules[f"started_seconds_{order}"].to_numpy()).all()


def test_starts_come_out_of_the_raw_log_too(
    shared: Path, philly: tuple[pl.DataFrame, pl.DataFrame]
) -> None:
    schedules, nodes = philly
    log = pl.read_parquet(shared / "traces" / "philly_jobs.parquet")
    jobs = log.join(
        schedules.select("job_id", "started_seconds_sjf"), on="job_id", maintain_order="left"
    )
    assert jobs.height == schedules.height
    assert (replay(jobs, nodes, "sjf") == jobs["started_seconds_sjf"].to_numpy()).all()


@pytest.mark.parametrize(
    ("vc", "fifo_seconds", "sjf_seconds"),
    [("11cb48", 19_048.4, 646.8), ("6214e9", 514.9, 311.4), ("7f04ca", 902.8, 547.4)],
)
def test_mean_queues_are_those_published(
    philly: tuple[pl.DataFrame, pl.DataFrame], vc: str, fifo_seconds: float, sjf_seconds: float
) -> None:
    schedules, nodes = philly
    jobs = schedules.filter(pl.col("vc") == vc)
    for order, mean in (("fifo", fifo_seconds), ("sjf", sjf_seconds)):
        waits = replay(jobs, nodes, order) - jobs["submitted_seconds"].to_numpy()  # type: ignore[arg-type]
        assert waits.mean() == pytest.approx(mean, abs=0.05)


@settings(max_examples=150, deadline=None)
@given(
    jobs=st.lists(
        st.tuples(st.integers(0, 12), st.integers(0, 6), st.integers(1, 24)),
        min_size=1,
        max_size=40,
    ),
    sizes=st.lists(st.sampled_from([8, 8, 4, 3]), max_size=4),
    order=st.sampled_from(["fifo", "sjf"]),
)
def test_small_crowded_clusters_agree_with_the_slow_reference(
    jobs: list[tuple[int, int, int]], sizes: list[int], order: Order
) -> None:
    sizes = [8, 8, 8, *sizes]  # ties in time and duration, no duration, odd nodes, odd gangs
    assert replay(*frames(jobs, sizes), order).tolist() == reference_starts(jobs, sizes, order)


def test_a_job_that_can_never_fit_is_named() -> None:
    with pytest.raises(NeverFits, match="a-1 asks 17 GPUs"):
        replay(*frames([(0, 5, 1), (1, 5, 17)], [8, 8]))
    with pytest.raises(NeverFits, match="'a'"):
        replay(frames([(0, 5, 1)], [8])[0], frames([(0, 5, 1)], [8], vc="b")[1])


def test_a_wrong_order_and_a_wrong_row_are_refused() -> None:
    with pytest.raises(SimulatorError, match="'fifo' or 'sjf'"):
        replay(*frames([(0, 5, 1)], [8]), "lifo")  # type: ignore[arg-type]
    with pytest.raises(SimulatorError, match="a-0 has a negative duration"):
        replay(*frames([(0, -5, 1)], [8]))
    with pytest.raises(SimulatorError, match="a-1 has no GPUs"):
        replay(*frames([(0, 5, 1), (0, 5, 0)], [8]))


def test_no_jobs_have_no_starts() -> None:
    jobs, nodes = frames([(0, 5, 1)], [8])
    assert replay(jobs.head(0), nodes).shape == (0,)


def test_a_thousand_jobs_in_one_second_queue_in_their_order() -> None:
    jobs = [(7, 1, 8)] * 1000
    assert replay(*frames(jobs, [8])).tolist() == [7 + at for at in range(1000)]
