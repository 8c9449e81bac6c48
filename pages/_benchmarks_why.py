"""How a score came about, down to the rows or the document that it rests on."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

import dash_mantine_components as dmc
import polars as pl
from dash import html

from pages._benchmarks_words import (
    OVERALL,
    label_of,
    provider_words,
    score_words,
    value_words,
    why,
)
from pages._parts import Children, empty, facts, table
from pages._words import age, exact_instant, percent, usd, words
from warehouse.benchmarks import Explanation, evidence_of
from warehouse.metric_catalogue import METRICS
from warehouse.records import BenchmarkScore

BASIS_SAID = {
    "collected": "collected: worked out from offers over time",
    "documented": "documented: what a page says, not what was measured",
    "own": "our own rows",
}
SAID_APART = (
    "link", "source", "date", "sql", "rows", "from", "to", "is_claim", "why_unknown", "models",
)  # fmt: skip
"""Evidence that has a place of its own and is not listed again."""
PRICE = "on_demand_price"


def why_title(provider: str, name: str) -> str:
    """The title of the drawer."""
    return f"{label_of(name)}, {provider_words(provider)}"


def no_such_score(provider: str, name: str) -> html.Div:
    """What stands in the drawer where the address asks for what isn't there."""
    said = f"{provider_words(provider)} has no score of {label_of(name)} now."
    return empty("No such score", html.Div(f"{said} Close this and pick another."))


def why_score(found: Explanation, now: datetime) -> html.Div:
    """A score, how it was worked out, and the parts it was made from."""
    score = found.score
    parts = [
        _figure(score),
        html.P(score.explanation, className="prose"),
        _parts_table(score, found.parts) if found.parts else None,
        _scale(score) if score.level == "metric" else None,
        _up(score),
        html.Div(_said_when(score.scored_at, now), className="sub"),
    ]
    return html.Div(parts, className="stack")


def why_metric(row: dict[str, Any], prices: pl.DataFrame, now: datetime) -> html.Div:
    """The value of a metric, and what leads to the rows behind it; a row of the metric table."""
    told = evidence_of(row["evidence"])
    metric = METRICS[row["metric"]]
    is_price = metric.name == PRICE and prices.height
    parts = [
        html.Div(
            [
                html.H3("What it is"),
                html.P(metric.meaning, className="prose"),
                facts(_facts(row, told, now)),
            ],
            className="section",
        ),
        _way(told),
        _prices(prices, told.get("models") or {}) if is_price else None,
        _sql(told),
    ]
    return html.Div(parts, className="stack")


def _figure(score: BenchmarkScore) -> html.Div:
    is_known = score.score is not None
    shown = score_words(score.score, 1) if is_known else _lacking(score)
    small = html.Small(" of 100") if is_known else None
    known = "" if score.level == "metric" else f"{percent(score.known_ratio)} of its weight known"
    return html.Div(
        [
            html.Span(shown, className="bench-score" if is_known else "bench-withheld"),
            small,
            html.Div(known, className="sub"),
        ]
    )


def _lacking(score: BenchmarkScore) -> str:
    return "Withheld" if score.level == OVERALL else "Unknown"


def _parts_table(score: BenchmarkScore, parts: tuple[BenchmarkScore, ...]) -> html.Div:
    """The parts of a score, each with its own explanation behind it."""
    heard = sum(part.weight * part.known_ratio for part in parts if part.score is not None)
    rows = [
        [
            why(part.provider, part.name, label_of(part.name)),
            score_words(part.score, 1) if part.score is not None else "unknown",
            f"{part.weight:.3g}",
            percent(part.known_ratio),
            _brings(part, heard),
        ]
        for part in parts
    ]
    what = "group" if score.level == "overall" else "metric"
    return table((words(what), "Score", "Weight", "Known", "Brings"), rows, f"Scores by {what}")


def _brings(part: BenchmarkScore, heard: float) -> str:
    """The points that a part adds to the whole."""
    if part.score is None or not heard:
        return "–"
    return f"{part.weight * part.known_ratio / heard * part.score:.1f}"


def _scale(score: BenchmarkScore) -> html.Div | None:
    points = score.evidence.get("points") or []
    unit = str(score.evidence.get("unit") or "")
    if not points:
        return None
    rows = [[value_words(float(value), unit), f"{scored:g}"] for value, scored in points]
    how = (
        "between two of them a line over the logarithm"
        if score.evidence.get("is_logarithmic")
        else "between two of them a straight line"
    )
    return html.Div(
        [
            html.H3("Its scale"),
            table(("Value", "Scores"), rows, "Scale"),
            html.Div(f"{how}; beyond the ends it stays.".capitalize(), className="sub"),
        ],
        className="section",
    )


def _up(score: BenchmarkScore) -> html.Div | None:
    """The way to what a score goes into."""
    if score.level == "overall":
        return None
    above = METRICS[score.name].group if score.level == "metric" else OVERALL
    return html.Div(["It goes into ", why(score.provider, above, label_of(above)), "."])


def _said_when(at: datetime, now: datetime) -> str:
    return f"Scored {age(at, now)}, {exact_instant(at)}."


# -- down to the rows ------------------------------------------------------------------


def _facts(row: dict[str, Any], told: dict[str, Any], now: datetime) -> list[tuple[str, Children]]:
    has_words = row["value"] is None and row["words"]
    value = row["words"] if has_words else value_words(row["value"], row["unit"])
    shown: list[tuple[str, Children]] = [
        ("Value", html.B(value)),
        ("Unit", row["unit"]),
        ("Basis", BASIS_SAID.get(row["basis"], row["basis"])),
    ]
    if row["words"] and not has_words:
        shown.append(("In words", row["words"]))
    if told.get("is_claim"):
        shown.append(("Claim", "the provider only claims it: shown and never scored"))
    if told.get("why_unknown"):
        shown.append(("Why unknown", told["why_unknown"]))
    if told.get("rows") is not None:
        shown.append(("Rows", f"{int(told['rows']):,}"))
    if told.get("from") and told.get("to"):
        span = [_instant_words(told[end]) for end in ("from", "to")]
        shown.append(("Span", f"{span[0]} to {span[1]}"))
    shown += [(words(key), _said(told[key])) for key in told if key not in SAID_APART]
    measured = row["measured_at"]
    return [*shown, ("Worked out", f"{age(measured, now)}, {exact_instant(measured)}")]


def _said(value: Any) -> str:
    """A piece of evidence in words; what is nested is written as it is."""
    if isinstance(value, float):
        return f"{value:,.4g}"
    if isinstance(value, (dict, list)):
        return json.dumps(value)
    return str(value)


def _instant_words(text: str) -> str:
    try:
        return exact_instant(datetime.fromisoformat(text))
    except ValueError:
        return text


def _way(told: dict[str, Any]) -> html.Div | None:
    """The link to the rows, or to the document with the date it was read."""
    if told.get("link"):
        shown: list[Children] = [
            html.A("The offers behind it", href=told["link"], target="_blank"),
            html.Span(" as the API sends them; your own sign-in is asked for.", className="sub"),
        ]
    elif _is_page(told.get("source")):
        source = str(told["source"])
        shown = [
            html.A(source, href=source, target="_blank", rel="noopener noreferrer"),
            html.Div(f"read {told.get('date', 'on a day that is not told')}", className="sub"),
        ]
    else:
        return None
    return html.Div([html.H3("Evidence"), *shown], className="section")


def _is_page(source: Any) -> bool:
    """Whether a source may stand as a link: facts of one's own come from a file."""
    return isinstance(source, str) and source.startswith("https://")


def _prices(prices: pl.DataFrame, compared: dict[str, Any]) -> html.Div:
    """The headline price of each model beside the others' median, with the way to its offers."""
    rows = []
    for each in prices.iter_rows(named=True):
        told = evidence_of(each["evidence"])
        link = told.get("link")
        rows_read = int(told.get("rows") or 0)
        offers = f"{rows_read:,} row{'' if rows_read == 1 else 's'}"
        shown = html.A(offers, href=link, target="_blank") if link else offers
        price, others = each["price_usd_per_gpu_hour"], compared.get(each["model"], {})
        median = others.get("others_median") if isinstance(others, dict) else None
        rows.append([each["model"], usd(price, 2), usd(median, 2), shown])
    head = ("Model", "USD per GPU-hour", "The others' median", "From")
    return html.Div([html.H3("By model"), table(head, rows, "By model")], className="section")


def _sql(told: dict[str, Any]) -> html.Div | None:
    if not told.get("sql"):
        return None
    return html.Div(
        [html.H3("The question asked"), dmc.Code(told["sql"], block=True)], className="section"
    )
