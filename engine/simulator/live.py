"""One live pool: a row of state, fed with jobs and market as its clock goes."""

import copy
import hashlib
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from engine.simulator.errors import ClockError
from engine.simulator.kernel import advance_many
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
    copied,
    heap_room,
)
from engine.simulator.market import market_path
from engine.simulator.readings import metered_gpu_seconds
from engine.simulator.settings import PoolSettings, knobs_of, micro_usd
from engine.simulator.workload import Workload

Integers = npt.NDArray[np.int64]

FILL_SECONDS = 6 * 3600
"""Jobs are asked of the workload in windows on this grid."""
_NO_ORDERS = np.zeros((1, 0, 3), np.int64)
_NO_REPLIES = np.zeros((1, 0, REPLY_WIDTH), np.int64)


@dataclass
class LivePool:
    """A pool with its workload; all that changes is in `state` (one row), `log` and `filled_to`."""

    settings: PoolSettings
    seed: int
    workload: Workload
    state: State = field(init=False)
    log: list[Integers] = field(init=False, default_factory=list)
    """what happened, as blocks of (instant, kind, job, node)"""
    filled_to: int = field(init=False, default=0)

    def __post_init__(self) -> None:
        settings = self.settings
        count = settings.owned_nodes + settings.burst_nodes
        self.state = blank_state(1, count, settings.node_gpus, jobs=1024, ticks=64, log=1024)
        self.state.knobs[0, 0] = knobs_of(settings, self.workload.acceptance_scale(settings))
        pool, nodes = self.state.pool[0], self.state.nodes[0]
        pool["seed"] = self.seed
        pool["price_micro_usd"] = micro_usd(settings.list_price_usd_per_gpu_hour)
        pool["spot_share"] = settings.economics.spot_share_ratio
        nodes["gpus"] = nodes["free_gpus"] = settings.node_gpus
        nodes["kind"] = np.where(np.arange(count) < settings.owned_nodes, OWNED, BURST)
        nodes["state"] = np.where(nodes["kind"] == OWNED, ACTIVE, OFF)
        nodes["health_score"] = 1.0
        self.state.market[0] = market_path(settings, self.seed, 64)

    @property
    def now(self) -> int:
        """Seconds since the fleet's start."""
        return int(self.state.pool[0, 0]["now"])

    @property
    def seen_jobs(self) -> int:
        """Jobs whose submission has come; the rows after them are the future."""
        return int(self.state.pool[0, 0]["next_arrival"])

    def advance_to(self, until: int) -> None:
        """Carries the pool to `until`, all that happens at that instant included."""
        if until < self.now:
            raise ClockError(f"pool {self.settings.name} is at {self.now} s, past {until} s")
        while self.now < until:
            step = min(until, (self.now // FILL_SECONDS + 1) * FILL_SECONDS)
            self._fill(step)
            advance_many(self.state, np.array([step]), _NO_ORDERS, _NO_REPLIES)
            self._drain_log()

    def order(self, kind: int, first: int = 0, second: int = 0) -> Integers:
        """Carries one order of `orders.py` out now; its reply, int64 of shape (REPLY_WIDTH,)."""
        self._fill(self.now)
        replies = np.zeros((1, 1, REPLY_WIDTH), np.int64)
        orders = np.array([[[kind, first, second]]], np.int64)
        advance_many(self.state, np.array([self.now]), orders, replies)
        self._drain_log()
        reply: Integers = replies[0, 0]
        return reply

    def metered_gpu_seconds(self) -> Integers:
        """What each seen job has been delivered so far, in GPU-seconds, shape (seen_jobs,)."""
        return metered_gpu_seconds(self.state.jobs[0, : self.seen_jobs], self.now)

    def clone(self) -> "LivePool":
        """An independent copy that shares what never changes."""
        twin = copy.copy(self)
        twin.state = copied(self.state)
        twin.log = list(self.log)
        return twin

    def checksum(self) -> str:
        """Digest of everything discrete: clock, nodes, GPUs, jobs, queue. Sums of money are left
        out, since they round differently where the same hours are read in other steps."""
        s, pool = self.state, self.state.pool[0, 0]
        head, length = int(pool["queue_head"]), int(pool["queue_length"])
        digest = hashlib.sha256()
        for part in (
            np.array([pool["now"], pool["price_micro_usd"], pool["rate_micro_usd"]]),
            s.nodes,
            s.gpus,
            s.jobs[0, : self.seen_jobs],
            s.queue[0, head : head + length],
        ):
            digest.update(np.ascontiguousarray(part).tobytes())
        return digest.hexdigest()

    def _fill(self, until: int) -> None:
        """Room and jobs up to the end of `until`'s window, and the market likewise."""
        end = (until // FILL_SECONDS + 1) * FILL_SECONDS
        if self.filled_to < end:
            self._append(self.filled_to, end)
            self.filled_to = end
        ticks = end // TICK_SECONDS + 1
        if self.state.market.shape[1] < ticks:
            longer = market_path(self.settings, self.seed, 2 * ticks)
            self.state = self.state._replace(market=longer[None, :])
        # Three lines a job's life and one a node of a gang; failures and moves add less than the
        # same again.
        pool = self.state.pool[0, 0]
        coming = self.state.jobs[0, pool["next_arrival"] : pool["job_count"]]
        alive = len(coming) + int(pool["queue_length"]) + self.state.gpus.size
        gangs = int(coming["gpus"].sum()) // self.settings.node_gpus
        room = 2048 + 6 * alive + 2 * gangs
        if self.state.log.shape[1] < room:
            self.state = self.state._replace(log=np.zeros((1, 2 * room, 4), np.int64))

    def _append(self, start: int, end: int) -> None:
        new = self.workload.arrivals(start, end)
        pool = self.state.pool[0, 0]
        count = int(pool["job_count"])
        self._make_room(count + len(new.key))
        jobs = self.state.jobs[0, count : count + len(new.key)]
        for name in new._fields:
            jobs[name] = getattr(new, name)
        jobs["status"] = OFFERED
        jobs["node"] = jobs["started_at"] = jobs["ended_at"] = -1
        self.state.pool[0, 0]["job_count"] = count + len(new.key)

    def _make_room(self, jobs: int) -> None:
        s = self.state
        if jobs <= s.jobs.shape[1]:
            return
        room = 2 * jobs
        bigger = {"jobs": room, "queue": room + 1, "heap": heap_room(room, s.nodes.shape[1])}
        grown = {}
        for name, length in bigger.items():
            old = getattr(s, name)
            grown[name] = np.zeros((1, length, *old.shape[2:]), old.dtype)
            grown[name][:, : old.shape[1]] = old
        self.state = s._replace(**grown)

    def _drain_log(self) -> None:
        pool = self.state.pool[0]
        assert pool[0]["log_lost"] == 0, "the log's room is reckoned too small"
        length = int(pool[0]["log_length"])
        if length:
            self.log.append(self.state.log[0, :length].copy())
            pool["log_length"] = 0
