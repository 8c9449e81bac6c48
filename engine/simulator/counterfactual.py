"""What a command was worth: the fleet against its twin that never took it.

The twin starts from a clone made just before the command, takes every other command at its own
instant, and meets the same customers, market and failures, since all luck is a hash of seed, time
and entity. The difference is therefore the command's own doing, exact for this simulated world.
"""

from dataclasses import dataclass
from datetime import datetime

import numpy as np
import numpy.typing as npt

from engine.simulator.fleet import SimulatedFleet
from engine.simulator.metrics import profit


@dataclass(frozen=True)
class Effect:
    """Actual less counterfactual, from the command to `until`."""

    command_id: str
    until: datetime
    profit_usd: float
    """over all pools"""
    profit_usd_of_pool: dict[str, float]
    metrics_of_pool: dict[str, npt.NDArray[np.float64]]
    """differences of metric vectors, each of shape (METRIC_COUNT,)"""


def counterfactual(
    before: SimulatedFleet, actual: SimulatedFleet, command_id: str, until: datetime | None = None
) -> Effect:
    """The effect of one command.

    `before` is a clone of the fleet made before the command, `actual` the fleet itself; neither is
    changed. `until` defaults to the fleet's present and may lie in its future, where both go on
    without further commands. An instant before the fleet's present raises ClockError.
    """
    until = until or actual.now
    other = before.clone()
    start = len(before.log)
    other.obey(entry for entry in actual.log[start:] if entry.command_id != command_id)
    other.advance_to(until)
    went = actual
    if until != actual.now:
        went = actual.clone()
        went.advance_to(until)
    ours, theirs = went.metrics(), other.metrics()
    differences = {name: ours[name] - theirs[name] for name in ours}
    gains = {name: float(profit(difference)) for name, difference in differences.items()}
    return Effect(command_id, until, sum(gains.values()), gains, differences)
