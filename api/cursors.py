"""Cursors: where the next page of a list begins, as one opaque word.

A cursor holds the last row's place in the list's order; a list that is at hand as a whole is gone
through by a count of rows. Nothing in it is secret, and what is not as it was given is refused.
"""

from __future__ import annotations

import base64
import binascii
import json
import math
from typing import Any

from warehouse.paging import After, BadCursor, Position

LENGTH_MAX = 2000
ROWS_MAX = 2**31

_NOT_OURS = "this cursor was not given by this console: begin again without it"


def cursor_of(seen: int, end: After | None) -> str:
    """The cursor of the page after `seen` rows, the last of which is at `end`."""
    told: dict[str, Any] = {"n": seen}
    if end is not None:
        told |= {"o": end.order_digest, "v": list(end.values)}
    text = json.dumps(told, separators=(",", ":"), ensure_ascii=False)
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def position_of(cursor: str) -> tuple[int, Position]:
    """How many rows came before, and where the page begins.

    Raises:
        BadCursor: no console gave this.
    """
    try:
        padded = cursor + "=" * (-len(cursor) % 4)
        told = json.loads(base64.b64decode(padded.encode(), altchars=b"-_", validate=True))
    except (binascii.Error, ValueError, RecursionError) as error:
        raise BadCursor(_NOT_OURS) from error
    seen = told.get("n") if isinstance(told, dict) else None
    if not isinstance(seen, int) or isinstance(seen, bool) or not 0 <= seen <= ROWS_MAX:
        raise BadCursor(_NOT_OURS)
    if "v" not in told:
        return seen, seen
    digest, values = told.get("o"), told["v"]
    if (
        not isinstance(digest, str)
        or not isinstance(values, list)
        or not all(map(_is_value, values))
    ):
        raise BadCursor(_NOT_OURS)
    return seen, After(digest, tuple(values))


def _is_value(value: Any) -> bool:
    is_finite = not isinstance(value, float) or math.isfinite(value)
    return (value is None or isinstance(value, str | int | float | bool)) and is_finite
