"""Alarms: the triggers of `learning/undoing.py` asked of the rows, and what is done when one fires.

A policy that raised one is rolled back and the alarm put on record. Only the twin's drift accuses
no policy: while it lasts, the rule steers in the pool whose twin it is, and nobody is rolled back.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np
import polars as pl

from engine.champion import Roster, canary_since, withdraw
from engine.learning import undoing
from engine.learning.undoing import Alarm, Usual
from engine.twin.validity import threshold
from warehouse import controls, policies
from warehouse.records import PolicyAlarm
from warehouse.store import Store

QUARTER = timedelta(minutes=15)
BURN_SPAN = timedelta(hours=6)
SCORES_SPAN = timedelta(days=28)
FEWEST_WINDOWS = 12
"""Scored windows of a pool, two days of them, below which nothing is known of their spread."""
LATE_EXCESS_RATIO = 0.005
"""Late starts allowed beyond the rule's share; the gates allow as many."""
LEAST_LATE_BUDGET_RATIO = 0.01

_SCORES = """
    SELECT pool, starts_at, ends_at, profit_usd - rule_profit_usd AS gain, rule_late_ratio
    FROM shadow_scores WHERE policy_id = $policy_id AND starts_at >= $since
    ORDER BY ends_at
"""
_STARTS = """
    SELECT pool, floor(epoch(measured_at - $since) / 900)::INT AS quarter,
        sum(late_jobs)::DOUBLE AS late, sum(started_jobs)::DOUBLE AS started
    FROM pool_states WHERE measured_at >= $since AND measured_at < $until
    GROUP BY ALL ORDER BY pool, quarter
"""
_STEERED = """
    SELECT DISTINCT d.pool FROM executions e JOIN decisions d USING (decision_id)
    WHERE d.policy = $policy_id AND e.kind = 'do' AND e.phase = 'succeeded'
        AND e.happened_at >= $since
"""
_PRICES = """
    SELECT p.pool, p.price_usd_per_gpu_hour AS price, s.market_usd_per_gpu_hour AS market
    FROM price_list p
    JOIN decisions d USING (decision_id) JOIN verdicts v USING (decision_id)
    ASOF LEFT JOIN pool_states s ON p.pool = s.pool AND p.in_force_from_at >= s.measured_at
    WHERE d.policy = $policy_id AND v.verdict = 'approve' AND p.in_force_from_at >= $since
    ORDER BY p.in_force_from_at
"""
_ENDS = """
    SELECT e.phase = 'succeeded' AS succeeded
    FROM executions e JOIN decisions d USING (decision_id)
    WHERE d.policy = $policy_id AND e.kind = 'do' AND e.phase IN ('succeeded', 'failed')
        AND e.happened_at >= $since
    ORDER BY e.happened_at
"""
_DRIFTING = """
    SELECT c.pool, c.drift, c.detail, c.ends_at FROM (
        SELECT * FROM twin_checks
        QUALIFY row_number() OVER (PARTITION BY pool ORDER BY ends_at DESC) = 1
    ) c
    WHERE NOT c.is_valid AND NOT EXISTS (
        SELECT 1 FROM policy_alarms a
        WHERE a.trigger = 'twin_drift' AND a.pool = c.pool AND a.raised_at > coalesce((
            SELECT max(ends_at) FROM twin_checks v WHERE v.pool = c.pool AND v.is_valid
        ), TIMESTAMPTZ '1970-01-01')
    )
"""
"""Pools whose twin drifts and of which that has not been said since it last matched."""


@dataclass(frozen=True)
class Watched:
    """A policy at work: where and since when."""

    policy_id: str
    since_at: datetime
    pools: frozenset[str] | None = None
    """None for all"""

    def has(self, pool: str) -> bool:
        """Whether it steers the pool."""
        return self.pools is None or pool in self.pools


def watch(store: Store, roster: Roster, now: datetime) -> list[PolicyAlarm]:
    """Ask every trigger; what fired is put on record and its policy rolled back."""
    raised = _drifts(store, roster, now)
    store.append(raised)
    for watched in _at_work(store, roster):
        found = next(_fired(store, watched, now), None)
        if found is not None:
            pool, alarm = found
            raised.append(_row(watched.policy_id, pool, alarm, now))
            withdraw(store, raised[-1], now)
    return raised


def _at_work(store: Store, roster: Roster) -> list[Watched]:
    """The champion, and the challenger in its canary; the rule needs no watching."""
    found = []
    steering = policies.steering(store)
    if steering.policy_id != policies.RULE and steering.since_at is not None:
        found.append(Watched(steering.policy_id, steering.since_at))
    if roster.canary_pools and roster.challenger_id:
        since = canary_since(store, roster.challenger_id)
        if since is not None:
            found.append(Watched(roster.challenger_id, since, roster.canary_pools))
    return found


def _fired(store: Store, watched: Watched, now: datetime) -> Iterator[tuple[str | None, Alarm]]:
    """What fires for a policy, and in which pool; the hard triggers first."""
    asked = {"policy_id": watched.policy_id, "since": watched.since_at}
    ends = store.query(_ENDS, **asked)["succeeded"].to_numpy()
    failing = undoing.failing_actions_alarm(ends.astype(bool))
    if failing:
        yield None, failing
    for pool, alarm in (
        *_prices(store.query(_PRICES, **asked), controls.limits(store)),
        *_late(store, watched, now),
        *_falling(store, watched),
    ):
        if watched.has(pool):
            yield pool, alarm


def _prices(rows: pl.DataFrame, limits: controls.Limits) -> Iterator[tuple[str, Alarm]]:
    for pool, price, market in rows.iter_rows():
        alarm = undoing.price_alarm(
            np.array([price]),
            np.array([np.nan if market is None else market]),
            low_ratio=limits.price_floor_ratio,
            high_ratio=limits.price_ceiling_ratio,
        )
        if alarm:
            yield pool, alarm


def _late(store: Store, watched: Watched, now: datetime) -> Iterator[tuple[str, Alarm]]:
    """Late starts by quarters of an hour, counted back from now and no further than its start."""
    quarters = min(BURN_SPAN, now - watched.since_at) // QUARTER
    since = now - quarters * QUARTER
    rows = store.query(_STARTS, since=since, until=now)
    scores = store.query(_SCORES, policy_id=watched.policy_id, since=now - SCORES_SPAN)
    usual = dict(scores.group_by("pool").agg(pl.col("rule_late_ratio").mean()).iter_rows())
    # Where nothing was carried out, or nobody knows how late the rule would be, the queues are not
    # the policy's doing: people who leave every proposal unanswered have queues too.
    steered = set(store.query(_STEERED, policy_id=watched.policy_id, since=since)["pool"])
    for (pool,), counted in rows.group_by("pool", maintain_order=True):
        if pool not in steered or pool not in usual:
            continue
        late, started = np.zeros(quarters), np.zeros(quarters)
        late[counted["quarter"]] = counted["late"]
        started[counted["quarter"]] = counted["started"]
        budget = max(usual[pool] + LATE_EXCESS_RATIO, LEAST_LATE_BUDGET_RATIO)
        alarm = undoing.late_burn_alarm(late, started, budget_ratio=min(budget, 0.5))
        if alarm:
            yield str(pool), alarm


def _falling(store: Store, watched: Watched) -> Iterator[tuple[str, Alarm]]:
    """Whether it earns less than the rule would, by the twin on what really came.

    The residual is its gain over the rule in each window of four hours. What is usual: a mean of 0,
    since a policy that still beats the rule is not taken out of service, and the spread of its own
    gains, those of its time in shadow included.
    """
    scores = store.query(_SCORES, policy_id=watched.policy_id, since=watched.since_at - SCORES_SPAN)
    for (pool,), of_pool in scores.group_by("pool", maintain_order=True):
        gains = of_pool["gain"].to_numpy()
        since = of_pool.filter(pl.col("starts_at") >= watched.since_at)["gain"].to_numpy()
        deviation = _spread(gains)
        if len(gains) < FEWEST_WINDOWS or deviation == 0.0 or not len(since):
            continue
        alarm = undoing.cusum_alarm(since, Usual(0.0, deviation))
        if alarm:
            yield str(pool), alarm


def _spread(gains: undoing.Floats) -> float:
    """Deviation from one window to the next: a lasting fall must not hide itself by widening it.

    The mean square of successive differences over two (von Neumann et al., Annals of Mathematical
    Statistics 12, 1941).
    """
    if len(gains) < FEWEST_WINDOWS:
        return 0.0
    return float(np.sqrt(np.mean(np.diff(gains) ** 2) / 2))


def _drifts(store: Store, roster: Roster, now: datetime) -> list[PolicyAlarm]:
    return [
        PolicyAlarm(
            policy_id=roster.champion_id,
            pool=pool,
            trigger="twin_drift",
            value=float(drift),
            threshold=threshold(),
            detail=f"{detail} The rule steers {pool} until its twin matches again.",
            raised_at=max(now, ends_at),
        )
        for pool, drift, detail, ends_at in store.query(_DRIFTING).iter_rows()
    ]


def _row(policy_id: str, pool: str | None, alarm: Alarm, now: datetime) -> PolicyAlarm:
    detail = f"{alarm.detail[:1].upper()}{alarm.detail[1:]}."
    return PolicyAlarm(
        policy_id=policy_id,
        pool=pool,
        trigger=alarm.trigger,
        value=alarm.value,
        threshold=alarm.threshold,
        detail=detail,
        raised_at=now,
    )
