"""SQL: an analyst's own questions to the warehouse, read only and within limits."""

from __future__ import annotations

from typing import Any

from dash import (
    ALL,
    MATCH,
    ClientsideFunction,
    Input,
    Output,
    State,
    clientside_callback,
    ctx,
    dcc,
    html,
    no_update,
    register_page,
)

from pages._address import chosen
from pages._callbacks import NOTICES, answers, notice
from pages._context import context, may, needed
from pages._files import file_of
from pages._grid import sorting
from pages._parts import empty, page, page_head, panel
from pages._sql_answer import (
    answer_box,
    error_box,
    for_the_wire,
    nothing_asked,
    running_box,
)
from pages._sql_editor import columns_box, editor_panel, tables_list, tables_panel
from pages._sql_plot import Axes, default_axes, plot_of
from pages._words import count
from warehouse import analyst_tables
from warehouse.analyst import Analyst
from warehouse.analyst_errors import NoSuchAnswer
from warehouse.analyst_examples import example
from warehouse.analyst_question import Question
from warehouse.people import Person

POLL_MILLISECONDS = 400
AT_ONCE_SECONDS = 0.7
"""Most answers are there by then, and come without being asked for again."""
FIRST = "idle"
VIEWS = ("table", "plot")


def layout(q: str | None = None, view: str | None = None, **_: str) -> html.Div:
    """The page before anything is asked; a question in the address is shown, and not run."""
    analyst = context().analyst
    if analyst is None:
        return page(
            page_head("SQL"), empty("This console was started without questions"), name="sql"
        )
    if not may(analyst.limits.role):
        said = f"Asking takes the role {analyst.limits.role}: ask an admin for it."
        return page(page_head("SQL"), empty("Not for your role", html.Div(said)), name="sql")
    first = example(FIRST)
    sql = q if q is not None else first.sql if first else ""
    return page(
        dcc.Store(id="sql-asked"),
        dcc.Store(id="sql-table"),
        dcc.Store(id="sql-warm"),
        dcc.Store(id="sql-wanted", data=chosen(view, VIEWS)),
        dcc.Interval(id="sql-poll", interval=POLL_MILLISECONDS, disabled=True),
        dcc.Download(id="sql-file"),
        page_head("SQL", note="Your own questions to the warehouse, read only"),
        html.Div(
            [
                html.Div(
                    [
                        editor_panel(sql, analyst.limits, needed("viewer").name),
                        panel("Answer", html.Div(nothing_asked(), id="sql-answer")),
                    ],
                    className="stack",
                ),
                tables_panel(analyst_tables.search(None)),
            ],
            className="columns columns-main sql-columns-page",
        ),
        name="sql",
    )


def _here() -> tuple[Analyst, Person]:
    analyst = context().analyst
    assert analyst is not None
    return analyst, needed(analyst.limits.role)


@answers(Output("sql-warm", "data"), Input("sql-run", "id"))
def warm(_: str) -> Any:
    """Get ready while the question is being written, so that the first one waits for nothing."""
    analyst, _person = _here()
    analyst.warm()
    return no_update


# -- asking ----------------------------------------------------------------------------


@answers(
    Output("sql-asked", "data"),
    Output("sql-answer", "children"),
    Output("sql-poll", "disabled"),
    Input("sql-run", "n_clicks"),
    State("sql-q", "value"),
    State("sql-wanted", "data"),
    State("sql-asked", "data"),
    prevent_initial_call=True,
)
def run(
    clicks: int | None, sql: str | None, view: str | None, before: str | None
) -> tuple[Any, ...]:
    """Ask; who asks anew takes the question before back."""
    if not clicks:
        return no_update, no_update, no_update
    analyst, person = _here()
    if before:
        _take_back(analyst, before, person)
    question = analyst.begin(sql or "", person)
    question.ended.wait(AT_ONCE_SECONDS)
    return question.question_id, _shown(question, view), question.ended.is_set()


@answers(
    Output("sql-answer", "children", allow_duplicate=True),
    Output("sql-poll", "disabled", allow_duplicate=True),
    Input("sql-poll", "n_intervals"),
    State("sql-asked", "data"),
    State("sql-wanted", "data"),
    prevent_initial_call=True,
)
def follow(n_intervals: int | None, asked: str | None, view: str | None) -> tuple[Any, Any]:
    """How far the question is."""
    if not asked:
        return no_update, True
    analyst, person = _here()
    try:
        question = analyst.question(asked, person)
    except NoSuchAnswer as error:
        return error_box(error), True
    return _shown(question, view), question.ended.is_set()


@answers(
    Output("sql-cancel", "disabled"),
    Input("sql-cancel", "n_clicks"),
    State("sql-asked", "data"),
    prevent_initial_call=True,
)
def cancel(clicks: int | None, asked: str | None) -> Any:
    """Take the question back; what follows it says so."""
    if not clicks or not asked:
        return no_update
    analyst, person = _here()
    _take_back(analyst, asked, person)
    return True


def _take_back(analyst: Analyst, asked: str, person: Person) -> None:
    try:
        analyst.cancel(asked, person)
    except NoSuchAnswer:
        return  # it is gone already


def _shown(question: Question, view: str | None) -> Any:
    analyst, _ = _here()
    if not question.ended.is_set():
        return running_box(question, analyst.limits)
    if question.error is not None:
        return error_box(question.error)
    assert question.answer is not None
    return answer_box(question.answer, analyst.limits, chosen(view, VIEWS))


# -- what came of it -------------------------------------------------------------------


@answers(
    Output({"type": "sql-grid", "answer": MATCH}, "getRowsResponse"),
    Input({"type": "sql-grid", "answer": MATCH}, "getRowsRequest"),
    State({"type": "sql-grid", "answer": MATCH}, "id"),
)
def rows(request: dict[str, Any] | None, grid: dict[str, str]) -> Any:
    """The block of rows that the table asks for."""
    if request is None:
        return no_update
    analyst, person = _here()
    answer = analyst.answer(grid["answer"], person)
    field, is_down = sorting(request, "")
    names = list(answer.schema)
    sort_by = names[int(field[1:])] if field else ""
    found = analyst.answers.page(
        answer,
        offset=request["startRow"],
        limit=request["endRow"] - request["startRow"],
        sort_by=sort_by,
        is_down=is_down,
    )
    return {"rowData": for_the_wire(found.rows), "rowCount": found.total}


@answers(
    Output("sql-plot", "children"),
    Output("sql-kind", "value"),
    Output("sql-x", "value"),
    Output("sql-y", "value"),
    Output("sql-colour", "value"),
    Input("sql-kind", "value"),
    Input("sql-x", "value"),
    Input("sql-y", "value"),
    Input("sql-colour", "value"),
    State("sql-asked", "data"),
)
def plot(
    kind: str | None, x: str | None, y: str | None, color: str | None, asked: str | None
) -> tuple[Any, ...]:
    """The answer as a picture; of a new answer what suits it."""
    keep = (no_update,) * 4
    if not asked:
        return (no_update, *keep)
    analyst, person = _here()
    try:
        answer = analyst.answer(asked, person)
        frame = analyst.answers.rows(answer)
    except NoSuchAnswer as error:
        return (error_box(error), *keep)
    if x is None and y is None:
        suits = default_axes(answer.schema, frame)
        if suits is None:
            return (empty("The answer has no column of figures to draw"), *keep)
        return plot_of(frame, suits), suits.kind, suits.x, suits.y, suits.color or None
    axes = Axes(chosen(kind, ("line", "bar", "scatter")), x or "", y or "", color or "")
    return (plot_of(frame, axes), *keep)


@answers(
    Output("sql-file", "data"),
    Output(NOTICES, "sendNotifications", allow_duplicate=True),
    Input({"type": "sql-download", "format": ALL}, "n_clicks"),
    State("sql-asked", "data"),
    prevent_initial_call=True,
)
def download(clicks: list[int | None], asked: str | None) -> tuple[Any, Any]:
    """All rows of the answer as a file."""
    pressed = ctx.triggered_id
    if not any(clicks) or not asked or not isinstance(pressed, dict):
        return no_update, no_update
    analyst, person = _here()
    answer = analyst.answer(asked, person)
    rows, now = analyst.answers.rows(answer), context().wall.now()
    file = file_of(rows, "pilothouse-answer", now, pressed["format"])
    cut = ", cut off at the limit" if answer.cut else ""
    return file, [notice("Downloaded", f"{count(answer.row_count)} rows{cut}")]


# -- finding one's way -----------------------------------------------------------------


@answers(Output("sql-q", "value"), Input("sql-example", "value"), prevent_initial_call=True)
def show_example(key: str | None) -> Any:
    """An example in the editor."""
    found = example(key)
    return no_update if found is None else found.sql


@answers(Output("sql-tables", "children"), Input("sql-search", "value"), prevent_initial_call=True)
def show_tables(words: str | None) -> Any:
    """The tables that fit."""
    return tables_list(analyst_tables.search(words))


@answers(Output("sql-columns", "children"), Input("sql-table", "data"), prevent_initial_call=True)
def show_columns(name: str | None) -> Any:
    """A table's columns."""
    found = analyst_tables.table(name)
    return no_update if found is None else columns_box(found)


clientside_callback(
    ClientsideFunction("sql", "asked"),
    Input("sql-asked", "data"),
    State("sql-q", "value"),
    prevent_initial_call=True,
)
clientside_callback(
    ClientsideFunction("sql", "viewed"),
    Output("sql-wanted", "data"),
    Input("sql-view", "value"),
    prevent_initial_call=True,
)
register_page(
    __name__,
    path="/sql",
    name="SQL",
    title="SQL · Pilothouse",
    layout=layout,
    order=6.5,
    icon="code-xml",
)
