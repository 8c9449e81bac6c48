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
    total = store.query(f"SELECT count(*) AS total FROM ({sql})", **parameters).item()
    rows = store.query(
        f"SELECT * FROM ({sql}) ORDER BY {order} LIMIT $limit OFFSET $offset",
        limit=limit,
        offset=offset,
        **parameters,
    )
    return Page(rows, int(total))
