"""Forecasts with their bands against what came."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import dash_mantine_components as dmc
import polars as pl
from dash import html

from pages._address import chosen
from pages._charts import chart_rows
from pages._engine_parts import band_chart, lead
from pages._nothing import nothing_yet
from pages._parts import figure_tile
from pages._words import age, count, duration, percent

SERIES_WORDS = {
    "occupancy": ("Occupancy", "GPUs in use"),
    "arrivals": ("Arrivals", "offers an hour"),
    "market_price": ("Market price", "USD per GPU-hour"),
}
HORIZONS = {"3600": "1 h", "1800": "30 min", "7200": "2 h", "21600": "6 h", "86400": "24 h"}
"""Seconds and words; the first is shown where none is asked for."""
POINTS_MAX = 400
BAND, MEDIAN, CAME = "80 % band", "Forecast", "What came"
MODEL_WORDS = {
    "boosted": "boosted trees",
    "seasonal": "the season",
    "persistence": "persistence, the floor",
}


def forecast_controls(series: str | None, horizon: str | None) -> list[Any]:
    """Which series, how far ahead."""
    ahead = sorted(HORIZONS, key=int)
    return [
        dmc.SegmentedControl(
            id="engine-series",
            value=chosen(series, list(SERIES_WORDS)),
            data=[{"value": key, "label": label} for key, (label, _) in SERIES_WORDS.items()],
            **{"aria-label": "What is forecast"},
        ),
        dmc.SegmentedControl(
            id="engine-horizon",
            value=chosen(horizon, list(HORIZONS)),
            data=[{"value": each, "label": HORIZONS[each]} for each in ahead],
            **{"aria-label": "How far ahead"},
        ),
    ]


def forecast_box(
    pool: str, series: str, found: pl.DataFrame, latest: dict[str, Any], now: datetime
) -> Any:
    """One pool's forecasts of one series and horizon; `latest` tells their quality lately."""
    if found.is_empty():
        return nothing_yet(
            "forecasts of this series and horizon",
            "They are issued once there is some history to forecast from.",
        )
    last = found.sort("issued_at").row(-1, named=True)
    label, unit = SERIES_WORDS[series]
    return html.Div(
        [
            lead(
                html.B(f"{label} of {pool}, {unit}"),
                ": the band holds four in five if it is honest. Issued "
                f"{age(last['issued_at'], now)} by {MODEL_WORDS[last['model']]}.",
            ),
            html.Div(
                [
                    _chart(found, series),
                    html.Div(_tiles(found, latest), className="engine-figures"),
                ],
                className="engine-side",
            ),
        ]
    )


def _chart(found: pl.DataFrame, series: str) -> Any:
    every = -(-found.height // POINTS_MAX)
    shown = found.reverse().gather_every(every or 1).reverse()
    span = (shown["target_at"].max() - shown["target_at"].min()).total_seconds()  # type: ignore[operator, union-attr]
    places = 3 if series == "market_price" else 1
    rows = chart_rows(
        shown.select(
            at="target_at",
            low=pl.col("q10").round(places),
            high=pl.col("q90").round(places),
            middle=pl.col("q50").round(places),
            came=pl.col("actual").round(places),
        ),
        span,
    )
    data = [
        {"at": row["at"], BAND: [row["low"], row["high"]], MEDIAN: row["middle"], CAME: row["came"]}
        for row in rows
    ]
    format_js = "asUsd" if series == "market_price" else "asCount"
    lines = {MEDIAN: "harbour.5", CAME: "amber.4"}
    return band_chart(data, lines, {BAND: "harbour.5"}, format_js=format_js)


def _tiles(found: pl.DataFrame, latest: dict[str, Any]) -> list[Any]:
    came = found.drop_nulls("actual")
    inside: Any = (
        came["actual"].is_between(came["q10"], came["q90"]).mean() if came.height else None
    )
    span: Any = found["target_at"].max() - found["target_at"].min()  # type: ignore[operator]
    skill = latest.get("skill_ratio")
    return [
        figure_tile(
            "Inside the band",
            percent(inside),
            note=f"of {count(came.height)} shown, {duration(span.total_seconds())}",
        ),
        figure_tile(
            "Coverage, 14 days", percent(latest.get("coverage_ratio")), note="80 % is honest"
        ),
        figure_tile(
            "Skill, 14 days",
            "–" if skill is None else f"{'−' if skill < 0 else '+'}{percent(abs(skill))}",
            note="loss saved against persistence",
            tone="" if skill is None or skill > 0 else "warn",
        ),
    ]
