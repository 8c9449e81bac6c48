"""What may help whoever asked a question that DuckDB can't answer."""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence

from warehouse import records
from warehouse.analyst_rules import OPEN
from warehouse.schema import TABLES

assert records.GpuSample in TABLES
_MOST = 3


def plain_message(message: str) -> str:
    """DuckDB's text without what only its makers need: the line with its caret stays."""
    kept: list[str] = []
    for line in message.strip().splitlines():
        if line.startswith(("Stack Trace", "LINE ")) and kept and not kept[-1].strip():
            kept.pop()
        if line.startswith("Stack Trace"):
            break
        kept.append(line.rstrip())
    return "\n".join(kept)


def hint_of(message: str, names: Sequence[str], sql: str) -> str:
    """What to try next, or nothing where nothing is known.

    Args:
        message: DuckDB's own text.
        names: the tables and views that can be asked.
        sql: the question.
    """
    words = set(re.findall(r"\w+", sql.lower()))
    asked = [name for name in names if name in words]
    for pattern, made in _HINTS:
        found = re.search(pattern, message)
        if found:
            return made(found.group(1) if found.groups() else "", asked or names)
    return ""


def _of_column(column: str, names: Sequence[str]) -> str:
    column = column.split(".")[-1]
    known: dict[str, list[str]] = {}
    for table in TABLES.values():
        if table.name in OPEN and table.name in names:
            for each in table.columns:
                known.setdefault(each.name, []).append(table.name)
    near = difflib.get_close_matches(column.lower(), known, n=_MOST, cutoff=0.6)
    if not near:
        return "The list of tables has every table's columns."
    told = [f"{name} in {_some(known[name])}" for name in near]
    return "Near to it: " + "; ".join(told) + "."


def _some(tables: Sequence[str]) -> str:
    more = len(tables) - _MOST
    return ", ".join(tables[:_MOST]) + (f" and {more} more" if more > 0 else "")


def _of_table(table: str, names: Sequence[str]) -> str:
    near = difflib.get_close_matches(table.lower(), names, n=_MOST, cutoff=0.5)
    return f"Near to it: {', '.join(near)}." if near else ""


def _of_function(function: str, names: Sequence[str]) -> str:
    return "Functions are DuckDB's: see that the name and the types of what it is given are right."


def _of_group(column: str, names: Sequence[str]) -> str:
    return "GROUP BY ALL groups by whatever is not summed up."


def _of_cast(text: str, names: Sequence[str]) -> str:
    return "TRY_CAST gives NULL where a value can't be read; lists and objects are JSON text."


_HINTS = (
    (r'Referenced column "([^"]+)"', _of_column),
    (r'does not have a column named "([^"]+)"', _of_column),
    (r"Table with name (\S+) does not exist", _of_table),
    (r"Function with name (\S+) does not exist|No function matches", _of_function),
    (r"must appear in the GROUP BY clause", _of_group),
    (r"Could not convert|Conversion Error", _of_cast),
)
