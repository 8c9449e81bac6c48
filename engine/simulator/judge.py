"""The twin as judge: the pool played twice from before a command, with it and without.

Both meet the same customers, market and failures and take every other command at its own instant,
so that the difference is the command's own doing, exact for this simulated world.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta

from engine.evaluate import Judgement, Question
from engine.simulator.commands import LoggedCommand
from engine.simulator.fleet import SimulatedFleet
from engine.simulator.hands import World, commands_of
from engine.simulator.live import LivePool
from engine.simulator.metrics import profit

KEEP_EVERY = timedelta(hours=1)
KEEP_FOR = timedelta(hours=8)
"""Copies of the pools are kept so often and so long; an older past is played from the start."""


@dataclass(frozen=True)
class _Copy:
    """A pool as it was."""

    pool: LivePool
    seconds: int
    taken: frozenset[str]
    """The commands that it has taken."""


class TwinJudge:
    """Tells what a command was worth, or would have been, by playing its pool again."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._of_fleet = world.fleet
        self._copies: dict[str, list[_Copy]] = {}

    def remember(self) -> None:
        """Keep a copy of each pool now, where the last is old enough; call it now and then."""
        with self._world.lock:
            fleet = self._world.fleet
            if fleet is not self._of_fleet:  # it was built again: its copies would still hold,
                self._of_fleet, self._copies = fleet, {}  # but they belong to nobody's future
            for name, pool in fleet.pools.items():
                self._copies[name] = _renewed(self._copies.get(name, []), pool, fleet)

    def judgement(self, question: Question) -> Judgement | None:
        """The worth of the command over its span; None where it never reached the fleet."""
        with self._world.lock:
            fleet = self._world.fleet
            log = [entry for entry in fleet.log if entry.command.pool == question.pool]
            if question.pool not in fleet.pools:
                return None
            acted = _acted_seconds(question, log, fleet)
            if acted is None:
                return None
            base, taken = self._before(fleet, question, acted)
            log = [entry for entry in log if entry.command_id not in taken]
        span = question.ends_at - question.starts_at
        until = acted + int(span.total_seconds())
        with_it, without = _both_logs(question, log, acted)
        gain = _profit(base, with_it, until) - _profit(base, without, until)
        rate = gain / (span / timedelta(hours=1))
        return Judgement(rate, rate, rate, "twin", "Measured against the fleet's own twin.")

    def _before(
        self, fleet: SimulatedFleet, question: Question, acted: int
    ) -> tuple[SimulatedFleet, frozenset[str]]:
        """A fleet of the one pool from before the command, and the commands it had taken."""
        for one in reversed(self._copies.get(question.pool, [])):
            is_before = not any(_belongs(taken, question) for taken in one.taken)
            if one.seconds <= acted and is_before:
                return _alone(fleet, one.pool), one.taken
        known = fleet.pools[question.pool]
        fresh = LivePool(known.settings, known.seed, known.workload)
        return _alone(fleet, fresh), frozenset()


def _alone(fleet: SimulatedFleet, pool: LivePool) -> SimulatedFleet:
    """The fleet as if it had this pool only: pools do not touch one another."""
    alone = copy.copy(fleet)
    alone.pools = {pool.settings.name: pool}
    return alone


def _renewed(copies: list[_Copy], pool: LivePool, fleet: SimulatedFleet) -> list[_Copy]:
    oldest = pool.now - KEEP_FOR.total_seconds()
    young = [one for one in copies if one.seconds >= oldest]
    if young and pool.now - young[-1].seconds < KEEP_EVERY.total_seconds():
        return young
    taken = frozenset(entry.command_id for entry in fleet.log)
    return [*young, _Copy(pool.clone(), pool.now, taken)]


def _acted_seconds(
    question: Question, log: list[LoggedCommand], fleet: SimulatedFleet
) -> int | None:
    if not question.was_done:
        return fleet.seconds(question.starts_at)
    undone = f"{question.decision_id}:undo"
    for entry in log:  # of what took several commands, the first
        if _belongs(entry.command_id, question) and not entry.command_id.startswith(undone):
            return entry.applied_seconds
    return None


def _belongs(command_id: str, question: Question) -> bool:
    """Whether a command is the decision's doing, or its undoing."""
    own = question.decision_id
    return command_id == own or command_id.startswith(f"{own}:")


def _both_logs(
    question: Question, log: list[LoggedCommand], acted: int
) -> tuple[list[LoggedCommand], list[LoggedCommand]]:
    """The commands with the one asked about, and without it and what undid it."""
    without = [entry for entry in log if not _belongs(entry.command_id, question)]
    if question.was_done:
        return log, without
    added = [
        LoggedCommand(f"{question.decision_id}:{place}", acted, made)
        for place, made in enumerate(commands_of(question.command, question.arguments))
    ]
    return sorted([*without, *added], key=lambda entry: entry.applied_seconds), without


def _profit(base: SimulatedFleet, log: Iterable[LoggedCommand], until: int) -> float:
    """What the pool of `base` has earned since its start by `until`, in USD, under these."""
    twin = base.clone()
    twin._results = {}  # what this fleet's own past answered is of no account in another
    twin.obey(entry for entry in log if entry.applied_seconds <= until)
    twin.advance_to(until)
    return sum(float(profit(metrics)) for metrics in twin.metrics().values())
