"""Every metric of every provider that is shown, and what other weights do to the ranks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import polars as pl
from dash import html

from pages._benchmarks_words import provider_words, score_words, value_words, why
from pages._parts import Children, empty
from pages._words import percent
from warehouse.metric_catalogue import GROUPS, METRICS, US, Metric
from warehouse.score_weights import Weights

BASIS_WORDS = {"collected": "", "documented": "documented", "own": "our rows"}


def metric_grid(
    table: pl.DataFrame, shown: Sequence[str], group: str | None, in_use: Weights
) -> Any:
    """A row a metric, a column a provider; each figure opens its explanation."""
    cells = {(row["metric"], row["provider"]): row for row in table.iter_rows(named=True)}
    body: list[Any] = []
    for name, label in GROUPS.items():
        if group and name != group:
            continue
        share = f"{percent(in_use.group_share(name))} of all weight"
        head = html.Th([label, html.Span(share, className="sub")], colSpan=len(shown) + 1)
        body.append(html.Tr(head, className="bench-group-row"))
        body += [
            _metric_row(metric, [cells.get((metric.name, each)) for each in shown], shown, in_use)
            for metric in METRICS.values()
            if metric.group == name
        ]
    if not shown:
        return empty("No provider is shown")
    return _wide_table(["Metric", *map(provider_words, shown)], body, "Metrics by provider")


def _metric_row(
    metric: Metric, found: list[dict[str, Any] | None], shown: Sequence[str], in_use: Weights
) -> html.Tr:
    head = html.Th(
        [html.Div(metric.label), html.Div(_about(metric, in_use), className="sub")],
        scope="row",
        title=metric.meaning,
    )
    cells = [_cell(metric, each, row) for each, row in zip(shown, found, strict=True)]
    return html.Tr([head, *cells])


def _about(metric: Metric, in_use: Weights) -> str:
    """The unit, which way is better, and what it counts."""
    if not metric.is_scored:
        return f"{metric.unit} · not scored"
    way = "more is better" if metric.more_is_better else "less is better"
    return f"{metric.unit} · {way} · {percent(in_use.share(metric.name), 1)}"


def _cell(metric: Metric, provider: str, row: dict[str, Any] | None) -> html.Td:
    if row is None:
        return html.Td("unknown", className="bench-unknown", title="it was not asked of them")
    said = row["words"] if row["value"] is None and row["words"] else None
    value = said or value_words(row["value"], row["unit"])
    is_known = row["value"] is not None or (metric.unit == "words" and bool(said))
    inside: list[Children] = [html.Span(value, className="bench-value")]
    if row["score"] is not None:
        # One part, not two: each costs the browser a millisecond, and there are hundreds of cells.
        fill = {"--fill": f"{row['score']:.1f}%"}
        inside.append(html.Span(className="bench-track", style=fill, **{"aria-hidden": "true"}))
    inside.append(html.Span(_under(metric, row), className="sub"))
    tone = "" if is_known else "bench-unknown"
    return html.Td(why(provider, metric.name, inside, "bench-cell"), className=tone)


def _under(metric: Metric, row: dict[str, Any]) -> str:
    basis: str = BASIS_WORDS.get(row["basis"], row["basis"])
    if row["score"] is not None:
        scored = f"scores {score_words(row['score'])}"
        return f"{scored} · {basis}" if basis else scored
    if row["value"] is None and metric.unit != "words":
        return (
            "unknown, not counted" if row["words"] else ("not counted" if metric.is_scored else "")
        )
    return basis


def _wide_table(head: Sequence[Children], body: list[Any], label: str) -> html.Div:
    """A table whose first column stays while the others scroll."""
    header = html.Thead(html.Tr([html.Th(cell, scope="col") for cell in head]))
    made = html.Table([header, html.Tbody(body)], className="table bench-table")
    return html.Div(
        made, className="table-scroll", role="region", tabIndex=0, **{"aria-label": label}
    )


# -- what other weights would do -------------------------------------------------------


def sensitivity_box(found: pl.DataFrame, shown: Sequence[str]) -> html.Div:
    """What becomes of the ranks where a group counts half, or half as much again."""
    by_case: dict[tuple[str, float], dict[str, Any]] = {}
    for row in found.iter_rows(named=True):
        by_case.setdefault((row["group"], row["factor"]), {})[row["provider"]] = row
    body = [
        html.Tr(
            [
                html.Th(_case(group, factor), scope="row"),
                *(html.Td(_moved(rows.get(each)), className="nowrap") for each in shown),
            ]
        )
        for (group, factor), rows in by_case.items()
    ]
    head = ["Weight", *map(provider_words, shown)]
    return html.Div(
        [
            html.P(sensitivity_words(found), className="prose bench-lead"),
            _wide_table(head, body, "Ranks by other weights"),
        ]
    )


def sensitivity_words(found: pl.DataFrame) -> str:
    """Whether our rank hangs on the weights, in a sentence."""
    ours = found.filter(pl.col("provider") == US)
    as_is = ours.filter(pl.col("group") == "all")
    rank = as_is["rank"].item() if as_is.height else None
    if rank is None:
        return "We have no overall score, so the weights move no rank of ours."
    moved = ours.filter(pl.col("rank").is_not_null() & (pl.col("rank_change") != 0))
    if moved.is_empty():
        return (
            f"Our rank is {rank} whichever group's weight is lowered or raised by half: "
            "it does not hang on the weights."
        )
    cases = [
        f"{row['rank']} with {_case(row['group'], row['factor'])}"
        for row in moved.iter_rows(named=True)
    ]
    return f"Our rank is {rank}; it would be {', '.join(cases)}. Elsewhere it stays."


def _case(group: str, factor: float) -> str:
    if group == "all":
        return "As it is"
    labels = {str(name): label for name, label in GROUPS.items()}
    sign = "+" if factor > 1 else "−"
    return f"{labels[group]} {sign}{percent(abs(factor - 1))}"


def _moved(row: dict[str, Any] | None) -> Children:
    if row is None or row["score"] is None:
        return html.Span("withheld", className="sub")
    change = row["rank_change"] or 0
    arrow = f" {'▲' if change < 0 else '▼'}{abs(change)}" if change else ""
    tone = "good" if change < 0 else "bad" if change > 0 else ""
    said = f"{'up' if change < 0 else 'down'} by {abs(change)}" if change else "as it is"
    rank = html.B(f"{row['rank']}{arrow}", className=f"nowrap {tone}".strip(), title=said)
    return [rank, f" {row['score']:.1f}"]
