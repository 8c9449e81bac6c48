"""The answer to a question that is asked a page at a time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import polars as pl

from warehouse.store import Store


@dataclass(frozen=True)
class Page:
    """One page of an answer."""

    rows: pl.DataFrame
    """The rows of this page."""
    total: int
    """Rows of the whole answer."""


def page_of(
    store: Store, sql: str, *, order: str, offset: int, limit: int, **parameters: Any
) -> Page:
    """The rows `offset` to `offset + limit` of a SELECT in an order, and how many there are.

    The order must be total, or rows may be shown twice or never as one pages.
    """
    rows = store.query(
        f"SELECT *, count(*) OVER () AS total_count FROM ({sql}) "
        f"ORDER BY {order} LIMIT $limit OFFSET $offset",
        limit=limit,
        offset=offset,
        **parameters,
    )
    if rows.is_empty() and not offset:
        return Page(rows.drop("total_count"), 0)
    if rows.is_empty():  # past the end: no row is there to carry the count
        counted = store.query(f"SELECT count(*) AS total FROM ({sql})", **parameters)
        return Page(rows.drop("total_count"), int(counted.item()))
    return Page(rows.drop("total_count"), int(rows["total_count"][0]))
