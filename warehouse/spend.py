"""What tenants had and were charged, whichever book tells it.

Metered hours hold where an hour was metered (`metering_runs`, its highest version); before the
first and after the last of those, as in the hour that still runs, the collector's own charges do.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import polars as pl

from warehouse.store import Store

_METERED = """
    SELECT tenant, hour_starts_at AS "at", allocated_gpu_hours AS gpu_hours, charge_usd
    FROM metered_hours
    WHERE hour_starts_at >= $metered_from AND hour_starts_at < $metered_until
"""
_SUPERSEDED = " AND NOT list_contains($superseded::VARCHAR[], run_id)"
_RUNS = """
    SELECT min(hour_starts_at), max(hour_starts_at), list(run_id) FILTER (place > 1)
    FROM (
        SELECT run_id, hour_starts_at,
            row_number() OVER (PARTITION BY hour_starts_at ORDER BY version DESC) AS place
        FROM metering_runs WHERE hour_starts_at >= $since AND hour_starts_at < $until
    )
"""
_CHARGED = """
    SELECT tenant, period_starts_at AS "at", gpu_hours, charge_usd FROM charges
    WHERE period_starts_at >= ${since} AND period_starts_at < ${until}
"""


def spend(
    store: Store, *, since: datetime, until: datetime, step: str, tenant: str | None = None
) -> pl.DataFrame:
    """GPU-hours held and USD charged, a row a tenant and step (`day`, `week`) of the span.

    Weeks begin on Monday, days and weeks are of UTC.
    """
    sql, parameters = _books(store, since, until)
    return store.query(
        f"""
        SELECT tenant, date_trunc($step, "at") AS "at", sum(gpu_hours) AS gpu_hours,
            sum(charge_usd) AS charge_usd
        FROM ({sql}) WHERE ($tenant IS NULL OR tenant = $tenant) GROUP BY ALL ORDER BY 2, 1
        """,
        step=step,
        tenant=tenant,
        **parameters,
    )


def spend_total(store: Store, *, since: datetime, until: datetime) -> pl.DataFrame:
    """GPU-hours held and USD charged in the span, a row a tenant."""
    sql, parameters = _books(store, since, until)
    return store.query(
        f"""
        SELECT tenant, sum(gpu_hours) AS gpu_hours, sum(charge_usd) AS charge_usd
        FROM ({sql}) GROUP BY tenant ORDER BY tenant
        """,
        **parameters,
    )


def _books(store: Store, since: datetime, until: datetime) -> tuple[str, dict[str, Any]]:
    """The rows of the span and their parameters.

    Bounds are constants, so that only the days that are asked for are read; which runs were metered
    anew is asked first, as it is few: to join them to every hour takes three times as long.
    """
    ((first, last, superseded),) = store.query(_RUNS, since=since, until=until).iter_rows()
    if first is None:
        return _charged("since", "until"), {"since": since, "until": until}
    after = last + timedelta(hours=1)
    parts, given = [_METERED], {"metered_from": first, "metered_until": after}
    if superseded:
        parts[0] += _SUPERSEDED
        given["superseded"] = superseded
    if since < first:
        parts.append(_charged("since", "metered_from"))
        given["since"] = since
    if after < until:
        parts.append(_charged("metered_until", "until"))
        given["until"] = until
    return " UNION ALL ".join(parts), given


def _charged(since: str, until: str) -> str:
    return _CHARGED.format(since=since, until=until)
