"""What a person's click on a decision writes, and what it says back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pages._callbacks import notice
from pages._context import context, needed
from pages._words import exact_instant, words
from warehouse import decisions

Notice = dict[str, Any]


def approve(decision_id: str, action_hash: str) -> Notice:
    """Approve exactly what was shown: the hash is that of the action on the screen."""
    person = needed("operator")
    try:
        decisions.approve(
            context().store,
            decision_id,
            by=person.name,
            via="browser",
            now=context().now(),
            action_hash=action_hash,
        )
    except decisions.AlreadyDecided:
        return _told_who_was_faster(decision_id)
    return notice("Approved", "The engine carries it out at its next tick.", key=decision_id)


def override(
    decision_id: str, parameters: Mapping[str, Any], reason: str | None, action_hash: str
) -> Notice:
    """Approve with other parameters."""
    person = needed("operator")
    try:
        decisions.override(
            context().store,
            decision_id,
            parameters,
            by=person.name,
            via="browser",
            reason=reason,
            now=context().now(),
            action_hash=action_hash,
        )
    except decisions.AlreadyDecided:
        return _told_who_was_faster(decision_id)
    return notice(
        "Approved as edited", "The engine carries it out at its next tick.", key=decision_id
    )


def reject(decision_id: str, reason: str | None) -> Notice:
    """Say no."""
    person = needed("operator")
    try:
        decisions.reject(
            context().store,
            decision_id,
            by=person.name,
            via="browser",
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
        via="browser",
    )
    return notice("Undo asked", "The engine takes it back at its next tick.", key=decision_id)


def _told_who_was_faster(decision_id: str) -> Notice:
    found = decisions.decision(context().store, decision_id, now=context().now())
    what = words(found.verdict or "decided")
    who = f"{what} by {found.decided_by}, {exact_instant(found.decided_at)}"
    return notice(
        "Already decided", f"{who}. Your click changed nothing.", "amber", key=decision_id
    )
