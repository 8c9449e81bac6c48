"""One node in detail: what it is, its GPUs and jobs now, its history."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import polars as pl
from dash import dcc, html

from pages._charts import area_chart, chart_rows
from pages._context import context
from pages._parts import bar, empty, facts, table
from pages._words import MISSING, age, count, exact_instant, percent, until, words
from warehouse import fleet
from warehouse.records import NodeReading

SPANS = {"24h": timedelta(hours=24), "14d": timedelta(days=14)}
GIBIBYTE = 2**30


def node_now(node: NodeReading, now: datetime) -> html.Div:
    """The node's facts and a row for each of its GPUs."""
    gpus = _newest_by_slot(node)
    return html.Div([facts(_facts(node, gpus, now)), _gpu_table(gpus)], className="stack")


def _newest_by_slot(node: NodeReading) -> pl.DataFrame:
    since = node.measured_at - fleet.READING_WINDOW
    samples = fleet.gpu_samples(context().store, node.node_id, since=since)
    whole = samples.filter(pl.col("parent_gpu_id").is_null())
    return whole.sort("measured_at").unique("slot", keep="last").sort("slot")


def _facts(node: NodeReading, gpus: pl.DataFrame, now: datetime) -> list[tuple[str, Any]]:
    shown: list[tuple[str, Any]] = [
        ("Pool", node.pool or MISSING),
        ("Kind", words(node.kind)),
        ("GPUs in use", f"{count(node.gpus_used)} of {count(node.gpu_count)}"),
        ("Health, as its source says", percent(node.health_ratio)),
        ("Jobs", _job_links(gpus)),
        ("Read", html.Span(age(node.measured_at, now), title=exact_instant(node.measured_at))),
    ]
    if node.ready_at is not None:
        shown.insert(3, ("Expected back", until(node.ready_at, now)))
    if node.lease_started_at is not None:
        shown.insert(2, ("Leased since", exact_instant(node.lease_started_at)))
    return shown


def _job_links(gpus: pl.DataFrame) -> Any:
    jobs = gpus["job_id"].drop_nulls().unique(maintain_order=True).to_list()
    if not jobs:
        return "none"
    links = [dcc.Link(job, href=f"/jobs?job={job}") for job in jobs]
    return html.Span([piece for link in links for piece in (link, " ")])


def _gpu_table(gpus: pl.DataFrame) -> Any:
    if gpus.is_empty():
        return empty("No GPU is read", html.Div("The node is off, or nothing reads it."))
    head = ("GPU", "Utilisation", "Memory, GiB", "Power, W", "Temperature", "Job")
    rows = [
        [
            str(row["slot"]),
            html.Div(
                [percent(row["utilisation_ratio"]), bar(row["utilisation_ratio"])], className="util"
            ),
            _of(row["memory_used_bytes"], row["memory_total_bytes"], GIBIBYTE),
            _of(row["power_watts"], row["power_limit_watts"], 1.0),
            MISSING
            if row["temperature_celsius"] is None
            else f"{row['temperature_celsius']:.0f} °C",
            dcc.Link(row["job_id"], href=f"/jobs?job={row['job_id']}")
            if row["job_id"]
            else MISSING,
        ]
        for row in gpus.iter_rows(named=True)
    ]
    return html.Div(table(head, rows, "GPUs of this node"), style={"padding": "0 14px"})


def _of(used: float | None, whole: float | None, unit: float) -> html.Span:
    shown = MISSING if used is None else f"{used / unit:,.0f}"
    total = "" if whole is None else f" / {whole / unit:,.0f}"
    return html.Span([shown, html.Span(total, className="dim")], className="nowrap")


def node_charts(node_id: str, span: str) -> Any:
    """Utilisation and power of the node, from hourly roll-ups."""
    now, length = context().now(), SPANS[span]
    frame = fleet.node_history(context().store, node_id, since=now - length, until=now)
    if frame.is_empty():
        return empty("No history yet", html.Div("It is rolled up at the end of every hour."))
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
