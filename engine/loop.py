"""The loop: expire, heal, reason, let the rule approve where it may, act, evaluate. One tick of it.

All state is rows: a tick finds what is to be done in the warehouse, so that a console that was
killed anywhere goes on where it stopped. What fails is put on record and stops nothing else.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import cache, partial
from pathlib import Path
from typing import Literal

import polars as pl

from engine import act, alarms, champion, evaluate, history, observe
from engine.circumstances import Circumstances, circumstances
from engine.gains import Planner
from engine.hands import Actuator
from engine.healing.judging import Rounds
from engine.leading import Alone, Leader
from engine.market.evidence import added_evidence
from engine.policies.rule import RuleSettings
from engine.reason import reasoned
from engine.setbacks import Setbacks
from engine.simulator.settings import Economics
from warehouse import controls
from warehouse.clock import Clock, WallClock
from warehouse.decisions import AlreadyDecided, TargetBusy, approve, lapse, propose
from warehouse.records import CollectorRun
from warehouse.store import Store

REASON_EVERY = timedelta(minutes=15)
"""Pools are reasoned about once in each quarter of an hour, on the clock's own grid, and when a
node of theirs falls ill or is ready for repair."""
BY_AUTONOMY = "autonomy"
BY_THE_RULE = "autonomous: inside its limits"
Look = Callable[[], dict[str, observe.PoolObservation]]
UNDER_WAY = ("approved", "carrying_out", "undoing")

_WORK = """
    SELECT decision_id, action, mode, state, expires_at <= $now AS is_over,
        coalesce(measured_at IS NULL AND $now >= to_timestamp(horizon_seconds + epoch(
            CASE WHEN execution_phase = 'succeeded' THEN execution_ended_at
                WHEN state IN ('shadow', 'rejected', 'lapsed', 'withdrawn', 'refused')
                    THEN proposed_at END
        )), false) AS is_due
    FROM decision_states
    WHERE state IN ('waiting', 'approved', 'carrying_out', 'undoing') OR is_due
    ORDER BY coalesce(undo_requested_at, decided_at, proposed_at), decision_id
"""
"""Decisions that something is to be done about, the longest waiting first."""
_POOLS = "SELECT DISTINCT pool FROM pools"
_REASONED = """
    SELECT pool FROM observations WHERE observed_at >= $slot_starts_at
    GROUP BY pool HAVING max(observed_at) >= ALL (
        SELECT happened_at FROM node_incidents i
        WHERE i.pool = observations.pool AND i.happened_at >= $slot_starts_at
            AND i.phase IN ('detected', 'quarantined')
    )
"""
"""Pools that were reasoned about in this quarter of an hour, and whose nodes are as they were then:
one that fell ill, or was emptied and can be repaired, does not wait for the next."""


@dataclass(frozen=True)
class Engine:
    """The engine on a warehouse. `tick` may be called as often as one likes."""

    store: Store
    clock: Clock
    hands: Actuator
    judge: evaluate.Judge
    planner: Planner = field(default_factory=Planner)
    rule_by_pool: Mapping[str, RuleSettings] | None = None
    """The rule's knobs for the pools that have their own."""
    terms: Mapping[str, Economics] | None = None
    """What is agreed in each pool, where it is known; as `Planner.terms`"""
    home: Path | None = None
    """The data folder, where weights trained here are; None where there is none"""
    wall: Clock = field(default_factory=WallClock)
    """The machine's clock, by which failures are put on record like collectors' runs."""
    setbacks: Setbacks = field(default_factory=Setbacks)
    """What failed lately and is not tried at every tick"""
    rounds: Rounds = field(default_factory=Rounds)
    """Its rounds over the fleet's health"""
    leader: Leader = field(default_factory=Alone)
    """Whether this console is the one that acts"""
    _only_looks: threading.Event = field(default_factory=threading.Event, init=False)
    """Set while it is not"""

    @property
    def led_by(self) -> str | None:
        """Who acts in its stead, as of when that was last asked; None where it acts itself."""
        if not self._only_looks.is_set():
            return None
        trouble = self.leader.trouble
        return self.leader.holder() or (f"nobody ({trouble})" if trouble else "nobody yet")

    def leads(self) -> bool:
        """Whether this console is the one that acts, asked now."""
        leads = self.leader.leads()
        (self._only_looks.clear if leads else self._only_looks.set)()
        return leads

    def tick(self) -> None:
        """Do all that is due now; nothing where another console leads."""
        if not self.leads():
            return
        now = self.clock.now()
        look = cache(
            lambda: observe.observed(self.store, now, self.terms)
        )  # once a tick, if at all
        self._apart("expire", lambda: self._expire(now))
        self._apart("heal", lambda: self.rounds.go(self.store, now))
        self._piece("reason", lambda: self._reason(now, look))
        self._apart("work", lambda: self._follow_up(now, look))

    def aside(
        self, stage: str, work: Callable[[datetime], object], *, is_for_all: bool = False
    ) -> None:
        """Do a piece of work that is no part of a tick, and that fails as quietly as a tick's.

        `is_for_all` is what a console does that does not lead, too.
        """
        if not (is_for_all or self.leads()):
            return
        now = self.clock.now()
        self._piece(stage, lambda: work(now))

    # -- stages --------------------------------------------------------------------

    def _work(self, now: datetime) -> pl.DataFrame:
        return self.store.query(_WORK, now=now)

    def _expire(self, now: datetime) -> None:
        work = self._work(now)
        for decision_id in work.filter(pl.col("is_over"), state="waiting")["decision_id"]:
            with suppress(AlreadyDecided):  # somebody spoke at the last moment
                lapse(self.store, decision_id, now=now)

    def _reason(self, now: datetime, look: Look) -> None:
        done = set(self.store.query(_REASONED, slot_starts_at=_slot(now))["pool"])
        if done.issuperset(self.store.query(_POOLS)["pool"]):
            return  # as at most ticks: nothing more is read
        due = [one for pool, one in look().items() if pool not in done]
        if not due:
            return
        past = history.past(self.store, now)
        roster = self._watched(now)
        around = [circumstances(self.store, now)]
        for one in due:
            name = one.pool.pool
            thinking = partial(self._reason_about, one, past.get(name), around, roster)
            self._piece(f"reason/{name}", thinking)

    def _watched(self, now: datetime) -> champion.Roster:
        """Who steers, once it was asked who may no longer: an alarm holds from this tick on."""
        found, raised = champion.roster(self.store, self.home, now), list[object]()
        self._apart("alarms", lambda: raised.extend(alarms.watch(self.store, found, now)))
        return champion.roster(self.store, self.home, now) if raised else found

    def _reason_about(
        self,
        seen: observe.PoolObservation,
        past: history.PoolPast | None,
        around: list[Circumstances],
        roster: champion.Roster,
    ) -> None:
        """The last of `around` holds; what is proposed here is added for the pools after it."""
        settings = (self.rule_by_pool or {}).get(seen.pool.pool)
        thought = reasoned(seen, past, around[-1], self.planner, settings, roster)
        with self.store.transaction(), suppress(TargetBusy):
            for decision in thought.decisions:
                more = added_evidence(self.store, decision, market_at=self.wall.now())
                propose(self.store, replace(decision, evidence={**decision.evidence, **more}))
            self.store.append([seen.row, *thought.refusals, *thought.proposals])
        around.append(around[-1].after(thought.decisions))

    def _follow_up(self, now: datetime, look: Look) -> None:
        """Approve where the rule may, carry out what was approved, measure what is over."""
        work = self._work(now)
        waiting = work.filter(~pl.col("is_over"), state="waiting", mode="autonomous")
        approved = self._approved_by_rule(waiting, now)
        on_their_way = work.filter(pl.col("state").is_in(UNDER_WAY))["decision_id"].to_list()
        self._act([*on_their_way, *approved], now, look)
        for one in work.filter(pl.col("is_due"))["decision_id"]:
            judging = partial(evaluate.evaluate, self.store, self.judge, one, now)
            self._piece("evaluate", judging, one)

    def _approved_by_rule(self, waiting: pl.DataFrame, now: datetime) -> list[str]:
        """In autonomous mode the rule says yes, by the same door as a person."""
        if waiting.is_empty():
            return []
        modes, four_eyes = controls.modes(self.store), controls.four_eyes(self.store)
        approved = []
        for one, action in waiting.select("decision_id", "action").iter_rows():
            if modes[action] != "autonomous":  # it was set back since the proposal
                continue
            if four_eyes[action]:  # two people must say yes: the rule is none
                continue
            with suppress(AlreadyDecided):  # a person was faster
                approve(self.store, one, by=BY_AUTONOMY, via="rule", now=now, reason=BY_THE_RULE)
                approved.append(one)
        return approved

    def _act(self, decisions: list[str], now: datetime, look: Look) -> None:
        for one in decisions:
            self._piece("act", partial(self._carry_on, one, now, look), one)

    def _carry_on(self, decision_id: str, now: datetime, look: Look) -> None:
        if self.leads():  # it may have been lost since the tick began
            act.carry_on(self.store, self.hands, decision_id, look(), now)

    # -- what fails ----------------------------------------------------------------

    def _piece(self, stage: str, work: Callable[[], object], decision_id: str = "") -> None:
        """Work on one pool or decision; where it failed lately it waits its turn."""
        name = f"{stage}/{decision_id}"
        if self.setbacks.must_wait(name):
            return
        if self._apart(stage, work):
            self.setbacks.succeeded(name)
        else:
            self.setbacks.failed(name)

    def _apart(self, stage: str, work: Callable[[], object]) -> bool:
        """Run one piece of work so that its failure is on record and stops nothing else."""
        started_at, began = self.wall.now(), time.monotonic()
        try:
            work()
        except Exception as error:  # a pool's bad rows or a lost action must not stop the others
            detail = f"{type(error).__name__}: {error}"
            duration = time.monotonic() - began
            self.store.append([_run(stage, "failed", detail, started_at, duration)])
            return False
        return True


def _run(
    stage: str,
    outcome: Literal["succeeded", "failed"],
    detail: str | None,
    started_at: datetime,
    duration: float,
) -> CollectorRun:
    return CollectorRun(
        collector=f"engine/{stage}",
        outcome=outcome,
        row_count=0,
        attempt_count=1,
        detail=detail,
        started_at=started_at,
        duration_seconds=duration,
    )


def _slot(now: datetime) -> datetime:
    """The start of the quarter of an hour that `now` lies in."""
    midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
    return midnight + (now - midnight) // REASON_EVERY * REASON_EVERY
