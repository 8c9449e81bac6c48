"""The journal of a command: its rows of `execution_steps`, and what they say of each step.

Two consoles may write at once for a moment, so what a step is at does not hang on the order of its
rows: an end outweighs a wait, and having been taken back outweighs both.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from warehouse.records import ExecutionStep
from warehouse.store import Store

Phase = Literal["intended", "waiting", "done", "skipped", "failed", "reverted", "left"]

END = "end"
"""The step that says how the command ended."""
COMMAND = "command"
"""Where a row's `found` names its command."""
GATE = "gate"
"""In the answer of a wait that is none of the step's own: the gate was shut."""
BACK = "back"
"""In the answer of a wait of a step's own while it is taken back."""
_WEIGHTS: dict[str, int] = {
    "waiting": 0,
    "intended": 1,
    "skipped": 2,
    "done": 2,
    "failed": 3,
    "left": 4,
    "reverted": 5,
}
_ROWS = """
    SELECT * FROM execution_steps WHERE decision_id = $decision_id AND kind = $kind
    ORDER BY happened_at, rowid
"""


def decision_of(command_id: str) -> tuple[str, Literal["do", "undo"]]:
    """The decision that a command is of, and whether it does it or takes it back."""
    decision_id, mark, _ = command_id.partition(":undo")
    return decision_id, "undo" if mark else "do"


@dataclass
class Entry:
    """All the rows of one step."""

    rows: list[ExecutionStep] = field(default_factory=list)

    @property
    def phase(self) -> str:
        """Where it is at."""
        return max((row.phase for row in self.rows), key=_WEIGHTS.__getitem__)

    @property
    def is_begun(self) -> bool:
        """Whether its intent was written, so that it may have been taken."""
        return any(row.phase == "intended" for row in self.rows)

    @property
    def found(self) -> dict[str, Any]:
        """What was there before it."""
        return next((r.found for r in reversed(self.rows) if r.phase == "intended"), {})

    @property
    def answer(self) -> dict[str, Any]:
        """What came of it."""
        return next((r.answer for r in reversed(self.rows) if r.phase in ("done", "failed")), {})

    @property
    def since(self) -> datetime:
        """From when its deadline counts: its newest intent, or else its first wait of its own."""
        intents = [row.happened_at for row in self.rows if row.phase == "intended"]
        waits = [row.happened_at for row in self.rows if not row.answer.get(GATE)]
        return intents[-1] if intents else (waits or [self.last.happened_at])[0]

    @property
    def back_since(self) -> datetime | None:
        """From when its taking back waits for what it takes back; a shut gate begins it anew."""
        since: datetime | None = None
        for row in self.rows:
            if row.answer.get(GATE):
                since = None
            elif row.answer.get(BACK):
                since = since or row.happened_at
        return since

    @property
    def last(self) -> ExecutionStep:
        """Its newest row."""
        return self.rows[-1]


class Journal:
    """One command's rows, read once and kept up to date with what is written."""

    def __init__(self, store: Store, command_id: str) -> None:
        self._store = store
        self.command_id = command_id
        self.decision_id, self.kind = decision_of(command_id)
        self.entries: dict[tuple[str, str], Entry] = {}
        self._positions: dict[tuple[str, str], int] = {}
        self._highest = -1
        self._held: list[ExecutionStep] = []
        known = {"decision_id": self.decision_id, "kind": self.kind}
        for row in store.rows(ExecutionStep, _ROWS, **known):
            self._highest = max(self._highest, row.position)
            if row.found.get(COMMAND) == command_id:
                self._add(row)

    def entry(self, step: str, target: str) -> Entry | None:
        """The rows of a step; None where there are none."""
        return self.entries.get((step, target))

    @property
    def end(self) -> ExecutionStep | None:
        """How the command ended; None while it has not."""
        ended = self.entries.get((END, self.command_id))
        return ended.last if ended else None

    def write(
        self,
        step: str,
        target: str,
        phase: Phase,
        now: datetime,
        *,
        found: dict[str, Any] | None = None,
        answer: dict[str, Any] | None = None,
        detail: str | None = None,
        with_next: bool = False,
    ) -> ExecutionStep:
        """Put one row on record; `with_next`, only together with the row after it."""
        row = ExecutionStep(
            decision_id=self.decision_id,
            kind=self.kind,
            position=self._positions.get((step, target), self._highest + 1),
            step=step,
            target=target,
            phase=phase,
            found={**(found or {}), COMMAND: self.command_id},
            answer=answer or {},
            detail=detail,
            happened_at=now,
        )
        self._held.append(row)
        self._add(row)
        if not with_next:
            self.flush()
        return row

    def flush(self) -> None:
        """Put on record what was held back."""
        if self._held:
            self._store.append(self._held)
            self._held = []

    def _add(self, row: ExecutionStep) -> None:
        key = (row.step, row.target)
        self.entries.setdefault(key, Entry()).rows.append(row)
        self._positions.setdefault(key, row.position)
        self._highest = max(self._highest, row.position)
