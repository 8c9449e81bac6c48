"""Opening a warehouse: extensions, secrets, and the catalogue with its data.

What DuckLake reads and writes goes through a pool of connections to PostgreSQL that are made anew
by themselves, so that a catalogue that was gone needs no restart: while it is gone each question
fails with a sentence, afterwards it is answered.
"""

from __future__ import annotations

import secrets
import time
from pathlib import Path

import duckdb
from duckdb_extensions import import_extension

from warehouse.causes import why_no_data, why_not_opened
from warehouse.errors import Refused, Unreadable
from warehouse.location import Location, S3Access
from warehouse.settings import PREFIX

ATTACHED_AS = "warehouse"
METADATA = f"__ducklake_metadata_{ATTACHED_AS}"
MARK = "pilothouse.csv"
"""A file among the data that proves that they can be written and are the ones others write to."""

COMMIT_TRIES = 200
COMMIT_PAUSE_MILLISECONDS = 20
COMMIT_PAUSE_FACTOR = 1.02
"""Of several that commit at once all but one try again. DuckLake's own ten tries, each half as long
again as the one before, run out under eight writers that never rest."""

POOLED_CONNECTIONS = 16
"""Connections to PostgreSQL that are kept; more are made where more is asked at once."""
OPEN_TRIES = 20
OPEN_PAUSE_SECONDS = 0.25
"""Of several that open an empty catalogue at once one makes its tables; the others try again."""

_MADE_BY_ANOTHER = ("already exists", "duplicate key", "being created", "concurrently")


def attached(location: Location, *, is_read_only: bool = False) -> duckdb.DuckDBPyConnection:
    """A connection to the warehouse; one that only reads makes nothing where there is none.

    Raises:
        InUse, NotWritable, Refused, Unreachable, Unreadable: it can't be opened, and why.
    """
    for tries_left in reversed(range(OPEN_TRIES)):
        connection = duckdb.connect()
        try:
            _prepare(connection, location)
            _attach(connection, location, is_read_only=is_read_only)
        except duckdb.Error as error:
            connection.close()
            if tries_left and location.is_shared and any(w in str(error) for w in _MADE_BY_ANOTHER):
                time.sleep(OPEN_PAUSE_SECONDS * (0.5 + secrets.randbelow(1000) / 1000))
                continue
            raise why_not_opened(location, error) from None  # whose text may tell a secret
        except BaseException:
            connection.close()
            raise
        return connection
    raise AssertionError("unreachable")


def _prepare(connection: duckdb.DuckDBPyConnection, location: Location) -> None:
    connection.execute("SET TimeZone = 'UTC'")
    connection.execute("SET parquet_metadata_cache = true")  # files never change; saves 1 ms a file
    # Else it keeps what it has read of files until most of the machine's memory is taken.
    connection.execute(f"SET memory_limit = '{location.memory_megabytes} MiB'")
    if not location.is_on_s3:
        # The machine keeps what was read of its own disks; DuckDB would keep it a second time, of
        # files that are long gone too: 34 MiB a day in `benchmarks/soak.py`.
        connection.execute("SET enable_external_file_cache = false")
    if location.spill:
        connection.execute(f"SET temp_directory = '{quoted(str(location.spill))}'")
    _load(connection, "ducklake")
    if location.is_on_s3:
        assert location.s3
        _load(connection, "httpfs")
        if not location.s3.key_id:
            _load(connection, "aws")
        _data(connection, location, s3_secret(location.s3))
    if location.is_shared:
        _load(connection, "postgres_scanner")
        connection.execute(f"SET pg_pool_max_connections = {POOLED_CONNECTIONS}")
        connection.execute(f"SET ducklake_max_retry_count = {COMMIT_TRIES}")
        connection.execute(f"SET ducklake_retry_wait_ms = {COMMIT_PAUSE_MILLISECONDS}")
        connection.execute(f"SET ducklake_retry_backoff = {COMMIT_PAUSE_FACTOR}")
        password = location.password.get_secret_value() if location.password else ""
        connection.execute(
            f"CREATE SECRET catalogue (TYPE postgres, PASSWORD '{quoted(password)}')"
            if password
            else "CREATE SECRET catalogue (TYPE postgres)"
        )


def _load(connection: duckdb.DuckDBPyConnection, extension: str) -> None:
    """Nothing is downloaded: extensions come as packages."""
    try:
        import_extension(extension, con=connection)
    except ModuleNotFoundError as error:
        package = error.name.replace("_", "-") if error.name else extension
        raise Unreadable(
            f"the package {package} is missing, which this warehouse needs: "
            "install what pyproject.toml names"
        ) from error
    connection.execute(f"LOAD {extension}")


def s3_secret(s3: S3Access, *, scope: str = "", is_renewed: bool = True) -> str:
    """The statement that lets a DuckDB read and write there; everywhere, or under `scope` alone.

    Without a key Amazon's own chain of credentials is asked, again before they expire where they
    are to be `is_renewed`.
    """
    how = {
        "scope": scope,
        "region": s3.region,
        "endpoint": s3.endpoint,
        "url_style": s3.url_style,
        "key_id": s3.key_id,
        "secret": s3.secret.get_secret_value() if s3.secret else "",
    }
    words = [f"{name} '{quoted(value)}'" for name, value in how.items() if value]
    if not s3.key_id:
        words += ["provider credential_chain", *(["refresh auto"] if is_renewed else [])]
    ssl = str(s3.use_ssl).lower()
    return f"CREATE SECRET data (TYPE s3, USE_SSL {ssl}, {', '.join(words)})"


def attach_beside(connection: duckdb.DuckDBPyConnection, location: Location, name: str) -> None:
    """Attach another warehouse under a name, to read it alone.

    Raises:
        InUse, NotWritable, Refused, Unreachable, Unreadable: it can't be opened, and why.
    """
    try:
        if location.is_shared or location.is_on_s3:
            _prepare(connection, location)
        connection.execute(_attaching(location, name, is_read_only=True))
    except duckdb.Error as error:
        raise why_not_opened(location, error) from None  # whose text may tell a secret


def _attach(
    connection: duckdb.DuckDBPyConnection, location: Location, *, is_read_only: bool
) -> None:
    if location.is_on_s3 and not is_read_only:
        _prove_bucket(connection, location)
    connection.execute(_attaching(location, ATTACHED_AS, is_read_only=is_read_only))
    connection.execute(f"USE {ATTACHED_AS}")
    if location.is_shared and not location.is_on_s3:
        _prove_common_folder(connection, Path(location.data))


def _attaching(location: Location, name: str, *, is_read_only: bool) -> str:
    options = [f"DATA_PATH '{quoted(location.data)}'"]
    if is_read_only:
        options.append("READ_ONLY")
    if location.is_shared:
        options.append("META_SECRET 'catalogue'")
    elif not location.is_on_s3:
        # A home that was moved, or restored elsewhere, is still that home.
        options.append("OVERRIDE_DATA_PATH true")
    return f"ATTACH 'ducklake:{quoted(location.catalogue)}' AS {name} ({', '.join(options)})"


def _prove_bucket(connection: duckdb.DuckDBPyConnection, location: Location) -> None:
    place = quoted(f"{location.data}{MARK}")
    written = f"COPY (SELECT 'data of a Pilothouse' AS holds) TO '{place}' (FORMAT csv)"
    _data(connection, location, written)
    _data(connection, location, f"SELECT count(*) FROM read_csv('{place}', header = true)")


def _data(connection: duckdb.DuckDBPyConnection, location: Location, sql: str) -> None:
    try:
        connection.execute(sql)
    except duckdb.Error as error:
        raise why_no_data(location, error) from None  # whose text may tell a secret


def _prove_common_folder(connection: duckdb.DuckDBPyConnection, folder: Path) -> None:
    """Refuse a folder of this host alone, where others write to one of the same name elsewhere."""
    mark = folder / MARK
    has_tables = connection.execute(
        f"SELECT count(*) FROM duckdb_tables() WHERE database_name = '{ATTACHED_AS}'"
    ).fetchall() != [(0,)]
    if has_tables and not mark.exists():
        raise Refused(
            f"the folder {folder} lacks {MARK}, so it isn't the one that the other consoles of "
            f"this catalogue write to: {PREFIX}DATA must name a folder that all of them see"
        )
    mark.write_text("holds\ndata of a Pilothouse\n")


def quoted(text: str) -> str:
    """A text as it may stand between SQL's quotes."""
    return text.replace("'", "''")
