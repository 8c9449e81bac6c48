"""The compiled core: one loop that carries a pool from instant to instant.

The same loop, queue and placement serve the exact replay of a trace (`knobs.live == 0`), the demo
fleet, the planner's rollouts and training. At one instant ends are settled first, then nodes, then
those who lose patience, then arrivals, and last the queue is looked through.
"""

import math

import numpy as np
import numpy.typing as npt

from engine.simulator.compiled import compiled
from engine.simulator.events import next_event_at, pop_event, push_event, still_holds, write_log
from engine.simulator.hashing import (
    SALT_BREAKS,
    SALT_DEGRADES,
    SALT_FAILS,
    SALT_HEALTH,
    SALT_MOMENT,
    leaf,
    stem,
    uniform,
)
from engine.simulator.layout import (
    ACTIVE,
    BURST,
    CORDONED,
    DOWN,
    END,
    FAIL,
    FOREVER,
    LEFT,
    LOG_LEFT,
    LOG_NODE_READY,
    LOG_PRICED_OUT,
    LOG_RESUMED,
    LOG_SUBMITTED,
    MICRO_USD_SECONDS,
    OFF,
    PRICED_OUT,
    QUEUED,
    READY,
    RESUME,
    TICK_SECONDS,
    State,
)
from engine.simulator.metrics import Metric
from engine.simulator.orders import obey
from engine.simulator.placement import dequeue, enqueue, find_nodes
from engine.simulator.runs import begin_run, fail_node, finish, start

ACCEPTED_GPUS = int(Metric.ACCEPTED_GPUS)
ACCEPTED_JOBS = int(Metric.ACCEPTED_JOBS)
AVAILABLE_GPU_SECONDS = int(Metric.AVAILABLE_GPU_SECONDS)
BURST_COST_USD = int(Metric.BURST_COST_USD)
BURST_GPU_SECONDS = int(Metric.BURST_GPU_SECONDS)
LEFT_JOBS = int(Metric.LEFT_JOBS)
LIST_REVENUE_USD = int(Metric.LIST_REVENUE_USD)
OFFERED_JOBS = int(Metric.OFFERED_JOBS)
OWNED_COST_USD = int(Metric.OWNED_COST_USD)
OWNED_ON_GPU_SECONDS = int(Metric.OWNED_ON_GPU_SECONDS)
PREEMPTED_SPOT_GPUS = int(Metric.PREEMPTED_SPOT_GPUS)
QUEUED_GPU_SECONDS = int(Metric.QUEUED_GPU_SECONDS)
REVENUE_USD = int(Metric.REVENUE_USD)
SLA_PENALTY_USD = int(Metric.SLA_PENALTY_USD)
SPOT_GPU_SECONDS = int(Metric.SPOT_GPU_SECONDS)
SPOT_REVENUE_USD = int(Metric.SPOT_REVENUE_USD)
USED_GPU_SECONDS = int(Metric.USED_GPU_SECONDS)


@compiled
def _market_price(s: State, when: int) -> float:
    # A path that ends before the clock stays at its last price.
    return float(s.market[min(when // TICK_SECONDS, s.market.shape[0] - 1)])


@compiled
def _accrue(s: State, when: int) -> None:
    """Moves the clock to `when` and books what the time between was worth."""
    pool, knobs = s.pool[0], s.knobs[0]
    seconds = when - pool.now
    if knobs.live == 1 and seconds > 0:
        m = s.metrics
        m[REVENUE_USD] += pool.rate_micro_usd * seconds / MICRO_USD_SECONDS
        m[LIST_REVENUE_USD] += (
            pool.used_gpus * knobs.list_price_micro_usd * seconds / MICRO_USD_SECONDS
        )
        spot = pool.spot_gpus
        m[SPOT_REVENUE_USD] += (
            spot * knobs.spot_ratio * _market_price(s, pool.now) * seconds / 3600.0
        )
        m[SPOT_GPU_SECONDS] += spot * seconds
        m[USED_GPU_SECONDS] += pool.used_gpus * seconds
        m[AVAILABLE_GPU_SECONDS] += pool.open_gpus * seconds
        m[OWNED_ON_GPU_SECONDS] += pool.owned_on_gpus * seconds
        m[BURST_GPU_SECONDS] += pool.burst_on_gpus * seconds
        # Power: what is on, and more for what is busy, be it with a job or with spot.
        m[OWNED_COST_USD] += seconds * (
            pool.owned_on_gpus * knobs.owned_usd_per_gpu_second
            + (pool.used_gpus + spot) * knobs.busy_usd_per_gpu_second
        )
        m[BURST_COST_USD] += seconds * pool.burst_on_gpus * knobs.burst_usd_per_gpu_second
        for turn in range(pool.queue_length):
            job = s.jobs[s.queue[pool.queue_head + turn]]
            m[QUEUED_GPU_SECONDS] += job.gpus * seconds
            late = when - max(pool.now, job.queued_at + knobs.sla_seconds)
            if late > 0:
                m[SLA_PENALTY_USD] += late * job.gpus * knobs.sla_usd_per_gpu_second
    pool.now = when


@compiled
def tally(s: State) -> None:
    """What idles is sold as spot; GPUs are counted anew where a node changed its state.

    Between such changes `occupy` and `vacate` keep the idle ones in step.
    """
    pool = s.pool[0]
    if pool.is_stale == 1:
        _count_gpus(s)
    # Spot gives way to a job at once, and is no bottomless market.
    spot = min(pool.spot_share * pool.idle_gpus, s.knobs[0].spot_depth_gpus)
    if spot < pool.spot_gpus:
        s.metrics[PREEMPTED_SPOT_GPUS] += pool.spot_gpus - spot
    pool.spot_gpus = spot


@compiled
def _count_gpus(s: State) -> None:
    pool = s.pool[0]
    idle, opened, owned, burst = 0, 0, 0, 0
    for at in range(s.nodes.shape[0]):
        node = s.nodes[at]
        if node.state == OFF or node.state == DOWN:
            continue
        if node.kind == BURST:
            burst += node.gpus
        else:
            owned += node.gpus
        if node.state == ACTIVE:
            idle += node.free_gpus
            opened += node.gpus
        elif node.state == CORDONED:
            opened += node.gpus
    pool.idle_gpus, pool.open_gpus = idle, opened
    pool.owned_on_gpus, pool.burst_on_gpus = owned, burst
    pool.is_stale = 0


@compiled
def _settle(s: State) -> None:
    """Everything that the heap holds for this instant."""
    now = s.pool[0].now
    while next_event_at(s) == now:
        kind, entity = s.heap[0, 0] & 7, s.heap[0, 1]
        pop_event(s)
        if not still_holds(s, now, kind, entity):
            continue
        if kind == END:
            finish(s, entity)
        elif kind == RESUME:
            begin_run(s, entity)
            write_log(s, LOG_RESUMED, entity, s.jobs[entity].node)
        elif kind == READY:
            s.nodes[entity].state = ACTIVE
            s.nodes[entity].health_score = 1.0
            s.pool[0].is_stale = 1
            write_log(s, LOG_NODE_READY, -1, entity)
        else:
            fail_node(s, entity)


@compiled
def _look_at_nodes(s: State) -> None:
    """Draws, on the tick, which nodes begin to degrade and which will fail before the next."""
    pool, knobs = s.pool[0], s.knobs[0]
    now, seed = pool.now, pool.seed
    degrades, breaks = stem(seed, now, SALT_DEGRADES), stem(seed, now, SALT_BREAKS)
    fails, noises = stem(seed, now, SALT_FAILS), stem(seed, now, SALT_HEALTH)
    for at in range(s.nodes.shape[0]):
        node = s.nodes[at]
        if node.state != ACTIVE and node.state != CORDONED:
            continue
        if node.degraded == 0 and leaf(degrades, at) < knobs.degrades_per_tick:
            node.degraded = 1
        will_break = node.degraded == 1 and leaf(breaks, at) < knobs.breaks_per_tick
        if will_break or leaf(fails, at) < knobs.fails_per_tick:
            moment = 1 + int(uniform(seed, now, at, SALT_MOMENT) * (TICK_SECONDS - 1))
            node.fails_at = now + moment
            push_event(s, node.fails_at, FAIL, at)
        # Noisy on purpose: the two ranges overlap, so that one reading proves nothing.
        noise = leaf(noises, at)
        node.health_score = 0.35 + 0.45 * noise if node.degraded == 1 else 0.70 + 0.30 * noise


@compiled
def _next_leave_at(s: State) -> int:
    # The queue is in order of submission, so the first never started is the first to lose patience.
    pool = s.pool[0]
    if s.knobs[0].live == 1:
        for turn in range(pool.queue_length):
            job = s.jobs[s.queue[pool.queue_head + turn]]
            if job.starts == 0:
                return int(job.queued_at + s.knobs[0].patience_seconds)
    return FOREVER


@compiled
def _let_leave(s: State) -> None:
    pool = s.pool[0]
    turn = 0
    while turn < pool.queue_length:
        index = s.queue[pool.queue_head + turn]
        job = s.jobs[index]
        if job.starts == 0 and pool.now >= job.queued_at + s.knobs[0].patience_seconds:
            dequeue(s, turn)
            job.status, job.ended_at = LEFT, pool.now
            s.metrics[LEFT_JOBS] += 1
            write_log(s, LOG_LEFT, index, -1)
        else:
            turn += 1


@compiled
def _offer(s: State, index: int) -> None:
    """A job asks for its price: it joins the queue or goes elsewhere."""
    pool, knobs, job = s.pool[0], s.knobs[0], s.jobs[index]
    job.queued_at = pool.now
    if knobs.live == 1:
        s.metrics[OFFERED_JOBS] += 1
        job.price_micro_usd = pool.price_micro_usd
        ratio = pool.price_micro_usd / (1e6 * _market_price(s, pool.now))
        curve = 1.0 / (1.0 + math.exp(knobs.slope * (ratio - knobs.midpoint)))
        if job.acceptance >= knobs.acceptance_scale * curve:
            job.status, job.ended_at = PRICED_OUT, pool.now
            write_log(s, LOG_PRICED_OUT, index, -1)
            return
        s.metrics[ACCEPTED_JOBS] += 1
        s.metrics[ACCEPTED_GPUS] += job.gpus
    job.status = QUEUED
    enqueue(s, index)
    write_log(s, LOG_SUBMITTED, index, -1)


@compiled
def serve_queue(s: State) -> None:
    """Starts what fits: strictly from the head in a replay, with backfill in a live pool."""
    pool = s.pool[0]
    backfill = s.knobs[0].live == 1
    turn = 0
    too_many = FOREVER  # the smallest size that has not fitted: no need to try as much again
    while turn < pool.queue_length:
        index = s.queue[pool.queue_head + turn]
        gpus = s.jobs[index].gpus
        found = find_nodes(s, gpus, -1) if gpus < too_many else 0
        if found > 0:
            dequeue(s, turn)
            start(s, index, found)
        elif backfill:
            too_many = min(too_many, gpus)
            turn += 1
        else:
            break


@compiled
def advance_row(s: State, until: int) -> None:
    """Carries one row to `until`, inclusive."""
    pool, live = s.pool[0], s.knobs[0].live == 1
    while True:
        arrival = FOREVER
        if pool.next_arrival < pool.job_count:
            # A job handed in late is offered at once.
            arrival = max(pool.now, s.jobs[pool.next_arrival].submitted_at)
        when = min(next_event_at(s), arrival)
        if live:
            when = min(when, pool.next_tick_at, _next_leave_at(s))
        if when > until or when >= FOREVER:
            break
        _accrue(s, when)
        _settle(s)
        if live:
            if when == pool.next_tick_at:
                _look_at_nodes(s)
                pool.next_tick_at = when + TICK_SECONDS
            _let_leave(s)
        while pool.next_arrival < pool.job_count and s.jobs[pool.next_arrival].submitted_at <= when:
            _offer(s, pool.next_arrival)
            pool.next_arrival += 1
        serve_queue(s)
        if live:
            tally(s)
    if until < FOREVER:
        _accrue(s, until)


@compiled
def row_of(states: State, row: int) -> State:
    """One row's view; a row of fewer nodes than the widest sees only its own."""
    count = states.knobs[row, 0].node_count
    if count == 0:
        count = states.nodes.shape[1]
    return State(
        states.knobs[row],
        states.pool[row],
        states.nodes[row][:count],
        states.gpus[row][:count],
        states.jobs[row],
        states.queue[row],
        states.heap[row],
        states.market[row],
        states.metrics[row],
        states.log[row],
        states.scratch[row],
    )


@compiled
def advance_many(
    states: State,
    until: npt.NDArray[np.int64],
    orders: npt.NDArray[np.int64],
    replies: npt.NDArray[np.int64],
) -> None:
    """Obeys each row's orders at its present instant, then carries it to its `until`, inclusive.

    `until` has shape (R,); FOREVER runs until nothing is left to happen (exact replay only).
    `orders` (R, C, 3) are (kind, argument, argument) of `orders.py`, kind 0 being none, and are
    answered in `replies` (R, C, REPLY_WIDTH). Releases the interpreter's lock: threads may share
    the rows out among themselves.
    """
    for row in range(until.shape[0]):
        s = row_of(states, row)
        for turn in range(orders.shape[1]):
            if orders[row, turn, 0] > 0:
                obey(s, orders[row, turn], replies[row, turn])
        if orders.shape[1] > 0:
            s.pool[0].is_stale = 1
            serve_queue(s)
            if s.knobs[0].live == 1:
                tally(s)
        advance_row(s, until[row])
