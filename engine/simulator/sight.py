"""Reading a pool's figures from its state and its tape (compiled); see `features.py`."""

import numpy as np
import numpy.typing as npt

from engine.simulator.compiled import compiled
from engine.simulator.features import (
    AGES_SECONDS,
    FORECAST_COUNT,
    QUARTERS_A_DAY,
    SPARSE_RATIO,
    SUSPECT_HEALTH_RATIO,
    Feature,
    Tape,
)
from engine.simulator.kernel import row_of
from engine.simulator.layout import (
    BURST,
    CORDONED,
    DOWN,
    OFF,
    OWNED,
    PROVISIONING,
    TICK_SECONDS,
    State,
)
from engine.simulator.metrics import Metric

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]

# Members of an enumeration are no constants to the compiler; plain integers are. Each group below
# is filled from its first member on, in the order of `Feature`.
TERMS = int(Feature.OWNED_NODES)
NODES = int(Feature.OWNED_ACTIVE_NODES)
OWNED_ACTIVE, BURST_ACTIVE, CLOSED = range(NODES, NODES + 3)
OWNED_BOOTING, BURST_BOOTING, BROKEN, OWNED_OFF, BURST_OFF = range(NODES + 3, NODES + 8)
OWNED_EMPTY, BURST_EMPTY, BURST_RIPE, SPARSE = range(NODES + 8, NODES + 12)
USED, FREE, QUEUED_GPUS, QUEUED_JOBS, OLDEST, LARGEST = range(NODES + 12, NODES + 18)
AGES = int(Feature.RUNNING_UNDER_30_MINUTES_GPUS)
PRICES = int(Feature.PRICE_USD_PER_GPU_HOUR)
SUSPECTS = int(Feature.SUSPECT_NODES)
WORST = int(Feature.WORST_HEALTH_RATIO)
FLOWS = int(Feature.OFFERED_QUARTER_JOBS_PER_HOUR)
EXPECTED = int(Feature.FORECAST_30_MINUTES_JOBS_PER_HOUR)
CALENDAR = int(Feature.HOUR_OF_WEEK)

OFFERED_TAPE, JOBS_TAPE, GPUS_TAPE, FINISHED_TAPE, USED_TAPE, QUEUED_TAPE, MARKET_TAPE = range(7)
assert int(Tape.MARKET_USD_PER_GPU_HOUR) == MARKET_TAPE

OFFERED_METRIC = int(Metric.OFFERED_JOBS)
ACCEPTED_METRIC = int(Metric.ACCEPTED_JOBS)
ACCEPTED_GPUS_METRIC = int(Metric.ACCEPTED_GPUS)
FINISHED_METRIC = int(Metric.FINISHED_GPUS)


@compiled
def market_now(s: State) -> float:
    """The market's price in force; a path that ends stays at its last."""
    return float(s.market[min(s.pool[0].now // TICK_SECONDS, s.market.shape[0] - 1)])


@compiled
def _read_terms(s: State, out: Floats) -> None:
    knobs, owned, burst = s.knobs[0], 0, 0
    for at in range(s.nodes.shape[0]):
        if s.nodes[at].kind == OWNED:
            owned += 1
        else:
            burst += 1
    out[TERMS] = owned
    out[TERMS + 1] = burst
    out[TERMS + 2] = knobs.node_gpus
    out[TERMS + 3] = knobs.owned_usd_per_gpu_second * 3600.0
    out[TERMS + 4] = knobs.busy_usd_per_gpu_second * 3600.0
    out[TERMS + 5] = knobs.burst_usd_per_gpu_second * 3600.0
    out[TERMS + 6] = knobs.sla_usd_per_gpu_second * 3600.0
    out[TERMS + 7] = knobs.minimum_bill_seconds
    out[TERMS + 8] = knobs.owned_boot_seconds
    out[TERMS + 9] = 0.5 * (knobs.burst_boot_low_seconds + knobs.burst_boot_high_seconds)


@compiled
def _read_nodes(s: State, out: Floats) -> None:
    pool, minimum, worst = s.pool[0], s.knobs[0].minimum_bill_seconds, 1.0
    for at in range(s.nodes.shape[0]):
        node = s.nodes[at]
        is_burst = node.kind == BURST
        if node.state == OFF:
            out[BURST_OFF if is_burst else OWNED_OFF] += 1
        elif node.state == PROVISIONING:
            out[BURST_BOOTING if is_burst else OWNED_BOOTING] += 1
        elif node.state == DOWN:
            out[BROKEN] += 1
        elif node.state == CORDONED:
            out[CLOSED] += 1
            out[USED] += node.gpus - node.free_gpus
        else:
            used = node.gpus - node.free_gpus
            out[BURST_ACTIVE if is_burst else OWNED_ACTIVE] += 1
            out[USED] += used
            out[FREE] += node.free_gpus
            worst = min(worst, node.health_score)
            if node.health_score < SUSPECT_HEALTH_RATIO:
                out[SUSPECTS] += 1
            if used == 0:
                out[BURST_EMPTY if is_burst else OWNED_EMPTY] += 1
                if is_burst and pool.now - node.billed_from >= minimum:
                    out[BURST_RIPE] += 1
            elif used <= SPARSE_RATIO * node.gpus:
                out[SPARSE] += 1
    out[WORST] = worst


@compiled
def _read_jobs(s: State, out: Floats) -> None:
    pool, locked = s.pool[0], 0.0
    for at in range(s.nodes.shape[0]):
        if s.nodes[at].free_gpus == s.nodes[at].gpus:
            continue
        for slot in range(s.nodes[at].gpus):
            holder = s.gpus[at, slot]
            if holder > 0:
                job = s.jobs[holder - 1]
                age = pool.now - job.started_at
                group = 3
                if age < AGES_SECONDS[0]:
                    group = 0
                elif age < AGES_SECONDS[1]:
                    group = 1
                elif age < AGES_SECONDS[2]:
                    group = 2
                out[AGES + group] += 1
                locked += job.price_micro_usd
    for turn in range(pool.queue_length):
        job = s.jobs[s.queue[pool.queue_head + turn]]
        out[QUEUED_JOBS] += 1
        out[QUEUED_GPUS] += job.gpus
        out[OLDEST] = max(out[OLDEST], float(pool.now - job.queued_at))
        out[LARGEST] = max(out[LARGEST], float(job.gpus))
    own = pool.price_micro_usd / 1e6
    out[PRICES] = own
    out[PRICES + 4] = locked / 1e6 / out[USED] if out[USED] > 0 else own


@compiled
def _sum(tape: Floats, last: int, quarters: int, column: int) -> float:
    total = 0.0
    for at in range(max(0, last + 1 - quarters), last + 1):
        total += tape[at, column]
    return total


@compiled
def _read_tape(tape: Floats, last: int, out: Floats) -> None:
    """`last` is the row of the quarter that ends now; what lies before row 0 is unknown."""
    hour, three, day = min(4, last), min(12, last), min(QUARTERS_A_DAY, last)
    hours, threes, days = max(hour, 1) / 4.0, max(three, 1) / 4.0, max(day, 1) / 4.0
    out[FLOWS] = 4.0 * tape[last, OFFERED_TAPE]
    out[FLOWS + 1] = _sum(tape, last, hour, OFFERED_TAPE) / hours
    out[FLOWS + 2] = _sum(tape, last, three, OFFERED_TAPE) / threes
    out[FLOWS + 3] = _sum(tape, last, day, OFFERED_TAPE) / days
    out[FLOWS + 4] = _sum(tape, last, hour, GPUS_TAPE) / hours
    out[FLOWS + 5] = _sum(tape, last, day, GPUS_TAPE) / days
    out[FLOWS + 6] = _sum(tape, last, day, JOBS_TAPE) / days
    out[FLOWS + 7] = _sum(tape, last, hour, FINISHED_TAPE) / hours
    out[FLOWS + 8] = _sum(tape, last, day, FINISHED_TAPE) / days
    out[FLOWS + 9] = tape[last - hour, USED_TAPE]
    out[FLOWS + 10] = _sum(tape, last, day + 1, USED_TAPE) / (day + 1)
    peak = 0.0
    for at in range(last - hour, last + 1):
        peak = max(peak, tape[at, USED_TAPE] + tape[at, QUEUED_TAPE])
    out[FLOWS + 11] = peak
    out[PRICES + 1] = tape[last, MARKET_TAPE]
    out[PRICES + 2] = tape[last - hour, MARKET_TAPE]
    out[PRICES + 3] = _sum(tape, last, day + 1, MARKET_TAPE) / (day + 1)


@compiled
def read_features(
    s: State, tape: Floats, last: int, forecast: Floats, hour_of_week: float, out: Floats
) -> None:
    """Fills `out` (FEATURE_COUNT,) for a pool now.

    `tape` (n, TAPE_COUNT), whose row `last` is the quarter that ends now; `forecast`
    (FORECAST_COUNT,) in jobs an hour; `hour_of_week` now, 0 to 168.
    """
    out[:] = 0.0
    _read_terms(s, out)
    _read_nodes(s, out)
    _read_jobs(s, out)
    _read_tape(tape, last, out)
    for at in range(FORECAST_COUNT):
        out[EXPECTED + at] = forecast[at]
    out[CALENDAR] = hour_of_week % 168.0


@compiled
def write_tape(s: State, counted: Floats, line: Floats) -> None:
    """Writes the quarter that ends now to `line` (TAPE_COUNT,).

    `counted` (4,) are the flows counted up to its beginning, and are brought up to now.
    """
    m, used, waiting = s.metrics, 0.0, 0.0
    for at in range(s.nodes.shape[0]):
        used += s.nodes[at].gpus - s.nodes[at].free_gpus
    for turn in range(s.pool[0].queue_length):
        waiting += s.jobs[s.queue[s.pool[0].queue_head + turn]].gpus
    line[OFFERED_TAPE] = m[OFFERED_METRIC] - counted[0]
    line[JOBS_TAPE] = m[ACCEPTED_METRIC] - counted[1]
    line[GPUS_TAPE] = m[ACCEPTED_GPUS_METRIC] - counted[2]
    line[FINISHED_TAPE] = m[FINISHED_METRIC] - counted[3]
    line[USED_TAPE] = used
    line[QUEUED_TAPE] = waiting
    line[MARKET_TAPE] = market_now(s)
    counted[0], counted[1] = m[OFFERED_METRIC], m[ACCEPTED_METRIC]
    counted[2], counted[3] = m[ACCEPTED_GPUS_METRIC], m[FINISHED_METRIC]


@compiled
def see_many(
    states: State,
    tapes: Floats,
    lasts: Integers,
    forecasts: Floats,
    hours_of_week: Floats,
    out: Floats,
) -> None:
    """`read_features` of every row: tapes (R, n, TAPE_COUNT), lasts (R,), forecasts
    (R, FORECAST_COUNT), hours_of_week (R,), out (R, FEATURE_COUNT)."""
    for row in range(lasts.shape[0]):
        s = row_of(states, row)
        read_features(s, tapes[row], lasts[row], forecasts[row], hours_of_week[row], out[row])


@compiled
def note_many(states: State, counted: Floats, tapes: Floats, lasts: Integers) -> None:
    """`write_tape` of every row: counted (R, 4); the line written is row `lasts` of its tape."""
    for row in range(lasts.shape[0]):
        write_tape(row_of(states, row), counted[row], tapes[row, lasts[row]])
