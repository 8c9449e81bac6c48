"""What the console and the process that answers a question say to each other."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass

IDLE_SECONDS = 900.0
"""A process that nobody asked for so long ends; the next question starts another."""
ANSWER_BYTES_MOST = 64 * 2**20
"""Most bytes of an answer's rows."""


@dataclass(frozen=True)
class Brief:
    """All that a process is told."""

    sql: str
    names: Sequence[str]
    """Tables and views that may be asked."""
    catalogue: str
    """The file with the copy of the catalogue."""
    data: str
    """Folder or URL prefix of the Parquet files."""
    folders: Sequence[str]
    """Of these the ones that may be read."""
    rows: int
    """Most rows of the answer."""
    memory_megabytes: int
    seconds: float
    threads: int = 2
    fleet_at: str = ""
    """What `fleet_now()` says, in ISO 8601."""
    statements: Sequence[str] = ()
    """Said to DuckDB before it is shut in: the secret that its data is read with."""
    readable: Sequence[str] = ()
    """Other files that reading needs, such as the certificates of a store of objects."""
    ports: Sequence[int] = ()
    """TCP ports that reading needs."""

    def line(self) -> bytes:
        """As it is sent."""
        return json.dumps(asdict(self)).encode() + b"\n"


@dataclass(frozen=True)
class Reply:
    """What comes of a question; `rows` is Arrow's stream format."""

    outcome: str
    """`answered`, `refused`, `wrong`, `too_much_memory`, `too_wide` or `stale`."""
    message: str = ""
    cut: str = ""
    """`rows` or `bytes`, where the answer was cut off there."""
    row_count: int = 0
    took_seconds: float = 0.0
    rows: bytes = b""
