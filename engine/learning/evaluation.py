"""Policies against one another on the same weeks: `python app.py evaluate`.

    python app.py evaluate --policy shipped --trace jobs.parquet --weeks 2017-11-06..2017-11-19
    python app.py evaluate --policy my.npz --generated 18 --seeds 1,2,3 --out evaluation/

Every policy plays every week of every set on the same arrivals, customers, market and failures, and
starts from the same pool. What comes out is a table in Markdown, and one row a policy and week in
Parquet, both in the folder `--out`.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl

from engine.learning.bound import upper_bound
from engine.learning.evaluation_table import document
from engine.learning.evidence import stressed
from engine.policies import Floats, Policy
from engine.policies.learned import Learned, learned
from engine.policies.registry import baseline, baselines
from engine.simulator.episode_sources import training_episodes
from engine.simulator.episodes import Episode
from engine.simulator.errors import TraceError
from engine.simulator.metrics import Metric, profit
from engine.simulator.pools import play
from engine.simulator.trace_weeks import TraceFile, trace_episodes, trace_file, weeks_between

BOUND_ITERATIONS = 120
HELD_OUT_SEED = 9001
"""of the generated weeks that are evaluated; training uses others"""
MOST_WEEKS = 52
COMPARED = (
    "static+list", "hpa+follow", "cluster-autoscaler+follow", "karpenter+follow",
    "karpenter+surge", "newsvendor+surge", "reactive+surge", "mpc+surge", "mpc+planned",
)  # fmt: skip
"""the baselines of the table that `--baselines short` makes"""


class EvaluationError(ValueError):
    """What was asked can't be evaluated; the sentence says what would do."""


@dataclass(frozen=True)
class WeekSet:
    """Weeks that belong together."""

    name: str
    episodes: list[Episode]
    words: str


@dataclass(frozen=True)
class Evaluation:
    """What every policy made of every week."""

    rows: pl.DataFrame
    """set, policy, week, seed, profit_usd, and the shares; one row a policy and pool-week"""
    sets: list[WeekSet]
    policies: list[str]
    command: str = ""
    notes: list[str] = field(default_factory=list)


def evaluated(
    sets: Sequence[WeekSet],
    policies: dict[str, Policy],
    *,
    bound_iterations: int | None = None,
) -> Evaluation:
    """Plays every policy on every set; the rule is always among them and comes first."""
    rule = baseline("rule")
    everyone: dict[str, Policy] = {"rule": rule, **policies}
    frames = []
    for week_set in sets:
        for name, policy in everyone.items():
            _say(f"{week_set.name}: {name}")
            frames.append(_frame(week_set, name, play(week_set.episodes, policy, rule)))
        if bound_iterations is None or bound_iterations > 0:
            frames.append(_bounds(week_set, bound_iterations))
    return Evaluation(pl.concat(frames), list(sets), list(everyone))


def _frame(week_set: WeekSet, policy: str, metrics: Floats) -> pl.DataFrame:
    m = metrics.T
    started = np.maximum(m[Metric.STARTED_JOBS], 1)
    return pl.DataFrame(
        {
            "set": week_set.name,
            "policy": policy,
            "week": [episode.name for episode in week_set.episodes],
            "profit_usd": profit(metrics),
            "revenue_usd": m[Metric.REVENUE_USD],
            "late_ratio": m[Metric.LATE_JOBS] / started,
            "lost_ratio": m[Metric.LEFT_JOBS] / np.maximum(m[Metric.ACCEPTED_JOBS], 1),
            "utilisation_ratio": m[Metric.USED_GPU_SECONDS]
            / np.maximum(m[Metric.AVAILABLE_GPU_SECONDS], 1),
            "interrupted_jobs": m[Metric.INTERRUPTED_JOBS],
            "started_nodes": m[Metric.STARTED_NODES],
            "started_jobs": m[Metric.STARTED_JOBS],
            "late_jobs": m[Metric.LATE_JOBS],
            "used_gpu_hours": m[Metric.USED_GPU_SECONDS] / 3600,
            "on_gpu_hours": m[Metric.AVAILABLE_GPU_SECONDS] / 3600,
        }
    )


def _bounds(week_set: WeekSet, iterations: int | None) -> pl.DataFrame:
    usd = []
    for at, episode in enumerate(week_set.episodes):
        _say(f"{week_set.name}: bound {at + 1} of {len(week_set.episodes)}")
        usd.append(upper_bound(episode, iterations=iterations or BOUND_ITERATIONS).usd)
    names = [episode.name for episode in week_set.episodes]
    frame = pl.DataFrame({"week": names, "profit_usd": usd})
    return frame.select(
        pl.lit(week_set.name).alias("set"), pl.lit("bound").alias("policy"), "week", "profit_usd",
        *(pl.lit(None, pl.Float64).alias(name) for name in (
            "revenue_usd", "late_ratio", "lost_ratio", "utilisation_ratio", "interrupted_jobs",
            "started_nodes", "started_jobs", "late_jobs", "used_gpu_hours", "on_gpu_hours",
        )),
    )  # fmt: skip


# -- what is asked for -----------------------------------------------------------------


def week_sets(
    traces: Sequence[Path],
    weeks: str | None,
    seeds: Sequence[int],
    generated: int,
    is_stressed: bool = False,
) -> list[WeekSet]:
    """The sets that the arguments name; stressed, the generated ones under each setting's end too.

    Raises:
        EvaluationError: there is nothing to play, or a span holds no whole week.
        TraceError: a file is no trace.
    """
    sets = [_trace_set(trace_file(path), weeks, seeds) for path in traces]
    if generated:
        episodes = training_episodes(generated, HELD_OUT_SEED)
        words = f"{generated} generated pools, a week each, seed {HELD_OUT_SEED}"
        sets.append(WeekSet("generated, held out", episodes, words))
        for name, pushed in stressed(episodes).items() if is_stressed else ():
            sets.append(WeekSet(name, pushed, f"The same pools with {name}."))
    if not sets:
        raise EvaluationError("nothing to play: give --trace FILE, or --generated COUNT")
    return sets


def _trace_set(file: TraceFile, weeks: str | None, seeds: Sequence[int]) -> WeekSet:
    starts = _starts(file, weeks)
    if not starts:
        raise EvaluationError(
            f"{file.name} holds no whole week{f' in {weeks}' if weeks else ''}: it runs from "
            f"{file.started_at:%Y-%m-%d} to {_last_day(file):%Y-%m-%d}, and a week needs two days "
            "before it to warm up"
        )
    words = f"{file.words}; {len(starts)} weeks from {starts[0]:%Y-%m-%d}, {len(seeds)} seeds"
    return WeekSet(file.name, trace_episodes(file, starts, seeds), words)


def _starts(file: TraceFile, weeks: str | None) -> list[datetime]:
    if weeks is None:
        first = file.started_at + timedelta(days=2)
        return weeks_between(first, _last_day(file))[:MOST_WEEKS]
    starts: list[datetime] = []
    for span in weeks.split(","):
        begin, _, end = span.strip().partition("..")
        begins = _day(begin)
        starts += weeks_between(begins, _day(end) if end else begins + timedelta(days=6))
    last_start = _last_day(file) - timedelta(days=6)
    return [s for s in starts if file.started_at <= s <= last_start][:MOST_WEEKS]


def _day(text: str) -> datetime:
    try:
        return datetime.combine(date.fromisoformat(text), datetime.min.time(), UTC)
    except ValueError:
        raise EvaluationError(
            f"{text!r} is no day: write --weeks 2017-11-06..2017-11-19, or several spans with a "
            "comma between; without --weeks every whole week is played"
        ) from None


def _last_day(file: TraceFile) -> datetime:
    last = file.started_at + timedelta(seconds=int(file.submitted_at[-1]))
    return last.replace(hour=0, minute=0, second=0, microsecond=0)


def policies_named(names: Sequence[str]) -> dict[str, Policy]:
    """Policies by name: `shipped`, a baseline's name, or a file of weights; `@service` behind one
    turns its dial.

    Raises:
        EvaluationError: there is none of that name.
        WeightsError: a file is none of weights.
    """
    return {name: _policy(name) for name in names if name != "rule"}


def _policy(name: str) -> Policy:
    plain, _, dial = name.partition("@")
    if plain in baselines():
        return baseline(plain)
    if plain == "shipped" or plain.endswith(".npz"):
        found: Learned = learned(None if plain == "shipped" else Path(plain), dial or "balanced")
        return found
    raise EvaluationError(
        f"there is no policy {name!r}: give shipped, a file of weights (.npz), or one of "
        f"{', '.join(baselines())}"
    )


def seeds_of(text: str) -> list[int]:
    """`3` is the seeds 1 to 3; `4,7` are those two."""
    try:
        numbers = [int(part) for part in text.split(",")]
    except ValueError:
        raise EvaluationError(f"{text!r} are no seeds: write --seeds 3, or --seeds 4,7") from None
    if len(numbers) == 1 and numbers[0] < 1:
        raise EvaluationError("--seeds is at least 1")
    return list(range(1, numbers[0] + 1)) if len(numbers) == 1 else numbers


def main(argv: Sequence[str] | None = None) -> int:
    """`python app.py evaluate`; 0, or 2 where what was asked can't be done."""
    parser = _parser()
    given = parser.parse_args(argv)
    try:
        seeds = seeds_of(given.seeds)
        sets = week_sets(given.trace, given.weeks, seeds, given.generated, given.stress)
        policies = policies_named(given.policy)
    except (EvaluationError, TraceError, ValueError) as error:
        print(f"pilothouse: {error}", file=sys.stderr)
        return 2
    rivals = {
        "short": COMPARED, "all": tuple(baselines()), "none": ()
    }[given.baselines]  # fmt: skip
    everyone = {**{name: baseline(name) for name in rivals if name != "rule"}, **policies}
    done = evaluated(sets, everyone, bound_iterations=0 if given.no_bound else None)
    command = "python app.py evaluate " + " ".join(sys.argv[2:] if argv is None else argv)
    text = document(done.rows, [(s.name, s.words) for s in sets], command, list(policies))
    print(text)
    given.out.mkdir(parents=True, exist_ok=True)
    (given.out / "evaluation.md").write_text(text, "utf-8")
    done.rows.write_parquet(given.out / "evaluation.parquet")
    print(f"Kept in {given.out}/evaluation.md and evaluation.parquet", file=sys.stderr)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="app.py evaluate", description="Play policies on the same weeks and compare them."
    )
    parser.add_argument(
        "--policy", action="append", default=[], metavar="NAME",
        help="shipped, a file of weights (.npz), or a baseline; @service, @utilisation, "
        "@reliability behind it turns the dial; may be repeated (the rule always plays)",
    )  # fmt: skip
    parser.add_argument(
        "--trace", action="append", default=[], type=Path, metavar="FILE",
        help="a trace in Parquet: job_id, vc, submitted_at, duration_seconds, gpu_count",
    )  # fmt: skip
    parser.add_argument(
        "--weeks", metavar="FIRST..LAST", help="days, for example 2017-11-06..2017-11-19; default "
        "every whole week of the trace",
    )  # fmt: skip
    parser.add_argument("--seeds", default="3", help="how many, or which with commas (3)")
    parser.add_argument(
        "--generated", type=int, default=0, metavar="COUNT", help="held-out generated pool-weeks"
    )
    parser.add_argument(
        "--baselines", choices=["all", "short", "none"], default="all", help="who else plays (all)"
    )
    parser.add_argument(
        "--stress", action="store_true", help="the generated pools under pushed settings too"
    )
    parser.add_argument("--no-bound", action="store_true", help="leave the clairvoyant bound out")
    parser.add_argument("--out", type=Path, default=Path("evaluation"), help="folder (evaluation)")
    return parser


def _say(words: str) -> None:
    if sys.stderr.isatty():
        print(f"\r\033[K{words}", end="", file=sys.stderr, flush=True)
