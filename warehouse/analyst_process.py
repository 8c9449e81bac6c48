"""The process that answers one question and ends: a DuckDB of its own, shut in before it is asked.

It is started ahead, waits for its brief as one line of JSON on its standard input, and writes one
line of JSON and the rows as Arrow to its standard output. Nobody else's question was ever in it, so
nothing can be left behind for the next. Where its starter goes away, it ends too.

This is the second wall: its DuckDB reads the tables of a copy of the catalogue and the folders that
their files lie in, and its settings can't be changed any more once it is asked.
"""

from __future__ import annotations

import gc
import io
import json
import os
import select
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import asdict
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

from warehouse.analyst_brief import ANSWER_BYTES_MOST, IDLE_SECONDS, Brief, Reply
from warehouse.analyst_rules import refusal
from warehouse.analyst_walls import close_off

BATCH_ROWS = 2_048
COLUMNS_MOST = 500
SLACK_BYTES = 512 * 2**20
"""Address space beyond the limit on DuckDB's memory: stacks, arenas, the answer on its way out."""
ATTACHED_AS = "warehouse"

_AS_TEXT = ("INTERVAL", "BIT", "TIME WITH TIME ZONE", "TIME_NS", "GEOMETRY", "VARIANT")
_AS_JSON = ("STRUCT", "MAP", "UNION", "LIST", "ARRAY")


def prepared(extensions: Sequence[str] = ("ducklake",)) -> duckdb.DuckDBPyConnection:
    """A DuckDB with all it needs loaded, and no thread of its own yet: walls hold for threads that
    are started after them."""
    connection = duckdb.connect(
        ":memory:",
        config={
            "threads": "1",
            "autoinstall_known_extensions": "false",
            "autoload_known_extensions": "false",
            "allow_persistent_secrets": "false",
        },
    )
    for extension in extensions:
        connection.execute(f"LOAD '{_quoted(_file_of(extension))}'")
    connection.execute("SET TimeZone = 'UTC'")
    connection.execute("SELECT [1], now()").to_arrow_reader(1).read_all()  # imports what it needs
    return connection


def _file_of(extension: str) -> str:
    """Where its package holds an extension: it is loaded from there, nothing is installed."""
    found = find_spec(f"duckdb_extension_{extension}")
    assert found is not None
    assert found.origin is not None
    folder = Path(found.origin).parent / "extensions" / f"v{duckdb.__version__}"
    return str(folder / f"{extension}.duckdb_extension")


def shut_in(connection: duckdb.DuckDBPyConnection, brief: Brief) -> bool:
    """Attach the copy, then close every other way; returns whether the kernel's wall stands."""
    open_copy(connection, brief)
    close_doors(connection, brief)
    stands = close_off_for(brief)
    lock(connection, brief)
    return stands


def open_copy(connection: duckdb.DuckDBPyConnection, brief: Brief) -> None:
    """Attach the copy of the catalogue, to be read alone."""
    for statement in brief.statements:
        connection.execute(statement)
    os.environ.clear()
    connection.execute(
        f"ATTACH 'ducklake:{_quoted(brief.catalogue)}' AS {ATTACHED_AS} "
        f"(READ_ONLY, DATA_PATH '{_quoted(brief.data)}', OVERRIDE_DATA_PATH true)"
    )
    connection.execute(f"USE {ATTACHED_AS}")
    at = f"TIMESTAMPTZ '{_quoted(brief.fleet_at)}'" if brief.fleet_at else "now()"
    connection.execute(f"CREATE TEMP MACRO fleet_now() AS {at}")


def close_doors(connection: duckdb.DuckDBPyConnection, brief: Brief) -> None:
    """The second wall: no file but the open tables', nothing spilled to disk, nothing loaded."""
    folders = ", ".join(f"'{_quoted(folder)}'" for folder in brief.folders)
    for setting in (
        f"memory_limit = '{brief.memory_megabytes}MiB'",
        "temp_directory = ''",
        "max_temp_directory_size = '0B'",
        "pivot_limit = 1000",
        "python_enable_replacements = false",
        "allow_community_extensions = false",
        f"allowed_directories = [{folders}]",
        "enable_external_access = false",
    ):
        connection.execute(f"SET {setting}")


def close_off_for(brief: Brief) -> bool:
    """The third wall: what the operating system lets this process do."""
    folders = [folder for folder in brief.folders if "://" not in folder]
    return close_off(
        [*folders, brief.catalogue, *brief.readable],
        brief.memory_megabytes * 2**20 + SLACK_BYTES,
        int(brief.seconds * brief.threads) + 5,
        brief.ports,
    )


def lock(connection: duckdb.DuckDBPyConnection, brief: Brief) -> None:
    """Threads are started behind the third wall; then no setting changes any more."""
    connection.execute(f"SET threads = {brief.threads}")
    connection.execute("SET lock_configuration = true")


# -- answering -------------------------------------------------------------------------


def answer(connection: duckdb.DuckDBPyConnection, brief: Brief) -> Reply:
    """Ask the rules, then the question; never raises."""
    started = time.monotonic()
    try:
        objection = _objection(connection, brief)
        if objection:
            return Reply("refused", objection)
        table, cut = _collected(_asked(connection, brief.sql), brief.rows)
        took = time.monotonic() - started
        return Reply("answered", "", cut, table.num_rows, took, _stream(table))
    except _TooWide as error:
        return Reply("too_wide", str(error))
    except (duckdb.OutOfMemoryException, MemoryError, pa.ArrowMemoryError):
        return Reply("too_much_memory")
    except duckdb.Error as error:
        return Reply("stale" if _is_of_files(error) else "wrong", str(error))
    except (RecursionError, UnicodeError, pa.ArrowException) as error:
        return Reply("wrong", f"{type(error).__name__}: {error}")


class _TooWide(Exception):
    """The answer has too many columns, or rows of too many bytes."""


def _objection(connection: duckdb.DuckDBPyConnection, brief: Brief) -> str | None:
    kinds = [each.type for each in connection.extract_statements(brief.sql)]  # or it can't be read
    found = connection.execute("SELECT json_serialize_sql(?)", [brief.sql]).fetchone()
    assert found is not None
    objection = refusal(json.loads(found[0]), brief.names)
    if objection is not None:
        return objection
    return None if kinds == [duckdb.StatementType.SELECT] else "Only one SELECT can be asked here."


def _asked(connection: duckdb.DuckDBPyConnection, sql: str) -> _Named:
    """The answer as it comes. What a table of figures can't hold comes as text: intervals as they
    are written, lists and objects as JSON."""
    (statement,) = connection.extract_statements(sql)
    try:
        shape = connection.sql(statement.query)
    except duckdb.Error:
        connection.execute(statement)  # says the same with the line and a caret
        raise
    kinds = [str(kind) for kind in shape.types]
    if len(kinds) > COLUMNS_MOST:
        raise _TooWide(f"It has {len(kinds)} columns; an answer has at most {COLUMNS_MOST}.")
    told = [_told(f"c{i}", kind) for i, kind in enumerate(kinds)]
    if any(each != f"c{i}" for i, each in enumerate(told)):
        names = ", ".join(f"c{i}" for i in range(len(kinds)))
        sql = f"SELECT {', '.join(told)} FROM ({statement.query}\n) AS asked({names})"
        (statement,) = connection.extract_statements(sql)
    reader = connection.execute(statement).to_arrow_reader(BATCH_ROWS)
    return _Named(reader, _distinct(shape.columns))


class _Named:
    """A reader whose columns bear other names."""

    def __init__(self, reader: pa.RecordBatchReader, names: Sequence[str]) -> None:
        self._reader = reader
        self.schema = pa.schema(
            [field.with_name(name) for field, name in zip(reader.schema, names, strict=True)]
        )

    def __iter__(self) -> Any:
        for batch in self._reader:
            yield pa.RecordBatch.from_arrays(batch.columns, schema=self.schema)


def _told(name: str, kind: str) -> str:
    if kind.endswith("]") or kind.startswith(_AS_JSON):
        return f"CAST(to_json({name}) AS VARCHAR)"
    if kind == "BLOB":
        return f"hex({name})"
    return f"CAST({name} AS VARCHAR)" if kind.startswith(_AS_TEXT) else name


def _distinct(names: Sequence[str]) -> list[str]:
    found: list[str] = []
    for name in names:
        made, number = name, 2
        while made in found:
            made, number = f"{name}_{number}", number + 1
        found.append(made)
    return found


def _collected(reader: _Named, rows_most: int) -> tuple[pa.Table, str]:
    """The rows up to the limits, and which limit cut them off."""
    kept: list[pa.RecordBatch] = []
    rows = size = 0
    cut = ""
    for batch in reader:
        if rows + batch.num_rows > rows_most:
            batch, cut = batch.slice(0, rows_most - rows), "rows"
        size += batch.nbytes
        if size > ANSWER_BYTES_MOST:
            if not kept:
                raise _TooWide(f"{batch.num_rows} of its rows alone take {size / 2**20:.0f} MB.")
            cut = "bytes"
            break
        kept.append(batch)
        rows += batch.num_rows
        if cut:
            break
    return pa.Table.from_batches(kept, schema=reader.schema), cut


def _stream(table: pa.Table) -> bytes:
    sink = io.BytesIO()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return sink.getvalue()


def _is_of_files(error: duckdb.Error) -> bool:
    """Files were merged away since the catalogue was copied."""
    said = str(error)
    return isinstance(error, duckdb.IOException) or "No such file" in said or "HTTP 404" in said


def _quoted(text: str) -> str:
    return text.replace("'", "''")


# -- the process -----------------------------------------------------------------------


def main() -> None:
    """Prepare, wait for the brief, answer, end. Extensions to load are the arguments."""
    connection = prepared(sys.argv[1:] or ("ducklake",))
    gc.freeze()
    _say({"is_ready": True})
    ready, _, _ = select.select([sys.stdin], [], [], IDLE_SECONDS)
    line = sys.stdin.buffer.readline() if ready else b""
    if not line:
        return
    brief = Brief(**json.loads(line))
    try:
        stands = shut_in(connection, brief)
    except duckdb.Error as error:
        reply, stands = Reply("stale", str(error)), False
    else:
        threading.Thread(target=_end_with_starter, daemon=True).start()
        reply = answer(connection, brief)
    told = {key: value for key, value in asdict(reply).items() if key != "rows"}
    _say(told | {"size": len(reply.rows), "has_landlock": stands})
    sys.stdout.buffer.write(reply.rows)
    sys.stdout.buffer.flush()
    os._exit(0)  # nothing is to be tidied up, and taking a large DuckDB down takes time


def _say(told: dict[str, Any]) -> None:
    sys.stdout.buffer.write(json.dumps(told).encode() + b"\n")
    sys.stdout.buffer.flush()


def _end_with_starter() -> None:
    """Its standard input ends when its starter does."""
    sys.stdin.buffer.read(1)
    os._exit(1)


if __name__ == "__main__":
    main()
