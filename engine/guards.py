"""The guards: what holds whatever a policy says. Asked when proposing and right before acting.

A guard is a function of a candidate and the circumstances that answers with the sentence why
not, or None. They are asked in the order of `GUARDS`; taking something back has its own list.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import timedelta
from typing import TypeVar

from engine.cases import Asked, Case
from engine.circumstances import Circumstances
from engine.cluster_guards import (
    pool_has_a_lever,
    rights_are_there,
    target_may_be_disturbed,
)
from warehouse.breaker import QUARANTINE
from warehouse.windows import next_span, open_span, windows_of

__all__ = [
    "GUARDS",
    "Asked",
    "Case",
    "hold",
    "mode_refusal",
    "refusal",
    "undo_hold",
    "undo_refusal",
]

ROUNDING_RATIO = 1e-3
"""Prices are whole hundredths of a cent: a limit is not broken by less than this."""


Guard = Callable[[Case, Circumstances], str | None]
SomeCase = TypeVar("SomeCase", bound=Asked)
Hold = Callable[[Asked, Circumstances], str | None]


def refusal(case: Case, around: Circumstances) -> tuple[str, str] | None:
    """The first guard that says no: its name and its sentence."""
    return _first_no(GUARDS, case, around)


def undo_refusal(case: Case, around: Circumstances) -> tuple[str, str] | None:
    """The first guard that says no to what taking something back would do."""
    return _first_no(UNDO_GUARDS, case, around)


def mode_refusal(case: Asked, around: Circumstances) -> tuple[str, str] | None:
    """Whether the action's mode says no: what nobody wants any more does not wait either."""
    return _first_no(MODE_GUARDS, case, around)


def hold(case: Asked, around: Circumstances) -> str | None:
    """Why it is not begun yet, in words; None where nothing holds it."""
    found = _first_no(HOLDS, case, around)
    return found[1] if found else None


def undo_hold(case: Asked, around: Circumstances) -> str | None:
    """Why taking something back is not begun yet; harm does not wait for a maintenance window."""
    found = _first_no(UNDO_HOLDS, case, around)
    return found[1] if found else None


def _first_no(
    guards: tuple[Callable[[SomeCase, Circumstances], str | None], ...],
    case: SomeCase,
    around: Circumstances,
) -> tuple[str, str] | None:
    for guard in guards:
        sentence = guard(case, around)
        if sentence is not None:
            return guard.__name__, sentence
    return None


# -- the guards ------------------------------------------------------------------------


def mode_is_not_off(case: Asked, around: Circumstances) -> str | None:
    action = case.candidate.action
    if around.modes[action] == "off":
        return f"{action} is switched off"
    return None


def mode_lets_it_be_carried_out(case: Asked, around: Circumstances) -> str | None:
    """Asked of what was approved: the mode may have been set back since."""
    action, via = case.candidate.action, case.decided_via
    if via is None:
        return None
    mode = around.modes[action]
    if mode == "shadow":
        return f"{action} is in shadow mode by now: it is put on record only"
    if via == "rule" and mode != "autonomous":
        return f"the rule approved it, and {action} is in {mode} mode by now: a person must decide"
    return None


def kill_switch_is_off(case: Asked, around: Circumstances) -> str | None:
    switch = around.kill_switch
    if not switch.is_on:
        return None
    why = f": {switch.reason}" if switch.reason else ""
    return f"the kill switch is on, set by {switch.set_by}{why}"


def breaker_is_closed(case: Asked, around: Circumstances) -> str | None:
    if around.breaker.is_open:
        why = around.breaker.reason or "failures in a row"
        return f"the breaker is open ({why}): a person must close it"
    return None


def time_is_not_frozen(case: Asked, around: Circumstances) -> str | None:
    for span in around.limits.frozen_spans:
        if span.starts_at <= around.now < span.ends_at:
            why = f" ({span.reason})" if span.reason else ""
            return f"frozen until {span.ends_at:%Y-%m-%d %H:%M %Z}{why}"
    return None


def maintenance_window_is_open(case: Asked, around: Circumstances) -> str | None:
    action, windows = case.candidate.action, around.limits.maintenance
    if not windows_of(windows, action) or open_span(windows, action, around.now):
        return None
    opening = next_span(windows, action, around.now)
    if opening is None:
        return f"{action} waits for a maintenance window, and none opens within two weeks"
    span = f"{opening.starts_at:%a %Y-%m-%d %H:%M} to {opening.ends_at:%H:%M} UTC"
    return f"{action} waits for its maintenance window: the next is {span}"


def quarantines_are_few(case: Asked, around: Circumstances) -> str | None:
    """Those that wait for a person count too, while one is only proposed: else each tick would
    ask for more than the breaker lets be begun."""
    if case.candidate.action != QUARANTINE:
        return None
    begun, most = around.quarantines_begun, around.limits.breaker_quarantines
    waiting = 0 if case.decision_id else len(around.quarantines_open)
    if begun + waiting < most:
        return None
    minutes = around.limits.breaker_window_seconds / 60
    return (
        f"{begun} nodes were quarantined within {minutes:g} min and {waiting} more are decided on; "
        f"{most} may be before a person looks at it"
    )


def actions_are_in_budget(case: Case, around: Circumstances) -> str | None:
    done, most = len(around.hour), around.limits.max_actions_per_hour
    if done >= most:
        return f"{done} actions were carried out in the last hour, and {most} may be"
    return None


def cost_is_in_budget(case: Case, around: Circumstances) -> str | None:
    added = case.added_cost_usd_per_hour
    spent = sum(deed.added_cost_usd_per_hour for deed in around.hour)
    budget = around.limits.added_cost_budget_usd_per_hour
    if added > 0 and spent + added > budget:
        return (
            f"it adds ${added:.0f}/h to ${spent:.0f}/h added in the last hour; "
            f"the budget is ${budget:.0f}/h"
        )
    return None


def disruption_is_in_budget(case: Case, around: Circumstances) -> str | None:
    removed = case.removed_gpus
    if removed <= 0:
        return None
    gone = sum(deed.removed_gpus for deed in around.hour if deed.pool == case.candidate.pool)
    base = case.seen.state.gpus_on + gone
    most = around.limits.max_disrupted_ratio
    if removed + gone > most * base:
        return (
            f"it takes away {removed} GPUs after {gone} in the last hour; "
            f"{most:.0%} of {base} may go in an hour"
        )
    return None


def target_has_cooled_down(case: Case, around: Circumstances) -> str | None:
    """But for the repair of a node that was quarantined for it: the two are one story."""
    cooldown = timedelta(seconds=around.limits.cooldown_seconds)
    for deed in around.deeds:
        age = around.now - deed.acted_at
        is_follow_up = (deed.action, case.candidate.action) == ("quarantine_node", "repair_node")
        if deed.target == case.candidate.target and age < cooldown and not is_follow_up:
            return (
                f"{deed.target} was acted on {age.total_seconds() / 60:.0f} min ago; "
                f"the cool-down is {cooldown.total_seconds() / 60:.0f} min"
            )
    return None


def target_has_no_other_decision(case: Case, around: Circumstances) -> str | None:
    other = around.open_decisions.get(case.candidate.target)
    if other is not None and other != case.decision_id:
        return f"decision {other} on {case.candidate.target} is still open"
    return None


def price_is_above_floor(case: Case, around: Circumstances) -> str | None:
    if case.price is None:
        return None
    market = case.seen.features["market_usd_per_gpu_hour"]
    fixed = around.limits.price_floor_usd_per_gpu_hour.get(case.candidate.pool, 0.0)
    floor = max(around.limits.price_floor_ratio * market, fixed)
    if case.price < floor * (1 - ROUNDING_RATIO):
        return f"${case.price:.2f} is below the floor of ${floor:.2f} (market ${market:.2f})"
    return None


def price_is_below_ceiling(case: Case, around: Circumstances) -> str | None:
    if case.price is None:
        return None
    market = case.seen.features["market_usd_per_gpu_hour"]
    fixed = around.limits.price_ceiling_usd_per_gpu_hour.get(case.candidate.pool, math.inf)
    ceiling = min(around.limits.price_ceiling_ratio * market, fixed)
    if case.price > ceiling * (1 + ROUNDING_RATIO):
        return f"${case.price:.2f} is above the ceiling of ${ceiling:.2f} (market ${market:.2f})"
    return None


def price_step_is_small(case: Case, around: Circumstances) -> str | None:
    if case.price is None:
        return None
    now, most = case.seen.features["price_usd_per_gpu_hour"], around.limits.price_step_ratio
    if abs(case.price - now) > now * (most + ROUNDING_RATIO):
        return (
            f"from ${now:.2f} to ${case.price:.2f} is a step of {case.price / now - 1:+.0%}; "
            f"{most:.0%} is allowed at once"
        )
    return None


def capacity_stays_above_minimum(case: Case, around: Circumstances) -> str | None:
    if case.removed_gpus <= 0:
        return None
    removed = case.removed_gpus // max(case.seen.pool.gpus_per_node, 1)
    left = int(case.seen.features["on_nodes"]) - removed
    share = around.limits.minimum_capacity_ratio * case.seen.pool.owned_nodes
    least = max(math.ceil(share), around.limits.minimum_capacity_nodes)
    if left < least:
        return f"{left} nodes would be left on, and {least} must stay"
    return None


GUARDS: tuple[Guard, ...] = (
    mode_is_not_off,  # what nobody wants is not weighed further
    mode_lets_it_be_carried_out,
    kill_switch_is_off,
    breaker_is_closed,
    time_is_not_frozen,
    rights_are_there,
    pool_has_a_lever,
    target_may_be_disturbed,
    quarantines_are_few,
    target_has_no_other_decision,
    target_has_cooled_down,
    actions_are_in_budget,
    cost_is_in_budget,
    disruption_is_in_budget,
    capacity_stays_above_minimum,
    price_is_above_floor,
    price_is_below_ceiling,
    price_step_is_small,
)

MODE_GUARDS: tuple[Hold, ...] = (mode_is_not_off, mode_lets_it_be_carried_out)

UNDO_HOLDS: tuple[Hold, ...] = (kill_switch_is_off, breaker_is_closed, time_is_not_frozen)
HOLDS: tuple[Hold, ...] = (*UNDO_HOLDS, maintenance_window_is_open)
"""While one of these says no, what was approved waits: it is not refused for good. A maintenance
window is no guard: what needs one is proposed at any time, so that it is decided when it opens."""

UNDO_GUARDS: tuple[Guard, ...] = (
    cost_is_in_budget,
    disruption_is_in_budget,
    capacity_stays_above_minimum,
    price_is_above_floor,
    price_is_below_ceiling,
)
"""Asked of what taking something back would do. Steps, counts and the cool-down are not: they
pace what is proposed, and going back must not wait for them."""
