"""Where a question is written: the editor, examples, one's own last questions, the tables."""

from __future__ import annotations

from typing import Any

import dash_mantine_components as dmc
from dash import html

from pages._parts import empty, icon, panel
from pages._words import count
from warehouse.analyst_examples import EXAMPLES
from warehouse.analyst_question import Limits
from warehouse.analyst_tables import AnalystTable, Found


def editor_panel(sql: str, limits: Limits, user_name: str) -> html.Section:
    """The editor with its buttons."""
    text = dmc.Textarea(
        id="sql-q",
        value=sql,
        autosize=True,
        minRows=9,
        maxRows=26,
        placeholder="SELECT … FROM gpu_samples WHERE measured_at > fleet_now() - INTERVAL 1 DAY",
        classNames={"input": "sql-text"},
        spellCheck=False,
        **{"aria-label": "Question in SQL"},
    )
    tools = [
        dmc.Button("Run", id="sql-run", leftSection=icon("zap", 14), disabled=False),
        html.Span("Ctrl+Enter", className="sql-keys"),
        dmc.Select(
            id="sql-example",
            data=[{"value": each.key, "label": each.title} for each in EXAMPLES],
            placeholder="Examples",
            searchable=True,
            clearable=True,
            w=300,
            comboboxProps={"width": 380, "position": "bottom-start"},
            **{"aria-label": "Examples"},
        ),
        _history(user_name),
    ]
    return panel(
        "Question",
        text,
        html.Div(tools, className="sql-tools"),
        html.P(limit_words(limits), className="sub sql-limits"),
    )


def _history(user_name: str) -> html.Details:
    """Filled by `assets/sql.js` from what this browser keeps for this person."""
    return html.Details(
        [
            html.Summary([icon("clock", 14), "My last questions"]),
            html.Div(id="sql-past", className="sql-past", role="list"),
        ],
        id="sql-history",
        className="sql-history",
        **{"data-user": user_name},
    )


def limit_words(limits: Limits) -> str:
    """The limits, in a sentence."""
    return (
        f"One SELECT in DuckDB's SQL, on a read-only copy. At most {limits.seconds:g} s, "
        f"{count(limits.memory_megabytes)} MB of memory and {count(limits.rows)} rows; "
        f"{limits.at_once} questions run at once. What you ask is on record."
    )


# -- the tables ------------------------------------------------------------------------


def tables_panel(found: Found) -> html.Section:
    """All that can be asked, to be searched by name, column and meaning."""
    search = dmc.TextInput(
        id="sql-search",
        debounce=250,
        placeholder="Table, column or what it means",
        leftSection=icon("search", 14),
        **{"aria-label": "Search tables and columns"},
    )
    return panel(
        "Tables",
        search,
        html.Div(tables_list(found), id="sql-tables", className="sql-tables"),
        html.Div(id="sql-columns", className="sql-columns"),
        className="sql-tables-panel",
    )


def tables_list(found: Found) -> Any:
    """The tables that fit a search, each with the columns that made it fit."""
    if not found.tables:
        return empty("No table has such a name, column or meaning", icon_name="search")
    return html.Ul(
        [_table_item(table, found.columns.get(table.name, ())) for table in found.tables]
    )


def _table_item(table: AnalystTable, columns: tuple[str, ...]) -> html.Li:
    fits = html.Span(", ".join(columns), className="sql-fits mono") if columns else None
    button = html.Button(
        [html.Span(table.name, className="mono"), html.Span(table.summary, className="sub"), fits],
        type="button",
        className="sql-table",
        **{"data-table": table.name},
    )
    return html.Li(button)


def columns_box(table: AnalystTable) -> html.Div:
    """One table's columns with types, units and meanings; a name is put into the editor."""
    rows = [
        html.Li(
            [
                html.Button(
                    column.name, type="button", className="sql-column mono",
                    **{"data-insert": column.name},
                ),
                html.Span(f"{column.kind}{', ' + column.unit if column.unit else ''}",
                          className="sql-kind mono"),
                html.Span(column.meaning, className="sub"),
            ]
        )
        for column in table.columns
    ]  # fmt: skip
    head = html.Div(
        [
            html.B(table.name, className="mono"),
            html.Button(
                "First rows", type="button", className="sql-link",
                **{"data-replace": f"SELECT * FROM {table.name} LIMIT 100"},
            ),
        ],
        className="row",
    )  # fmt: skip
    return html.Div([head, html.P(table.meaning, className="sub"), html.Ul(rows)])
