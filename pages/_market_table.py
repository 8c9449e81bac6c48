"""The table of prices now: ours beside each provider's, or each offer by itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import dash_mantine_components as dmc
import polars as pl
from dash import html

from pages._address import chosen
from pages._grid import number_column, server_grid, text_column
from pages._market_parts import KINDS, TIERS, download_menu, kind_words, provider_words
from pages._parts import panel
from pages._words import count
from warehouse.price_evidence import PoolPrice

FILTERS = ("market-model", "market-kind", "market-provider", "market-region", "market-tier",
           "market-view")  # fmt: skip
VIEWS = {"providers": "By provider", "offers": "Each offer"}

_WORDS = {"function": "asWords(params.value)"}
_OLD = {
    "styleConditions": [
        {"condition": "params.data && params.data.is_old", "style": {"color": "var(--warn)"}}
    ]
}
_OVER = {
    "styleConditions": [
        {"condition": "params.value < 0", "style": {"color": "var(--good)"}},
        {"condition": "params.value > 0", "style": {"color": "var(--warn)"}},
    ]
}


def _text(field: str, header: str, width: int, **more: Any) -> dict[str, Any]:
    return text_column(field, header, width, **more)


_WHOSE = [
    _text("model", "GPU model", 134, sortable=True, pinned="left"),
    _text("provider", "Provider", 108, sortable=True),
]
_WHAT = [_text("kind", "Kind", 160), _text("tier", "Tier", 132)]
_OURS = [
    number_column("ours_usd_per_gpu_hour", "Ours", "asUsd", 84),
    number_column("ours_over_ratio", "Ours against", "asMarketShare", 110, cellStyle=_OVER),
]
_TAIL = [
    _text("stock", "Stock", 88, valueFormatter=_WORDS),
    number_column("age_seconds", "Age", "asDuration", 100, sortable=True, cellStyle=_OLD),
    _text("standing", "Standing", 92, cellStyle=_OLD),
    _text("basis", "Price is", 92),
    _text("source", "Source", 120),
]
COLUMNS: dict[str, list[dict[str, Any]]] = {
    "providers": [
        *_WHOSE,
        number_column("price_usd_per_gpu_hour", "Median", "asUsd", 92, sortable=True),
        *_WHAT,
        number_column("lowest_usd_per_gpu_hour", "Lowest", "asUsd", 92, sortable=True),
        *_OURS,
        _text("region", "Region", 140),
        number_column("offers", "Offers", "asCount", 84, sortable=True),
        *_TAIL,
    ],
    "offers": [
        *[{**each, "sortable": False} for each in _WHOSE],
        number_column("price_usd_per_gpu_hour", "Per GPU", "asUsd", 92),
        *_WHAT,
        number_column("instance_price_usd_per_hour", "Whole offer", "asUsd", 104),
        number_column("gpu_count", "GPUs", "asCount", 72),
        *_OURS,
        _text("region", "Region", 140),
        *[{**each, "sortable": False} for each in _TAIL],
    ],
}
"""The columns of each view."""


def filters(choices: Mapping[str, Sequence[str]], asked: Mapping[str, str | None]) -> html.Div:
    """What the table can be narrowed to; `asked` is the address's."""
    providers = {each: provider_words(each) for each in choices["provider"]}
    return html.Div(
        [
            _select("model", "All models", {m: m for m in choices["model"]}, asked, 160),
            _select("kind", "All kinds", KINDS, asked, 130),
            _select("provider", "All providers", providers, asked, 150),
            _select("region", "All regions", {r: r for r in choices["region"]}, asked, 160),
            _select("tier", "All tiers", TIERS, asked, 140),
            dmc.SegmentedControl(
                id="market-view",
                value=chosen(asked.get("view"), list(VIEWS)),
                data=[{"value": key, "label": label} for key, label in VIEWS.items()],
                **{"aria-label": "A row is"},
            ),
        ],
        className="filters market-filters",
    )


def _select(
    name: str, none: str, data: Mapping[str, str], asked: Mapping[str, str | None], width: int
) -> dmc.Select:
    value = asked.get(name)
    # What the address asks for stays chosen, even where no price of it is left.
    listed = dict(data) if value is None or value in data else {value: value, **data}
    return dmc.Select(
        id=f"market-{name}",
        value=value,
        data=[{"value": key, "label": label} for key, label in listed.items()],
        placeholder=none,
        clearable=True,
        searchable=True,
        limit=200,
        nothingFoundMessage="None of this name",
        w=width,
        **{"aria-label": none.removeprefix("All ").capitalize()},
    )


def table_panel(choices: Mapping[str, Sequence[str]], asked: Mapping[str, str | None]) -> Any:
    """The table with its filters and its download."""
    view = chosen(asked.get("view"), list(VIEWS))
    grid = html.Div(
        server_grid("market-grid", COLUMNS[view]),
        className="grid-box market-grid-box",
        id="market-grid-box",
    )
    said = html.P("Reading", className="market-lead market-inset", id="market-table-words")
    filtering = html.Div(filters(choices, asked), className="market-inset")
    return panel(
        "Prices now",
        filtering,
        said,
        grid,
        right=download_menu("prices", "prices now"),
        className="panel-flush",
    )


def our_prices(pools: Sequence[PoolPrice]) -> dict[str, float]:
    """Our lowest price in force by the offers' name of the model."""
    found: dict[str, float] = {}
    for pool in pools:
        if pool.price_usd_per_gpu_hour is not None:
            for model in pool.models:
                lowest = found.get(model, pool.price_usd_per_gpu_hour)
                found[model] = min(lowest, pool.price_usd_per_gpu_hour)
    return found


def with_ours(frame: pl.DataFrame, ours: Mapping[str, float]) -> pl.DataFrame:
    """The rows with our price of the model and, on demand alone, what it is beyond theirs."""
    mine = pl.col("model").replace_strict(ours, default=None, return_dtype=pl.Float64)
    ratio = mine / pl.col("price_usd_per_gpu_hour") - 1
    is_comparable = pl.col("price_kind") == "on_demand"
    return frame.with_columns(
        ours_usd_per_gpu_hour=mine, ours_over_ratio=pl.when(is_comparable).then(ratio)
    )


def for_the_wire(frame: pl.DataFrame, view: str, fresh_seconds: float) -> list[dict[str, Any]]:
    """Rows as the grid's columns want them; `is_old` marks what today's percentiles leave out."""
    fields = [column["field"] for column in COLUMNS[view]]
    return [_wire(row, fields, fresh_seconds) for row in frame.to_dicts()]


def _wire(row: dict[str, Any], fields: list[str], fresh_seconds: float) -> dict[str, Any]:
    regions = row.get("regions") or 0
    shown = row | {
        "provider": provider_words(row["provider"]),
        "kind": kind_words(row["price_kind"], row["commitment_months"]),
        "tier": TIERS.get(row["tier"] or "", "Not told"),
        "region": f"{count(regions)} regions" if regions > 1 else row["region"] or "Not told",
        "stock": row["stock"] or "not told",
        "standing": "Last good" if row["is_last_good"] else "In force",
        "basis": _basis(row["is_list_price"]),
        "source": row["source"].replace("_", " "),
    }
    is_old = row["is_last_good"] or row["age_seconds"] > fresh_seconds
    wire = {name: shown[name] for name in fields}
    return {k: round(v, 4) if isinstance(v, float) else v for k, v in wire.items()} | {
        "is_old": bool(is_old)
    }


def _basis(is_list_price: bool | None) -> str:
    if is_list_price is None:
        return "Not told"
    return "List price" if is_list_price else "Quote"


def table_words(total: int, view: str, *, is_filtered: bool) -> str:
    """What the table shows, or why it shows nothing."""
    if not total:
        return (
            "Nothing fits these filters: clear one."
            if is_filtered
            else "No source has brought a price in the last seven days."
        )
    what = (
        "prices, a row a provider, model, kind and tier"
        if view == "providers"
        else "offers, a row each"
    )
    return (
        f"{count(total)} {what}, in USD per GPU-hour, of the last seven days; ours is our lowest "
        "of the model. What is amber is the last good price, or older than a day and in none of "
        "today's percentiles."
    )
