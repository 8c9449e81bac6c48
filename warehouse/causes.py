"""What DuckDB's errors mean in our words: whose fault it is, and what to do next.

DuckLake asks PostgreSQL and S3 in the middle of any statement, so that any may fail for either.
Nothing here tells a secret: a location has its password apart, and texts are scrubbed besides.
"""

from __future__ import annotations

import re

import duckdb

from warehouse.errors import (
    Conflict,
    InUse,
    NotStored,
    NotWritable,
    Refused,
    Unreachable,
    Unreadable,
    WarehouseError,
)
from warehouse.location import Location
from warehouse.settings import PREFIX

_HTTP_CODE = re.compile(r"HTTP (?:code )?(\d{3})")
_ATTACHING = re.compile(r"\bFailed to attach DuckLake MetaData .*?(?=Unable to connect)")
_GONE = (
    "Postgres", "postgres_", "server closed the connection", "terminating connection",
    "connection to server", '"ROLLBACK"', "SSL connection has been closed",
)  # fmt: skip


def why_not_opened(location: Location, error: duckdb.Error) -> WarehouseError:
    """Why a catalogue can't be opened."""
    text = location.scrubbed(_told(error))
    if "does not match existing data path" in text:
        return Refused(f"{text}: set {PREFIX}DATA to where this catalogue's data are")
    if location.is_shared:
        return _why_no_catalogue(location, text)
    if "lock" in text or "file handle conflict" in text:
        return InUse(
            f"another console has the warehouse {location.catalogue} open: "
            f"stop it, or give this one another {PREFIX}HOME"
        )
    if "Permission denied" in text or "read-only" in text.lower():
        return NotWritable(f"the warehouse {location.catalogue} can't be written: {text}")
    return Unreadable(
        f"{location.catalogue} can't be opened as a warehouse ({text}): "
        "restore it from a backup, or move it away to start afresh"
    )


def _why_no_catalogue(location: Location, text: str) -> WarehouseError:
    where = f"the catalogue {location.catalogue}"
    if "password authentication failed" in text or "no password supplied" in text:
        return Refused(
            f"{where} refuses the password: set {PREFIX}CATALOGUE_PASSWORD, or "
            f"{PREFIX}CATALOGUE_PASSWORD_FILE, to that of its user"
        )
    if 'database "' in text and "does not exist" in text:
        return Refused(
            f"{where} has no such database: have it made (CREATE DATABASE …), or correct dbname in "
            f"{PREFIX}CATALOGUE"
        )
    if "permission denied" in text or "no pg_hba.conf entry" in text or "role" in text:
        return Refused(f"{where} says no ({text}): give its user the rights that docs/scale.md has")
    if _is_gone(text):
        return Unreachable(
            f"{where} doesn't answer ({text}): start PostgreSQL, or correct {PREFIX}CATALOGUE"
        )
    return Unreadable(f"{where} can't be opened as a warehouse ({text}): see docs/scale.md")


def why_no_data(location: Location, error: duckdb.Error) -> WarehouseError:
    """Why the data on S3 can't be written or read at the start."""
    text = location.scrubbed(_told(error))
    where = f"the data in {location.data}"
    if "Secret Validation" in text:
        return Refused(
            f"{where} need a key, and this machine or pod has none of its own: set "
            f"{PREFIX}S3_KEY_ID and {PREFIX}S3_SECRET"
        )
    code = _http_code(text)
    if code in ("401", "403", "400", "301"):
        return Refused(
            f"{where} are refused (HTTP {code}): see that the key may read, write and delete in "
            f"this bucket, and that {PREFIX}S3_REGION is the bucket's"
        )
    if code == "404":
        return Refused(f"{where} have no bucket: make it, or correct {PREFIX}DATA")
    return Unreachable(
        f"{where} can't be reached ({text}): see that the S3 server answers at "
        f"{(location.s3.endpoint if location.s3 else '') or 'its address'} ({PREFIX}S3_ENDPOINT)"
    )


def why_not_read(location: Location, error: duckdb.Error) -> WarehouseError | None:
    """What an error while reading means; None where it is the question that is wrong."""
    text = location.scrubbed(_told(error))
    if isinstance(error, duckdb.TransactionException):
        return Conflict(text)
    if location.is_shared and _is_gone(text):
        return Unreachable(
            f"the warehouse's catalogue doesn't answer ({text}): this goes on by itself once "
            "PostgreSQL is back"
        )
    if isinstance(error, duckdb.IOException):
        return Unreachable(
            f"the warehouse's data can't be read ({text}): this goes on by itself once "
            f"{'the S3 server gives them' if location.is_on_s3 else 'they can be'}"
        )
    return None


def why_not_written(location: Location, error: duckdb.Error) -> WarehouseError | None:
    """What an error before or while committing means; None where the statement is wrong.

    What is known to be a conflict is one; of anything else `store.py` asks whether it is stored.
    """
    text = location.scrubbed(_told(error))
    if "maximum retry count" in str(error):
        return NotStored("too many wrote at once, so nothing was stored: try again")
    if "Transaction conflict" in str(error):
        return Conflict(text)
    if location.is_shared and _is_gone(text):
        return Unreachable(
            f"nothing was stored, since the warehouse's catalogue doesn't answer ({text}): "
            "this goes on by itself once PostgreSQL is back"
        )
    if isinstance(error, duckdb.TransactionException):
        return Conflict(text)
    if isinstance(error, duckdb.IOException):
        what = "that the S3 server takes them" if location.is_on_s3 else "that its disk has room"
        return NotStored(
            f"the warehouse could not write ({text}), and nothing was stored: see {what} "
            "and can be written"
        )
    return None


def is_settled(error: duckdb.Error) -> bool:
    """Whether a commit that failed is known to have come to nothing."""
    text = str(error)
    return "Transaction conflict" in text or "maximum retry count" in text


def _is_gone(text: str) -> bool:
    return any(word in text for word in _GONE)


def _http_code(text: str) -> str | None:
    found = _HTTP_CODE.search(text)
    return found.group(1) if found else None


def _told(error: duckdb.Error) -> str:
    """The lines of an error that say something, as one, without what DuckDB was asked."""
    lines = [line.strip() for line in str(error).splitlines()]
    said = [line for line in lines[:2] if line and not line.startswith(("LINE ", "You can"))]
    return _ATTACHING.sub("", " ".join(said)).rstrip(" :")
