from __future__ import annotations

from pathlib import Path

import pytest

from warehouse.dictionary import data_markdown
from warehouse.schema import TABLES, Table

UNITS_OR_MEANINGS = ("_at", "_id", "_ids", "_hash")
ALL_TABLES = list(TABLES.values())


@pytest.mark.parametrize("table", ALL_TABLES, ids=lambda table: table.name)
def test_every_table_and_column_says_what_it_is(table: Table) -> None:
    assert table.description
    silent = [column.name for column in table.columns if not column.description]
    assert not silent, f"{table.name} has columns without a sentence: {silent}"


@pytest.mark.parametrize("table", ALL_TABLES, ids=lambda table: table.name)
def test_instants_end_in_at_and_nothing_else_does(table: Table) -> None:
    for column in table.columns:
        is_instant = column.sql_type == "TIMESTAMPTZ"
        assert is_instant == column.name.endswith("_at"), f"{table.name}.{column.name}"


def test_every_float_says_its_unit_last() -> None:
    units = {
        "ratio", "watts", "joules", "celsius", "hertz", "bytes", "seconds", "usd", "hour", "hours",
        "count", "second", "month", "months", "gigabyte", "gpu", "years",
    }  # fmt: skip
    # Their unit is that of the row's own series or trigger.
    dimensionless = {
        "forecasts.q10", "forecasts.q50", "forecasts.q90", "forecasts.q95", "twin_checks.drift",
        "twin_checks.threshold", "policy_alarms.value", "policy_alarms.threshold",
        "market_alarms.value", "market_alarms.expected", "market_metrics.value",
        "benchmark_scores.score", "benchmark_scores.weight", "offers.performance_score",
        "price_elasticities.elasticity", "price_elasticities.low", "price_elasticities.high",
    }  # fmt: skip
    odd = [
        f"{table.name}.{column.name}"
        for table in ALL_TABLES
        for column in table.columns
        if column.sql_type == "DOUBLE" and column.name.rsplit("_", 1)[-1] not in units
    ]
    assert set(odd) == dimensionless


def test_the_documentation_of_the_data_is_what_the_records_say() -> None:
    written = Path(__file__).parents[2] / "docs" / "data.md"
    assert written.read_text() == data_markdown(), "run: python app.py data > docs/data.md"
