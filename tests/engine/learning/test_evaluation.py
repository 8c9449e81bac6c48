"""`python app.py evaluate`: any trace in the documented layout, one table, every policy."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from engine.learning import evaluation
from engine.learning.evaluation_table import gain_of, table
from engine.learning.safety import Contrary, Random, measured
from engine.policies.envelope import AROUND_THE_RULE, FREE
from engine.policies.registry import baseline
from engine.simulator.episode_sources import training_episodes
from engine.simulator.trace_weeks import trace_episodes, trace_file, weeks_between

FIRST = datetime(2024, 3, 4)  # a Monday


@pytest.fixture(scope="module")
def trace(tmp_path_factory) -> Path:
    """Seventeen days of a small cluster's jobs, busiest in the afternoon."""
    random = np.random.default_rng(0)
    count = 1700
    hours = np.sort(random.integers(0, 17 * 24, count))
    hours = hours - hours % 24 + np.clip(np.round(random.normal(15, 5, count)), 0, 23).astype(int)
    seconds = np.sort(hours * 3600 + random.integers(0, 3600, count))
    frame = pl.DataFrame(
        {
            "job_id": [f"j{at}" for at in range(count)],
            "vc": ["a"] * count,
            "submitted_at": [FIRST + timedelta(seconds=int(s)) for s in seconds],
            "duration_seconds": random.lognormal(8.5, 1.2, count).astype(np.int64),
            "gpu_count": random.choice([1, 2, 4, 8], count),
        }
    )
    path = tmp_path_factory.mktemp("trace") / "small.parquet"
    frame.write_parquet(path)
    return path


@pytest.fixture(scope="module")
def kept(trace, tmp_path_factory) -> Path:
    """What one evaluation leaves behind."""
    out = tmp_path_factory.mktemp("evaluation")
    asked = f"--policy karpenter+surge --trace {trace} --seeds 2 --baselines none --out {out}"
    assert evaluation.main(asked.split()) == 0
    return out


def test_the_table_names_every_policy_the_bound_and_the_command(kept, trace):
    text = (kept / "evaluation.md").read_text()
    assert f"--trace {trace}" in text
    for word in ("| rule |", "**karpenter+surge**", "UB-demand (bound)", "95 % interval"):
        assert word in text


def test_the_rows_hold_what_the_table_says(kept):
    rows = pl.read_parquet(kept / "evaluation.parquet")
    assert set(rows["policy"]) == {"rule", "karpenter+surge", "bound"}
    assert rows.filter(policy="rule").height == 4  # two whole weeks, two seeds
    gain, low, high = gain_of(rows, "karpenter+surge")
    assert low <= gain <= high
    assert f"{gain:+.1%}" in table(rows)


def test_stressed_pools_are_the_generated_ones_under_other_terms():
    plain, *pushed = evaluation.week_sets([], None, [1], 1, is_stressed=True)
    assert len(pushed) == 6
    (one,) = plain.episodes
    for week_set in pushed:
        (other,) = week_set.episodes
        assert other.settings.economics != one.settings.economics
        assert np.array_equal(other.arrivals.submitted_at, one.arrivals.submitted_at)


def test_nobody_earns_more_than_the_bound(kept):
    rows = pl.read_parquet(kept / "evaluation.parquet")
    totals = dict(rows.group_by("policy").agg(pl.col("profit_usd").sum()).iter_rows())
    assert totals["bound"] > max(totals["rule"], totals["karpenter+surge"])


def test_a_pool_is_sized_to_its_trace_and_offers_are_more_than_its_jobs(trace):
    file = trace_file(trace)
    assert 2 <= file.settings.owned_nodes + file.settings.burst_nodes <= 120
    starts = weeks_between(datetime(2024, 3, 6, tzinfo=UTC), datetime(2024, 3, 12, tzinfo=UTC))
    (episode,) = trace_episodes(file, starts, [1])
    span = (starts[0] - timedelta(days=2) - file.started_at).total_seconds()
    end = span + episode.ticks * 900
    jobs = int(((file.submitted_at >= span) & (file.submitted_at < end)).sum())
    at_market = file.settings.economics.acceptance_ratio(1.0)
    assert len(episode.arrivals.key) == pytest.approx(jobs / at_market, rel=0.1)


def test_the_same_week_and_seed_are_the_same_episode(trace):
    starts = [datetime(2024, 3, 6, tzinfo=UTC)]
    (one,), (again,) = (trace_episodes(trace, starts, [5]) for _ in range(2))
    assert np.array_equal(one.arrivals.acceptance, again.arrivals.acceptance)
    assert np.array_equal(one.market_usd_per_gpu_hour, again.market_usd_per_gpu_hour)


@pytest.mark.parametrize(
    ("asked", "word"),
    [
        ("--trace {trace} --weeks 2030-01-01..2030-01-14", "holds no whole week"),
        ("--trace {trace} --weeks yesterday", "is no day"),
        ("--trace {trace} --policy nobody", "there is no policy 'nobody'"),
        ("--trace {trace} --policy missing.npz", "missing.npz"),
        ("--trace missing.parquet", "there is no such file"),
        ("--trace {trace} --seeds none", "are no seeds"),
        ("", "nothing to play"),
    ],
)
def test_what_cannot_be_evaluated_is_said_in_one_line(asked, word, trace, capsys):
    assert evaluation.main(asked.format(trace=trace).split()) == 2
    said = capsys.readouterr().err.strip().splitlines()
    assert len(said) == 1
    assert word in said[0]


def test_the_envelope_bounds_the_harm_of_a_random_and_of_a_contrary_policy():
    episodes, rule = training_episodes(4, 31, ticks=192 + 192, largest_nodes=30), baseline("rule")
    found = measured(
        episodes,
        {
            "random": Random(rule, AROUND_THE_RULE), "random, free": Random(rule, FREE),
            "contrary": Contrary(rule, AROUND_THE_RULE), "contrary, free": Contrary(rule, FREE),
        },
    )  # fmt: skip
    assert found["random"][0] > found["random, free"][0] / 2
    assert found["contrary"][0] > found["contrary, free"][0]
    assert found["random, free"][0] < -0.1
