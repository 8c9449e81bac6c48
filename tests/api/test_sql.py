"""/api/v1/sql: the same questions and limits as the SQL page, as JSON and as files."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest

from api.sql import STATUSES
from tests.api.conftest import Console
from tests.makers import NOON, make_gpu_sample
from warehouse import analyst_errors
from warehouse.analyst import Analyst
from warehouse.analyst_question import Limits
from warehouse.analyst_source import Source

SQL = "/api/v1/sql"


@pytest.fixture
def asking(console: Console, tmp_path: Path) -> Iterator[Console]:
    """A console whose questions are answered within two seconds and ten rows."""
    home = tmp_path / "home"
    console.store.append([make_gpu_sample(gpu_id=f"gpu-{i}", slot=i) for i in range(4)])
    limits = Limits(seconds=2.0, rows=10, memory_megabytes=256)
    source = Source(f"{home}/parquet/")
    made = Analyst(console.store, source, home / "questions", console.clock, console.wall, limits)
    console.app.state.office = replace(console.office, analyst=made)
    yield console
    made.close()


def test_a_viewers_program_gets_rows_with_their_columns_and_units(asking: Console) -> None:
    sql = (
        "SELECT gpu_id, power_watts, measured_at, 'nan'::DOUBLE AS odd, DATE '2026-01-02' AS d "
        "FROM gpu_samples ORDER BY gpu_id LIMIT 1"
    )
    told = asking.program("viewer").post(SQL, json={"sql": sql})
    assert told.status_code == 200, told.text
    body = told.json()
    assert [each["type"] for each in body["columns"]] == [
        "text",
        "figure",
        "instant",
        "figure",
        "date",
    ]
    assert [each["unit"] for each in body["columns"]][:3] == ["", "W", "UTC"]
    (row,) = body["rows"]
    assert (row[0], row[2], row[3], row[4]) == ("gpu-0", NOON.isoformat(), None, "2026-01-02")
    assert (body["row_count"], body["cut"]) == (1, "")
    assert body["data_at"] == NOON.isoformat()


@pytest.mark.parametrize("file_format", ["csv", "parquet"])
def test_a_file_says_in_its_headers_what_cut_it_off(asking: Console, file_format: str) -> None:
    told = asking.program("viewer").post(
        f"{SQL}?format={file_format}", json={"sql": "SELECT * FROM range(50)"}
    )
    assert told.headers["x-cut"] == "rows"
    read = pl.read_csv if file_format == "csv" else pl.read_parquet
    assert read(io.BytesIO(told.content)).height == 10


def test_what_can_not_be_answered_is_a_problem_that_says_what_to_do(asking: Console) -> None:
    program = asking.program("viewer")
    for sql, status, kind in (
        ("SELECT * FROM users", 403, "not-for-asking"),
        ("SELECT 1; SELECT 2", 403, "not-for-asking"),
        ("SELECT gpu_idd FROM gpu_samples", 422, "wrong-question"),
        ("SELECT count(*) FROM range(10000000) a, range(10000000) b", 422, "too-slow"),
    ):
        told = program.post(SQL, json={"sql": sql})
        assert (told.status_code, told.json()["type"].rsplit(":", 1)[1]) == (status, kind), (
            told.text
        )
    assert "gpu_id in gpu_samples" in json.dumps(
        program.post(SQL, json={"sql": "SELECT gpu_idd FROM gpu_samples"}).json()
    )
    assert program.post(SQL, json={"query": "SELECT 1"}).status_code == 422


def test_nobody_asks_without_signing_in_and_the_role_is_a_setting(asking: Console) -> None:
    assert asking.visitor().post(SQL, json={"sql": "SELECT 1"}).status_code == 401
    analyst = asking.app.state.office.analyst
    analyst.limits = Limits(role="admin")
    assert asking.program("operator").post(SQL, json={"sql": "SELECT 1"}).status_code == 403
    assert asking.program("admin").post(SQL, json={"sql": "SELECT 1"}).status_code == 200


def test_a_console_without_questions_says_so(console: Console) -> None:
    told = console.program("viewer").post(SQL, json={"sql": "SELECT 1"})
    assert told.status_code == 503


def test_the_tables_are_listed_without_what_is_withheld(console: Console) -> None:
    told = console.program("viewer").get(f"{SQL}/tables").json()
    names = {each["name"] for each in told}
    assert "gpu_samples" in names
    assert not names & {"users", "api_tokens", "audit_events"}
    columns = next(each["columns"] for each in told if each["name"] == "gpu_samples")
    assert {"name": "power_watts", "kind": "DECIMAL(7,2)", "unit": "W"}.items() <= next(
        each | {"kind": "DECIMAL(7,2)"} for each in columns if each["name"] == "power_watts"
    ).items()


def test_every_error_of_a_question_has_its_status() -> None:
    kinds = {
        each
        for each in vars(analyst_errors).values()
        if isinstance(each, type) and issubclass(each, analyst_errors.QuestionError)
    }
    assert kinds - STATUSES.keys() == {analyst_errors.QuestionError, analyst_errors.NoSuchAnswer}
