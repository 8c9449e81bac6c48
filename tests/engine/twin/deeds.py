"""Decisions that were carried out, put on record as the loop would."""

from __future__ import annotations

from typing import Any

from engine.actions import actions
from engine.evaluate import Question
from tests.engine.world import NAME, Played
from tests.makers import make_decision
from warehouse.records import Execution, ListPrice


def do(played: Played, decision_id: str, action: Any, **parameters: Any) -> None:
    """Carry it out on the fleet now, with its rows."""
    command, arguments = actions()[action].command(NAME, parameters)
    result = played.hands.perform(decision_id, command, arguments)
    decision = make_decision(
        decision_id=decision_id, action=action, target=f"pool/{NAME}", pool=NAME,
        parameters=parameters, proposed_at=played.now,
    )  # fmt: skip
    played.store.append([decision, _execution(played, decision_id, "do", parameters, result)])
    if action == "adjust_price":
        _list(played, decision_id, parameters["price_usd_per_gpu_hour"])


def undo(played: Played, decision_id: str, action: Any, result: dict[str, Any]) -> None:
    """Take it back now, with its rows."""
    answer = actions()[action].undo(played.hands, f"{decision_id}:undo", NAME, result)
    played.store.append([_execution(played, decision_id, "undo", {}, answer)])
    if action == "adjust_price":
        _list(played, decision_id, result["previous_price_usd_per_gpu_hour"])


def result_of(played: Played, decision_id: str) -> dict[str, Any]:
    """What doing it answered."""
    answer = played.hands.answer_to(decision_id)
    assert answer is not None
    return answer


def make_question(played: Played, decision_id: str, **changes: Any) -> Question:
    """What a judge is asked of the decision; the span ends now."""
    sql = "SELECT * FROM executions WHERE decision_id = $id AND kind = 'do'"
    (deed,) = played.store.rows(Execution, sql, id=decision_id)
    sql = "SELECT action FROM decisions WHERE decision_id = $id"
    action = played.store.query(sql, id=decision_id).item()
    command, arguments = actions()[action].command(NAME, deed.parameters)
    values: dict[str, Any] = {
        "decision_id": decision_id, "pool": NAME, "command": command, "arguments": arguments,
        "was_done": True, "starts_at": deed.happened_at, "ends_at": played.now,
    }  # fmt: skip
    return Question(**(values | changes))


def _execution(
    played: Played, decision_id: str, kind: Any, parameters: dict[str, Any], result: dict[str, Any]
) -> Execution:
    return Execution(
        decision_id=decision_id, kind=kind, phase="succeeded", parameters=parameters,
        result=result, happened_at=played.now,
    )  # fmt: skip


def _list(played: Played, decision_id: str, price: float) -> None:
    row = ListPrice(
        pool=NAME, price_usd_per_gpu_hour=price, set_by="test", decision_id=decision_id,
        in_force_from_at=played.now,
    )  # fmt: skip
    played.store.append([row])
