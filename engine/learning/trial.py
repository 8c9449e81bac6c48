"""The trial of a challenger: its days in shadow and in the canary, and asking for its promotion.

Gates that need no waiting are asked once, after training; those of the shadow and the canary again
each day, as the twin's scores come in. Once all are passed, promotion is proposed as a decision.
"""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from uuid import NAMESPACE_URL, uuid5

import numpy as np
import polars as pl

from engine.actions.promote_policy import ALL_POOLS, TARGET
from engine.champion import canary_since, chosen_for_canary
from engine.learning.gates import Canary, Evidence, as_rows, gates
from engine.learning.undoing import Floats
from warehouse import controls, policies
from warehouse.actions import action_hash, sentence
from warehouse.decisions import TargetBusy, propose
from warehouse.records import Decision, Mode, PolicyVersion
from warehouse.store import Store

DAY = timedelta(days=1)
LONGEST = timedelta(days=56)
"""A trial that has not ended by then ends without promotion: the next challenger is made. A gain of
2 % a day takes some 30 days to be shown beyond doubt."""
PROMOTION_HORIZON = timedelta(days=7)
EXPIRES_AFTER = timedelta(days=1)
WINDOWS_A_DAY = 6
FEWEST_WINDOWS = 5
"""Scored windows a pool and day below which the day does not count."""
LATER_GATES = ("shadow_days", "shadow_gain", "canary")
"""The gates that only time can pass."""
INTERVAL_RATIO = 0.8
INTERVAL_DEVIATIONS = 1.2816
"""of a normal distribution, to both sides of 80 %"""

_FIRST = "SELECT min(created_at) FROM policies WHERE policy_id = $policy_id"
_SCORES = """
    SELECT pool, floor(epoch(starts_at - $since) / 86400)::INT AS day,
        profit_usd - rule_profit_usd AS gain, rule_profit_usd AS rule
    FROM shadow_scores WHERE policy_id = $policy_id AND starts_at >= $since
"""
_POOLS = "SELECT DISTINCT pool FROM pools ORDER BY pool"
_ALARMS = "SELECT count(*) FROM policy_alarms WHERE policy_id = $policy_id"
_PROMOTIONS = """
    SELECT state, parameters, proposed_at, expires_at FROM decision_states
    WHERE action = 'promote_policy' ORDER BY proposed_at DESC
"""


@dataclass(frozen=True)
class Asked:
    """What was said the last time that a promotion was asked for."""

    state: str
    proposed_at: datetime
    expires_at: datetime


def is_on_trial(store: Store, version: PolicyVersion, now: datetime) -> bool:
    """Whether it may still be promoted: it passed what needs no waiting, raised no alarm, was not
    rejected, and has time left."""
    early = [gate["passed"] for gate in version.gates if gate["name"] not in LATER_GATES]
    if not early or not all(early) or now - begun_at(store, version) > LONGEST:
        return False
    if store.query(_ALARMS, policy_id=version.policy_id).item():
        return False
    asked = _asked(store, version.policy_id)
    return asked is None or asked.state in ("waiting", "lapsed", "approved", "carrying_out")


def begun_at(store: Store, version: PolicyVersion) -> datetime:
    """When the challenger was made."""
    first: datetime = store.query(_FIRST, policy_id=version.policy_id).item()
    return first


def review(store: Store, version: PolicyVersion, now: datetime) -> PolicyVersion:
    """Ask the gates of the shadow and the canary again; what changed is written as a row."""
    later = {
        gate["name"]: gate
        for gate in as_rows(gates(_evidence(store, version)))
        if gate["name"] in LATER_GATES
    }
    found = [later.get(gate["name"], gate) for gate in version.gates]
    if found == version.gates:
        return version
    made = replace(version, gates=found, created_at=max(now, version.created_at))
    store.append([made])
    return made


def ask_for_promotion(store: Store, version: PolicyVersion, now: datetime) -> Decision | None:
    """Propose that it steers, where every gate is passed and nobody has been asked lately."""
    if not version.gates or not all(gate["passed"] for gate in version.gates):
        return None
    mode = controls.mode(store, "promote_policy")
    asked = _asked(store, version.policy_id)
    is_open = asked is not None and (asked.state != "lapsed" or now < asked.proposed_at + DAY)
    if mode == "off" or is_open:
        return None
    decision = _decision(store, version, mode, now)
    with suppress(TargetBusy):  # another promotion is open: this one is asked for afterwards
        propose(store, decision)
        return decision
    return None


# -- evidence from rows ----------------------------------------------------------------


def _evidence(store: Store, version: PolicyVersion) -> Evidence:
    return Evidence(
        shadow_daily_gain_ratios=_daily(_scores(store, version, begun_at(store, version))),
        canary=_canary(store, version),
    )


def _scores(store: Store, version: PolicyVersion, since: datetime) -> pl.DataFrame:
    return store.query(_SCORES, policy_id=version.policy_id, since=since)


def _whole_days(scores: pl.DataFrame) -> pl.DataFrame:
    """`day`, `gain` and `rule` in USD, all pools together; a pool's day that is not whole is left
    out."""
    return (
        scores.group_by("day", "pool")
        .agg(pl.len().alias("windows"), pl.col("gain").sum(), pl.col("rule").sum())
        .filter(pl.col("windows") >= FEWEST_WINDOWS)
        .group_by("day")
        .agg(pl.col("gain").sum(), pl.col("rule").sum())
        .sort("day")
    )


def _daily(scores: pl.DataFrame) -> Floats:
    """Gain over the rule each day, over the rule's mean daily profit."""
    days = _whole_days(scores)
    if days.is_empty():
        return np.zeros(0)
    usual = max(abs(float(days["rule"].to_numpy().mean())), 1e-9)
    ratios: Floats = days["gain"].to_numpy() / usual
    return ratios


def _canary(store: Store, version: PolicyVersion) -> Canary | None:
    since = canary_since(store, version.policy_id)
    if since is None:
        return None
    every = store.query(_POOLS)["pool"].to_list()
    pools = chosen_for_canary(version.policy_id, every)
    return Canary(
        pools=len(pools),
        all_pools=len(every),
        daily_gain_ratios=_daily(
            _scores(store, version, since).filter(pl.col("pool").is_in(list(pools)))
        ),
        alarms=store.query(_ALARMS, policy_id=version.policy_id).item(),
    )


def _asked(store: Store, policy_id: str) -> Asked | None:
    for state, parameters, proposed_at, expires_at in store.query(_PROMOTIONS).iter_rows():
        if json.loads(parameters)["policy_id"] == policy_id:
            return Asked(state, proposed_at, expires_at)
    return None


# -- the decision ----------------------------------------------------------------------


def _decision(store: Store, version: PolicyVersion, mode: Mode, now: datetime) -> Decision:
    parameters = {"policy_id": version.policy_id}
    mean, error = _hourly(_scores(store, version, begun_at(store, version)))
    steering = policies.steering(store)
    return Decision(
        decision_id=_decision_id(version.policy_id, now),
        action="promote_policy",
        target=TARGET,
        pool=ALL_POOLS,
        parameters=parameters,
        action_hash=action_hash("promote_policy", TARGET, parameters),
        mode=mode,
        policy=version.policy_id,
        summary=sentence("promote_policy", ALL_POOLS, parameters),
        reason=" ".join(gate["sentence"] for gate in version.gates),
        evidence={gate["name"]: gate["value"] for gate in version.gates} | dict(version.figures),
        expected_gain_usd_per_hour=mean,
        expected_gain_low_usd_per_hour=mean - INTERVAL_DEVIATIONS * error,
        expected_gain_high_usd_per_hour=mean + INTERVAL_DEVIATIONS * error,
        interval_ratio=INTERVAL_RATIO,
        disruption_cost_usd=0.0,
        baseline=f"{steering.policy_id} would go on steering; the gain is that over the rule.",
        alternatives=[
            {
                "action": "do_nothing",
                "parameters": {},
                "why_not": f"{steering.policy_id} would go on steering",
            }
        ],
        snapshot_id=store.snapshot_id(),
        horizon_seconds=int(PROMOTION_HORIZON.total_seconds()),
        proposed_at=now,
        expires_at=now + EXPIRES_AFTER,
    )


def _decision_id(policy_id: str, now: datetime) -> str:
    return str(uuid5(NAMESPACE_URL, f"promotion/{policy_id}/{now.isoformat()}"))


def _hourly(scores: pl.DataFrame) -> tuple[float, float]:
    """Gain over the rule in USD per hour, all pools together, and its standard error by days."""
    days = _whole_days(scores)["gain"].to_numpy() / 24
    if not len(days):
        return 0.0, 0.0
    error = float(days.std(ddof=1) / np.sqrt(len(days))) if len(days) > 1 else 0.0
    return float(days.mean()), error
