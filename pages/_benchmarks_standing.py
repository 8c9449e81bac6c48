"""Where we stand, in words: score, rank, what holds us back, and what nobody can say of us."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

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
from pages._parts import Children, figure_tile
from pages._words import percent
from warehouse.metric_catalogue import METRICS, US
from warehouse.score_weights import LEAST_KNOWN_RATIO, Weights

HOLDS_SHOWN = 3


@dataclass(frozen=True)
class Hold:
    """A metric that keeps our overall score below 100."""

    metric: str
    score: float
    points: float
    """By how much the overall score would rise if this metric scored 100."""
    value: float
    unit: str


def holds(table: pl.DataFrame, in_use: Weights) -> list[Hold]:
    """What holds us back, the most first: each metric's share of what is known, times what it
    lacks of 100."""
    known = table.filter((pl.col("provider") == US) & pl.col("score").is_not_null())
    rows = list(known.iter_rows(named=True))
    heard = sum(in_use.share(row["metric"]) for row in rows)
    if not heard:
        return []
    found = [
        Hold(
            row["metric"],
            row["score"],
            in_use.share(row["metric"]) / heard * (100 - row["score"]),
            row["value"],
            row["unit"],
        )
        for row in rows
    ]
    return sorted((each for each in found if each.points > 0), key=lambda each: -each.points)


def unknown_of_us(table: pl.DataFrame, in_use: Weights) -> list[tuple[str, float]]:
    """The metrics that are unknown of us, with their share of all weight, the most first."""
    ours = table.filter((pl.col("provider") == US) & pl.col("score").is_null())
    scored = [name for name in ours["metric"] if METRICS[name].is_scored]
    return sorted(((name, in_use.share(name)) for name in scored), key=lambda each: -each[1])


def standing_box(cards: pl.DataFrame, table: pl.DataFrame, in_use: Weights) -> Any:
    """Our overall score and rank, what holds us back, and how much of it is known."""
    overall = cards.filter(pl.col("name") == OVERALL)
    ours = overall.filter(pl.col("provider") == US)
    if ours.is_empty():
        return html.P("We have no scores yet: none of our own rows was read.", className="prose")
    row = ours.row(0, named=True)
    ranked = overall["rank"].drop_nulls().len()
    lacking = unknown_of_us(table, in_use)
    found = holds(table, in_use)
    return html.Div(
        [
            html.Div(_tiles(row, overall, ranked, found), className="tiles"),
            html.Div(
                [_held_back(found, row["known_ratio"]), _not_known(lacking)], className="bench-said"
            ),
        ],
        className="stack",
    )


def _tiles(
    row: dict[str, Any], overall: pl.DataFrame, ranked: int, found: list[Hold]
) -> list[html.Div]:
    score, known = row["score"], row["known_ratio"]
    withheld = f"withheld: {percent(LEAST_KNOWN_RATIO)} must be known"
    shown = why(US, OVERALL, score_words(score, 1) if score is not None else "Withheld")
    first = found[0] if found else None
    return [
        figure_tile(
            "Our overall score",
            shown,
            "of 100" if score is not None else "",
            _leader(overall, score) if score is not None else withheld,
        ),
        figure_tile(
            "Our rank",
            str(row["rank"]) if row["rank"] else "none",
            f"of {ranked}" if row["rank"] else "",
            f"of {overall.height} providers, {ranked} have an overall score",
        ),
        figure_tile(
            "Known of us",
            percent(known),
            "of the weight",
            "what is unknown counts neither for nor against",
        ),
        figure_tile(
            "Holds us back most",
            why(US, first.metric, label_of(first.metric)) if first else _no_hold(known),
            "",
            f"scores {score_words(first.score)}, costs {first.points:.1f} points" if first else "",
        ),
    ]


def _no_hold(known_ratio: float) -> str:
    return "nothing" if known_ratio else "unknown"


def _leader(overall: pl.DataFrame, score: float) -> str:
    """Who leads, or by how much we do."""
    others = overall.filter((pl.col("provider") != US) & pl.col("score").is_not_null())
    if others.is_empty():
        return "nobody else has an overall score"
    best = others.sort("score", descending=True).row(0, named=True)
    name, gap = provider_words(best["provider"]), abs(best["score"] - score)
    how = "ahead of" if score >= best["score"] else "behind"
    return f"{gap:.1f} points {how} {name}, {score_words(best['score'], 1)}"


def _held_back(found: list[Hold], known_ratio: float) -> html.P:
    if not known_ratio:
        nothing = "Nothing is known of us yet: no row of ours tells, and no document."
        return html.P(nothing, className="prose")
    if not found:
        return html.P("Nothing that is known of us holds us back.", className="prose")
    said: list[Children] = [html.B("What holds us back: ")]
    for place, each in enumerate(found[:HOLDS_SHOWN]):
        said += ["; " if place else "", why(US, each.metric, label_of(each.metric))]
        value = value_words(each.value, each.unit)
        said.append(f" ({value}, scores {score_words(each.score)}) costs {each.points:.1f} points")
    return html.P([*said, "."], className="prose")


def _not_known(lacking: list[tuple[str, float]]) -> html.P | None:
    if not lacking:
        return html.P("Every scored metric is known of us.", className="prose")
    said: list[Children] = [html.B("Not known of us: ")]
    for place, (name, share) in enumerate(lacking[:HOLDS_SHOWN]):
        said += [", " if place else "", why(US, name, label_of(name)), f" ({percent(share, 1)})"]
    more = len(lacking) - HOLDS_SHOWN
    rest = f" and {more} more" if more > 0 else ""
    together = f", together {percent(sum(share for _, share in lacking))} of the weight. "
    how = "Our own terms can be told in market_facts.yaml in the data folder."
    return html.P([*said, rest, together, how], className="prose")
