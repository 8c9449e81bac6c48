"""The twin played: what came to a pool, under any policy or under the commands really given."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from datetime import datetime
from functools import partial

import numpy as np
import numpy.typing as npt

from engine.policies import Policy
from engine.simulator import orders
from engine.simulator.commands import (
    KIND_OF,
    Command,
    Done,
    Migrate,
    ScaleDown,
    ScaleUp,
    SetPrice,
    SetSpotShare,
)
from engine.simulator.hands import commands_of
from engine.simulator.kernel import advance_many
from engine.simulator.layout import BURST, PROVISIONING, REPLY_WIDTH
from engine.simulator.pools import Pools, play
from engine.simulator.settings import micro_usd
from engine.twin.commands import Ask, Given
from engine.twin.episodes import Span

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]


def play_policy(span: Span, policy: Policy, redraws: int, first_redraw: int = 0) -> Floats:
    """What came of the span under a policy, shape (redraws, METRIC_COUNT)."""
    episodes = [span.episode(first_redraw + turn) for turn in range(redraws)]
    return play(episodes, policy, policy, threads=1)


def play_commands(
    span: Span, given: Sequence[Given], until: datetime, redraws: int, first_redraw: int = 0
) -> Floats:
    """What came of the span up to `until` under these commands, shape (redraws, METRIC_COUNT)."""
    episodes = [span.episode(first_redraw + turn) for turn in range(redraws)]
    told = _Told(span, Pools(episodes, threads=1))
    for one in sorted(given, key=lambda one: one.happened_at):
        if span.starts_at <= one.happened_at <= until:
            told.advance(one.happened_at)
            told.obey(one)
    told.advance(until)
    return told.pools.metrics.copy()


class _Told:
    """Rows of the twin that take commands by the names that the real fleet gave to its nodes."""

    def __init__(self, span: Span, pools: Pools) -> None:
        self.span, self.pools = span, pools
        names = {name: at for at, name in enumerate(span.stands.node_ids)}
        self.nodes = [dict(names) for _ in range(pools.rows)]
        running = len(span.stands.job_ids)
        self.jobs = {name: at - self._known for at, name in enumerate(span.stands.job_ids)}
        for at, name in enumerate(span.stands.queued_ids):
            self.jobs[name] = running + at - self._known
        self.jobs |= {job.job_id: at for at, job in enumerate(span.arrived)}
        self._order_all(lambda row: (orders.NONE, 0, 0))  # the GPUs are counted before time goes on

    @property
    def _known(self) -> int:
        return self.span.stands.pool.known_jobs

    def advance(self, instant: datetime) -> None:
        """Carries all rows to an instant."""
        until = int((instant - self.span.starts_at).total_seconds())
        none = np.zeros((self.pools.rows, 0, REPLY_WIDTH), np.int64)
        self._core(until, np.zeros((self.pools.rows, 0, 3), np.int64), none)

    def obey(self, given: Given) -> None:
        """Carries out what was asked, in every row, on the nodes that play those named."""
        for made in _as_commands(given.asks):
            replies = self._order_all(partial(self._order, made))
            if given.node_ids:
                for row, reply in enumerate(replies):
                    started = reply[2 : 2 + reply[1]].tolist()
                    self.nodes[row].update(zip(given.node_ids, started, strict=False))

    def _order_all(self, order: Callable[[int], tuple[int, int, int]]) -> Integers:
        """One order a row, now; the replies (rows, REPLY_WIDTH)."""
        rows = self.pools.rows
        wanted = np.array([[order(row)] for row in range(rows)], np.int64)
        replies = np.zeros((rows, 1, REPLY_WIDTH), np.int64)
        self._core(-1, wanted, replies)
        return replies[:, 0]

    def _core(self, until: int, wanted: Integers, replies: Integers) -> None:
        now = self.pools.state.pool[:, 0]["now"]
        advance_many(self.pools.state, np.maximum(now, until), wanted, replies)

    def _order(self, made: Command, row: int) -> tuple[int, int, int]:
        """The command as the core takes it."""
        kind = KIND_OF[type(made)]
        match made:
            case ScaleUp():
                return (kind, made.nodes, 0)
            case ScaleDown():
                return (kind, made.nodes, int(made.drain))
            case SetPrice():
                return (kind, micro_usd(made.price_usd_per_gpu_hour), 0)
            case SetSpotShare():
                return (kind, micro_usd(made.share_ratio), 0)
            case Migrate():
                return (kind, self._job(row, made.job_id), 0)
            case Done():
                return (orders.NONE, 0, 0)
        node = self.nodes[row].get(made.node_id, -1)
        if kind == orders.REPAIR and node >= 0 and self._is_leased(row, node):
            kind = orders.RELEASE
        if kind == orders.CANCEL and node >= 0 and not self._boots(row, node):
            kind = orders.RELEASE  # in this past it is on already
        return (kind, node, 0)

    def _is_leased(self, row: int, node: int) -> bool:
        return bool(self.pools.state.nodes[row, node]["kind"] == BURST)

    def _boots(self, row: int, node: int) -> bool:
        return bool(self.pools.state.nodes[row, node]["state"] == PROVISIONING)

    def _job(self, row: int, job_id: str) -> int:
        if job_id not in self.jobs:
            return -1
        state = self.pools.state
        keys = state.jobs[row]["key"][: state.pool[row, 0]["job_count"]]
        return int(np.flatnonzero(keys == self.jobs[job_id])[0])


def _as_commands(asks: Sequence[Ask]) -> Iterator[Command]:
    """The simulator's commands for what was asked; none where it has no such command."""
    for name, arguments in asks:
        with suppress(KeyError):
            yield from commands_of(name, arguments)
