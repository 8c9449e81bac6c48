"""The steps of a deed that takes several, as they stand: the newest row of each place."""

from __future__ import annotations

from warehouse.records import ExecutionStep
from warehouse.store import Store

_STANDING = """
    SELECT * FROM execution_steps WHERE decision_id = $id
    QUALIFY row_number() OVER (
        PARTITION BY kind, position ORDER BY happened_at DESC, rowid DESC) = 1
    ORDER BY kind, position
"""


def steps(store: Store, decision_id: str) -> list[ExecutionStep]:
    """Each step of a decision as it stands, those that carry it out before those that undo it."""
    return store.rows(ExecutionStep, _STANDING, id=decision_id)
