"""Learning curves of the newest runs of training."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import polars as pl
from dash import html

from pages._engine_parts import lead, line_chart, titled, word
from pages._nothing import nothing_yet
from pages._parts import table
from pages._theme import SERIES
from pages._words import age, count, duration
from warehouse.records import TrainingRun

POINTS_MAX = 400
PURPOSE_WORDS = {"shipped": "from scratch", "fine_tune": "on this console's own history"}


def learning_box(runs: list[TrainingRun], now: datetime) -> Any:
    """The newest run that left a curve, then the runs before it."""
    if not runs:
        return nothing_yet(
            "training runs", "The shipped policy steers or shadows until one has run here."
        )
    shown = next((run for run in runs if run.curve), None)
    parts: list[Any] = []
    if shown is not None:
        parts = [_said(shown, now), html.Div(_curves(shown), className="engine-charts")]
    return html.Div([*parts, html.Div(_runs(runs, now), className="engine-below")])


def _said(run: TrainingRun, now: datetime) -> html.P:
    return lead(
        f"{count(len(run.seeds))} seeds, {count(run.decisions)} decisions, "
        f"{PURPOSE_WORDS[run.purpose]}: the gain over the rule on weeks that were held out grows "
        f"as it practises. {run.outcome.capitalize()} in {duration(run.duration_seconds)}, "
        f"begun {age(run.started_at, now)}."
    )


def _curves(run: TrainingRun) -> list[html.Div]:
    curve = pl.DataFrame(run.curve, infer_schema_length=None)
    return [
        titled(title, _curve(curve, measure, format_js))
        for title, measure, format_js in (
            ("Gain over the rule, a line a seed", "gain_ratio", "asSignedPercent"),
            ("Explained variance of the return, 1 is all", "explained_variance", "asScore"),
        )
        if measure in curve.columns and {"seed", "decisions"} <= set(curve.columns)
    ]


def _curve(curve: pl.DataFrame, measure: str, format_js: str) -> Any:
    known = curve.drop_nulls(measure).sort("decisions")
    wide = known.select(
        "decisions", pl.format("seed {}", "seed").alias("seed"), pl.col(measure).round(5)
    ).pivot(on="seed", index="decisions", values=measure, aggregate_function="last")
    rows = wide.gather_every(-(-wide.height // POINTS_MAX) or 1).to_dicts()
    for row in rows:
        row["at"] = f"{row.pop('decisions') / 1e6:.3g} M"
    seeds = sorted(name for name in wide.columns if name != "decisions")
    colors = {name: SERIES[i % len(SERIES)] for i, name in enumerate(seeds)}
    zero = [{"y": 0, "color": "gray.5"}]
    return line_chart(rows, colors, format_js=format_js, references=zero, connectNulls=True)


def _runs(runs: list[TrainingRun], now: datetime) -> html.Div:
    rows = [
        [
            html.Span(age(run.started_at, now), className="nowrap"),
            word(run.purpose),
            html.Span(run.outcome, className="bad" if run.outcome == "failed" else ""),
            count(run.decisions),
            html.Span(duration(run.duration_seconds), className="nowrap"),
            html.Div(run.detail, className="sub engine-words"),
        ]
        for run in runs
    ]
    return table(("Begun", "What", "Outcome", "Decisions", "Took", ""), rows, "Training runs")
