"""Deeds: one command to the hands, and the rows that say how it ended.

A deed that the hands lost, or whose end the warehouse would not take, has no end on record: its
decision stays under way and is taken up again.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any, Literal

from engine.actions import actions
from engine.hands import CommandLost, CommandRefused, CommandStale, CommandUnderWay
from warehouse import controls
from warehouse.breaker import open_where_due
from warehouse.decisions import DecisionState
from warehouse.records import Execution, ListPrice, Refusal
from warehouse.store import Store, WarehouseError

Kind = Literal["do", "undo"]
Phase = Literal["intended", "succeeded", "failed", "refused"]

_NEWEST_DEED = """
    SELECT max(e.happened_at) AS "at" FROM executions e JOIN decisions d USING (decision_id)
    WHERE d.pool = $pool AND e.phase <> 'refused'
        AND NOT (e.decision_id = $decision_id AND e.kind = $kind)
"""
_INTENDED = """
    SELECT max(happened_at) AS "at" FROM executions
    WHERE decision_id = $decision_id AND kind = $kind AND phase = 'intended'
"""

_ENDED = """
    SELECT count(*) > 0 AS has_ended FROM executions
    WHERE decision_id = $decision_id AND kind = $kind AND phase <> 'intended'
"""


def newest_other_deed_at(store: Store, asked: DecisionState, kind: Kind) -> datetime | None:
    """When the pool was last acted on, but for this deed itself: older readings are of no use."""
    found: datetime | None = store.query(
        _NEWEST_DEED, pool=asked.pool, decision_id=asked.decision_id, kind=kind
    ).item()
    return found


def perform(
    store: Store,
    asked: DecisionState,
    kind: Kind,
    deed: Callable[[], dict[str, Any]],
    now: datetime,
) -> None:
    """Have it done, and put its end on record.

    Raises:
        CommandLost, WarehouseError: it has no end yet; ask again.
    """
    try:
        answer = deed()
    except (CommandLost, WarehouseError):
        raise
    except CommandUnderWay:
        return  # its steps are on record; the next tick goes on with it
    except CommandStale as error:
        refuse(store, asked, kind, "unchanged_since_proposed", str(error), now)
    except CommandRefused as error:
        store.append([step(asked, kind, "refused", now, detail=str(error))])
    except Exception as error:  # whatever the hands meet, the decision ends and is on record
        _failed(store, asked, kind, error, now)
    else:
        succeeded(store, asked, kind, answer, now)


def succeeded(
    store: Store, asked: DecisionState, kind: Kind, answer: dict[str, Any], now: datetime
) -> None:
    """Put on record that it was done, and since when it holds; once, also where another console
    found it done."""
    if store.query(_ENDED, decision_id=asked.decision_id, kind=kind).item():
        return
    applied_at = _applied_at(store, asked, kind, answer, now)
    result = answer | {"is_undoable": kind == "do" and actions()[asked.action].can_undo}
    rows: list[Any] = [step(asked, kind, "succeeded", applied_at, result=result)]
    if asked.action == "adjust_price":
        rows.append(_price(asked, kind, applied_at))
    store.append(rows)


def _applied_at(
    store: Store, asked: DecisionState, kind: Kind, answer: dict[str, Any], now: datetime
) -> datetime:
    """The hands know best; fleets count whole seconds, and no deed is older than its intent."""
    if "applied_at" not in answer:
        return now
    intended_at = store.query(_INTENDED, decision_id=asked.decision_id, kind=kind).item() or now
    return max(datetime.fromisoformat(answer["applied_at"]), intended_at)


def _price(asked: DecisionState, kind: Kind, in_force_from_at: datetime) -> ListPrice:
    result = asked.execution_result or {}
    price = (
        (asked.verdict_parameters or {})["price_usd_per_gpu_hour"]
        if kind == "do"
        else result["previous_price_usd_per_gpu_hour"]
    )
    return ListPrice(
        pool=asked.pool,
        price_usd_per_gpu_hour=price,
        set_by=_set_by(asked, kind),
        decision_id=asked.decision_id,
        in_force_from_at=in_force_from_at,
    )


def _set_by(asked: DecisionState, kind: Kind) -> str:
    if kind == "undo":
        return str(asked.undo_requested_by)
    return f"policy:{asked.policy}" if asked.decided_via == "rule" else str(asked.decided_by)


def _failed(
    store: Store, asked: DecisionState, kind: Kind, error: Exception, now: datetime
) -> None:
    detail = f"{type(error).__name__}: {error}"
    with store.transaction():
        store.append([step(asked, kind, "failed", now, detail=detail)])
        open_where_due(store, controls.limits(store), now)


def refuse(
    store: Store, asked: DecisionState, kind: Kind, guard: str, sentence: str, now: datetime
) -> None:
    """End it undone, with the guard that said no."""
    refusal = Refusal(
        action=actions()[asked.action].name,
        target=asked.target,
        parameters=asked.verdict_parameters or {},
        guard=guard,
        detail=sentence,
        expected_gain_usd_per_hour=asked.expected_gain_usd_per_hour,
        pool=asked.pool,
        decision_id=asked.decision_id,
        refused_at=now,
    )
    store.append([step(asked, kind, "refused", now, detail=sentence), refusal])


def step(
    asked: DecisionState,
    kind: Kind,
    phase: Phase,
    now: datetime,
    *,
    result: dict[str, Any] | None = None,
    detail: str | None = None,
) -> Execution:
    """A step of a deed, as it is kept."""
    return Execution(
        decision_id=asked.decision_id,
        kind=kind,
        phase=phase,
        parameters=asked.verdict_parameters or {},
        result=result or {},
        detail=detail,
        happened_at=now,
    )
