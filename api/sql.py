"""/api/v1/sql: a question of one's own, answered as JSON or as a file."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

import polars as pl
from fastapi import APIRouter, Depends, Query, Response
from fastapi.responses import JSONResponse

from api.downloads import file_of
from api.office import Address, Here, Viewer
from api.problems import Fault, Refused, problem_response
from api.shapes import Sent, Shape
from warehouse import analyst_tables
from warehouse.analyst import Analyst
from warehouse.analyst_answers import Answer
from warehouse.analyst_errors import (
    Broken,
    Cancelled,
    NotForAsking,
    NotForYou,
    QuestionError,
    TooManyQuestions,
    TooMuchMemory,
    TooSlow,
    TooWide,
    WrongQuestion,
)

router = APIRouter(prefix="/api/v1/sql", tags=["sql"])

STATUSES: dict[type[QuestionError], tuple[int, str]] = {
    NotForAsking: (403, "not for asking"),
    NotForYou: (403, "not allowed"),
    WrongQuestion: (422, "wrong question"),
    TooWide: (422, "too wide"),
    TooSlow: (422, "too slow"),
    TooMuchMemory: (422, "too much memory"),
    Cancelled: (409, "cancelled"),
    TooManyQuestions: (429, "too many questions"),
    Broken: (503, "broken"),
}
"""The status of each error, and its kind in words."""
RETRY_SECONDS = "5"


class Asked(Sent):
    """A question."""

    sql: str
    """One SELECT in DuckDB's SQL; `fleet_now()` is the console's instant."""


class ColumnShape(Shape):
    """A column of an answer."""

    name: str
    """Its name, made distinct."""
    type: str
    """`whole`, `figure`, `instant`, `date`, `truth` or `text`; what else there is comes as text."""
    unit: str
    """The unit its name ends in; empty where it ends in none."""


class AnswerShape(Shape):
    """What came of a question."""

    columns: list[ColumnShape]
    """In their order."""
    rows: list[list[Any]]
    """Values in the columns' order; instants are ISO 8601, UTC."""
    row_count: int
    """Rows in `rows`."""
    cut: Literal["", "rows", "bytes"]
    """The limit that cut the answer off; empty where it is whole."""
    took_seconds: float
    """How long the question itself took."""
    data_at: datetime
    """The instant that the data is as of, by the machine's clock."""


class TableShape(Shape):
    """A table that can be asked."""

    name: str
    """Its name."""
    meaning: str
    """What a row is."""
    columns: list[dict[str, str]]
    """Each `name`, `kind` (its SQL type), `unit` and `meaning`."""


def _analyst(here: Here) -> Analyst:
    if here.analyst is None:
        raise Refused(503, "no questions", "this console was started without questions")
    return here.analyst


Asking = Annotated[Analyst, Depends(_analyst)]
Format = Annotated[
    Literal["json", "csv", "parquet"], Query(description="Rows as JSON, or as a file.")
]


@router.get("/tables", response_model=list[TableShape])
def tables(person: Viewer) -> list[dict[str, Any]]:
    """The tables that can be asked, with columns, units and meanings."""
    return [
        {
            "name": each.name,
            "meaning": each.meaning,
            "columns": [
                {"name": c.name, "kind": c.kind, "unit": c.unit, "meaning": c.meaning}
                for c in each.columns
            ],
        }
        for each in analyst_tables.tables()
    ]


@router.post("", response_model=AnswerShape)
def ask(
    analyst: Asking, person: Viewer, address: Address, asked: Asked, format: Format = "json"
) -> Response:
    """The answer to one SELECT, within the limits of the SQL page, which it shares.

    A file's answer says in `X-Cut` which limit cut it off, where one did.
    """
    try:
        answer = analyst.ask(asked.sql, person, address)
    except QuestionError as error:
        return _problem(error)
    frame = analyst.answers.rows(answer)
    if format == "json":
        return JSONResponse(_told(answer, frame))
    response = file_of(frame, "answer", format)
    response.headers["x-cut"] = answer.cut
    response.headers["x-data-at"] = answer.data_at.isoformat()
    return response


def _problem(error: QuestionError) -> JSONResponse:
    status, kind = next(STATUSES[cls] for cls in type(error).__mro__ if cls in STATUSES)
    headers = {"retry-after": RETRY_SECONDS} if status in (429, 503) else None
    told = f"{error}\n{error.hint}" if error.hint else str(error)
    faults = [Fault(location="body.sql", message=str(error))] if status == 422 else None
    return problem_response("/api/v1/sql", status, kind, told, headers, errors=faults)


def _told(answer: Answer, frame: pl.DataFrame) -> dict[str, Any]:
    return {
        "columns": [
            {"name": name, "type": _kind(kind), "unit": analyst_tables.unit_of(name)}
            for name, kind in answer.schema.items()
        ],
        "rows": [[_plain(value) for value in row] for row in frame.iter_rows()],
        "row_count": answer.row_count,
        "cut": answer.cut,
        "took_seconds": round(answer.took_seconds, 6),
        "data_at": answer.data_at.isoformat(),
    }


def _kind(kind: pl.DataType) -> str:
    if kind.is_integer():
        return "whole"
    if kind.is_numeric():
        return "figure"
    if isinstance(kind, pl.Datetime):
        return "instant"
    if kind == pl.Date():
        return "date"
    return "truth" if kind == pl.Boolean() else "text"


def _plain(value: Any) -> Any:
    """As JSON has it: it knows no NaN, no infinity and no instants."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, datetime):
        return (value if value.tzinfo else value.replace(tzinfo=UTC)).isoformat()
    if value is None or isinstance(value, (bool, int, str)):
        return value
    return value.isoformat() if hasattr(value, "isoformat") else str(value)
