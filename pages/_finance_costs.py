"""Unit costs: what a GPU-hour costs us, whether that was set or stands in, and setting it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import dash_mantine_components as dmc
from dash import html

from pages._context import may
from pages._finance_asked import Rate
from pages._finance_parts import lead, pick
from pages._parts import empty, table
from pages._words import count, exact_instant, usd, words
from warehouse.records import UnitCost
from warehouse.unit_costs import BOUNDS, OF_LEASED

KINDS = {"owned": "Owned", "leased": "Leased"}
FIGURES = {
    "purchase_usd_per_gpu": ("Purchase", "$ a GPU"),
    "residual_usd_per_gpu": ("Residual value", "$ a GPU"),
    "depreciation_years": ("Written off over", "years"),
    "hosting_usd_per_gpu_hour": ("Hosting", "$ a GPU-hour"),
    "power_usd_per_kilowatt_hour": ("Electricity", "$ a kWh"),
    "power_overhead_ratio": ("Overhead of the hall", "PUE"),
    "idle_watts_per_gpu": ("Power, idle", "W a GPU"),
    "busy_watts_per_gpu": ("Power, busy", "W a GPU"),
    "rent_usd_per_gpu_hour": ("Rent", "$ a GPU-hour"),
}
"""What may be set, how it is called, and its unit."""


def costs_box(rates: Sequence[Rate]) -> html.Div:
    """What a GPU-hour of each pool costs us now."""
    if not rates:
        return empty("No pools yet", html.Div("Unit costs are of pools: none was read so far."))
    stand_ins = sum(each.is_stand_in for each in rates)
    told = (
        f"{count(stand_ins)} of {count(len(rates))} stand in: nobody set them, so what the pool "
        "declares is used. "
        if stand_ins
        else "All were set by people. "
    )
    how = "Where power is measured, that is paid for, not the watts set here."
    head = ["Pool", "Nodes", "Idle, $ a GPU-hour", "Busy, $ a GPU-hour", "Whence", "Figures"]
    rows = [_row(each) for each in rates]
    return html.Div([lead(told, how), table(head, rows, "Unit costs in force")])


def _row(each: Rate) -> list[Any]:
    whence: Any = html.Span("stands in", className="warn nowrap")
    if each.cost is not None:
        whence = html.Span(
            f"set by {each.cost.set_by}",
            title=f"in force from {exact_instant(each.cost.in_force_from_at)}",
        )
    return [
        html.Span(each.pool, className="nowrap"),
        words(each.kind),
        usd(each.idle_usd_per_gpu_hour, 3),
        usd(each.busy_usd_per_gpu_hour, 3),
        whence,
        html.Div(_figures(each.cost), className="sub finance-why"),
    ]


def _figures(cost: UnitCost | None) -> str:
    if cost is None:
        return "of the pool's own declaration"
    return ", ".join(
        f"{label.lower()} {getattr(cost, name):,.12g} {unit}"
        for name, (label, unit) in FIGURES.items()
        if getattr(cost, name) is not None
    )


def cost_form(pools: Sequence[str]) -> Any:
    """What an admin sets a unit cost with; others are told whom to ask."""
    if not may("admin"):
        return html.Div(
            "Setting a unit cost takes the role admin: here, or by PUT /api/v1/unit-costs/{pool}.",
            className="sub",
        )
    form = [
        html.Div(
            [
                dmc.Select(
                    id="finance-cost-pool",
                    data=list(pools),
                    placeholder="Pool",
                    w=190,
                    **{"aria-label": "Pool"},
                ),
                pick("cost-kind", "owned", KINDS, "Nodes"),
            ],
            className="filters",
        ),
        html.Div([_input(name) for name in FIGURES], className="finance-figures"),
        html.Div(
            "Holds from the next whole hour on. Leave empty what does not apply: leased nodes take "
            "the rent alone.",
            className="sub",
        ),
        dmc.Button("Put in force", id="finance-cost-set", w="fit-content"),
    ]
    summary = html.Summary("Set a unit cost")
    return html.Details([summary, html.Div(form, className="stack")], className="finance-more")


def _input(name: str) -> dmc.NumberInput:
    label, unit = FIGURES[name]
    low, high = BOUNDS[name]
    whose = "leased" if name in OF_LEASED else "owned"
    return dmc.NumberInput(
        id={"type": "finance-cost", "name": name},
        label=f"{label}, {unit}",
        description=f"{whose}, {low:,.12g} to {high:,.12g}",
        clampBehavior="none",
        allowNegative=False,
        decimalScale=4,
        thousandSeparator=",",
    )


def figures_of(
    ids: Sequence[Mapping[str, str]], values: Sequence[float | str | None]
) -> dict[str, float]:
    """What was filled in, by name."""
    filled = zip(ids, values, strict=True)
    return {each["name"]: float(value) for each, value in filled if value not in (None, "")}


def cost_kind(asked: str | None) -> Literal["owned", "leased"]:
    """Of which nodes the cost is."""
    return "leased" if asked == "leased" else "owned"
