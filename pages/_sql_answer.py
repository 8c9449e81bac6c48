"""What comes of a question: rows as a table and a picture, an error with a hint, or nothing yet."""

from __future__ import annotations

import math
from datetime import UTC, date, datetime, time
from typing import Any

import dash_mantine_components as dmc
import polars as pl
from dash import html

from pages._context import context
from pages._files import download_menu
from pages._grid import server_grid
from pages._parts import empty, icon
from pages._sql_plot import plot_controls
from pages._words import age, count, exact_instant
from warehouse.analyst_answers import Answer
from warehouse.analyst_errors import Cancelled, QuestionError
from warehouse.analyst_question import Limits, Question
from warehouse.analyst_tables import unit_of

FEW_COLUMNS = 6
"""So many share the width among them; more have their own and are scrolled."""
SAFE_WHOLE = 2**53
"""Beyond this a browser can't tell whole numbers apart."""


def nothing_asked() -> html.Div:
    """What stands where the answer will come."""
    hint = "Write a question or pick an example, then press Run."
    return empty("Nothing was asked yet", html.Div(hint), icon_name="search")


def running_box(question: Question, limits: Limits) -> html.Div:
    """While a question waits or runs."""
    waited = f"{question.age_seconds:.0f} s of at most {limits.seconds:g} s"
    is_waiting = question.standing == "waiting"
    said = "Waiting for other questions to end" if is_waiting else "Running"
    cancel = dmc.Button(
        "Cancel", id="sql-cancel", variant="default", leftSection=icon("x", 14), size="xs"
    )
    return html.Div(
        [
            dmc.Loader(size="sm"),
            html.Div([html.B(said), html.Span(waited, className="sub")]),
            cancel,
        ],
        className="sql-running",
        role="status",
        **{"aria-busy": "true"},
    )


def error_box(error: QuestionError) -> html.Div:
    """What went wrong, in the words of whoever found it, and what may help."""
    if isinstance(error, Cancelled):
        return empty("Cancelled", html.Div("Nothing of it was kept."), icon_name="x")
    title, _, rest = str(error).partition("\n")
    return html.Div(
        [
            html.Div(title, className="sql-error-title"),
            html.Pre(rest, className="sql-caret mono") if rest else None,
            html.Div([html.B("Try: "), error.hint], className="sql-hint") if error.hint else None,
        ],
        className="sql-error",
        role="alert",
    )


def answer_box(answer: Answer, limits: Limits, view: str) -> html.Div:
    """The rows as a table and as a picture."""
    head = html.Div(
        [_said(answer), download_menu("the answer", type="sql-download")],
        className="sql-answer-head",
    )
    if not answer.row_count:
        none = (
            "No row fits. A span may lie outside of what is kept, or a name be spelled otherwise."
        )
        return html.Div([head, empty("The answer has no rows", html.Div(none))])
    tabs = dmc.Tabs(
        [
            dmc.TabsList([dmc.TabsTab("Table", value="table"), dmc.TabsTab("Plot", value="plot")]),
            dmc.TabsPanel(_grid(answer), value="table"),
            dmc.TabsPanel(_plot(answer), value="plot"),
        ],
        id="sql-view",
        value=view,
        variant="outline",
    )
    return html.Div([head, _cut(answer, limits), tabs])


def _said(answer: Answer) -> html.Div:
    now = context().wall.now()
    took = f"{answer.took_seconds:.2f} s, {answer.waited_seconds:.2f} s with all around it"
    return html.Div(
        [
            html.B(f"{count(answer.row_count)} row{'' if answer.row_count == 1 else 's'}"),
            html.Span(f"in {took}"),
            html.Span(
                f"data as of {exact_instant(answer.data_at)}, {age(answer.data_at, now)}",
                title="By the machine's clock",
            ),
        ],
        className="sql-said",
        role="status",
    )


def _cut(answer: Answer, limits: Limits) -> html.Div | None:
    if not answer.cut:
        return None
    why = {
        "rows": f"Cut off at {count(limits.rows)} rows, the most an answer has: there are more.",
        "bytes": f"Cut off after {count(answer.row_count)} rows, which fill the 64 MB it may.",
    }[answer.cut]
    told = f"{why} Table, plot and download hold these alone. Group, filter, or add ORDER BY."
    return html.Div(told, className="sql-cut", role="alert")


def _plot(answer: Answer) -> html.Div:
    return html.Div([plot_controls(answer), html.Div(id="sql-plot", className="sql-plot")])


# -- the table -------------------------------------------------------------------------


def _grid(answer: Answer) -> html.Div:
    columns = [_column(i, name, kind) for i, (name, kind) in enumerate(answer.schema.items())]
    if len(columns) <= FEW_COLUMNS:
        columns = [column | {"flex": 1, "minWidth": column["width"]} for column in columns]
    grid = server_grid(
        # The id holds the answer's: another answer is another table, and never shows these rows.
        {"type": "sql-grid", "answer": answer.answer_id},  # type: ignore[arg-type]
        columns,
        dashGridOptions={"enableCellTextSelection": True},
    )
    rows = min(answer.row_count, 14)
    return html.Div(grid, className="sql-grid", style={"height": 34 * (rows + 1) + 20})


def _column(place: int, name: str, kind: pl.DataType) -> dict[str, Any]:
    unit = unit_of(name)
    made: dict[str, Any] = {
        "field": f"c{place}",
        "headerName": name,
        "headerTooltip": f"{name}, {unit}" if unit else name,
        "sortable": True,
        "minWidth": 90,
        "width": max(110, min(300, 34 + 8 * len(name))),
    }
    if kind.is_numeric():
        return made | {
            "type": "rightAligned", "valueFormatter": {"function": "asFigure(params.value)"}
        }  # fmt: skip
    if isinstance(kind, (pl.Datetime, pl.Date)):
        return made | {"width": max(made["width"], 172)}
    return made | {"width": max(made["width"], 150), "tooltipField": f"c{place}"}


def for_the_wire(frame: pl.DataFrame) -> list[dict[str, Any]]:
    """Rows as the grid's columns want them, by the column's place: names may be anything."""
    return [{f"c{i}": _wire(value) for i, value in enumerate(row)} for row in frame.iter_rows()]


def _wire(value: Any) -> Any:
    if isinstance(value, datetime):
        at = value.astimezone(UTC) if value.tzinfo else value
        text = at.strftime("%Y-%m-%d %H:%M:%S")
        return text + (f".{at.microsecond // 1000:03d}" if at.microsecond else "")
    if isinstance(value, (date, time)):
        return value.isoformat()
    if isinstance(value, bool) or value is None:
        return None if value is None else str(value).lower()
    if isinstance(value, int):
        return value if abs(value) < SAFE_WHOLE else str(value)
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    return value if isinstance(value, str) else str(value)
