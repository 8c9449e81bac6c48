"""Who gives signs of leaving: what is seen of every tenant, the rules asked, what is at stake.

The rules are in `warehouse/churn_rules.py`. What is at stake is what the tenant was charged a day
in its usual weeks; tenants with signals come in that order, since nothing here says how probable
it is that one leaves: no record of tenants that left exists to learn that from.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import polars as pl

from warehouse.behaviour import JOBS
from warehouse.churn_rules import GAPS_SPAN, RECENT, RULES, USUAL, Seen, Signal, Span, Unjudged
from warehouse.spend import spend_total
from warehouse.store import Store

SIGNS = frozenset(rule.name for rule in RULES if rule.is_sign)


@dataclass(frozen=True)
class Judged:
    """One tenant, judged by every rule."""

    tenant: str
    at_stake_usd_per_day: float
    """Charged a day in its usual weeks, as far as it was known then; 0 where nothing was."""
    signals: tuple[Signal, ...]
    unjudged: tuple[Unjudged, ...]
    last_submitted_at: datetime

    @property
    def gives_signs(self) -> bool:
        """Whether it does something that looks like leaving."""
        return any(signal.rule in SIGNS for signal in self.signals)


@dataclass(frozen=True)
class Standing:
    """All tenants in a few numbers."""

    active: int
    """Submitted something in the last seven days."""
    tenants: int
    signs: int
    """Give at least one sign."""
    signs_usd_per_day: float
    reasons: int
    """Give no sign, but have a reason."""
    reasons_usd_per_day: float
    unjudged: int
    """Of which no rule knows enough."""


def judged(store: Store, *, now: datetime) -> list[Judged]:
    """Every tenant that submitted in the last 180 days: those with signals first, the most at
    stake before the least; then the others, likewise."""
    paid = _paid(store, now)
    found = [
        _judge(seen, last_at, paid.get(seen.tenant, 0.0)) for seen, last_at in _all_seen(store, now)
    ]
    return sorted(
        found,
        key=lambda each: (not each.signals, -each.at_stake_usd_per_day, each.tenant),
    )


def standing(found: Sequence[Judged], *, now: datetime) -> Standing:
    """All tenants in a few numbers."""
    signs = [each for each in found if each.gives_signs]
    reasons = [each for each in found if each.signals and not each.gives_signs]
    return Standing(
        active=sum(each.last_submitted_at >= now - RECENT for each in found),
        tenants=len(found),
        signs=len(signs),
        signs_usd_per_day=sum(each.at_stake_usd_per_day for each in signs),
        reasons=len(reasons),
        reasons_usd_per_day=sum(each.at_stake_usd_per_day for each in reasons),
        unjudged=sum(len(each.unjudged) == len(RULES) for each in found),
    )


def _judge(seen: Seen, last_at: datetime, paid_usd: float) -> Judged:
    answers = [rule.judge(seen) for rule in RULES]
    days = min(USUAL.days, seen.known_days - RECENT.days)
    return Judged(
        seen.tenant,
        paid_usd / days if days >= 1 else 0.0,
        tuple(each for each in answers if isinstance(each, Signal)),
        tuple(each for each in answers if isinstance(each, Unjudged)),
        last_at,
    )


def _paid(store: Store, now: datetime) -> dict[str, float]:
    found = spend_total(store, since=now - RECENT - USUAL, until=now - RECENT)
    return dict(zip(found["tenant"], found["charge_usd"], strict=True))


# -- what is seen ----------------------------------------------------------------------


def _all_seen(store: Store, now: datetime) -> Iterator[tuple[Seen, datetime]]:
    jobs = _jobs(store, now)
    recent, usual = (_spans(jobs.filter(pl.col("is_recent") == part)) for part in (True, False))
    weeks, prices = _by_week(jobs), _prices(store, jobs, now)
    for row in _days(store, now).iter_rows(named=True):
        tenant, known_days = row["tenant"], (now - row["first_at"]).total_seconds() / 86_400
        whole = max(0, min(USUAL.days // 7, int((known_days - RECENT.days) // 7)))
        paid, asked = prices.get(tenant, (None, None))
        seen = Seen(
            tenant=tenant,
            today=now.date(),
            known_days=known_days,
            recent=recent.get(tenant, Span()),
            usual=usual.get(tenant, Span()),
            weeks=tuple(weeks.get((tenant, week), 0) for week in range(1, whole + 1)),
            days=tuple(row["days"]),
            paid_usd_per_gpu_hour=paid,
            asked_usd_per_gpu_hour=asked,
        )
        yield seen, row["last_at"]


def _jobs(store: Store, now: datetime) -> pl.DataFrame:
    """The jobs of the last five weeks, each with the week it is of: 0 the last seven days."""
    since = now - RECENT - USUAL
    return store.query(
        f"""
        SELECT tenant, pool, gpu_count, price_usd_per_gpu_hour, pricing, wait_seconds, has_left,
            has_failed OR stops > 0 AS is_upset,
            least(floor((epoch($until) - epoch(submitted_at)) / 604800)::BIGINT, 4) AS week
        FROM ({JOBS})
        """,
        since=since,
        until=now,
        tenant=None,
    ).with_columns(is_recent=pl.col("week") == 0)


def _spans(jobs: pl.DataFrame) -> dict[str, Span]:
    grouped = jobs.group_by("tenant").agg(
        jobs=pl.len(),
        wait_median_seconds=pl.col("wait_seconds").median(),
        upset_jobs=pl.col("is_upset").sum(),
        left_jobs=pl.col("has_left").sum(),
    )
    return {row.pop("tenant"): Span(**row) for row in grouped.to_dicts()}


def _by_week(jobs: pl.DataFrame) -> dict[tuple[str, int], int]:
    counted = jobs.group_by("tenant", "week").agg(jobs=pl.len())
    return {(tenant, week): number for tenant, week, number in counted.iter_rows()}


def _days(store: Store, now: datetime) -> pl.DataFrame:
    return store.query(
        """
        SELECT tenant, list(DISTINCT happened_at::DATE ORDER BY happened_at::DATE) AS days,
            min(happened_at) AS first_at, max(happened_at) AS last_at
        FROM job_events WHERE event = 'submitted' AND happened_at >= $since AND happened_at < $now
        GROUP BY tenant ORDER BY tenant
        """,
        since=now - GAPS_SPAN,
        now=now,
    )


def _prices(
    store: Store, jobs: pl.DataFrame, now: datetime
) -> dict[str, tuple[float | None, float | None]]:
    """What each tenant's standard jobs of the usual weeks were sold at, and would be now."""
    listed = store.query(
        """
        SELECT pool, arg_max(price_usd_per_gpu_hour, in_force_from_at) AS asked FROM price_list
        WHERE in_force_from_at <= $now GROUP BY pool
        """,
        now=now,
    )
    is_priced = pl.col("price_usd_per_gpu_hour").is_not_null() & (pl.col("pricing") == "standard")
    usual = jobs.filter(~pl.col("is_recent") & is_priced).join(listed, on="pool")

    def mean(price: str) -> Any:
        return (pl.col(price) * pl.col("gpu_count")).sum() / pl.col("gpu_count").sum()

    found = usual.group_by("tenant").agg(
        mean("price_usd_per_gpu_hour").alias("paid"), mean("asked")
    )
    return {row["tenant"]: (row["paid"], row["asked"]) for row in found.to_dicts()}
