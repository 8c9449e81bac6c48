"""Promoting: a decision on who steers, from its proposal to its end.

It goes the way of every decision - asked of people, carried out once, measured, taken back - but
what it changes is a row: its hands are the warehouse.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from engine import guards
from engine.actions import Candidate, actions
from engine.actions.promote_policy import ACTION
from engine.circumstances import circumstances
from engine.deeds import perform, refuse, step, succeeded
from engine.hands import CommandRefused
from warehouse import policies
from warehouse.actions import action_hash
from warehouse.decisions import DecisionState
from warehouse.records import Champion, Ticket
from warehouse.store import Store

FRESH_FOR = timedelta(days=1)
"""How long an approval to promote may wait for being carried out."""

_PROMOTED = "SELECT * FROM champions WHERE decision_id = $decision_id"
_TAKEN_BACK = "SELECT count(*) FROM champions WHERE contains(reason, $mark)"
_SCORED = """
    SELECT sum(profit_usd - rule_profit_usd) AS gain, sum(gain_low_usd) AS low,
        sum(gain_high_usd) AS high, epoch(max(ends_at) - min(starts_at)) / 3600 AS hours
    FROM shadow_scores
    WHERE policy_id = $policy_id AND starts_at >= $starts_at AND ends_at <= $ends_at
"""


# -- carrying it out -------------------------------------------------------------------


def carry_on(store: Store, asked: DecisionState, now: datetime) -> None:
    """Take a promotion as far as it can go now.

    Raises:
        WarehouseError: it is still under way; carry on with it later.
    """
    hands = WarehouseHands(store, asked, now)
    if asked.state == "undoing":
        _take_back(store, hands, asked, now)
    elif asked.state == "carrying_out":
        done = hands.answer_to(asked.decision_id)
        if done is None:
            _do(store, hands, asked, now)
        else:
            succeeded(store, asked, "do", done, now)
    elif asked.state == "approved":
        _begin(store, hands, asked, now)


def _begin(store: Store, hands: WarehouseHands, asked: DecisionState, now: datetime) -> None:
    around = circumstances(store, now, but_for=asked.decision_id)
    refused = _stale(asked, now) or guards.mode_refusal(_case(asked), around)
    if refused is None and guards.hold(_case(asked), around):
        return
    with store.transaction():
        store.take(Ticket(decision_id=asked.decision_id, purpose="execution"))
        if refused:
            refuse(store, asked, "do", *refused, now)
        else:
            store.append([step(asked, "do", "intended", now)])
    if not refused:
        _do(store, hands, asked, now)


def _stale(asked: DecisionState, now: datetime) -> tuple[str, str] | None:
    parameters = asked.verdict_parameters or {}
    if asked.verdict_action_hash != action_hash(asked.action, asked.target, parameters):
        return "action_is_as_approved", "what was approved is not what would be done"
    waited = now - (asked.decided_at or now)
    if waited > FRESH_FOR:
        return "approval_is_fresh", f"it was approved {waited / timedelta(hours=1):.0f} h ago"
    return None


def _do(store: Store, hands: WarehouseHands, asked: DecisionState, now: datetime) -> None:
    parameters = asked.verdict_parameters or {}
    perform(
        store,
        asked,
        "do",
        lambda: ACTION.execute(hands, asked.decision_id, asked.pool, parameters),
        now,
    )


def _take_back(store: Store, hands: WarehouseHands, asked: DecisionState, now: datetime) -> None:
    if guards.undo_hold(_case(asked), circumstances(store, now, but_for=asked.decision_id)):
        return
    if asked.undo_phase is None:
        store.append([step(asked, "undo", "intended", now)])
    result = asked.execution_result or {}
    command_id = f"{asked.decision_id}:undo"
    perform(store, asked, "undo", lambda: ACTION.undo(hands, command_id, asked.pool, result), now)


def _case(asked: DecisionState) -> Asked:
    parameters = asked.verdict_parameters or {}
    candidate = Candidate(actions()[asked.action].name, asked.target, asked.pool, parameters)
    return Asked(candidate, asked.decision_id, asked.decided_via)


@dataclass(frozen=True)
class Asked:
    """A promotion as the guards that look at no pool see it; satisfies `guards.Asked`."""

    candidate: Candidate
    decision_id: str | None = None
    decided_via: str | None = None


@dataclass(frozen=True)
class WarehouseHands:
    """Hands whose commands are `promote_policy` and `roll_back`; satisfies `hands.Actuator`."""

    store: Store
    asked: DecisionState
    now: datetime

    def perform(
        self, command_id: str, command: str, arguments: Mapping[str, Any]
    ) -> dict[str, Any]:
        """Carry it out, once for each id.

        Raises:
            CommandRefused: the policy may not steer, or steers no longer.
        """
        policy_id = str(arguments["policy_id"])
        with self.store.transaction():
            if command == "roll_back":
                return self._roll_back(policy_id)
            return self.answer_to(command_id) or self._promote(command_id, policy_id)

    def has_begun(self, command_id: str) -> bool:
        """Never: it is done whole or not at all."""
        return False

    def answer_to(self, command_id: str) -> dict[str, Any] | None:
        """What a promotion answered, where it was carried out."""
        for row in self.store.rows(Champion, _PROMOTED, decision_id=command_id):
            return _answer(row)
        return None

    def _promote(self, command_id: str, policy_id: str) -> dict[str, Any]:
        steering = policies.steering(self.store)
        self._refuse_unfit(policy_id, steering.policy_id)
        last = steering.since_at
        made = Champion(
            policy_id=policy_id,
            previous_policy_id=steering.policy_id,
            decision_id=command_id,
            set_by=str(self.asked.decided_by),
            reason=self.asked.verdict_reason or "It passed every gate.",
            since_at=self.now if last is None else max(self.now, last + timedelta(microseconds=1)),
        )
        self.store.append([made])
        return _answer(made)

    def _refuse_unfit(self, policy_id: str, champion_id: str) -> None:
        if champion_id == policy_id:
            raise CommandRefused(f"{policy_id} steers already")
        try:
            version = policies.policy(self.store, policy_id)
        except policies.NoSuchPolicy as error:
            raise CommandRefused(str(error)) from error
        failed = [gate["sentence"] for gate in version.gates if not gate["passed"]]
        if failed:
            raise CommandRefused(f"{policy_id} no longer passes every gate: {' '.join(failed)}")

    def _roll_back(self, policy_id: str) -> dict[str, Any]:
        mark = f"(decision {self.asked.decision_id} undone)"
        steering = policies.steering(self.store)
        if steering.policy_id == policy_id:
            steering = policies.roll_back(
                self.store,
                by=str(self.asked.undo_requested_by),
                reason=f"{self.asked.undo_reason} {mark}",
                now=self.now,
                policy_id=policy_id,
                via="rule",
            )
        elif not self.store.query(_TAKEN_BACK, mark=mark).item():
            raise CommandRefused(f"{steering.policy_id} steers by now, no longer {policy_id}")
        return {"policy_id": steering.policy_id}


def _answer(row: Champion) -> dict[str, Any]:
    return {
        "policy_id": row.policy_id,
        "previous_policy_id": row.previous_policy_id,
        "applied_at": row.since_at.isoformat(),
    }


# -- what came of it -------------------------------------------------------------------


def realised(
    store: Store, asked: DecisionState, starts_at: datetime, ends_at: datetime
) -> tuple[float, float, float] | None:
    """What the policy earned beyond the rule by the twin, in USD per hour, with its 80 % interval;
    None where no window of the span was scored. Pools and windows are added up; so are the ends of
    their intervals, which is on the safe side."""
    policy_id = (asked.verdict_parameters or asked.parameters)["policy_id"]
    found = store.query(_SCORED, policy_id=policy_id, starts_at=starts_at, ends_at=ends_at)
    gain, low, high, hours = found.row(0)
    return (gain / hours, low / hours, high / hours) if hours else None
