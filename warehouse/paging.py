"""The answer to a question that is asked a page at a time: by a count of rows, or after a row.

Who goes on after a row sees no row twice and misses none, whatever came in at the front meanwhile,
and the thousandth page takes no longer than the first.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import polars as pl

from warehouse.store import Store

Value = str | int | float | bool | None


class BadCursor(Exception):
    """The place that is asked for is none of this list's; the sentence says what to do."""


@dataclass(frozen=True)
class After:
    """The place after a row."""

    order_digest: str
    """Of the question and the order that the values are of."""
    values: tuple[Value, ...]
    """The row's, column by column of the order; instants in ISO 8601."""


Position = int | After
"""Where a page begins: after so many rows, or after one."""


@dataclass(frozen=True)
class Page:
    """One page of an answer."""

    rows: pl.DataFrame
    """The rows of this page."""
    total: int
    """Rows of the whole answer."""
    end: After | None = None
    """The place after its last row; None where the page is empty, or the list can't tell."""

    @classmethod
    def counted(cls, total: int) -> Page:
        """A page of which only the count is wanted: its rows lie elsewhere."""
        return cls(pl.DataFrame(), total)


@dataclass(frozen=True)
class _Term:
    """A column of an order."""

    column: str
    is_descending: bool

    @property
    def name(self) -> str:
        return self.column.strip('"')


def page_of(
    store: Store, sql: str, *, order: str, offset: Position, limit: int, **parameters: Any
) -> Page:
    """`limit` rows of a SELECT in an order from a place on, and how many there are in all.

    The order is columns of the SELECT, missing values last. It must be total, or rows may be shown
    twice or never as one pages.

    Raises:
        BadCursor: the place is one of another list, or none at all.
    """
    terms, values = list(_terms(order)), {}
    counted = f"SELECT *, count(*) OVER () AS total_count FROM ({sql})"
    if isinstance(offset, After):
        values = _values(store, sql, order, terms, offset, parameters)
        counted = f"SELECT * FROM ({counted}) WHERE {_is_after(terms, values)}"
    rows = store.query(
        f"{counted} ORDER BY {order} LIMIT $limit OFFSET $offset",
        limit=limit,
        offset=offset if isinstance(offset, int) else 0,
        **{name: value for name, value in values.items() if value is not None},
        **parameters,
    )
    if rows.is_empty():  # no row is there to carry the count
        total = 0 if offset == 0 else _count(store, sql, parameters)
        return Page(rows.drop("total_count"), total)
    total = int(rows["total_count"][0])
    return Page(rows.drop("total_count"), total, _end(rows, _digest(sql, order), terms))


def _count(store: Store, sql: str, parameters: dict[str, Any]) -> int:
    counted = store.query(f"SELECT count(*) AS total FROM ({sql})", **parameters)
    return int(counted.item())


def _terms(order: str) -> Iterator[_Term]:
    for term in order.split(", "):
        column, *words = term.split()
        yield _Term(column, "DESC" in words)


def _digest(sql: str, order: str) -> str:
    return hashlib.sha256(f"{sql}\n{order}".encode()).hexdigest()[:8]


def _end(rows: pl.DataFrame, order_digest: str, terms: list[_Term]) -> After:
    last = rows.row(-1, named=True)
    found = (last[term.name] for term in terms)
    texts = (each.isoformat() if isinstance(each, datetime) else each for each in found)
    return After(order_digest, tuple(texts))


def _is_after(terms: list[_Term], values: dict[str, Any]) -> str:
    """The rows that come later: those equal in the first columns and later in the next."""
    ways, equal = [], []
    for term, (name, value) in zip(terms, values.items(), strict=True):
        if value is None:  # missing ones are last: nothing is later
            equal.append(f"{term.column} IS NULL")
            continue
        sign = "<" if term.is_descending else ">"
        later = f"({term.column} {sign} ${name} OR {term.column} IS NULL)"
        ways.append(" AND ".join([*equal, later]))
        equal.append(f"{term.column} = ${name}")
    return "(" + " OR ".join(f"({way})" for way in ways or ["false"]) + ")"


def _values(
    store: Store,
    sql: str,
    order: str,
    terms: list[_Term],
    after: After,
    parameters: dict[str, Any],
) -> dict[str, Any]:
    """The values by the names that they are bound to, each of its column's type."""
    if after.order_digest != _digest(sql, order) or len(after.values) != len(terms):
        raise BadCursor("this cursor is of another list or order: begin again without it")
    columns = ", ".join(term.column for term in terms)
    types = store.query(f"SELECT {columns} FROM ({sql}) LIMIT 0", **parameters).dtypes
    typed = zip(types, after.values, strict=True)
    return {f"after_{number}": _typed(*each) for number, each in enumerate(typed)}


def _typed(kind: pl.DataType, value: Value) -> Any:
    if value is None:
        return None
    if kind.is_temporal() and isinstance(value, str):
        try:
            instant = datetime.fromisoformat(value)
        except ValueError:
            instant = None
        if instant is not None and instant.tzinfo is not None:
            return instant
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if (
        (kind == pl.String and isinstance(value, str))
        or (kind.is_integer() and isinstance(value, int) and is_number and abs(value) < 2**63)
        or (kind.is_float() and is_number)
        or (kind == pl.Boolean and isinstance(value, bool))
    ):
        return value
    raise BadCursor("this cursor was not given by this console: begin again without it")
