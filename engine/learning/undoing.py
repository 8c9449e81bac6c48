"""What takes a learned policy out of service: CUSUM on what it earned, and four hard triggers.

Pure functions of plain arrays, oldest first. Each answers an Alarm, or None where all is well; who
asks writes the row (`PolicyAlarm`) and puts the former policy, or the rule, back.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from engine.learning.statistics import ALLOWANCE, Side, cusum, cusum_threshold
from engine.policies import PRICE_RATIOS

Floats = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]
Trigger = Literal["cusum", "late_burn", "price_bounds", "failing_actions", "twin_drift"]

BLOCK_QUARTERS = 16
"""quarters of an hour in a four-hour mean"""
FEWEST_KNOWN_RATIO = 0.5
"""a block with fewer of its quarters known than this has no mean"""
HIGHEST_BURN_RATIO = 0.9
"""a burn that would take a late share above this could never be seen: it is capped there"""
FEWEST_STARTS = 20
"""started jobs in the long window below which a late share says little"""
PRICE_TOLERANCE_RATIO = 1e-3
"""prices are rounded, and a market quoted in cents is too"""


class Alarm(NamedTuple):
    """A trigger that went off."""

    trigger: Trigger
    value: float
    """the figure"""
    threshold: float
    """what it may not pass"""
    detail: str
    """in words"""


class Usual(NamedTuple):
    """How a figure behaves while all is well: from weeks in which the policy was trusted."""

    mean: float
    deviation: float


class BurnWindow(NamedTuple):
    """A pair of windows; both must burn for an alarm."""

    long_quarters: int
    short_quarters: int
    burn: float
    """late jobs over those that the budget allows"""


BURN_WINDOWS = (BurnWindow(4, 1, 14.4), BurnWindow(24, 2, 6.0))
"""One hour with its last 15 min, six hours with their last 30 min: the rates of Google's Site
Reliability Workbook, 2018, ch. 5, "Multiwindow, Multi-Burn-Rate Alerts" (2 % and 5 % of 30 days'
budget); its 5 min are 15 here, the shortest span that is counted."""


def usual(values: Floats) -> Usual:
    """Mean and standard deviation of the known values (n,).

    Raises:
        ValueError: fewer than two are known, or all are alike.
    """
    known = values[~np.isnan(values)]
    if len(known) < 2 or float(np.std(known, ddof=1)) == 0.0:
        raise ValueError("too little is known to say what is usual: wait for more spans")
    return Usual(float(known.mean()), float(np.std(known, ddof=1)))


def four_hour_means(values: Floats, quarters: int = BLOCK_QUARTERS) -> Floats:
    """Means of whole blocks of `values` (n,), one a quarter of an hour, counted from the newest.

    What is left over at the old end is dropped, unknown quarters (NaN) are left out, and a block
    most of which is unknown is NaN. Shape (n // quarters,).
    """
    count = len(values) // quarters
    blocks = values[len(values) - count * quarters :].reshape(count, quarters)
    known = ~np.isnan(blocks)
    sums, counts = np.where(known, blocks, 0.0).sum(axis=1), known.sum(axis=1)
    enough = counts >= FEWEST_KNOWN_RATIO * quarters
    means: Floats = np.where(enough, sums / np.maximum(counts, 1), np.nan)
    return means


def cusum_alarm(
    residuals_usd: Floats, before: Usual, *, threshold: float | None = None
) -> Alarm | None:
    """The policy earned less than the twin says it should have, for too long to be chance.

    `residuals_usd` (n,): four-hour means of realised profit less the twin's, conditional on what
    customers did, since the policy took over; NaN where unknown, and then left out. `before` is
    what they were while it was trusted. The threshold is that of 0.02 false alarms a pool-week.
    """
    limit = cusum_threshold() if threshold is None else threshold
    known, path = _drift(residuals_usd, before, "low")
    at = _first_over(path, limit)
    if at is None:
        return None
    short = float(before.mean - known[: at + 1].mean())
    return Alarm(
        "cusum",
        float(path[at]),
        limit,
        f"over {4 * (at + 1)} hours it earned ${short:,.2f} an interval less than the twin "
        f"expects; the sum of its shortfalls reached {path[at]:.1f}, and may reach {limit:.1f}",
    )


def late_burn_alarm(
    late_jobs: Floats,
    started_jobs: Floats,
    *,
    budget_ratio: float,
    windows: Sequence[BurnWindow] = BURN_WINDOWS,
) -> Alarm | None:
    """Late jobs use up what is allowed many times too fast, over a long and a short window.

    Counts a quarter of an hour, (n,) each; `budget_ratio` is the share of started jobs that may be
    late. The long window says that it matters, the short one that it still goes on.

    Raises:
        ValueError: the budget is not between 0 and 1.
    """
    if not 0 < budget_ratio < 1:
        raise ValueError(f"a budget of {budget_ratio:g} is no share of jobs between 0 and 1")
    for window in windows:
        limit = min(window.burn, max(HIGHEST_BURN_RATIO / budget_ratio, 1.0))
        jobs = float(started_jobs[-window.long_quarters :].sum())
        if len(started_jobs) < window.long_quarters or jobs < FEWEST_STARTS:
            continue
        long = _burn(late_jobs, started_jobs, window.long_quarters, budget_ratio)
        short = _burn(late_jobs, started_jobs, window.short_quarters, budget_ratio)
        if long >= limit and short >= limit:
            return Alarm(
                "late_burn",
                long,
                limit,
                f"{long * budget_ratio:.0%} of {jobs:.0f} jobs started late in "
                f"{window.long_quarters / 4:g} h, {short * budget_ratio:.0%} in the last "
                f"{15 * window.short_quarters} min; {budget_ratio:.1%} is allowed",
            )
    return None


def price_alarm(
    prices_usd_per_gpu_hour: Floats,
    markets_usd_per_gpu_hour: Floats,
    *,
    low_ratio: float = float(PRICE_RATIOS[0]),
    high_ratio: float = float(PRICE_RATIOS[-1]),
) -> Alarm | None:
    """A price was set outside what is allowed of the market's at that moment, or is no price.

    Both (n,), at the instants of the decisions. An unknown market (NaN) can't be compared with.
    """
    for price, market in zip(prices_usd_per_gpu_hour, markets_usd_per_gpu_hour, strict=True):
        if not np.isfinite(price) or price <= 0:
            return Alarm("price_bounds", float(price), low_ratio, f"{price} is no price")
        ratio = float(price / market) if market > 0 else float("nan")
        for limit, is_out in (
            (low_ratio, ratio < low_ratio - PRICE_TOLERANCE_RATIO),
            (high_ratio, ratio > high_ratio + PRICE_TOLERANCE_RATIO),
        ):
            if is_out:
                return Alarm(
                    "price_bounds",
                    ratio,
                    limit,
                    f"${price:.2f} is {ratio:.2f} times the market's ${market:.2f}; "
                    f"allowed are {low_ratio:.2f} to {high_ratio:.2f} times",
                )
    return None


def failing_actions_alarm(succeeded: Flags, *, window: int = 10, most: int = 3) -> Alarm | None:
    """Of the last actions carried out too many failed; `succeeded` (n,), the newest last."""
    latest = succeeded[-window:]
    failed = int((~latest).sum())
    if failed <= most:
        return None
    return Alarm(
        "failing_actions",
        float(failed),
        float(most),
        f"{failed} of its last {len(latest)} actions failed; {most} may",
    )


def twin_drift(error_ratios: Floats, before: Usual) -> Floats:
    """Two-sided CUSUM of the twin's errors (n,), the newest last; of the known ones alone."""
    return _drift(error_ratios, before, "both")[1]


def twin_drift_alarm(
    error_ratios: Floats, before: Usual, *, threshold: float | None = None
) -> Alarm | None:
    """The twin no longer matches reality, so that it may judge nobody and the rule takes over.

    `error_ratios` (n,): twin over actual, less 1, a span of four hours each; `before` is what they
    were when the twin was last calibrated. The newest sum counts: a twin that matches again may
    judge again.
    """
    limit = cusum_threshold(side="both") if threshold is None else threshold
    path = twin_drift(error_ratios, before)
    if not len(path) or path[-1] <= limit:
        return None
    return Alarm(
        "twin_drift",
        float(path[-1]),
        limit,
        f"the twin was last {error_ratios[~np.isnan(error_ratios)][-1]:+.1%} off, usual is "
        f"{before.mean:+.1%} ± {before.deviation:.1%}; the sum of its errors reached "
        f"{path[-1]:.1f}, and may reach {limit:.1f}",
    )


def _drift(values: Floats, before: Usual, side: Side) -> tuple[Floats, Floats]:
    """The known values, and the CUSUM of their standardised deviations."""
    known = values[~np.isnan(values)]
    deviations = (known - before.mean) / before.deviation
    return known, cusum(deviations, allowance=ALLOWANCE, side=side)


def _first_over(path: Floats, limit: float) -> int | None:
    over = np.flatnonzero(path > limit)
    return int(over[0]) if len(over) else None


def _burn(late: Floats, started: Floats, quarters: int, budget_ratio: float) -> float:
    starts = float(started[-quarters:].sum())
    return float(late[-quarters:].sum()) / starts / budget_ratio if starts else 0.0
