"""Tuning: it finds what is to be found, repeats itself, and keeps what it found."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from engine.learning import tune
from engine.policies import Knob, parameters
from engine.policies.registry import baseline
from engine.simulator.episode_sources import training_episodes
from engine.simulator.metrics import profit
from engine.simulator.pools import play

KNOBS = (Knob("one_hours", 1.0, 0.0, 10.0, "wants 7"), Knob("two_ratio", 0.1, 0.0, 1.0, "wants 1"))


def hill(knobs: Any) -> Any:
    """Highest at (7, 1); the second knob wants to leave its box."""
    values = -(((knobs[:, 0] - 7) / 10) ** 2) - (knobs[:, 1] - 1.5) ** 2
    return np.asarray(values)


def searched(start: tuple[float, float], generations: int = 40) -> tuple[Any, float]:
    pytest.importorskip("cma", reason="the learning extra is not installed")
    budget = tune.Budget(seconds=30, generations=generations, population=8, seed=3)
    return tune.best_knobs(KNOBS, np.array(start), hill, budget)


def test_it_finds_the_top_of_a_hill_within_the_bounds() -> None:
    best, value = searched((1.0, 0.1))
    assert best == pytest.approx([7.0, 1.0], abs=0.1)
    assert value == pytest.approx(-0.25, abs=0.01)


def test_it_is_never_worse_than_where_it_began() -> None:
    best, value = searched((7.0, 1.0), generations=1)
    assert value >= hill(np.array([[7.0, 1.0]]))[0]
    assert hill(best[None])[0] == value


def test_the_same_seed_finds_the_same() -> None:
    one, other = (searched((1.0, 0.1), generations=5)[0] for _ in range(2))
    assert one.tolist() == other.tolist()


def test_without_its_library_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cma", None)
    with pytest.raises(ModuleNotFoundError, match="learning extra"):
        tune.best_knobs(KNOBS, np.array([1.0, 0.1]), hill, tune.Budget(seconds=1, generations=1))


def test_a_population_earns_what_each_candidate_earns_alone() -> None:
    episodes = training_episodes(2, 5, ticks=40, largest_nodes=12)
    episodes = [type(one)(**{**vars(one), "warm_ticks": 8}) for one in episodes]
    policy = baseline("static+follow")
    objective = tune.MeanProfit(policy, baseline("rule"), episodes)
    population = np.array([[1.0, 0.0, 1.0], [0.6, 0.0, 0.8], [1.0, 1.0, 1.2]])
    together = objective(population)
    alone = [float(objective(one[None])[0]) for one in population]
    assert together.tolist() == pytest.approx(alone)
    assert len(set(alone)) == 3
    assert objective.evaluations == 6
    # By hand for the first pool and candidate: profit over GPUs, price and 8 hours.
    met = play(episodes, policy.with_knobs(population[0]), baseline("rule"))
    sizes = [
        one.settings.owned_nodes * 8 * one.settings.market_usd_per_gpu_hour * 8 for one in episodes
    ]
    assert together[0] == pytest.approx((profit(met) / sizes).mean())


def test_the_training_weeks_end_before_the_validation(shared: Path) -> None:
    trace = shared / "traces" / "philly_jobs.parquet"
    if not trace.exists():
        pytest.skip("../shared/traces/philly_jobs.parquet is not here")
    names = [one.name for one in tune.episodes_for_tuning(1, trace, 1)]
    assert len(names) == 4
    weeks = sorted(name.split()[1] for name in names[1:])
    assert weeks == ["2017-09-25", "2017-10-09", "2017-10-23"]


def test_what_was_found_is_kept_beside_what_was_known(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("cma", reason="the learning extra is not installed")
    kept = tmp_path / "parameters.json"
    kept.write_text(json.dumps({"policies": {"other": {"knobs": {"a": 1.0}}}}))
    asked = ["static+follow", "--episodes", "1", "--generations", "1", "--population", "4"]
    tune.main([*asked, "--output", str(kept), "--machine", "a test"])
    found = json.loads(kept.read_text())["policies"]
    assert found["other"] == {"knobs": {"a": 1.0}}
    mine = found["static+follow"]
    assert set(mine["knobs"]) == {knob.name for knob in baseline("static+follow").tunables}
    assert mine["profit_ratio"] >= mine["start_ratio"]
    assert mine["command"].startswith("python app.py tune static+follow --episodes 1")
    assert "follow_ratio" in capsys.readouterr().out


def test_the_knobs_are_printed_with_their_sentences(capsys: pytest.CaptureFixture[str]) -> None:
    tune.main(["rule", "--show"])
    printed = capsys.readouterr().out
    values = parameters.knob_values("rule", baseline("rule").tunables)
    assert f"lead_ratio {values[0]:g}" in printed
    assert "how far ahead" in printed
