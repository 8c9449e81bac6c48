"""What a person's click on a decision writes, and what it says back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pages._callbacks import notice
from pages._context import context, door_of, needed
from pages._holds import fresh_for, held, holds
from pages._words import duration, exact_instant, words
from warehouse import controls, decisions
from warehouse.records import Approval

Notice = dict[str, Any]


def approve(decision_id: str, action_hash: str) -> Notice:
    """Approve exactly what was shown: the hash is that of the action on the screen."""
    person = needed("operator")
    try:
        said = decisions.approve(
            context().store,
            decision_id,
            by=person.name,
            via=door_of(person),
            now=context().now(),
            action_hash=action_hash,
        )
    except decisions.AlreadyDecided:
        return _told_who_was_faster(decision_id)
    if isinstance(said, Approval):
        return _one_of_two(decision_id)
    return notice("Approved", _what_follows(decision_id), key=decision_id)


def override(
    decision_id: str, parameters: Mapping[str, Any], reason: str | None, action_hash: str
) -> Notice:
    """Approve with other parameters."""
    person = needed("operator")
    try:
        said = decisions.override(
            context().store,
            decision_id,
            parameters,
            by=person.name,
            via=door_of(person),
            reason=reason,
            now=context().now(),
            action_hash=action_hash,
        )
    except decisions.AlreadyDecided:
        return _told_who_was_faster(decision_id)
    if isinstance(said, Approval):
        return _one_of_two(decision_id)
    return notice("Approved as edited", _what_follows(decision_id), key=decision_id)


def reject(decision_id: str, reason: str | None) -> Notice:
    """Say no."""
    person = needed("operator")
    try:
        decisions.reject(
            context().store,
            decision_id,
            by=person.name,
            via=door_of(person),
            reason=reason,
            now=context().now(),
        )
    except decisions.AlreadyDecided:
        return _told_who_was_faster(decision_id)
    return notice(
        "Rejected", "Nothing is done. The reason is kept with it.", "gray", key=decision_id
    )


def undo(decision_id: str, reason: str | None) -> Notice:
    """Ask that what was done be taken back."""
    person = needed("operator")
    decisions.ask_undo(
        context().store,
        decision_id,
        by=person.name,
        reason=reason,
        now=context().now(),
        via=door_of(person),
    )
    return notice("Undo asked", _what_follows_undo(), key=decision_id)


def withdraw(decision_id: str, reason: str | None) -> Notice:
    """Take an approval back while it waits."""
    person = needed("operator")
    decisions.withdraw(
        context().store,
        decision_id,
        by=person.name,
        reason=reason,
        now=context().now(),
        via=door_of(person),
    )
    told = "Nothing is done. The reason is kept with it, and its target is free for another."
    return notice("Withdrawn", told, "gray", key=decision_id)


def _one_of_two(decision_id: str) -> Notice:
    told = "It waits for another person's yes to exactly the same."
    return notice("Said yes, 1 of 2", told, "amber", key=decision_id)


def _what_follows(decision_id: str) -> str:
    """What comes of an approval: it is carried out, or waits for what holds it back."""
    store, now = context().store, context().now()
    action = decisions.decision(store, decision_id, now=now).action
    why = " and ".join(hold.reason for hold in held(store, action, now))
    if not why:
        return "The engine carries it out at its next tick."
    fresh = duration(fresh_for(controls.limits(store), action, now).total_seconds())
    return f"It waits: {why}. It is carried out afterwards, if that is within {fresh}."


def _what_follows_undo() -> str:
    why = " and ".join(hold.reason for hold in holds(context().store, context().now()))
    if not why:
        return "The engine takes it back at its next tick."
    return f"It waits: {why}. It is taken back afterwards."


def _told_who_was_faster(decision_id: str) -> Notice:
    found = decisions.decision(context().store, decision_id, now=context().now())
    what = words(found.verdict or "decided")
    who = f"{what} by {found.deciders}, {exact_instant(found.decided_at)}"
    return notice(
        "Already decided", f"{who}. Your click changed nothing.", "amber", key=decision_id
    )
