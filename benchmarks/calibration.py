"""What the planning model promises of a decision, against what the fleet's own twin realises.

python benchmarks/calibration.py --seeds 1 2 3 --days 7

The demo fleet's pools are steered by the rule. Every three hours the model, which knows the
warehouse's rows alone, says what each of several decisions would earn over four hours beside doing
nothing now; then the fleet's own exact copies play both, the rule steering each on. Printed: bias
and mean error in points of the pool's profit over the same hours, correlation, how often the sign
agrees where anything was gained or lost, and how often what was realised lay in the 80 % interval;
last, by how much the interval would have to be widened to hold 80 %.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np
import numpy.typing as npt

from engine.actions import Candidate
from engine.gains import Planner
from engine.history import past
from engine.observe import observed
from engine.policies import PRICE_RATIOS, Head
from engine.policies.registry import baseline
from engine.simulator import orders
from engine.simulator.features import FEATURE_COUNT, TAPE_COUNT, Tape
from engine.simulator.fleet import SimulatedFleet
from engine.simulator.layout import REPLY_WIDTH, TICK_SECONDS
from engine.simulator.live import LivePool
from engine.simulator.metrics import profit
from engine.simulator.offers import offers_forecast
from engine.simulator.settings import FleetSettings, default_pools, micro_usd
from engine.simulator.sight import note_many, see_many
from engine.simulator.source import SimulatedSource, joined
from engine.simulator.steering import step_many
from warehouse.records import JobEvent, NodeReading, Pool, PoolState
from warehouse.store import Location, Store

Floats = npt.NDArray[np.float64]

MONDAY = datetime(2026, 10, 5, tzinfo=UTC)
WARM = timedelta(days=4)
ASK_EVERY_TICKS = 12
HORIZON_SECONDS = 4 * 3600
ROLLOUTS = 32
NEGLIGIBLE_USD_PER_HOUR = 0.05
RULE = baseline("rule")


@dataclass
class Steered:
    """A live pool with its tape, which the rule steers; `clone` makes an exact other past."""

    pool: LivePool
    tape: Floats
    tick: int = 0
    counted: Floats = field(default_factory=lambda: np.zeros((1, 4)))

    def note(self) -> None:
        """Write the quarter that ends now."""
        note_many(self.pool.state, self.counted, self.tape[None], np.array([self.tick]))

    def steer(self) -> None:
        """What the rule says now, done."""
        hour, lines = self.tick / 4, self.tape[: self.tick + 1]
        told = offers_forecast(lines[:, Tape.OFFERED_JOBS], hour)
        seen = np.zeros((1, FEATURE_COUNT))
        last = np.array([self.tick])
        see_many(self.pool.state, self.tape[None], last, told[None], np.array([hour]), seen)
        proposal = RULE.proposals(seen)
        market = self.tape[self.tick, Tape.MARKET_USD_PER_GPU_HOUR]
        price = np.array([micro_usd(PRICE_RATIOS[proposal[0, Head.PRICE_LEVEL]] * market)])
        # A second is enough to carry it out; the rest of the quarter is played as any other.
        until, reply = np.array([self.pool.now + 1]), np.zeros(REPLY_WIDTH, np.int64)
        self.pool._fill(self.pool.now + 1)
        step_many(self.pool.state, until, proposal, price, reply)

    def forward(self) -> None:
        """A quarter of an hour."""
        self.tick += 1
        self.pool.advance_to(self.tick * TICK_SECONDS)
        self.note()

    def clone(self) -> Steered:
        """The same, to go another way."""
        return Steered(self.pool.clone(), self.tape.copy(), self.tick, self.counted.copy())

    def earned_under(self, order: tuple[int, int, int], ticks: int) -> float:
        """Profit over so many quarters with an order given now and the rule steering on."""
        other = self.clone()
        before = float(profit(other.pool.state.metrics[0]))
        if order[0] != orders.NONE:
            other.pool.order(*order)
        for turn in range(ticks):
            if turn:
                other.steer()
            other.forward()
        return float(profit(other.pool.state.metrics[0])) - before


@dataclass(frozen=True)
class Answer:
    """A promise and what came of it, in USD per hour."""

    kind: str
    promised: float
    low: float
    high: float
    realised: float
    profit: float


def candidates(pool: str, price: float) -> list[Candidate]:
    """The decisions that are asked about."""

    def one(action: Any, **parameters: Any) -> Candidate:
        return Candidate(action, f"pool/{pool}", pool, parameters)

    steps = [one("scale_up", nodes=nodes) for nodes in (1, 2, 4)]
    steps += [one("scale_down", nodes=nodes) for nodes in (1, 3)]
    prices = [round(price * ratio, 4) for ratio in (0.9, 0.95, 1.05, 1.1)]
    return steps + [one("adjust_price", price_usd_per_gpu_hour=each) for each in prices]


def order_of(candidate: Candidate) -> tuple[int, int, int]:
    """The same for the live pool."""
    given = candidate.parameters
    if candidate.action == "adjust_price":
        return (orders.SET_PRICE, micro_usd(given["price_usd_per_gpu_hour"]), 0)
    kind = orders.SCALE_UP if candidate.action == "scale_up" else orders.SCALE_DOWN
    return (kind, given["nodes"], 0)


def answers(seed: int, days: float) -> list[Answer]:
    """Everything that is promised and realised in one history."""
    fleet = SimulatedFleet(FleetSettings(seed, default_pools(), MONDAY))
    source = SimulatedSource(fleet)
    unwritten = [source.standing(), source.read()]
    ticks = int((WARM + timedelta(days=days)) / timedelta(minutes=15))
    steered = {
        name: Steered(pool, np.zeros((ticks + 32, TAPE_COUNT)))
        for name, pool in fleet.pools.items()
    }
    for each in steered.values():
        each.note()
    terms = {pool.name: pool.economics for pool in default_pools()}
    planner, found = Planner(terms, rollouts=ROLLOUTS), []
    with tempfile.TemporaryDirectory() as folder:
        store = Store(Location.embedded(Path(folder)))
        for tick in range(1, ticks + 1):
            for each in steered.values():
                each.forward()
            unwritten.append(source.read())
            if tick * timedelta(minutes=15) >= WARM and tick % ASK_EVERY_TICKS == 0:
                written(store, joined(unwritten))
                unwritten = []
                found += asked(store, planner, fleet, steered)
            for each in steered.values():
                each.steer()
        store.close()
    return found


def written(store: Store, frames: dict[type, Any]) -> None:
    """What the model reads of it."""
    for record_class, frame in frames.items():
        if record_class in (Pool, PoolState, NodeReading, JobEvent):
            store.append_frame(record_class, frame)


def asked(
    store: Store, planner: Planner, fleet: SimulatedFleet, steered: dict[str, Steered]
) -> list[Answer]:
    """The promises of now for every pool, and what comes of them."""
    seen, known = observed(store, fleet.now, planner.terms), past(store, fleet.now)
    hours, found = HORIZON_SECONDS / 3600, []
    for name, each in steered.items():
        price = float(each.pool.state.pool[0, 0]["price_micro_usd"]) / 1e6
        options = candidates(name, price)
        gains = planner.gains(seen[name], known[name], options, HORIZON_SECONDS)
        quarters = HORIZON_SECONDS // TICK_SECONDS
        nothing = each.earned_under((orders.NONE, 0, 0), quarters)
        for option, gain in zip(options, gains, strict=True):
            came = (each.earned_under(order_of(option), quarters) - nothing) / hours
            found.append(
                Answer(
                    option.action,
                    gain.mean_usd_per_hour,
                    gain.low_usd_per_hour,
                    gain.high_usd_per_hour,
                    came,
                    nothing / hours,
                )
            )
    return found


def report(name: str, found: Sequence[Answer]) -> None:
    """One line."""
    columns = ("promised", "realised", "low", "high", "profit")
    table = np.array([[getattr(each, name) for name in columns] for each in found])
    promised, realised, low, high, profits = table.T
    whole = profits.mean()
    matters = np.abs(realised) > NEGLIGIBLE_USD_PER_HOUR
    slack = NEGLIGIBLE_USD_PER_HOUR
    inside = (realised >= low - slack) & (realised <= high + slack)
    middle, half = (low + high) / 2, np.maximum((high - low) / 2, slack)
    wider = np.quantile(np.abs(realised - middle) / half, 0.8)
    sign = (np.sign(promised) == np.sign(realised))[matters].mean() if matters.any() else np.nan
    related = np.corrcoef(promised, realised)[0, 1]
    print(
        f"{name:22s} n {len(found):5d}  bias {100 * (promised - realised).mean() / whole:+6.2f}  "
        f"error {100 * np.abs(promised - realised).mean() / whole:5.2f}  corr {related:5.2f}  "
        f"sign {sign:4.0%}  inside {inside.mean():4.0%}  widen by {wider:4.2f}"
    )


def curve(found: Sequence[Answer]) -> None:
    """What was realised where little was promised, and where much: by fifths of the promise."""
    ordered = sorted(found, key=lambda one: one.promised)
    whole = np.mean([one.profit for one in found])
    for part in np.array_split(np.arange(len(ordered)), 5):
        promised = np.mean([ordered[at].promised for at in part])
        came = np.array([ordered[at].realised for at in part])
        error = came.std(ddof=1) / np.sqrt(len(came))
        print(
            f"promised {promised:+7.2f} USD/h  realised {came.mean():+7.2f} ± {error:4.2f}  "
            f"apart by {100 * abs(promised - came.mean()) / whole:4.2f} points"
        )


def main() -> None:
    """Play every seed and print its lines."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--days", type=float, default=7.0)
    given = parser.parse_args()
    every: list[Answer] = []
    print("bias and error in points of profit")
    for seed in given.seeds:
        found = answers(seed, given.days)
        report(f"seed {seed}", found)
        every += found
    for kind in sorted({one.kind for one in every}):
        report(kind, [one for one in every if one.kind == kind])
    report("all", every)
    curve(every)


if __name__ == "__main__":
    main()
