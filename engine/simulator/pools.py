"""Many pools side by side, each with its own episode, a decision every quarter of an hour.

    pools = Pools(episodes)
    while not pools.done:
        pools.step(policy.proposals(pools.observe()))
    profit(pools.metrics - ...)

`play` does that with the rule's warm-up before and answers what came of the measured span.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from engine.policies import PRICE_RATIOS, Head, Policy
from engine.simulator.episodes import Episode
from engine.simulator.features import FEATURE_COUNT, FORECAST_COUNT, TAPE_COUNT
from engine.simulator.layout import (
    ACTIVE,
    BURST,
    OFF,
    OFFERED,
    OWNED,
    REPLY_WIDTH,
    TICK_SECONDS,
    State,
    blank_state,
)
from engine.simulator.settings import knobs_of, micro_usd
from engine.simulator.sight import note_many, see_many
from engine.simulator.standing import drawn_durations, drawn_left, lay_out
from engine.simulator.steering import step_many

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]
Marks = npt.NDArray[np.bool_]

THREADS = 2
FEWEST_ROWS_A_THREAD = 8
GUESTS = 256
"""Room for jobs taken over from other pools, a pool and episode."""


class Pools:
    """Rows of state that play their episodes. What changes is in arrays; `copy_row` moves a row."""

    def __init__(
        self,
        episodes: Sequence[Episode],
        threads: int = THREADS,
        room: Sequence[Episode] = (),
    ) -> None:
        """`room` are episodes that rows will be copied from later."""
        self.episodes = list(episodes)
        self.threads = threads
        largest = [*episodes, *room]
        self.state = _blank(len(episodes), largest)
        rows, ticks = len(episodes), max(episode.ticks for episode in largest)
        before = max(_before(episode) for episode in largest)
        self.tick: Integers = np.zeros(rows, np.int64)
        self.last_tick: Integers = np.array([e.ticks for e in self.episodes], np.int64)
        self.tape: Floats = np.zeros((rows, before + ticks + 1, TAPE_COUNT))
        self.before: Integers = np.array([_before(e) for e in self.episodes], np.int64)
        self.forecast: Floats = np.zeros((rows, ticks + 1, FORECAST_COUNT))
        self.hour_of_week: Floats = np.array([e.hour_of_week for e in self.episodes])
        self._counted: Floats = np.zeros((rows, 4))
        for row, episode in enumerate(self.episodes):
            self._fill(row, episode)
        self._note()
        for row, episode in enumerate(self.episodes):
            if episode.tape is not None:  # the last of its quarters ends at the start
                self.tape[row, : len(episode.tape)] = episode.tape

    # -- what a policy does with it ------------------------------------------------

    @property
    def rows(self) -> int:
        """Pools side by side (R)."""
        return len(self.episodes)

    @property
    def metrics(self) -> Floats:
        """(R, METRIC_COUNT), since each episode's start."""
        return self.state.metrics

    @property
    def done(self) -> bool:
        """Whether every episode is over."""
        return bool((self.tick >= self.last_tick).all())

    @property
    def market_usd_per_gpu_hour(self) -> Floats:
        """(R,) now."""
        at = np.minimum(self.tick, self.state.market.shape[1] - 1)
        prices: Floats = self.state.market[np.arange(self.rows), at]
        return prices

    def observe(self) -> Floats:
        """What is seen of each pool now, shape (R, FEATURE_COUNT)."""
        seen = np.zeros((self.rows, FEATURE_COUNT))
        self._shared_out(lambda a, b: self._see(a, b, seen))
        return seen

    def observe_row(self, row: int) -> Floats:
        """What is seen of one pool now, shape (FEATURE_COUNT,)."""
        seen = np.zeros((self.rows, FEATURE_COUNT))
        self._see(row, row + 1, seen)
        one: Floats = seen[row]
        return one

    def step(self, proposals: Integers) -> None:
        """Carries out a proposal (R, HEAD_COUNT) a pool and plays a quarter of an hour.

        What can't be done is left undone; a pool whose episode is over stays as it is.
        """
        proposals = np.ascontiguousarray(proposals, np.int64)
        goes_on = self.tick < self.last_tick
        ratios = PRICE_RATIOS[proposals[:, Head.PRICE_LEVEL]]
        prices = np.round(ratios * self.market_usd_per_gpu_hour * 1e6).astype(np.int64)
        until = (self.tick + goes_on) * TICK_SECONDS
        self._shared_out(
            lambda a, b: step_many(
                _rows(self.state, a, b),
                until[a:b],
                proposals[a:b],
                prices[a:b],
                np.zeros(REPLY_WIDTH, np.int64),
            )
        )
        self.tick += goes_on
        self._note(goes_on)

    # -- moving rows ---------------------------------------------------------------

    def copy_row(self, source: Pools, source_row: int, row: int) -> None:
        """Makes `row` what `source_row` of another batch is; there must be room for it."""
        _copy_state(self.state, row, source.state, source_row)
        for name in ("tick", "last_tick", "before", "hour_of_week", "_counted"):
            getattr(self, name)[row] = getattr(source, name)[source_row]
        written = int(source.before[source_row] + source.tick[source_row]) + 1
        self.tape[row, :written] = source.tape[source_row, :written]
        ahead = int(source.last_tick[source_row]) + 1
        self.forecast[row, :ahead] = source.forecast[source_row, :ahead]
        self.episodes[row] = source.episodes[source_row]

    # -- within --------------------------------------------------------------------

    def _see(self, a: int, b: int, seen: Floats) -> None:
        tick = self.tick[a:b]
        forecasts = self.forecast[np.arange(a, b), np.minimum(tick, self.forecast.shape[1] - 1)]
        hours = self.hour_of_week[a:b] + tick * (TICK_SECONDS / 3600)
        last = self.before[a:b] + tick
        see_many(_rows(self.state, a, b), self.tape[a:b], last, forecasts, hours, seen[a:b])

    def _fill(self, row: int, episode: Episode) -> None:
        _fill_row(self.state, row, episode)
        self.forecast[row, : episode.ticks + 1] = episode.forecast[: episode.ticks + 1]

    def _note(self, goes_on: Marks | None = None) -> None:
        rows = np.arange(self.rows) if goes_on is None else np.flatnonzero(goes_on)
        if len(rows) == self.rows:
            last = self.before + self.tick
            self._shared_out(
                lambda a, b: note_many(
                    _rows(self.state, a, b), self._counted[a:b], self.tape[a:b], last[a:b]
                )
            )
            return
        for row in rows.tolist():
            one = slice(row, row + 1)
            note_many(
                _rows(self.state, row, row + 1),
                self._counted[one],
                self.tape[one],
                (self.before + self.tick)[one],
            )

    def _shared_out(self, work: Callable[[int, int], None]) -> None:
        # The core lets go of the interpreter's lock, so threads share the rows without copies.
        threads = max(1, min(self.threads, self.rows // FEWEST_ROWS_A_THREAD))
        if threads == 1:
            work(0, self.rows)
            return
        edges = np.linspace(0, self.rows, threads + 1).astype(int)
        waits = [_workers().submit(work, int(a), int(b)) for a, b in pairwise(edges)]
        for wait in waits:
            wait.result()


@cache
def _workers() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(THREADS, thread_name_prefix="pools")


def play(
    episodes: Sequence[Episode],
    policy: Policy,
    warm_up: Policy,
    *,
    on_tick: Callable[[Pools], None] | None = None,
    threads: int = THREADS,
) -> Floats:
    """What came of the measured span under `policy`, shape (R, METRIC_COUNT).

    Until each episode's `warm_ticks` are over `warm_up` steers, so that every policy starts from
    the same pool. `on_tick` is called after every quarter of an hour.
    """
    pools = Pools(episodes, threads)
    warm = np.array([episode.warm_ticks for episode in episodes])
    at_start = np.zeros_like(pools.metrics)
    while not pools.done:
        begins = pools.tick == warm
        at_start[begins] = pools.metrics[begins]
        seen = pools.observe()
        is_warm = pools.tick < warm
        proposals = policy.proposals(seen)
        if is_warm.any():
            proposals[is_warm] = warm_up.proposals(seen[is_warm])
        pools.step(proposals)
        if on_tick is not None:
            on_tick(pools)
    measured: Floats = pools.metrics - at_start
    return measured


def _before(episode: Episode) -> int:
    return 0 if episode.tape is None else len(episode.tape) - 1


def _rows(state: State, first: int, last: int) -> State:
    return State._make(array[first:last] for array in state)


def _copy_state(mine: State, row: int, theirs: State, source: int) -> None:
    # What lies beyond the used part of an array is never read before it is written.
    pool = theirs.pool[source, 0]
    used = {
        "jobs": int(pool["job_count"]),
        "heap": int(pool["heap_length"]),
        "queue": int(pool["queue_head"] + pool["queue_length"]),
        "nodes": int(theirs.knobs[source, 0]["node_count"]),
        "gpus": int(theirs.knobs[source, 0]["node_count"]),
        "log": 0,
        "scratch": 0,
    }
    for name, to, of in zip(State._fields, mine, theirs, strict=True):
        length = used.get(name, of.shape[1])
        if name == "market":
            to[row] = of[source, -1]
        to[row, :length] = of[source, :length]


def _blank(rows: int, episodes: Sequence[Episode]) -> State:
    """Room for the largest of the episodes."""
    return blank_state(
        rows,
        max(e.settings.owned_nodes + e.settings.burst_nodes for e in episodes),
        max(e.settings.node_gpus for e in episodes),
        jobs=max(len(e.arrivals.key) + _known_jobs(e) for e in episodes) + GUESTS,
        ticks=max(len(e.market_usd_per_gpu_hour) for e in episodes),
        log=1,
    )


def _known_jobs(episode: Episode) -> int:
    return 0 if episode.start is None else episode.start.known_jobs


def _fill_row(state: State, row: int, episode: Episode) -> None:
    """The pool as it stood, or an empty one with all owned nodes on; and everyone who will ask."""
    if episode.start is None:
        _fill_empty(state, row, episode)
    else:
        random = np.random.default_rng(episode.seed)
        left = drawn_left(episode.start, 1, random)
        durations = drawn_durations(episode.start, 1, random)
        lay_out(_rows(state, row, row + 1), episode.start, left, durations)
    state.pool[row]["seed"] = episode.seed
    path = episode.market_usd_per_gpu_hour
    state.market[row, : len(path)] = path
    state.market[row, len(path) :] = path[-1]
    arrivals, jobs, known = episode.arrivals, state.jobs[row], _known_jobs(episode)
    coming = jobs[known : known + len(arrivals.key)]
    coming["status"] = OFFERED
    for name in ("key", "submitted_at", "duration_seconds", "gpus", "tenant", "acceptance"):
        coming[name] = getattr(arrivals, name)
    state.pool[row]["job_count"] = known + len(arrivals.key)


def _fill_empty(state: State, row: int, episode: Episode) -> None:
    settings = episode.settings
    count = settings.owned_nodes + settings.burst_nodes
    knobs = knobs_of(settings)
    knobs["node_count"] = count
    state.knobs[row, 0] = knobs
    pool, nodes = state.pool[row], state.nodes[row][:count]
    pool["price_micro_usd"] = micro_usd(episode.market_usd_per_gpu_hour[0])
    pool["spot_share"] = settings.economics.spot_share_ratio
    nodes["gpus"] = nodes["free_gpus"] = settings.node_gpus
    nodes["kind"] = np.where(np.arange(count) < settings.owned_nodes, OWNED, BURST)
    nodes["state"] = np.where(nodes["kind"] == OWNED, ACTIVE, OFF)
    nodes["health_score"] = 1.0
    jobs = state.jobs[row]
    jobs["node"] = jobs["started_at"] = jobs["ended_at"] = -1
