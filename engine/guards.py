"""The guards: what holds whatever a policy says. Asked when proposing and right before acting.

A guard is a function of a candidate and the circumstances that answers with the sentence why
not, or None. They are asked in the order of `GUARDS`.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from engine.actions import Candidate, actions
from engine.observe import PoolObservation
from warehouse import controls
from warehouse.records import Mode
from warehouse.store import Store

HOUR = timedelta(hours=1)
ROUNDING_RATIO = 1e-3
"""Prices are whole hundredths of a cent: a limit is not broken by less than this."""

_DEEDS = """
    SELECT d.decision_id, d.action, d.target, d.pool, e.parameters, e.result,
        min(e.happened_at) AS acted_at
    FROM executions e JOIN decisions d USING (decision_id)
    WHERE e.kind = 'do' AND e.phase = 'intended' AND e.happened_at > $since
    GROUP BY ALL
"""
_OPEN = """
    SELECT target, decision_id FROM decision_states
    WHERE state IN ('approved', 'carrying_out', 'undoing')
        OR (state = 'waiting' AND expires_at > $now)
"""


@dataclass(frozen=True)
class Deed:
    """Something that was carried out, or begun, lately."""

    decision_id: str
    target: str
    pool: str
    added_cost_usd_per_hour: float
    removed_gpus: int
    acted_at: datetime


@dataclass(frozen=True)
class Circumstances:
    """All that the guards look at besides the pool: read once, then pure."""

    limits: controls.Limits
    modes: dict[str, Mode]
    kill_switch: controls.KillSwitch
    breaker: controls.Breaker
    deeds: tuple[Deed, ...]
    """Of the last hour or the cool-down, whichever is longer."""
    open_decisions: dict[str, str]
    """The open decision of each target that has one."""
    now: datetime

    @property
    def hour(self) -> list[Deed]:
        """The deeds of the last hour."""
        return [deed for deed in self.deeds if deed.acted_at > self.now - HOUR]


@dataclass(frozen=True)
class Case:
    """A candidate, its pool, and the decision it already is, where it is one."""

    candidate: Candidate
    seen: PoolObservation
    decision_id: str | None = None

    @property
    def price(self) -> float | None:
        """The price it would set, in USD per GPU-hour."""
        return self.candidate.parameters.get("price_usd_per_gpu_hour")

    @property
    def removed_gpus(self) -> int:
        """GPUs it takes away."""
        return actions()[self.candidate.action].removed_gpus(self.seen, self.candidate.parameters)

    @property
    def added_cost_usd_per_hour(self) -> float:
        """Running cost it adds."""
        return actions()[self.candidate.action].added_cost_usd_per_hour(
            self.seen, self.candidate.parameters
        )


Guard = Callable[[Case, Circumstances], str | None]


def circumstances(store: Store, now: datetime, but_for: str | None = None) -> Circumstances:
    """What the guards look at, as it is now, but for the decision that is asked about."""
    standing = controls.standing(store)
    limits = standing.limits
    since = now - max(HOUR, timedelta(seconds=limits.cooldown_seconds))
    return Circumstances(
        limits=limits,
        modes=standing.modes,
        kill_switch=standing.kill_switch,
        breaker=standing.breaker,
        deeds=tuple(
            _deed(row)
            for row in store.query(_DEEDS, since=since).to_dicts()
            if row["decision_id"] != but_for
        ),
        open_decisions=dict(store.query(_OPEN, now=now).iter_rows()),
        now=now,
    )


def _deed(row: dict[str, Any]) -> Deed:
    """What it adds and removes was reckoned when it was begun, and kept with the intent."""
    reckoned = json.loads(row["result"])
    return Deed(
        decision_id=row["decision_id"],
        target=row["target"],
        pool=row["pool"],
        added_cost_usd_per_hour=float(reckoned.get("added_cost_usd_per_hour", 0.0)),
        removed_gpus=int(reckoned.get("removed_gpus", 0)),
        acted_at=row["acted_at"],
    )


def refusal(case: Case, around: Circumstances) -> tuple[str, str] | None:
    """The first guard that says no: its name and its sentence."""
    for guard in GUARDS:
        sentence = guard(case, around)
        if sentence is not None:
            return guard.__name__, sentence
    return None


# -- the guards ------------------------------------------------------------------------


def mode_is_not_off(case: Case, around: Circumstances) -> str | None:
    action = case.candidate.action
    if around.modes[action] == "off":
        return f"{action} is switched off"
    return None


def kill_switch_is_off(case: Case, around: Circumstances) -> str | None:
    switch = around.kill_switch
    if not switch.is_on:
        return None
    why = f": {switch.reason}" if switch.reason else ""
    return f"the kill switch is on, set by {switch.set_by}{why}"


def breaker_is_closed(case: Case, around: Circumstances) -> str | None:
    if around.breaker.is_open:
        return "the breaker is open after failures in a row: a person must close it"
    return None


def time_is_not_frozen(case: Case, around: Circumstances) -> str | None:
    for span in around.limits.frozen_spans:
        if span.starts_at <= around.now < span.ends_at:
            why = f" ({span.reason})" if span.reason else ""
            return f"frozen until {span.ends_at:%Y-%m-%d %H:%M %Z}{why}"
    return None


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
    cooldown = timedelta(seconds=around.limits.cooldown_seconds)
    for deed in around.deeds:
        age = around.now - deed.acted_at
        if deed.target == case.candidate.target and age < cooldown:
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
    kill_switch_is_off,
    breaker_is_closed,
    time_is_not_frozen,
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
