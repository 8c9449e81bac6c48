"""What policies would have earned on what really came, and whether the twin matches reality.

Time is cut into windows of four hours on the clock of UTC. In each the twin starts from the pool as
it really stood, so that policies are compared on the situations that the champion brought about,
and what they leave behind at a window's end is not counted.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from engine.policies import Policy
from engine.policies.registry import baseline
from engine.simulator.metrics import Metric, profit
from engine.simulator.settings import Economics
from engine.twin.commands import given_commands
from engine.twin.episodes import Span, read_span
from engine.twin.errors import NothingKnown
from engine.twin.play import play_commands, play_policy
from engine.twin.spread import interval
from engine.twin.validity import drift, earlier_errors, threshold
from warehouse.records import ShadowScore, TwinCheck
from warehouse.store import Store

Floats = npt.NDArray[np.float64]
Role = Literal["champion", "challenger", "rule"]
Contender = tuple[Role, Policy]

WINDOW = timedelta(hours=4)
REDRAWS = 8
MOST_WINDOWS = 3
LOOK_BACK = timedelta(days=2)
"""Windows that ended longer ago are not made up for."""
FEWEST_COVERED_RATIO = 0.99
"""share of a window that the ledger must cover"""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

_LEDGER = """
    SELECT sum(epoch(period_ends_at) - epoch(period_starts_at)) AS seconds,
        sum(revenue_usd + spot_revenue_usd - owned_cost_usd - leased_cost_usd - penalty_usd
            - refund_usd) AS profit, sum(revenue_usd + spot_revenue_usd) AS takings,
        sum(used_gpu_hours) AS used
    FROM pool_ledgers
    WHERE pool = $pool AND period_starts_at >= $starts_at AND period_ends_at <= $ends_at
"""
_DONE = """
    SELECT pool, starts_at, count(*) AS rows FROM {table} WHERE starts_at >= $since
    GROUP BY pool, starts_at
"""
_POOLS = """
    SELECT pool, min(measured_at) AS first, max(measured_at) AS last FROM pool_states
    WHERE measured_at >= $since GROUP BY pool ORDER BY pool
"""


class Window(NamedTuple):
    """A span of time."""

    starts_at: datetime
    ends_at: datetime


def score(
    store: Store,
    pool: str,
    policies: Mapping[str, Contender],
    window: Window,
    redraws: int = REDRAWS,
    terms: Economics | None = None,
) -> list[ShadowScore]:
    """What each policy, by its id, would have earned in the window, beside the rule.

    Raises:
        NothingKnown: the rows do not cover the window.
    """
    return _scores(read_span(store, pool, *window, terms), pool, policies, window, redraws)


def _scores(
    span: Span, pool: str, policies: Mapping[str, Contender], window: Window, redraws: int
) -> list[ShadowScore]:
    rule = play_policy(span, _rule(policies), redraws)
    played = {
        policy_id: (role, rule if role == "rule" else play_policy(span, policy, redraws))
        for policy_id, (role, policy) in policies.items()
    }
    return [
        _score(pool, policy_id, role, metrics, rule, window)
        for policy_id, (role, metrics) in played.items()
    ]


def _rule(policies: Mapping[str, Contender]) -> Policy:
    return next((policy for role, policy in policies.values() if role == "rule"), baseline("rule"))


def _score(
    pool: str, policy_id: str, role: Role, metrics: Floats, rule: Floats, window: Window
) -> ShadowScore:
    ours, theirs = profit(metrics), profit(rule)
    _, low, high = interval(ours - theirs)
    return ShadowScore(
        pool=pool,
        policy_id=policy_id,
        role=role,
        profit_usd=float(ours.mean()),
        rule_profit_usd=float(theirs.mean()),
        gain_low_usd=low,
        gain_high_usd=high,
        late_ratio=_ratio(metrics, Metric.LATE_JOBS, Metric.STARTED_JOBS),
        rule_late_ratio=_ratio(rule, Metric.LATE_JOBS, Metric.STARTED_JOBS),
        utilisation_ratio=_ratio(metrics, Metric.USED_GPU_SECONDS, Metric.AVAILABLE_GPU_SECONDS),
        redraws=len(metrics),
        starts_at=window.starts_at,
        ends_at=window.ends_at,
    )


def _ratio(metrics: Floats, part: Metric, whole: Metric) -> float:
    total = float(metrics[:, whole].sum())
    return min(1.0, float(metrics[:, part].sum()) / total) if total > 0 else 0.0


# -- the twin against reality ----------------------------------------------------------


def check(
    store: Store, pool: str, window: Window, terms: Economics | None = None
) -> TwinCheck | None:
    """The twin under the commands really given against ledger and readings.

    None where the rows do not cover the window. The drift goes on from the checks before it.
    """
    try:
        return _checked(store, pool, read_span(store, pool, *window, terms), window)
    except NothingKnown:
        return None


class _Actual(NamedTuple):
    profit_usd: float | None
    takings_usd: float
    used_gpu_hours: float


def _checked(store: Store, pool: str, span: Span, window: Window) -> TwinCheck:
    given = given_commands(store, pool, span.starts_at, window.ends_at)
    metrics = play_commands(span, given, window.ends_at, REDRAWS)
    if span.starts_at < window.starts_at:
        metrics = metrics - play_commands(span, given, window.starts_at, REDRAWS)
    earned = float(profit(metrics).mean())
    used = float(metrics[:, Metric.USED_GPU_SECONDS].mean()) / 3600
    actual = _actual(store, pool, span, window)
    error = _error(earned, used, actual)
    errors = np.append(earlier_errors(store, pool, window.starts_at), error)
    sum_of_errors, matches = drift(errors)
    return TwinCheck(
        pool=pool,
        twin_profit_usd=earned,
        actual_profit_usd=actual.profit_usd,
        twin_used_gpu_hours=used,
        actual_used_gpu_hours=actual.used_gpu_hours,
        error_ratio=error,
        drift=sum_of_errors,
        threshold=threshold(),
        is_valid=matches,
        detail=_sentence(earned, used, actual, error, sum_of_errors, matches),
        starts_at=window.starts_at,
        ends_at=window.ends_at,
    )


def _actual(store: Store, pool: str, span: Span, window: Window) -> _Actual:
    found = store.query(_LEDGER, pool=pool, **window._asdict()).row(0, named=True)
    covered = (found["seconds"] or 0.0) / (window.ends_at - window.starts_at).total_seconds()
    if covered >= FEWEST_COVERED_RATIO:
        return _Actual(found["profit"], found["takings"], found["used"])
    return _Actual(None, 0.0, _used_gpu_hours(span, window))


def _used_gpu_hours(span: Span, window: Window) -> float:
    """By the readings, each holding until the next."""
    rows = span.readings.rows
    instants = [max(at, window.starts_at) for at in rows["measured_at"]] + [window.ends_at]
    hours = np.diff(np.array([at.timestamp() for at in instants])) / 3600
    return float((hours * rows["gpus_used"].to_numpy()).sum())


def _error(earned: float, used: float, actual: _Actual) -> float:
    """Twin over actual, less 1; of the profit over the takings, since a profit may be near 0."""
    if actual.profit_usd is not None and actual.takings_usd > 0:
        whole = max(abs(actual.profit_usd), 0.5 * actual.takings_usd)
        return (earned - actual.profit_usd) / whole
    if actual.used_gpu_hours > 0:
        return used / actual.used_gpu_hours - 1
    return 0.0 if used == 0 else 1.0


def _sentence(
    earned: float, used: float, actual: _Actual, error: float, drift: float, matches: bool
) -> str:
    if actual.profit_usd is None:
        told = f"The twin counts {used:.0f} GPU-hours in use, the readings "
        told += f"{actual.used_gpu_hours:.0f}"
    else:
        told = f"The twin earns ${earned:,.0f}, the ledger says ${actual.profit_usd:,.0f}"
    verdict = "it may judge" if matches else "it no longer matches and may not judge"
    return (
        f"{told}: {error:+.1%}. The sum of its errors is {drift:.1f} and may reach "
        f"{threshold():.1f}: {verdict}."
    )


# -- the schedule ----------------------------------------------------------------------


def job(
    store: Store,
    now: datetime,
    policies: Mapping[str, Contender],
    terms: Mapping[str, Economics] | None = None,
    most_windows: int = MOST_WINDOWS,
) -> int:
    """Score and check the finished windows that are not done yet; how many were.

    The oldest first, and all pools of a window before the next. A window whose rows have gaps is
    left out. May be called as often as one likes, and be killed anywhere.
    """
    done: set[Window] = set()
    for pool, window in _due(store, now):
        if window not in done and len(done) == most_windows:
            break
        rows = _rows(store, pool, window, policies, (terms or {}).get(pool))
        if rows:
            store.append(rows)
            done.add(window)
    return len(done)


def _rows(
    store: Store,
    pool: str,
    window: Window,
    policies: Mapping[str, Contender],
    terms: Economics | None,
) -> list[ShadowScore | TwinCheck]:
    """All that is to be kept of a pool's window; nothing where the rows do not cover it."""
    try:
        span = read_span(store, pool, *window, terms)
    except NothingKnown:
        return []
    scored = _scores(span, pool, policies, window, REDRAWS)
    return [_checked(store, pool, span, window), *scored]


def _due(store: Store, now: datetime) -> list[tuple[str, Window]]:
    """The windows that ended lately, were read, and have no check, by time and pool."""
    newest = now - (now - _EPOCH) % WINDOW
    since = newest - LOOK_BACK
    done = set(store.query(_DONE.format(table="twin_checks"), since=since).rows())
    known = {(pool, starts_at) for pool, starts_at, _ in done}
    due = []
    for pool, first, last in store.query(_POOLS, since=since - WINDOW).rows():
        starts_at = since
        while starts_at + WINDOW <= newest:
            window = Window(starts_at, starts_at + WINDOW)
            is_read = first <= window.starts_at and last >= window.ends_at
            if is_read and (pool, starts_at) not in known:
                due.append((pool, window))
            starts_at += WINDOW
    return sorted(due, key=lambda one: (one[1], one[0]))
