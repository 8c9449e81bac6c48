"""Pools that stand in the midst of things steered on by a policy, a decision every quarter."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from engine.policies import PRICE_RATIOS, Head, Policy
from engine.simulator.features import FEATURE_COUNT, TAPE_COUNT, Tape
from engine.simulator.layout import REPLY_WIDTH, TICK_SECONDS, State
from engine.simulator.sight import note_many, see_many
from engine.simulator.standing import ObservedPool
from engine.simulator.steering import step_many

Floats = npt.NDArray[np.float64]

TAPE_KEPT = 97
"""rows of the tape that figures are read from: a day of quarters and the instant before it"""


def advance_under(
    states: State, policy: Policy, observed: ObservedPool, forecasts: Floats, horizon_seconds: int
) -> None:
    """Steers rows (R) that were laid out from `observed` and stand a quarter later, to the horizon.

    `forecasts` (R, ticks + 1, FORECAST_COUNT) are what the policy is told at each quarter.
    """
    rows, ticks = len(states.pool), -(-horizon_seconds // TICK_SECONDS)
    tapes, base = _tapes(observed, rows, ticks)
    counted, reply = np.zeros((rows, 4)), np.zeros(REPLY_WIDTH, np.int64)
    everyone = np.arange(rows)
    for tick in range(1, ticks):
        last = np.full(rows, base + tick, np.int64)
        note_many(states, counted, tapes, last)
        seen = np.zeros((rows, FEATURE_COUNT))
        hours = np.full(rows, observed.hour_of_week + tick / 4)
        see_many(states, tapes, last, forecasts[:, tick].copy(), hours, seen)
        proposals = np.ascontiguousarray(policy.proposals(seen), np.int64)
        market = tapes[everyone, last, Tape.MARKET_USD_PER_GPU_HOUR]
        prices = np.round(PRICE_RATIOS[proposals[:, Head.PRICE_LEVEL]] * market * 1e6)
        until = np.full(rows, min((tick + 1) * TICK_SECONDS, horizon_seconds), np.int64)
        step_many(states, until, proposals, prices.astype(np.int64), reply)


def _tapes(observed: ObservedPool, rows: int, ticks: int) -> tuple[Floats, int]:
    """The last day's tape a row with room for what comes, and the place of its last line."""
    known = known_tape(observed)[-TAPE_KEPT:]
    tapes = np.zeros((rows, len(known) + ticks, TAPE_COUNT))
    tapes[:, : len(known)] = known
    return tapes, len(known) - 1


def known_tape(observed: ObservedPool) -> Floats:
    """The pool's tape; one line of how it stands where nothing is known of its past."""
    if observed.tape is not None:
        return observed.tape
    line = np.zeros((1, TAPE_COUNT))
    line[0, Tape.USED_GPUS] = observed.running_gpus.sum()
    line[0, Tape.QUEUED_GPUS] = observed.queued_gpus.sum()
    line[0, Tape.MARKET_USD_PER_GPU_HOUR] = observed.market_usd_per_gpu_hour
    return line
