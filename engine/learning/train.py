"""Training the shipped policy from scratch: `python app.py train`.

    python app.py train --trace philly_jobs.parquet        the shipped policy, as it was made
    python app.py train                                    the same on generated pools alone
    python app.py train --decisions 500000 --seeds 1 --out mine.npz

Three seeds learn apart, two at a time, each on generated pools beside their twins; what they have
learned is one network by mean log-probability. It is measured on validation pools that nobody
trained on, and the figures, the command and the learning curves are kept beside the weights.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from engine.learning.contract import Record, Settings
from engine.learning.practice import DIAL_COUNT, Practice, PracticeSettings
from engine.learning.statistics import ratio_interval, won_ratio
from engine.policies import Floats
from engine.policies.envelope import Envelope, head_sizes, leaning
from engine.policies.learned import SHIPPED, Learned
from engine.policies.network import Layer, Member, Network
from engine.policies.registry import baseline
from engine.simulator.episode_sources import training_episodes
from engine.simulator.episodes import Episode
from engine.simulator.metrics import Metric, profit
from engine.simulator.pools import play
from engine.simulator.trace_weeks import practice_weeks, trace_episodes, weeks_between

NO_TORCH = (
    "training needs PyTorch, which is not installed here: "
    "`pip install -c constraints.txt '.[learn]'` brings it"
)
DAY_TICKS = 96
FIRST_DAY = datetime(2017, 9, 27, tzinfo=UTC)
LAST_DAY = datetime(2017, 11, 5, tzinfo=UTC)
"""the training weeks of the Philly trace"""
VALIDATION_DAYS = datetime(2017, 11, 6, tzinfo=UTC), datetime(2017, 11, 19, tzinfo=UTC)
"""later days are for the report alone"""
MOST_JOBS = 9000
"""A practice episode with more is left out: it would need more memory than it teaches."""
PRACTICE_SEED = 5
VALIDATION_SEED = 77
JUDGED_EPISODES = 24
"""of each validation set, at each call of the judge"""
CURVE = ("update", "decisions", "reward", "explained_variance", "kl", "entropy", "multiplier",
         "constraint", "score", "seconds")  # fmt: skip


@dataclass(frozen=True)
class Plan:
    """What a training is made of; the defaults make the shipped policy."""

    seeds: tuple[int, ...] = (1, 2, 3)
    """a member of the ensemble each"""
    decisions: int = 4_000_000
    """a seed"""
    episodes: int = 384
    """pools to practise on"""
    days: float = 4.0
    """of an episode, after a day of warm-up"""
    rows: int = 256
    """pools side by side"""
    envelope_nodes: int = 3
    envelope_price_levels: int = 2
    trace: str | None = None
    """a trace whose training weeks are practised on too; the file must reach over FIRST_DAY to
    LAST_DAY"""
    dial_decisions: int = 1_500_000
    """a seed, afterwards, at all settings of the dial; 0 for none"""


def trained_member(plan: Plan, seed: int, start: Path | None = None) -> tuple[Any, list[Record]]:
    """One seed's training; its member and learning curve.

    Raises:
        ModuleNotFoundError: PyTorch is not installed.
    """
    from engine.learning import ppo  # torch is imported where it is used, and nowhere else

    rule = baseline("rule")
    practice = Practice(practice_episodes(plan), rule, practice_settings(plan))
    judge = Judge(plan)
    settings = settings_of(plan)
    before = None if start is None else Network.load(start).members[0]
    done = ppo.train(practice, settings, seed, judge=judge, start=before)
    member, records = done.member, done.records
    if plan.dial_decisions:
        practice = Practice(practice.episodes, rule, replace(practice.settings, turns_dial=True))
        settings = replace(settings, decisions=plan.dial_decisions, critic_updates=1)
        member = ppo.train(practice, settings, seed, start=with_dial(member)).member
    return member, [_point(record) | {"seed": seed} for record in records if _is_kept(record)]


def _is_kept(record: Record) -> bool:
    return "score" in record or int(record["update"]) % 10 == 0


def _point(record: Record) -> Record:
    return {name: round(record[name], 6) for name in CURVE if name in record}


def with_dial(member: Member) -> Member:
    """A member that never saw the dial turned, ready to learn it: at first it minds it not."""
    deviation = member.deviation.copy()
    deviation[-DIAL_COUNT:] = 1.0

    def deaf(layers: tuple[Layer, ...]) -> tuple[Layer, ...]:
        weight = layers[0].weight.copy()
        weight[-DIAL_COUNT:] = 0.0
        return Layer(weight, layers[0].bias), *layers[1:]

    return member._replace(
        deviation=deviation, actor=deaf(member.actor), critic=deaf(member.critic)
    )


def practice_settings(plan: Plan) -> PracticeSettings:
    """The environment of a plan."""
    return PracticeSettings(rows=plan.rows, envelope=envelope_of(plan), turns_dial=False)


def settings_of(plan: Plan) -> Settings:
    """The algorithm's knobs of a plan."""
    mode = practice_settings(plan).mode
    return replace(Settings(), decisions=plan.decisions, leaning=leaning(mode))


def envelope_of(plan: Plan) -> Envelope:
    """The envelope of a plan."""
    return Envelope(plan.envelope_nodes, plan.envelope_price_levels)


def practice_episodes(plan: Plan) -> list[Episode]:
    """Generated pools, half of them on the usual terms; none is a validation or held-out one."""
    ticks = DAY_TICKS + round(plan.days * DAY_TICKS)
    found: list[Episode] = []
    for usual in (False, True):
        made = training_episodes(
            plan.episodes, PRACTICE_SEED + usual, ticks=ticks, usual_terms=usual
        )
        small = [e for e in made if len(e.arrivals.key) <= MOST_JOBS]
        found += small[: plan.episodes // 2]
    made = [replace(episode, warm_ticks=DAY_TICKS) for episode in found]
    if plan.trace is not None:
        made += practice_weeks(
            Path(plan.trace),
            FIRST_DAY,
            LAST_DAY,
            plan.episodes // 2,
            ticks,
            DAY_TICKS,
            PRACTICE_SEED,
        )
    return made


def validation_sets(plan: Plan) -> dict[str, list[Episode]]:
    """Pool-weeks that checkpoints and settings are chosen by, and nobody practises on."""
    found = {}
    for words, usual in (("generated", False), ("generated, usual terms", True)):
        made = training_episodes(64, VALIDATION_SEED + usual, usual_terms=usual)
        found[words] = [e for e in made if len(e.arrivals.key) <= 2 * MOST_JOBS]
    if plan.trace is not None:
        weeks = weeks_between(*VALIDATION_DAYS)
        found["trace"] = trace_episodes(Path(plan.trace), weeks, [1, 2, 3])
    return found


class Judge:
    """The gain over the rule, the mean over the validation sets: the best checkpoint is kept."""

    def __init__(self, plan: Plan) -> None:
        self.rule, self.envelope = baseline("rule"), envelope_of(plan)
        self.sets = [episodes[:JUDGED_EPISODES] for episodes in validation_sets(plan).values()]
        self.base = [profit(play(e, self.rule, self.rule, threads=1)) for e in self.sets]

    def __call__(self, network: Network) -> float:
        policy = Learned("candidate", network, self.rule, self.envelope)
        gains = []
        for episodes, base in zip(self.sets, self.base, strict=True):
            mine = profit(play(episodes, policy, self.rule, threads=1))
            gains.append(float((mine - base).sum() / base.sum()))
        return sum(gains) / len(gains)


def figures(network: Network, plan: Plan) -> dict[str, Any]:
    """Gain over the rule and service on each validation set, for the record."""
    rule, found = baseline("rule"), {}
    for name, episodes in validation_sets(plan).items():
        base = play(episodes, rule, rule)
        mine = play(episodes, Learned("candidate", network, rule, envelope_of(plan)), rule)
        gains = profit(mine) - profit(base)
        interval = ratio_interval(gains, profit(base))
        found[name] = {
            "gain_ratio": interval.value, "low": interval.low, "high": interval.high,
            "weeks": len(episodes), "weeks_won_ratio": won_ratio(gains),
            "late_ratio": _late(mine), "rule_late_ratio": _late(base),
            "utilisation_ratio": _use(mine), "rule_utilisation_ratio": _use(base),
        }  # fmt: skip
    return found


def _late(metrics: Floats) -> float:
    return float(metrics[:, Metric.LATE_JOBS].sum() / metrics[:, Metric.STARTED_JOBS].sum())


def _use(metrics: Floats) -> float:
    used, on = metrics[:, Metric.USED_GPU_SECONDS], metrics[:, Metric.AVAILABLE_GPU_SECONDS]
    return float(used.sum() / on.sum())


def main(argv: Sequence[str] | None = None) -> int:
    """`python app.py train`; 0, or 2 where PyTorch is missing or the file can't be written."""
    given = _parser().parse_args(argv)
    seeds = tuple(int(part) for part in given.seeds.split(","))
    plan = Plan(
        seeds,
        int(float(given.decisions)),
        episodes=given.episodes,
        envelope_nodes=given.envelope,
        trace=None if given.trace is None else str(given.trace),
        dial_decisions=int(float(given.dial_decisions)),
    )
    began = time.monotonic()
    try:
        import torch  # noqa: F401
    except ModuleNotFoundError:
        print(f"pilothouse: {NO_TORCH}", file=sys.stderr)
        return 2
    members, curve = _all_seeds(plan, given.start)
    seconds = time.monotonic() - began
    network = Network(head_sizes(practice_settings(plan).mode), tuple(members))
    facts = {
        "command": "python app.py train " + " ".join(sys.argv[2:] if argv is None else argv),
        "date": f"{datetime.now(UTC):%Y-%m-%d}",
        "plan": asdict(plan), "settings": asdict(settings_of(plan)),
        "seconds": round(seconds), "figures": figures(network, plan),
    }  # fmt: skip
    network = replace(network, facts=facts)
    given.out.parent.mkdir(parents=True, exist_ok=True)
    digest = network.save(given.out)
    beside = given.out.with_suffix(".json")
    document = facts | {"sha256": digest, "curve": curve}
    beside.write_text(json.dumps(document, indent=1) + "\n", "utf-8")
    print(json.dumps(facts["figures"], indent=2))
    print(f"{given.out} ({given.out.stat().st_size / 1024:.0f} KiB), {seconds:.0f} s of training")
    return 0


def _all_seeds(plan: Plan, start: Path | None) -> tuple[list[Any], list[Record]]:
    if len(plan.seeds) == 1:
        member, curve = trained_member(plan, plan.seeds[0], start)
        return [member], curve
    # A process a seed: torch and the simulator each use one core.
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as processes:
        waits = [processes.submit(trained_member, plan, seed, start) for seed in plan.seeds]
        done = [wait.result() for wait in waits]
    return [member for member, _ in done], [record for _, curve in done for record in curve]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="app.py train", description="Train the policy on generated pools."
    )
    plan = Plan()
    parser.add_argument("--decisions", default=str(plan.decisions), help="a seed (%(default)s)")
    parser.add_argument("--seeds", default="1,2,3", help="one member each (%(default)s)")
    parser.add_argument("--episodes", type=int, default=plan.episodes, help="pools (%(default)s)")
    parser.add_argument("--envelope", type=int, default=plan.envelope_nodes, metavar="NODES",
                        help="how far from the rule (%(default)s)")  # fmt: skip
    parser.add_argument("--dial-decisions", default=str(plan.dial_decisions),
                        help="afterwards, at all settings of the dial (%(default)s)")  # fmt: skip
    parser.add_argument("--start", type=Path, metavar="FILE", help="weights to go on from")
    parser.add_argument("--trace", type=Path, metavar="FILE",
                        help="practise on its training weeks too")  # fmt: skip
    parser.add_argument("--out", type=Path, default=SHIPPED, metavar="FILE", help="(%(default)s)")
    return parser
