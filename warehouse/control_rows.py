"""The rows of what people set: the newest of a name holds, and every change is audited."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from typing import Any, Literal

from warehouse.records import AuditEvent, Control
from warehouse.store import Store

Found = dict[str, dict[str, Any]]
"""The newest row of each control by its name, the value decoded."""
Door = Literal["browser", "api", "rule", "console"]

_NEWEST = """
    SELECT name, value, set_by, reason, set_at FROM controls
    QUALIFY row_number() OVER (PARTITION BY name ORDER BY set_at DESC, rowid DESC) = 1
"""
"""Two rows of one instant exist where the fleet's clock stands still; the later written holds."""


def newest(store: Store) -> Found:
    """Every control that was ever set, as it is now."""
    found = {row["name"]: row for row in store.query(_NEWEST).iter_rows(named=True)}
    return {
        name: {**row, "value": json.loads(row["value"])["value"]} for name, row in found.items()
    }


def value_of(found: Found, name: str, default: Any) -> Any:
    """What a control is set to."""
    return found[name]["value"] if name in found else default


def write(
    store: Store, name: str, value: Any, by: str, reason: str | None, now: datetime, via: Door
) -> None:
    """Set a control, and put on record who did."""
    control = Control(
        name=name,
        value={"value": value},
        set_by=by,
        reason=reason or None,
        set_at=_after_the_last(store, name, now),
    )
    event = AuditEvent(
        actor=by,
        act="control.set",
        target=name,
        detail={"value": value, "reason": reason or None},
        via=via,
        happened_at=now,
    )
    store.append([control, event])


def _after_the_last(store: Store, name: str, now: datetime) -> datetime:
    """The newest row of a name holds, so a row is never older than the one it replaces, whatever
    the clock says."""
    sql = "SELECT max(set_at) AS at FROM controls WHERE name = $name"
    last: datetime | None = store.query(sql, name=name).item()
    return now if last is None else max(now, last + timedelta(microseconds=1))
