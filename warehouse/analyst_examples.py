"""Questions to begin with: each runs as it stands, and shows how one asks the tables it names.

`fleet_now()` is the console's instant, on a simulated fleet that fleet's; `now()` is the machine's.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Example:
    """A question that is useful, and the words by which it is found."""

    key: str
    title: str
    sql: str
    needs: str = ""
    """What must have been collected for it to give rows, where a simulated fleet does not do."""


EXAMPLES: tuple[Example, ...] = (
    Example(
        "idle",
        "Idle GPUs by pool, now",
        """\
SELECT pool,
       gpus_on - gpus_used AS idle_gpus,
       gpus_on,
       round((gpus_on - gpus_used) / nullif(gpus_on, 0), 3) AS idle_ratio,
       queued_gpus,
       measured_at
FROM pool_states
QUALIFY row_number() OVER (PARTITION BY pool ORDER BY measured_at DESC) = 1
ORDER BY idle_gpus DESC""",
    ),
    Example(
        "idle_hours",
        "Idle GPUs by pool and hour, last day",
        """\
SELECT time_bucket(INTERVAL 1 HOUR, measured_at) AS hour,
       pool,
       round(avg(gpus_on - gpus_used), 1) AS idle_gpus
FROM pool_states
WHERE measured_at > fleet_now() - INTERVAL 1 DAY
GROUP BY ALL
ORDER BY hour, pool""",
    ),
    Example(
        "revenue",
        "Revenue by tenant, last day",
        """\
SELECT tenant,
       round(sum(charge_usd), 2) AS revenue_usd,
       round(sum(gpu_hours), 1) AS gpu_hours,
       round(sum(charge_usd) / nullif(sum(gpu_hours), 0), 3) AS usd_per_gpu_hour
FROM charges
WHERE period_starts_at > fleet_now() - INTERVAL 1 DAY
GROUP BY tenant
ORDER BY revenue_usd DESC
LIMIT 25""",
    ),
    Example(
        "waits",
        "How long jobs waited, median and p95 by hour",
        """\
WITH jobs AS (
    SELECT job_id,
           any_value(pool) AS pool,
           min(happened_at) FILTER (event = 'submitted') AS submitted_at,
           min(happened_at) FILTER (event = 'started') AS started_at
    FROM job_events
    WHERE happened_at > fleet_now() - INTERVAL 2 DAY
    GROUP BY job_id
)
SELECT time_bucket(INTERVAL 1 HOUR, submitted_at) AS hour,
       count(*) AS jobs,
       round(quantile_cont(epoch(started_at - submitted_at), 0.5) / 60, 1) AS median_wait_minutes,
       round(quantile_cont(epoch(started_at - submitted_at), 0.95) / 60, 1) AS p95_wait_minutes
FROM jobs
WHERE submitted_at IS NOT NULL AND started_at IS NOT NULL
GROUP BY hour
ORDER BY hour""",
    ),
    Example(
        "utilisation",
        "Utilisation by pool and hour, from roll-ups",
        """\
SELECT starts_at AS hour,
       pool,
       round(avg(utilisation_mean_ratio), 3) AS utilisation_ratio,
       round(avg(held_ratio), 3) AS held_ratio
FROM gpu_rollups
WHERE period_seconds = 3600
  AND starts_at > fleet_now() - INTERVAL 3 DAY
GROUP BY ALL
ORDER BY hour, pool""",
    ),
    Example(
        "held_idle",
        "GPUs that are held and hardly used",
        """\
SELECT tenant,
       job_id,
       count(DISTINCT gpu_id) AS gpus,
       round(avg(utilisation_ratio), 3) AS utilisation_ratio,
       round(avg(power_watts)) AS power_watts
FROM gpu_samples
WHERE measured_at > fleet_now() - INTERVAL 1 DAY
  AND job_id IS NOT NULL
GROUP BY ALL
HAVING count(*) >= 3
ORDER BY utilisation_ratio
LIMIT 50""",
    ),
    Example(
        "margin",
        "Margin by pool and hour",
        """\
SELECT time_bucket(INTERVAL 1 HOUR, period_starts_at) AS hour,
       pool,
       round(sum(revenue_usd + spot_revenue_usd), 2) AS revenue_usd,
       round(sum(owned_cost_usd + leased_cost_usd), 2) AS cost_usd,
       round(sum(revenue_usd + spot_revenue_usd - owned_cost_usd - leased_cost_usd
                 - penalty_usd - refund_usd), 2) AS margin_usd
FROM pool_ledgers
WHERE period_starts_at > fleet_now() - INTERVAL 2 DAY
GROUP BY ALL
ORDER BY hour, pool""",
    ),
    Example(
        "endings",
        "How jobs ended, by tenant",
        """\
SELECT tenant,
       count(DISTINCT job_id) FILTER (event = 'submitted') AS submitted,
       count(DISTINCT job_id) FILTER (event = 'finished') AS finished,
       count(DISTINCT job_id) FILTER (event = 'failed') AS failed,
       count(DISTINCT job_id) FILTER (event = 'left') AS gave_up_waiting,
       max(gpu_count) AS largest_gpus
FROM job_events
WHERE happened_at > fleet_now() - INTERVAL 3 DAY
GROUP BY tenant
ORDER BY submitted DESC""",
    ),
    Example(
        "decisions",
        "Decisions: expected against realised",
        """\
SELECT action,
       state,
       count(*) AS decisions,
       round(avg(expected_gain_usd_per_hour), 2) AS expected_usd_per_hour,
       round(avg(realised_gain_usd_per_hour), 2) AS realised_usd_per_hour,
       count(*) FILTER (outcome_judgement = 'helped') AS helped,
       count(*) FILTER (outcome_judgement = 'harmed') AS harmed
FROM decision_states
GROUP BY ALL
ORDER BY decisions DESC""",
    ),
    Example(
        "refusals",
        "What guards held back, and the gain forgone",
        """\
SELECT guard,
       action,
       count(*) AS refusals,
       round(max(expected_gain_usd_per_hour), 2) AS largest_gain_usd_per_hour,
       any_value(detail) AS for_example
FROM refusals
GROUP BY ALL
ORDER BY refusals DESC""",
    ),
    Example(
        "price",
        "Our price against the market, by pool",
        """\
SELECT time_bucket(INTERVAL 1 HOUR, measured_at) AS hour,
       pool,
       round(avg(price_usd_per_gpu_hour), 3) AS ours_usd_per_gpu_hour,
       round(avg(market_usd_per_gpu_hour), 3) AS market_usd_per_gpu_hour,
       round(avg(price_usd_per_gpu_hour / market_usd_per_gpu_hour) - 1, 3) AS over_market_ratio
FROM pool_states
WHERE measured_at > fleet_now() - INTERVAL 3 DAY
GROUP BY ALL
ORDER BY hour, pool""",
    ),
    Example(
        "rank",
        "Our rank among what providers ask, by GPU model",
        """\
WITH asked AS (
    SELECT model, provider, min(price_usd_per_gpu_hour) AS usd_per_gpu_hour
    FROM offers
    WHERE price_kind = 'on_demand'
      AND measured_at > now() - INTERVAL 1 DAY
      AND model IS NOT NULL
    GROUP BY ALL
    UNION ALL BY NAME
    SELECT p.gpu_model AS model, 'ours' AS provider, min(l.price_usd_per_gpu_hour)
           AS usd_per_gpu_hour
    FROM pools p JOIN price_list l USING (pool)
    GROUP BY ALL
)
SELECT model,
       rank() OVER (PARTITION BY model ORDER BY usd_per_gpu_hour) AS rank,
       provider,
       round(usd_per_gpu_hour, 3) AS usd_per_gpu_hour
FROM asked
ORDER BY model, rank""",
    ),
    Example(
        "forecasts",
        "Forecast occupancy against what came",
        """\
SELECT f.pool,
       f.target_at,
       f.q10, f.q50, f.q90,
       s.gpus_used AS came_gpus,
       s.gpus_used BETWEEN f.q10 AND f.q90 AS is_inside
FROM forecasts f
ASOF LEFT JOIN pool_states s ON s.pool = f.pool AND s.measured_at >= f.target_at
WHERE f.series = 'occupancy'
ORDER BY f.target_at DESC, f.pool
LIMIT 200""",
    ),
    Example(
        "heat",
        "Power and hottest GPU by node",
        """\
SELECT node_id,
       any_value(pool) AS pool,
       count(DISTINCT gpu_id) AS gpus,
       round(sum(power_watts) / count(DISTINCT measured_at)) AS node_watts,
       max(temperature_celsius) AS hottest_celsius,
       max(ecc_uncorrected_count) AS uncorrected_errors
FROM gpu_samples
WHERE measured_at > fleet_now() - INTERVAL 6 HOUR
GROUP BY node_id
ORDER BY hottest_celsius DESC
LIMIT 50""",
    ),
    Example(
        "collectors",
        "How well the collectors did",
        """\
SELECT collector,
       count(*) AS runs,
       count(*) FILTER (outcome = 'succeeded') AS succeeded,
       count(*) FILTER (outcome IN ('failed', 'timed_out')) AS failed,
       round(quantile_cont(duration_seconds, 0.95), 3) AS p95_seconds,
       sum(row_count) AS rows,
       max(started_at) AS last_run_at
FROM collector_runs
GROUP BY collector
ORDER BY runs DESC""",
    ),
)
"""In the order they are offered."""


def example(key: str | None) -> Example | None:
    """One of them by its key."""
    return next((each for each in EXAMPLES if each.key == key), None)
