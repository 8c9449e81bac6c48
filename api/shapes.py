"""How rows look as JSON: the records' own fields, with their units and sentences."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Annotated, Any, Generic, Literal, TypeVar
from urllib.parse import quote

import polars as pl
from fastapi import Depends, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field, create_model

from api.cursors import LENGTH_MAX, cursor_of, position_of
from warehouse.paging import Page, Position
from warehouse.schema import Column, columns_of

ROWS_MAX = 1000
"""Most rows in one answer."""
ROWS_DEFAULT = 100

T = TypeVar("T", bound=BaseModel)

_JSON_TYPES: dict[pl.DataType, Any] = {
    pl.String(): str,
    pl.Int64(): int,
    pl.Float64(): float,
    pl.Boolean(): bool,
}


class Shape(BaseModel):
    """A JSON object whose fields are documented by the sentence under each."""

    model_config = ConfigDict(use_attribute_docstrings=True, extra="ignore")


class Sent(BaseModel):
    """What programs send; a field that is not known is refused, not passed over."""

    model_config = ConfigDict(use_attribute_docstrings=True, extra="forbid")


def shape_of(
    record_class: type,
    *,
    without: Sequence[str] = (),
    name: str = "",
    words: Mapping[str, str] | None = None,
) -> type[Shape]:
    """A record as a JSON object: the same names, units and sentences.

    `words` are sentences of fields that have none of their own.
    """
    given = words or {}
    fields: dict[str, Any] = {
        column.name: (
            _json_type(column),
            Field(description=column.description or given[column.name]),
        )
        for column in columns_of(record_class)
        if column.name not in without
    }
    made: type[Shape] = create_model(name or record_class.__name__, __base__=Shape, **fields)
    made.__doc__ = record_class.__doc__
    return made


def _json_type(column: Column) -> Any:
    if column.is_json:
        kind: Any = dict[str, Any] | list[Any]
    elif column.choices:
        kind = Literal[column.choices]
    else:
        kind = _JSON_TYPES.get(column.dtype, datetime)
    return kind | None if column.nullable else kind


class Rows(Shape, Generic[T]):
    """One page of an answer."""

    items: list[T]
    """The rows of this page."""
    total: int
    """Rows of the whole answer."""
    offset: int
    """Rows left out before this page."""
    limit: int
    """Most rows of a page."""
    next_cursor: str | None
    """Where the next page begins, to be sent as `cursor`; null where this is the last."""


class Paging:
    """Which page is asked for; as a dependency it also writes the answer's `Link` header."""

    def __init__(
        self,
        request: Request,
        response: Response,
        offset: Annotated[int, Query(ge=0, le=2**31, description="Rows to leave out.")] = 0,
        limit: Annotated[
            int, Query(ge=1, le=ROWS_MAX, description="Most rows to answer with.")
        ] = ROWS_DEFAULT,
        cursor: Annotated[
            str | None,
            Query(
                max_length=LENGTH_MAX,
                description="The `next_cursor` of the page before, with the same filters and "
                "order: no row is told twice or missed, whatever comes in meanwhile.",
            ),
        ] = None,
    ) -> None:
        self.offset, self.limit = offset, limit
        self.position: Position = offset
        self._is_by_cursor = cursor is not None
        if cursor is not None:
            self.offset, self.position = position_of(cursor)
        self._request, self._response = request, response

    def rows(self, page: Page, *, json_columns: Sequence[str] = ()) -> dict[str, Any]:
        """A page of a question as `Rows`, with links to the pages around it."""
        next_cursor = self._next_cursor(page)
        links = ", ".join(self._links(page.total, next_cursor))
        if links:
            self._response.headers["link"] = links
        return {
            "items": list(decoded(page.rows, json_columns)),
            "total": page.total,
            "offset": self.offset,
            "limit": self.limit,
            "next_cursor": next_cursor,
        }

    def _next_cursor(self, page: Page) -> str | None:
        seen = self.offset + self.limit
        is_full = page.end is None or page.rows.height == self.limit
        return cursor_of(seen, page.end) if seen < page.total and is_full else None

    def rows_of_frame(self, frame: pl.DataFrame) -> dict[str, Any]:
        """The page of a whole answer."""
        return self.rows(Page(frame.slice(self.offset, self.limit), frame.height))

    def rows_of_records(self, records: Sequence[Any], shape: type[Shape]) -> dict[str, Any]:
        """The page of a whole answer of records, with the fields that the shape shows."""
        shown = records[self.offset : self.offset + self.limit]
        items = [{name: getattr(each, name) for name in shape.model_fields} for each in shown]
        answer = self.rows(Page.counted(len(records)))
        return {**answer, "items": items}

    def _links(self, total: int, next_cursor: str | None) -> Iterator[str]:
        if self._is_by_cursor:
            if next_cursor is not None:
                yield self._link("next", cursor=next_cursor)
            return
        last = max(0, (total - 1) // self.limit * self.limit)
        yield self._link("first", offset=0)
        if self.offset > 0:
            yield self._link("prev", offset=max(0, self.offset - self.limit))
        if self.offset + self.limit < total:
            yield self._link("next", offset=self.offset + self.limit)
        yield self._link("last", offset=last)

    def _link(self, relation: str, **place: Any) -> str:
        url = self._request.url.include_query_params(**place, limit=self.limit)
        return f'<{quote(url.path)}?{url.query}>; rel="{relation}"'


Paged = Annotated[Paging, Depends()]


def decoded(frame: pl.DataFrame, json_columns: Sequence[str] = ()) -> Iterator[dict[str, Any]]:
    """A frame's rows, with the columns that hold JSON text read."""
    for row in frame.iter_rows(named=True):
        for name in json_columns:
            if row.get(name) is not None:
                row[name] = json.loads(row[name])
        yield row
