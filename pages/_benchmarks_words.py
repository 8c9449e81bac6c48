"""Providers, metrics and scores as the Benchmarks page writes them, and who is shown in it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any
from urllib.parse import quote

import polars as pl
from dash import html

from pages._theme import SERIES
from pages._words import MISSING, THIN, duration, usd, words
from warehouse.metric_catalogue import GROUPS, METRICS, US

PROVIDER_WORDS = {
    US: "Us",
    "runpod": "RunPod",
    "lambda": "Lambda",
    "vast": "Vast.ai",
    "aws": "AWS",
    "gcp": "Google Cloud",
    "azure": "Azure",
    "oci": "Oracle Cloud",
    "cudo": "Cudo",
    "datacrunch": "DataCrunch",
    "tensordock": "TensorDock",
    "cloudrift": "CloudRift",
    "digitalocean": "DigitalOcean",
}
FIRST = (US, "runpod", "lambda", "vast")
"""Who is shown where nobody was picked, before the others by their rank."""
SHOWN_AT_FIRST = 6
PICKED_MAX = 8
"""Most providers beside each other in a chart or table."""
SHORT_UNIT_LETTERS = 7
NEARLY_ALL_RATIO = 0.99
"""Above it a ratio is told to four digits: three and four nines are far apart."""
COLORS = (*SERIES, "pink.5", "lime.6")
OVERALL = "overall"
LABELS: dict[str, str] = {
    OVERALL: "Overall",
    **{str(name): label for name, label in GROUPS.items()},
    **{name: metric.label for name, metric in METRICS.items()},
}
"""Of every score its label."""


def provider_words(provider: str) -> str:
    """A provider as people write it."""
    return PROVIDER_WORDS.get(provider, words(provider))


def label_of(name: str) -> str:
    """A score's label: of a metric, a group, or overall."""
    return LABELS.get(name, words(name))


def score_words(score: float | None, decimals: int = 0) -> str:
    """A score of 100; unknown is a dash."""
    return MISSING if score is None else f"{score:.{decimals}f}"


def value_words(value: float | None, unit: str) -> str:
    """A metric's value with its unit, as short as it can be read."""
    if value is None:
        return "unknown"
    if unit == "ratio to the others' median":
        return f"{value:.2f}{THIN}×"
    if unit.startswith("ratio"):
        digits = 4 if value > NEARLY_ALL_RATIO else 3
        return f"{value * 100:.{digits}g}{THIN}%{unit.removeprefix('ratio')}"
    if unit == "seconds":
        return duration(value)
    if unit == "hours":
        return duration(value * 3600) if value else "0 h"
    if unit.startswith("USD/"):
        decimals = 0 if float(value).is_integer() else (3 if abs(value) < 0.1 else 2)
        return f"{usd(value, decimals)}/{unit.removeprefix('USD/')}"
    shown = f"{number(value)}{_short_unit(unit)}"
    return shown.removesuffix("s") if value == 1 else shown


def number(value: float) -> str:
    """A figure to three digits, or whole where it is in the thousands."""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def _short_unit(unit: str) -> str:
    """A unit fit to stand behind a figure; a long one stands beside the metric's name."""
    return f" {unit}" if len(unit) <= SHORT_UNIT_LETTERS else ""


def why_link(provider: str, name: str) -> str:
    """Where a score is explained: the drawer of this page."""
    return f"/benchmarks?score={quote(f'{provider}~{name}')}"


def why(provider: str, name: str, shown: Any, className: str = "") -> html.A:
    """A figure that opens its explanation; the page's own script keeps it from loading anew."""
    said = f"Why: {label_of(name)}, {provider_words(provider)}"
    return html.A(
        shown,
        href=why_link(provider, name),
        className=f"bench-why {className}".strip(),
        title=said,
    )


def asked_score(picked: str | None) -> tuple[str, str] | None:
    """Provider and name of the score that an address asks for; None where it asks for none."""
    provider, mark, name = (picked or "").partition("~")
    return (provider, name) if mark and provider and name in LABELS else None


def order_of(cards: pl.DataFrame) -> list[str]:
    """Every provider: we first, then those that FIRST names, then by rank."""
    ranked = (
        cards.filter(pl.col("name") == OVERALL)
        .sort("rank", "provider", nulls_last=True)["provider"]
        .to_list()
    )
    return [each for each in FIRST if each in ranked] + [
        each for each in ranked if each not in FIRST
    ]


def shown_of(picked: Iterable[str] | None, everybody: Sequence[str]) -> list[str]:
    """Who is shown of everybody: who was picked, in order, else the first."""
    wanted = set(picked or ())
    found = [each for each in everybody if each in wanted]
    return found[:PICKED_MAX] or list(everybody[:SHOWN_AT_FIRST])


def colors(shown: Sequence[str]) -> dict[str, str]:
    """The colour of each provider that is shown; ours is the accent."""
    others = [each for each in shown if each != US]
    made = {each: COLORS[1 + i % (len(COLORS) - 1)] for i, each in enumerate(others)}
    return {each: COLORS[0] if each == US else made[each] for each in shown}


def css_color(color: str) -> str:
    """A colour of the theme, `harbour.5`, for a style."""
    return f"var(--mantine-color-{color.replace('.', '-')})"
