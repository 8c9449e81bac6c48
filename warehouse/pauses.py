"""What is paused now, since when and for how much longer: everything, or one kind of action."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from warehouse import controls
from warehouse.approvals import standing_approvals
from warehouse.leases import lease
from warehouse.rights import missing_rights
from warehouse.store import Store
from warehouse.windows import closed_since, next_span, open_span

Reason = Literal[
    "kill_switch",
    "breaker",
    "freeze",
    "lease",
    "switched_off",
    "maintenance",
    "missing_right",
    "four_eyes",
]
EVERYTHING: tuple[Reason, ...] = ("kill_switch", "breaker", "freeze", "lease")
"""What pauses every action; the others pause one kind."""
ENGINE_LEASE = "engine"

_ON_SINCE = """
    SELECT min(set_at) AS at FROM controls
    WHERE name = $name AND set_at > coalesce((
        SELECT max(set_at) FROM controls
        WHERE name = $name AND (value ->> '$.value') <> $wanted
    ), TIMESTAMPTZ '1970-01-01')
"""
_OF_ACTIONS = """
    SELECT decision_id, action FROM decisions
    WHERE list_contains($ids::VARCHAR[], decision_id) AND expires_at > $now ORDER BY action
"""
_WAITING = """
    SELECT action, min(proposed_at) AS oldest_at FROM decision_states
    WHERE state = 'waiting' AND expires_at > $now GROUP BY action ORDER BY action
"""


@dataclass(frozen=True)
class Pause:
    """Something that is not done now."""

    reason: Reason
    action: str | None
    """The kind of action; None where it is every one."""
    words: str
    """Why, in a sentence."""
    since_at: datetime | None
    """Since when, where that is known."""
    until_at: datetime | None = None
    """Until when, where that is known; else until somebody changes it."""

    def seconds(self, now: datetime) -> float:
        """How long it has been so; 0 where that is not known."""
        return max(0.0, (now - self.since_at).total_seconds()) if self.since_at else 0.0


def pauses(store: Store, *, now: datetime, wall_now: datetime | None = None) -> list[Pause]:
    """Everything that is paused at `now`, what pauses most first.

    `wall_now` is the machine's instant, by which leases run out; `now` without it.
    """
    standing = controls.standing(store)
    return [
        *_of_everything(store, standing, now),
        *_of_the_lease(store, now, wall_now or now),
        *_switched_off(store, standing),
        *_outside_windows(standing, now),
        *_without_rights(store),
        *_with_one_yes(store, standing, now),
    ]


def oldest_waiting(store: Store, *, now: datetime) -> dict[str, datetime]:
    """By kind of action when the decision that has waited longest for a person was proposed."""
    return dict(store.query(_WAITING, now=now).iter_rows())


# -- how -------------------------------------------------------------------------------


def _of_everything(store: Store, standing: controls.Standing, now: datetime) -> Iterator[Pause]:
    switch, breaker = standing.kill_switch, standing.breaker
    if switch.is_on:
        why = f": {switch.reason}" if switch.reason else ""
        words = f"{switch.set_by} set the kill switch{why}"
        yield Pause("kill_switch", None, words, _since(store, "kill_switch", "true"))
    if breaker.is_open:
        words = f"The breaker is open: {breaker.reason}. A person must close it"
        yield Pause("breaker", None, words, breaker.opened_at)
    for span in standing.limits.frozen_spans:
        if span.starts_at <= now < span.ends_at:
            words = f"Frozen{f': {span.reason}' if span.reason else ''}"
            yield Pause("freeze", None, words, span.starts_at, span.ends_at)


def _of_the_lease(store: Store, now: datetime, wall_now: datetime) -> Iterator[Pause]:
    """Where consoles share a catalogue and none of them acts."""
    held = lease(store, ENGINE_LEASE)
    if held is not None and wall_now >= held.expires_at:
        words = f"No console acts: the lease of {held.holder} ran out"
        yield Pause("lease", None, words, now - (wall_now - held.expires_at))


def _switched_off(store: Store, standing: controls.Standing) -> Iterator[Pause]:
    for action, mode in standing.modes.items():
        if mode == "off":
            since_at = _since(store, f"mode.{action}", "off")
            yield Pause("switched_off", action, "Its mode is off", since_at)


def _outside_windows(standing: controls.Standing, now: datetime) -> Iterator[Pause]:
    windows = standing.limits.maintenance
    for action in dict.fromkeys(action for window in windows for action in window.actions):
        if open_span(windows, action, now) is None:
            opening = next_span(windows, action, now)
            yield Pause(
                "maintenance",
                action,
                "Outside its maintenance windows",
                closed_since(windows, action, now),
                opening.starts_at if opening else None,
            )


def _without_rights(store: Store) -> Iterator[Pause]:
    for each in missing_rights(store):
        is_action = each.action in controls.GOVERNED_ACTIONS
        what = "It is off" if is_action else "The console does without"
        words = f"The cluster does not let the console {each.right}. {what}"
        yield Pause("missing_right", each.action, words, each.since_at)


def _with_one_yes(store: Store, standing: controls.Standing, now: datetime) -> Iterator[Pause]:
    said = standing_approvals(store)
    if not said:
        return
    since: dict[str, list[datetime]] = {}
    for decision_id, action in store.query(_OF_ACTIONS, ids=list(said), now=now).iter_rows():
        since.setdefault(action, []).append(said[decision_id][0].approved_at)
    for action, instants in since.items():
        if standing.four_eyes[action]:
            words = f"A second person must say yes ({len(instants)} waiting)"
            yield Pause("four_eyes", action, words, min(instants))


def _since(store: Store, name: str, wanted: str) -> datetime | None:
    """Since when a control has had its value, however often it was set to it again."""
    found: datetime | None = store.query(_ON_SINCE, name=name, wanted=wanted).item()
    return found
