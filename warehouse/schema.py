"""How a frozen class becomes a table: its columns, types, bounds and documentation.

`@record(table)` on a class in `records.py` is all it takes; the store creates the table,
checks what is appended against the declared types and bounds, and `docs/data.md` is
printed from the same declarations.
"""

from __future__ import annotations

import ast
import inspect
import textwrap
import types
from collections.abc import Callable
from dataclasses import dataclass, fields
from datetime import datetime
from functools import cache
from typing import (
    TYPE_CHECKING,
    Annotated,
    Any,
    Literal,
    TypeVar,
    Union,
    dataclass_transform,
    get_args,
    get_origin,
    get_type_hints,
)

if TYPE_CHECKING:
    import polars as pl

    INSTANT: pl.Datetime

R = TypeVar("R")


@dataclass(frozen=True)
class Bounds:
    """The closed range that a number must lie in; None leaves a side open."""

    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Digits:
    """The digits after the point to which a number is kept, because no source tells more.

    It is stored as a DECIMAL: a fifth of a DOUBLE's bytes (`benchmarks/telemetry.py`), and its sums
    are exact in whatever order they are taken. Questions answer it as a float.
    """

    after_point: int
    before_point: int

    @property
    def sql_type(self) -> str:
        return f"DECIMAL({self.before_point + self.after_point},{self.after_point})"

    @property
    def most(self) -> float:
        """No number may reach this."""
        return float(10**self.before_point)


@dataclass(frozen=True)
class Column:
    """One field of a record, as the warehouse stores it."""

    name: str
    sql_type: str
    dtype: pl.DataType
    nullable: bool
    is_json: bool
    bounds: Bounds | None
    choices: tuple[str, ...] | None
    description: str
    digits: Digits | None = None


@dataclass(frozen=True)
class Table:
    """A record class as a table, and how it lies on disk.

    `partition_by` names the instant whose day partitions it, `apart_by` a column whose values lie
    in files of their own within the day. Rows are sorted by `sort_by` in each file: what is asked
    for together lies together. `keep_days` is how long they are kept by default, None for ever; of
    a table that is written only when something changed, the newest row of each `newest_of` stays.
    """

    name: str
    record: type
    partition_by: str | None
    apart_by: str | None = None
    sort_by: tuple[str, ...] = ()
    keep_days: float | None = None
    newest_of: tuple[str, ...] = ()

    @property
    def columns(self) -> tuple[Column, ...]:
        return columns_of(self.record)

    @property
    def description(self) -> str:
        return inspect.cleandoc(self.record.__doc__ or "")


TABLES: dict[type, Table] = {}
"""Every declared table by its record class, in the order of declaration."""


@dataclass_transform(frozen_default=True, kw_only_default=True)
def record(
    name: str,
    *,
    partition_by: str | None = None,
    apart_by: str | None = None,
    sort_by: tuple[str, ...] = (),
    keep_days: float | None = None,
    newest_of: tuple[str, ...] = (),
) -> Callable[[type[R]], type[R]]:
    """Make a class a frozen record of table `name`; keyword-only, compared by value."""

    def declare(cls: type[R]) -> type[R]:
        frozen = dataclass(frozen=True, kw_only=True, slots=True)(cls)
        TABLES[frozen] = Table(name, frozen, partition_by, apart_by, sort_by, keep_days, newest_of)
        return frozen

    return declare


@cache
def columns_of(record_class: type) -> tuple[Column, ...]:
    """The columns of a record class, in the order of its fields."""
    hints = get_type_hints(record_class, include_extras=True)
    sentences = _field_sentences(record_class)
    return tuple(
        _column(field.name, hints[field.name], sentences.get(field.name, ""))
        for field in fields(record_class)
    )


def __getattr__(name: str) -> Any:
    """`INSTANT`, the type of an instant in a frame, made when asked for.

    Polars takes 30 MB, and whoever makes records and no frames, as the node agent does, goes
    without.
    """
    if name != "INSTANT":
        raise AttributeError(name)
    return _types()[datetime][1]


@cache
def _types() -> dict[Any, tuple[str, pl.DataType]]:
    import polars as pl

    return {
        str: ("VARCHAR", pl.String()),
        int: ("BIGINT", pl.Int64()),
        float: ("DOUBLE", pl.Float64()),
        bool: ("BOOLEAN", pl.Boolean()),
        datetime: ("TIMESTAMPTZ", pl.Datetime("us", "UTC")),
        dict: ("VARCHAR", pl.String()),
        list: ("VARCHAR", pl.String()),
    }


def _column(name: str, hint: Any, sentence: str) -> Column:
    nullable, hint = _without_none(hint)
    bounds = digits = None
    if get_origin(hint) is Annotated:
        hint, *marks = get_args(hint)
        bounds = next((mark for mark in marks if isinstance(mark, Bounds)), None)
        digits = next((mark for mark in marks if isinstance(mark, Digits)), None)
    choices = tuple(get_args(hint)) if get_origin(hint) is Literal else None
    python_type = str if choices else (get_origin(hint) or hint)
    sql_type, dtype = _types()[python_type]
    is_json = python_type in (dict, list)
    sql_type = digits.sql_type if digits else sql_type
    return Column(name, sql_type, dtype, nullable, is_json, bounds, choices, sentence, digits)


def _without_none(hint: Any) -> tuple[bool, Any]:
    if get_origin(hint) in (Union, types.UnionType):
        rest = [arg for arg in get_args(hint) if arg is not type(None)]
        return True, rest[0]
    return False, hint


def _field_sentences(record_class: type) -> dict[str, str]:
    """The string under each field; Python keeps none of them, so they are read from source."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(record_class)))
    (class_node,) = tree.body
    assert isinstance(class_node, ast.ClassDef)
    found: dict[str, str] = {}
    for field, below in zip(class_node.body, class_node.body[1:], strict=False):
        if (
            isinstance(field, ast.AnnAssign)
            and isinstance(field.target, ast.Name)
            and isinstance(below, ast.Expr)
            and isinstance(below.value, ast.Constant)
        ):
            found[field.target.id] = inspect.cleandoc(str(below.value.value))
    return found
