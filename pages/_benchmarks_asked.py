"""What the Benchmarks page asks of the warehouse in several of its parts; nothing here draws."""

from __future__ import annotations

import polars as pl

from pages._context import MOMENT_SECONDS, context, kept
from warehouse import benchmarks


@kept(MOMENT_SECONDS)
def cards() -> pl.DataFrame:
    """The overall and group scores in force, as `benchmarks.score_cards`."""
    return benchmarks.score_cards(context().store, context().wall.now())


@kept(MOMENT_SECONDS)
def metrics() -> pl.DataFrame:
    """Every metric of every provider, as `benchmarks.metric_table`."""
    return benchmarks.metric_table(context().store, context().wall.now())
