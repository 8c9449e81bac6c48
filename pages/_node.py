"""One node in detail: what it is, its GPUs and jobs now, its history."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import polars as pl
from dash import dcc, html

from pages._charts import area_chart, chart_rows
from pages._context import context
from pages._node_shares import GIBIBYTE, Shared, shared_on, told, used_of
from pages._parts import bar, empty, facts, table
from pages._words import MISSING, age, count, exact_instant, percent, until, words
from warehouse import fleet, telemetry
from warehouse.records import NodeReading

SPANS = {"24h": timedelta(hours=24), "14d": timedelta(days=14)}


def node_now(node: NodeReading, now: datetime) -> html.Div:
    """The node's facts and a row for each of its GPUs."""
    gpus = _newest_by_slot(node)
    shared = shared_on(context().store, node.node_id, gpus, _since(node))
    body = [facts(_facts(node, gpus, shared, now)), _gpu_table(gpus, shared)]
    return html.Div([*body, *(each.panel() for each in shared.values())], className="stack")


def _since(node: NodeReading) -> datetime:
    return node.measured_at - fleet.READING_WINDOW


def _newest_by_slot(node: NodeReading) -> pl.DataFrame:
    samples = fleet.gpu_samples(context().store, node.node_id, since=_since(node))
    whole = samples.filter(pl.col("parent_gpu_id").is_null())
    return whole.sort("measured_at").unique("slot", keep="last").sort("slot")


def _facts(
    node: NodeReading, gpus: pl.DataFrame, shared: dict[str, Shared], now: datetime
) -> list[tuple[str, Any]]:
    shown: list[tuple[str, Any]] = [
        ("Pool", node.pool or MISSING),
        ("Kind", words(node.kind)),
        ("GPUs in use", f"{count(node.gpus_used)} of {count(node.gpu_count)}"),
        ("Health, as its source says", percent(node.health_ratio)),
        ("Jobs", _job_links(gpus, shared)),
        ("Read", html.Span(age(node.measured_at, now), title=exact_instant(node.measured_at))),
    ]
    if node.ready_at is not None:
        shown.insert(3, ("Expected back", until(node.ready_at, now)))
    if node.lease_started_at is not None:
        shown.insert(2, ("Leased since", exact_instant(node.lease_started_at)))
    return shown


def _job_links(gpus: pl.DataFrame, shared: dict[str, Shared]) -> Any:
    held = [job for each in shared.values() for job in each.jobs]
    jobs = list(dict.fromkeys([*gpus["job_id"].drop_nulls().to_list(), *held]))
    if not jobs:
        return "none"
    links = [dcc.Link(job, href=f"/jobs?job={job}") for job in jobs]
    return html.Span([piece for link in links for piece in (link, " ")])


def _gpu_table(gpus: pl.DataFrame, shared: dict[str, Shared]) -> Any:
    if gpus.is_empty():
        return empty("No GPU is read", html.Div("The node is off, or nothing reads it."))
    head = ("GPU", "Utilisation", "Memory, GiB", "Power, W", "Temperature", "Job")
    rows = [
        [
            str(row["slot"]),
            _utilisation(row["utilisation_ratio"]),
            used_of(row["memory_used_bytes"], row["memory_total_bytes"], GIBIBYTE),
            used_of(row["power_watts"], row["power_limit_watts"], 1.0),
            told(row["temperature_celsius"], lambda celsius: f"{celsius:.0f} °C"),
            _holder(row, shared.get(row["gpu_id"])),
        ]
        for row in gpus.iter_rows(named=True)
    ]
    return html.Div(table(head, rows, "GPUs of this node"), style={"padding": "0 14px"})


def _utilisation(ratio: float | None) -> Any:
    return told(ratio, lambda known: html.Div([percent(known), bar(known)], className="util"))


def _holder(row: dict[str, Any], shared: Shared | None) -> Any:
    if shared is not None:
        return shared.words()
    job = row["job_id"]
    return dcc.Link(job, href=f"/jobs?job={job}") if job else MISSING


def node_charts(node_id: str, span: str) -> Any:
    """Utilisation and power of the node: a day by 5 minutes, longer spans by the hour."""
    now, length = context().now(), SPANS[span]
    is_short = length <= timedelta(days=1)
    frame = telemetry.node_history(
        context().store,
        node_id,
        since=now - length,
        until=now,
        period_seconds=telemetry.FINE_SECONDS if is_short else telemetry.COARSE_SECONDS,
    )
    if frame.is_empty():
        return empty("No history yet", html.Div("It is rolled up every five minutes."))
    hours = frame.group_by(pl.col("starts_at").alias("at")).agg(
        pl.col("utilisation_mean_ratio").mean().round(3).alias("Mean"),
        pl.col("utilisation_mean_ratio").max().round(3).alias("Busiest GPU"),
        pl.col("power_mean_watts").sum().round(0).alias("Power"),
    )
    rows = chart_rows(hours.sort("at"), length.total_seconds())
    used = {"Busiest GPU": "gray.5", "Mean": "harbour.5"}
    return html.Div(
        [
            html.H3("Utilisation"),
            area_chart(
                rows,
                used,
                format_js="asPercent",
                height_px=170,
                yAxisProps={"domain": [0, 1], "width": 48, "tickCount": 3},
            ),
            html.H3("Power of the node", className="chart-title"),
            area_chart(
                rows, {"Power": "grape.5"}, format_js="asWatts", height_px=140, withLegend=False
            ),
        ]
    )
