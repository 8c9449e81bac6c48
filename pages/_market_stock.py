"""Who had stock: the share of polls in which a model was on offer, by provider."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import polars as pl
from dash import html

from pages._market_parts import lead, provider_words
from pages._parts import bar, empty, table
from pages._words import age, count, instant, percent


def availability_box(found: pl.DataFrame, model: str | None, now: datetime) -> Any:
    """Share of polls in which each provider had stock, over all models or of one."""
    asked = found.filter(pl.col("model") == model) if model else found
    if asked.is_empty():
        return empty("No poll yet", html.Div("Each answer of a source counts as one."))
    by_provider = (
        asked.group_by("provider")
        .agg(
            pl.col("availability_ratio").mean(),
            pl.col("availability_ratio").count().alias("known"),
            pl.len().alias("models"),
            pl.col("polls").max(),
            pl.col("from_at").min(),
            pl.col("to_at").max(),
        )
        .sort("availability_ratio", "provider", descending=[True, False], nulls_last=True)
    )
    of = model or "all models, each weighing the same"
    told = f"Share of polls in which the model was in stock, of {of}, over the last 30 days."
    head = ("Provider", "In stock", "", "Models", "Polls", "Since", "Newest")
    rows = [_available(row, now) for row in by_provider.to_dicts()]
    return html.Div([lead(told), table(head, rows, "Availability")])


def _available(row: dict[str, Any], now: datetime) -> list[Any]:
    ratio = row["availability_ratio"]
    silent = html.Span("not told", className="dim nowrap")
    return [
        html.B(provider_words(row["provider"])),
        silent if ratio is None else html.Span(percent(ratio), className="nowrap"),
        html.Div(bar(ratio), className="market-share") if ratio is not None else None,
        f"{count(row['known'])} of {count(row['models'])}",
        count(row["polls"]),
        html.Span(instant(row["from_at"]), className="nowrap"),
        html.Span(age(row["to_at"], now), className="nowrap"),
    ]
