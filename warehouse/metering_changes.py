"""Which hours to write, as which version and why: what was metered against what comes out now."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

import polars as pl

from warehouse import metering
from warehouse.metering_books import Books
from warehouse.schema import INSTANT
from warehouse.store import Store

FIRST = "first"
TOLERANCE = 1e-6
"""Two figures of one hour that lie no further apart are the same: sums in another order are not
alike to the last bit."""
KEYS = ("hour_starts_at", "job_id", "tenant", "user_id", "pool", "sharing", "pricing")
BY_EVENTS = ("allocated_gpu_hours", "list_cost_usd", "charge_usd")
BY_READINGS = ("used_gpu_hours", "measured_ratio", "energy_kilowatt_hours", "cost_usd")
OF_FLEET = (
    "physical_gpu_hours", "allocated_gpu_hours", "observed_gpu_hours", "idle_gpu_hours",
    "cordoned_gpu_hours", "down_gpu_hours", "unread_gpu_hours", "cost_usd",
)  # fmt: skip
MOST_NAMED = 5

_NEWEST_FLEET = f"""
    SELECT f.* FROM fleet_hours f JOIN ({metering.NEWEST_RUNS}) r USING (run_id)
    WHERE f.hour_starts_at >= $since AND f.hour_starts_at < $until
"""


@dataclass(frozen=True)
class Plan:
    """What is to be written."""

    runs: pl.DataFrame
    """`hour_starts_at`, `version`, `reason`; empty where nothing changed."""
    hours: pl.DataFrame
    """Rows of `metered_hours` of the span, without a `run_id`."""
    fleet: pl.DataFrame
    """Rows of `fleet_hours`, likewise."""


def plan(
    store: Store,
    made: Books,
    reasons: dict[datetime, str] | None,
    *,
    since: datetime,
    until: datetime,
) -> Plan:
    """Hours of a span that were never metered, or that come out differently now; where `reasons`
    by hour are given, only the latter.

    What only raw readings tell is kept from the version before where they are gone by now.
    """
    every = pl.datetime_range(since, until - timedelta(hours=1), "1h", eager=True).cast(INSTANT)
    there = metering.version_of(store, since=since, until=until)
    known = set(there["hour_starts_at"])
    first = [(hour, 1, FIRST) for hour in every if reasons is None and hour not in known]
    if not known:
        return Plan(_runs(first), made.hours, made.fleet)
    old = metering.hours(store, since=since, until=until).drop("run_id", "version")
    hours = _carried(store, old, made)
    changed = _changed(old, hours)
    fleet_changed = _fleet_changed(store, made, since, until)
    later = [
        (hour, version + 1, _reason((reasons or {}).get(hour), changed.filter(hour_starts_at=hour)))
        for hour, version in there.select("hour_starts_at", "version").iter_rows()
        if hour in fleet_changed or not changed.filter(hour_starts_at=hour).is_empty()
    ]
    return Plan(_runs(first + later), hours, made.fleet)


def still_due(runs: pl.DataFrame, there: pl.DataFrame) -> pl.DataFrame:
    """The planned versions that follow those that are there."""
    newest = there.select("hour_starts_at", newest="version")
    joined = runs.join(newest, on="hour_starts_at", how="left")
    return joined.filter(pl.col("version") == pl.col("newest").fill_null(0) + 1).drop("newest")


def _runs(rows: list[tuple[datetime, int, str]]) -> pl.DataFrame:
    schema = {"hour_starts_at": INSTANT, "version": pl.Int64(), "reason": pl.String()}
    return pl.DataFrame(rows, schema=schema, orient="row")


def _carried(store: Store, old: pl.DataFrame, made: Books) -> pl.DataFrame:
    """The rows now, with what was measured before where the raw readings are gone."""
    complete = made.has_readings.rename({"hour": "hour_starts_at"})
    kept = old.join(complete, on=["hour_starts_at", "pool"], how="anti")
    if kept.is_empty():
        return made.hours
    keys, names = list(KEYS), list(BY_READINGS)
    price = "price_usd_per_gpu_hour"
    was = kept.select(*keys, price, was_hours="allocated_gpu_hours",
                      **{f"was_{name}": name for name in names})  # fmt: skip
    joined = made.hours.join(was, on=[*keys, price], how="left", nulls_equal=True)
    is_same = (pl.col("was_hours") - pl.col("allocated_gpu_hours")).abs() <= TOLERANCE
    now = joined.with_columns(
        pl.when(is_same.fill_null(False)).then(f"was_{name}").otherwise(name).alias(name)
        for name in names
    ).select(made.hours.columns)
    # Readings may have shown that a job was gone whose end nobody told: what was metered stays.
    gone = kept.select("hour_starts_at", "pool").unique().with_columns(was_metered=True)
    is_endless = pl.col("job_id").is_in(made.endless)
    now = (
        now.join(gone, on=["hour_starts_at", "pool"], how="left")
        .filter(~(is_endless & pl.col("was_metered").fill_null(False)))
        .drop("was_metered")
    )
    of_endless = kept.filter(is_endless)
    lone = kept.join(made.hours, on=["hour_starts_at", "pool", "job_id"], how="anti")
    lone = lone.filter(~pl.col("job_id").is_in(_with_events(store, lone["job_id"])))
    kept_rows = pl.concat([of_endless, lone])
    return pl.concat([now, kept_rows.select(made.hours.columns)], how="vertical_relaxed")


def _with_events(store: Store, job_ids: pl.Series) -> list[str]:
    """Of some jobs those that events tell of; the others only readings knew."""
    found = store.query(
        "SELECT DISTINCT job_id FROM job_events WHERE list_contains($ids::VARCHAR[], job_id)",
        ids=job_ids.unique().to_list(),
    )
    return found["job_id"].to_list()


def _changed(old: pl.DataFrame, new: pl.DataFrame) -> pl.DataFrame:
    """Jobs whose figures differ: `hour_starts_at`, `job_id`, and each figure `was_` and now."""
    figures = [*BY_EVENTS, *BY_READINGS]
    key = list(KEYS)
    sums = [_total(name) for name in figures]
    before = old.group_by(key).agg(sums).rename({name: f"was_{name}" for name in figures})
    both = before.join(
        new.group_by(key).agg(sums), on=key, how="full", coalesce=True, nulls_equal=True
    )
    differs = pl.any_horizontal(_differs(name) for name in figures)
    return both.filter(differs).sort("hour_starts_at", "job_id")


def _total(name: str) -> pl.Expr:
    return pl.when(pl.col(name).count() > 0).then(pl.col(name).sum()).alias(name)


def _differs(name: str) -> pl.Expr:
    now, was = pl.col(name), pl.col(f"was_{name}")
    far = (now - was).abs() > TOLERANCE * pl.max_horizontal(1.0, was.abs())
    return (now.is_null() != was.is_null()) | far.fill_null(False)


def _fleet_changed(store: Store, made: Books, since: datetime, until: datetime) -> set[datetime]:
    key = ["hour_starts_at", "pool"]
    old = store.query(_NEWEST_FLEET, since=since, until=until)
    was = old.select(*key, **{f"was_{name}": name for name in OF_FLEET})
    complete = made.has_readings.rename({"hour": "hour_starts_at"})
    now = made.fleet.join(complete, on=key, how="semi").select(*key, *OF_FLEET)
    both = was.join(complete, on=key, how="semi").join(now, on=key, how="full", coalesce=True)
    return set(both.filter(pl.any_horizontal(_differs(n) for n in OF_FLEET))["hour_starts_at"])


def _reason(cause: str | None, changed: pl.DataFrame) -> str:
    why = cause or "its rows came out differently when they were looked at again"
    if changed.is_empty():
        return f"{why}: what jobs had is unchanged, where the other GPU-hours went is not"
    jobs = changed["job_id"].unique(maintain_order=True).to_list()
    named = ", ".join(jobs[:MOST_NAMED]) + (f" and {len(jobs) - MOST_NAMED} more"
                                            if len(jobs) > MOST_NAMED else "")  # fmt: skip
    figures = ("allocated_gpu_hours", "charge_usd")
    hours, usd = (_grown(changed, name) for name in figures)
    return f"{why}: {hours:+.4f} GPU-hours allocated, {usd:+.2f} USD billed, of {named}"


def _grown(changed: pl.DataFrame, name: str) -> float:
    grown = changed.select(pl.col(name).fill_null(0.0) - pl.col(f"was_{name}").fill_null(0.0))
    return float(grown.sum().item())
