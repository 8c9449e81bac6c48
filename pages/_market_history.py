"""Prices over time of one model: what was collected, and apart from it what was imported."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import dash_mantine_components as dmc
import polars as pl
from dash import html

from pages._address import chosen
from pages._market_parts import (
    BAND_COLOR,
    LINE_COLORS,
    MEDIAN_COLOR,
    OUR_COLOR,
    OURS,
    axis_label,
    download_menu,
    held,
    lead,
    provider_words,
    step_chart,
)
from pages._parts import empty
from pages._words import age, count, duration, instant

SPANS = {"90": "90 days", "7": "7 days", "30": "30 days", "all": "All"}
"""Days and words; the first is shown where none is asked for."""
ORDER = ("7", "30", "90", "all")
DAY = 86_400
STEPS = (3600, 3 * 3600, 6 * 3600, 12 * 3600, DAY, 7 * DAY)
POINTS_MAX = 220
BAND, MEDIAN, QUARTERS = "p10 to p90", "Median", "p25 to p75"
SCOPES = {
    "market": "the whole market",
    "market_lowest": "the cheapest of any provider",
    "provider_lowest": "each provider's cheapest offer",
}
KINDS = {"on_demand": "on demand", "spot": "spot", "mixed": "on demand and spot not told apart"}
IMPORT = "python app.py import-offers FILE"


@dataclass(frozen=True)
class Past:
    """What was collected of one model."""

    model: str
    band: pl.DataFrame
    """As `warehouse.market.price_history` gives it."""
    lines: pl.DataFrame
    """As `warehouse.market.provider_history` gives it."""
    ours: Mapping[str, pl.DataFrame]
    """By pool: `at`, `our_usd_per_gpu_hour`."""
    since: datetime
    now: datetime
    """By the collectors' clock."""
    fleet_now: datetime
    """By the console's."""
    step: int
    """Seconds."""


def history_controls(models: list[str], model: str | None, span: str | None) -> list[Any]:
    """Which model, how far back."""
    return [
        dmc.Select(
            id="market-history",
            value=model if model in models else next(iter(models), None),
            data=models,
            allowDeselect=False,
            searchable=True,
            placeholder="No model yet",
            w=170,
            **{"aria-label": "Model over time"},
        ),
        dmc.SegmentedControl(
            id="market-span",
            value=chosen(span, list(SPANS)),
            data=[{"value": each, "label": SPANS[each]} for each in ORDER],
            **{"aria-label": "How far back"},
        ),
        download_menu("history", "prices over time"),
    ]


def step_of(span: timedelta) -> int:
    """The step of a picture, in seconds: a round one that keeps it legible."""
    seconds = span.total_seconds()
    return next((step for step in STEPS if seconds / step <= POINTS_MAX), STEPS[-1])


def history_box(past: Past) -> Any:
    """The percentiles' band, the providers' lines and our own price."""
    ours = {pool: frame for pool, frame in past.ours.items() if frame.height}
    if past.band.is_empty() and past.lines.is_empty() and not ours:
        return empty(
            f"No price of {past.model} in this span",
            html.Div("Choose a longer one, or another model; imported history stands below."),
        )
    names = _most_seen(past.lines)
    shown = joined(past, names)
    if not past.band.height:
        shown = shown.with_columns(low=None, high=None, middle=None)
    lines = {MEDIAN: MEDIAN_COLOR}
    lines |= {provider_words(n): LINE_COLORS[i] for i, n in enumerate(names)}
    lines |= _our_lines(ours)  # the last is drawn on top
    labels = {name: provider_words(name) for name in names} | {"middle": MEDIAN}
    labels |= {f"pool {pool}": _our_name(pool, ours) for pool in ours}
    return html.Div(
        [
            lead(*_words(past, names, ours)),
            step_chart(_rows(shown, labels), lines, {BAND: BAND_COLOR}),
        ]
    )


def joined(past: Past, names: list[str] | None = None) -> pl.DataFrame:
    """All series of a picture side by side, a row a step."""
    end = max([past.now, *([past.fleet_now] if past.ours else [])])
    at = pl.datetime_range(
        past.since, end, f"{past.step}s", time_zone="UTC", time_unit="us", eager=True
    ).alias("at")
    at = pl.concat([at, pl.Series("at", [past.now]).cast(at.dtype)]).unique().sort()
    day = max(DAY, past.step)
    band = past.band.select(
        "at",
        low="p10_usd_per_gpu_hour",
        middle="median_usd_per_gpu_hour",
        high="p90_usd_per_gpu_hour",
    )
    shown = _until(held(band, at, 2 * day), past.now)
    for name in _most_seen(past.lines) if names is None else names:
        one = past.lines.filter(pl.col("provider") == name)
        line = one.select("at", pl.col("price_usd_per_gpu_hour").alias(name))
        shown = shown.with_columns(_until(held(line, at, day), past.now).drop("at"))
    for pool, frame in past.ours.items():
        line = frame.select("at", pl.col("our_usd_per_gpu_hour").alias(f"pool {pool}"))
        shown = shown.with_columns(_until(held(line, at, day), past.fleet_now).drop("at"))
    return shown


def _until(frame: pl.DataFrame, end: datetime) -> pl.DataFrame:
    """Nothing is said of what comes after a clock's now."""
    values = [name for name in frame.columns if name != "at"]
    return frame.with_columns(pl.when(pl.col("at") <= end).then(pl.col(n)).alias(n) for n in values)


def _most_seen(lines: pl.DataFrame) -> list[str]:
    """The providers that get a line: those that were seen in the most steps."""
    seen = lines.group_by("provider").len().sort("len", "provider", descending=[True, False])
    return sorted(seen["provider"].head(len(LINE_COLORS)).to_list())


def _our_name(pool: str, ours: Mapping[str, pl.DataFrame]) -> str:
    return OURS if len(ours) == 1 else f"{OURS}, {pool}"


def _our_lines(ours: Mapping[str, pl.DataFrame]) -> dict[str, str]:
    shades = (OUR_COLOR, "harbour.3", "harbour.7", "teal.5")
    return {_our_name(p, ours): shades[i % len(shades)] for i, p in enumerate(ours)}


def _rows(shown: pl.DataFrame, labels: Mapping[str, str]) -> list[dict[str, Any]]:
    span: Any = shown["at"].max() - shown["at"].min()  # type: ignore[operator]
    rows = []
    for row in shown.iter_rows(named=True):
        data: dict[str, Any] = {"at": axis_label(row["at"], span.total_seconds())}
        if row["low"] is not None:
            data[BAND] = [round(row["low"], 3), round(row["high"], 3)]
        data |= {labels[k]: round(v, 3) for k, v in row.items() if k in labels and v is not None}
        rows.append(data)
    return rows


def _words(past: Past, names: list[str], ours: Mapping[str, pl.DataFrame]) -> list[Any]:
    newest: Any = past.band["measured_at"].max()
    hidden = past.lines["provider"].n_unique() - len(names)
    said = f": on demand in data centres, USD per GPU-hour, from {instant(past.since)}. "
    if newest is not None:
        said += f"Newest price {age(newest, past.now)}. "
    if hidden > 0:
        said += f"{count(hidden)} more providers are in the band and have no line. "
    apart = (past.fleet_now - past.now).total_seconds()
    if ours and abs(apart) > 3600:
        side = "ahead of" if apart > 0 else "behind"
        said += f"Ours goes by the fleet's clock, {duration(abs(apart))} {side} the market's. "
    return [html.B(past.model), said]


# -- imported --------------------------------------------------------------------------


def imported_choices(series: pl.DataFrame) -> list[dict[str, str]]:
    """The scopes and kinds of a model, each a choice of its own."""
    return [
        {
            "value": f"{row['scope']}:{row['price_kind']}",
            "label": f"{SCOPES[row['scope']].capitalize()}, {KINDS[row['price_kind']]}",
        }
        for row in series.to_dicts()
    ]


def imported_box(model: str, series: dict[str, Any], found: pl.DataFrame, now: datetime) -> Any:
    """One scope and kind of imported history, by itself."""
    since: Any = found["measured_at"].min()
    until: Any = found["measured_at"].max()
    span: timedelta = until - since
    step = step_of(span)
    frame, lines, bands = _imported_lines(series["scope"], found, step)
    rows = [
        {"at": axis_label(row["at"], span.total_seconds())}
        | {name: value for name, value in row.items() if name != "at" and value is not None}
        for row in frame.to_dicts()
    ]
    scope, kind = SCOPES[series["scope"]], KINDS[series["price_kind"]]
    said = (
        f": imported from {series['source']}, {count(found.height)} rows from {_date(since)} to "
        f"{_date(until)}, which is {age(until, now)}. A point is the median of {duration(step)}. "
        "Nothing of it enters today's prices."
    )
    told = lead(html.B(f"{model}, {scope}, {kind}"), said)
    return html.Div([told, step_chart(rows, lines, bands)])


def no_imports(model: str | None) -> Any:
    """How history comes in."""
    told = html.Div(["Bring in what somebody recorded: ", html.Code(IMPORT, className="mono")])
    return empty(f"No imported history{f' of {model}' if model else ''}", told)


def _imported_lines(
    scope: str, found: pl.DataFrame, step: int
) -> tuple[pl.DataFrame, dict[str, str], dict[str, str]]:
    at = pl.col("measured_at").dt.truncate(f"{step}s").alias("at")
    if scope == "market":
        names = ("p10", "p25", "median", "p75", "p90")
        mean = [pl.col(f"{n}_usd_per_gpu_hour").median().round(3).alias(n) for n in names]
        frame = found.group_by(at).agg(mean).sort("at")
        frame = frame.select(
            "at",
            pl.concat_list("p10", "p90").alias(BAND),
            pl.concat_list("p25", "p75").alias(QUARTERS),
            pl.col("median").alias(MEDIAN),
        )
        return frame, {MEDIAN: OUR_COLOR}, {BAND: "gray.5", QUARTERS: "harbour.5"}
    lowest = pl.col("lowest_usd_per_gpu_hour")
    if scope == "market_lowest":
        each = found.group_by("measured_at").agg(lowest.min())
        frame = each.group_by(at).agg(lowest.median().round(3).alias("Cheapest")).sort("at")
        return frame, {"Cheapest": OUR_COLOR}, {}
    names_seen = _most_seen(found)
    kept = found.filter(pl.col("provider").is_in(names_seen))
    each = kept.group_by(at, "provider").agg(lowest.median().round(3))
    frame = each.pivot(on="provider", index="at", values="lowest_usd_per_gpu_hour").sort("at")
    renamed = {name: provider_words(name) for name in names_seen}
    colors = {renamed[n]: LINE_COLORS[i] for i, n in enumerate(names_seen)}
    return frame.rename(renamed), colors, {}


def _date(at: datetime) -> str:
    return at.strftime("%-d %b %Y")
