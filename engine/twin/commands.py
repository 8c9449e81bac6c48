"""What was really done to a pool, from rows: the commands that decisions came to, and undoing.

An action says itself what it asks of the hands; here the asking is written down, so that the twin
can be asked the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from engine.actions import actions
from warehouse.records import Decision, Execution
from warehouse.store import Store

Ask = tuple[str, dict[str, Any]]
"""A command's name and its arguments, as `engine/hands.py` lists them."""

_DEEDS = """
    SELECT e.* FROM executions e JOIN decisions d USING (decision_id)
    WHERE d.pool = $pool AND e.phase = 'succeeded'
        AND e.happened_at >= $since AND e.happened_at <= $until
    ORDER BY e.happened_at, e.rowid
"""
_DECISIONS = "SELECT * FROM decisions WHERE list_contains($ids::VARCHAR[], decision_id)"
_FIRST = """
    SELECT * FROM executions
    WHERE kind = 'do' AND phase = 'succeeded' AND list_contains($ids::VARCHAR[], decision_id)
"""


@dataclass(frozen=True)
class Given:
    """Something that was done, or undone."""

    decision_id: str
    happened_at: datetime
    asks: tuple[Ask, ...]
    node_ids: tuple[str, ...] = ()
    """the nodes that were switched on by it, by their names"""


@dataclass
class _Notes:
    """Hands that do nothing and write down what they are asked."""

    asks: list[Ask] = field(default_factory=list)

    def perform(
        self, command_id: str, command: str, arguments: Mapping[str, Any]
    ) -> dict[str, Any]:
        self.asks.append((command, dict(arguments)))
        return {"node_ids": []}

    def has_begun(self, command_id: str) -> bool:
        """Never: it is done whole or not at all."""
        return False

    def answer_to(self, command_id: str) -> dict[str, Any] | None:
        return None


def given_commands(store: Store, pool: str, since: datetime, until: datetime) -> list[Given]:
    """Everything that was done to the pool in a span, in order."""
    deeds = store.rows(Execution, _DEEDS, pool=pool, since=since, until=until)
    if not deeds:
        return []
    ids = sorted({deed.decision_id for deed in deeds})
    decisions = {one.decision_id: one for one in store.rows(Decision, _DECISIONS, ids=ids)}
    first = {one.decision_id: one for one in store.rows(Execution, _FIRST, ids=ids)}
    return [
        _given(deed, decisions[deed.decision_id], first.get(deed.decision_id, deed))
        for deed in deeds
    ]


def _given(deed: Execution, decided: Decision, first: Execution) -> Given:
    action, notes = actions()[decided.action], _Notes()
    nodes: tuple[str, ...] = ()
    if deed.kind == "do":
        notes.asks.append(action.command(decided.pool, deed.parameters))
        if notes.asks[0][0] in ("scale_up", "pre_warm"):
            nodes = tuple(deed.result.get("node_ids", ()))
    else:
        known = first.parameters | first.result
        action.undo(notes, f"{deed.decision_id}:undo", decided.pool, known)
    return Given(deed.decision_id, deed.happened_at, tuple(notes.asks), nodes)
