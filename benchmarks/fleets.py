"""What moves between pools are worth: `python -m benchmarks.fleets`.

Fleets of four pools of one GPU model in different regions, generated and held out; and the Philly
trace dealt out to four pools by virtual cluster, on its report weeks, where the folder
`../shared/traces` lies beside the project. Each is played apart, and with waiting jobs that move.
"""

from __future__ import annotations

import zlib
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import polars as pl

from benchmarks._timing import machine
from engine.learning.statistics import ratio_interval
from engine.policies import Integers, Policy
from engine.policies.learned import SHIPPED, learned
from engine.policies.moves import planned_moves
from engine.policies.registry import baseline
from engine.simulator.episodes import Episode
from engine.simulator.fleets import generated_fleets, play_fleets
from engine.simulator.metrics import Metric, profit
from engine.simulator.trace import read_trace
from engine.simulator.trace_weeks import TraceFile, trace_episodes, trace_file, weeks_between

PHILLY = Path(__file__).resolve().parents[2] / "shared" / "traces" / "philly_jobs.parquet"
POOLS = 4
FLEETS = 12
SEEDS = (1, 2, 3)
HELD_OUT_SEED = 9002
FIRST, LAST = datetime(2017, 11, 20, tzinfo=UTC), datetime(2017, 12, 10, tzinfo=UTC)


def dealt(path: Path) -> list[TraceFile]:
    """The trace as four pools, its virtual clusters dealt out by a hash of their names."""
    whole, frame = trace_file(path), read_trace(path)
    place = np.array([zlib.crc32(vc.encode()) % POOLS for vc in frame["vc"]])
    parts = []
    for pool in range(POOLS):
        rows = frame.filter(pl.Series(place == pool))
        hours = float((rows["gpu_count"] * rows["duration_seconds"].clip(1, 172_800)).sum())
        all_hours = float((frame["gpu_count"] * frame["duration_seconds"].clip(1, 172_800)).sum())
        share = hours / all_hours
        owned = max(2, round(whole.settings.owned_nodes * share))
        kept = (place == pool) & (frame["gpu_count"].to_numpy() <= max(8, owned * 8 // 3))
        settings = replace(
            whole.settings, name=f"pool-{pool}", owned_nodes=owned, burst_nodes=max(2, owned // 3)
        )
        parts.append(
            replace(
                whole, name=f"philly-{pool}", settings=settings,
                submitted_at=whole.submitted_at[kept],
                duration_seconds=whole.duration_seconds[kept], gpus=whole.gpus[kept],
            )
        )  # fmt: skip
    return parts


def philly_fleets(path: Path) -> tuple[list[Episode], Integers]:
    """A fleet a week and seed; its pools follow one another."""
    by_pool = [trace_episodes(part, weeks_between(FIRST, LAST), SEEDS) for part in dealt(path)]
    episodes = [episode for fleet in zip(*by_pool, strict=True) for episode in fleet]
    return episodes, np.repeat(np.arange(len(by_pool[0])), POOLS)


def table(words: str, episodes: list[Episode], groups: Integers) -> None:
    """Rule and shipped policy, apart and helping one another."""
    rule, fleets = baseline("rule"), int(groups.max()) + 1
    policies: dict[str, Policy] = {"karpenter+follow": baseline("karpenter+follow"), "rule": rule}
    if SHIPPED.exists():
        policies["shipped"] = learned()
    print(
        f"\n{words}\n\n| policy | moves | against the rule, apart | 95 % interval | late | lost |"
    )
    print("|---|---|---|---|---|---|")
    played = {("rule", False): play_fleets(episodes, groups, rule, rule, None)}
    base = profit(played["rule", False]).reshape(fleets, -1).sum(axis=1)
    for name, policy in policies.items():
        for moves in (False, True):
            if (name, moves) not in played:
                planner = planned_moves if moves else None
                played[name, moves] = play_fleets(episodes, groups, policy, rule, planner)
            metrics = played[name, moves]
            gains = profit(metrics).reshape(fleets, -1).sum(axis=1) - base
            gain = ratio_interval(gains, base)
            late = metrics[:, Metric.LATE_JOBS].sum() / metrics[:, Metric.STARTED_JOBS].sum()
            lost = metrics[:, Metric.LEFT_JOBS].sum() / metrics[:, Metric.ACCEPTED_JOBS].sum()
            print(
                f"| {name} | {'yes' if moves else 'no'} | {gain.value:+.1%} "
                f"| [{gain.low:+.1%}, {gain.high:+.1%}] | {late:.1%} | {lost:.1%} |"
            )


def main() -> None:
    """Prints the tables."""
    print(machine())
    episodes, groups = generated_fleets(FLEETS, POOLS, HELD_OUT_SEED, 192 + 672)
    table(f"{FLEETS} generated fleets of {POOLS} pools, a week each", episodes, groups)
    if not PHILLY.exists():
        print("\nPhilly: left out, the folder ../shared/traces is not beside the project")
        return
    episodes, groups = philly_fleets(PHILLY)
    table(f"Philly in {POOLS} pools, {FIRST:%Y-%m-%d} to {LAST:%Y-%m-%d}, {len(SEEDS)} seeds",
          episodes, groups)  # fmt: skip


if __name__ == "__main__":
    main()
