"""What analysts may ask, by the rules alone: the first wall."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import duckdb
import pytest

from tests.warehouse.analyst_attacks import attacks
from warehouse import records
from warehouse.analyst_examples import EXAMPLES
from warehouse.analyst_rules import (
    FUNCTIONS_WITHHELD,
    HARMLESS,
    OPEN,
    PREFIXES_WITHHELD,
    VIEWS_OPEN,
    WITHHELD,
    refusal,
)
from warehouse.schema import TABLES
from warehouse.views import VIEWS

NAMES = OPEN | VIEWS_OPEN


@pytest.fixture(scope="module")
def parser() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect() as connection:
        yield connection


def said(parser: duckdb.DuckDBPyConnection, sql: str) -> str | None:
    """Why it is refused; DuckDB itself may say no already."""
    try:
        found = parser.execute("SELECT json_serialize_sql(?)", [sql]).fetchone()
    except duckdb.Error as error:
        return str(error)
    assert found is not None
    return refusal(json.loads(found[0]), NAMES)


def test_every_table_is_open_or_withheld_for_a_reason() -> None:
    assert records.GpuSample in TABLES
    names = {table.name for table in TABLES.values()}
    assert names == OPEN | WITHHELD.keys()
    assert not OPEN & WITHHELD.keys()
    assert all(WITHHELD.values())
    assert VIEWS.keys() >= VIEWS_OPEN


def test_nothing_that_is_secret_is_in_an_open_table() -> None:
    secret = ("password", "secret", "token", "address", "cookie", "hash")
    told = {
        f"{table.name}.{column.name}"
        for table in TABLES.values()
        if table.name in OPEN
        for column in table.columns
        if any(word in column.name for word in secret)
    }
    assert told == {"decisions.action_hash", "verdicts.action_hash", "approvals.action_hash"}


def test_every_attack_is_refused(parser: duckdb.DuckDBPyConnection) -> None:
    asked = attacks(Path("/home"), "/home/parquet/main/pools/", "/home/u.parquet", Path("/c"))
    assert [sql for sql in asked if said(parser, sql) is None] == []


@pytest.mark.parametrize(
    "sql",
    [
        *(each.sql for each in EXAMPLES),
        "FROM gpu_samples",
        "DESCRIBE gpu_samples",
        "SUMMARIZE pools",
        "SHOW TABLES",
        "TABLE pools",
        "VALUES (1), (2)",
        "WITH RECURSIVE n AS (SELECT 1 AS i UNION ALL SELECT i + 1 FROM n WHERE i < 9) FROM n",
        "SELECT * FROM range(3) r, unnest([1, 2]) u",
        "SELECT columns('.*_ratio') FROM gpu_samples",
        "PIVOT pool_states ON pool IN ('a', 'b') USING sum(gpus_on)",
        "SELECT [x + 1 FOR x IN [1, 2]], list_transform([1], lambda x: x + 1)",
        "SELECT evidence::JSON -> 0 ->> 'words', fleet_now(), now() FROM node_health",
        "SELECT 'COPY users TO ''x''' AS text, \"pool\" FROM Pools -- ; DROP",
        "SELECT pg_typeof(1), uuid(), random()",
    ],
)
def test_what_analysts_need_may_be_asked(parser: duckdb.DuckDBPyConnection, sql: str) -> None:
    assert said(parser, sql) is None


def test_a_name_that_a_question_gives_opens_no_withheld_table(
    parser: duckdb.DuckDBPyConnection,
) -> None:
    sql = "WITH users AS (SELECT 1) SELECT * FROM users"
    assert "not for asking" in (said(parser, sql) or "")


def test_every_function_that_is_not_pure_was_looked_at(
    parser: duckdb.DuckDBPyConnection,
) -> None:
    """A newer DuckDB's functions fail here until somebody says what they are."""
    found = parser.execute(
        "SELECT DISTINCT function_name FROM duckdb_functions() "
        "WHERE function_type IN ('scalar', 'aggregate') AND stability <> 'CONSISTENT'"
    ).fetchall()
    pure_enough = {
        "random", "uuid", "uuidv4", "uuidv7", "gen_random_uuid", "now", "today", "current_date",
        "get_current_time", "get_current_timestamp", "transaction_timestamp",
    }  # fmt: skip
    assert {name for (name,) in found} <= FUNCTIONS_WITHHELD | pure_enough


def test_of_functions_that_begin_like_those_of_the_engine_only_two_are_harmless() -> None:
    assert {"pg_typeof", "pg_size_pretty"} == HARMLESS
    assert all(name.startswith(PREFIXES_WITHHELD) for name in HARMLESS)


def test_a_refusal_says_what_to_do_instead(parser: duckdb.DuckDBPyConnection) -> None:
    assert "near to it: pools" in (said(parser, "FROM pool") or "")
    assert "hashes of passwords" in (said(parser, "FROM users") or "")
    assert "alone" in (said(parser, "FROM main.pools") or "")
    assert "One question at a time" in (said(parser, "SELECT 1; SELECT 2") or "")
    assert "Begin with SELECT" in (said(parser, "DROP TABLE pools") or "")
    assert "range, unnest" in (said(parser, "FROM read_csv('x')") or "")
