"""What to do about the market: the recommendations in force, and proposing one as a decision.

A recommendation becomes a decision by a person's word, and then waits for approval like any other;
the decision's id follows from the recommendation's, so that one becomes one decision at most.

    NoSuchRecommendation    (a NoSuchDecision) there is none of this id
    RecommendationIsOld     (an Expired) a newer round has others: read the list again
    AlreadyProposed         (an AlreadyDecided) it has become a decision before
    NotForTheLoop           (InvalidParameters) it is a finding: a person must act on it
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any
from uuid import NAMESPACE_URL, uuid5

import polars as pl

from warehouse import audit, controls
from warehouse.actions import InvalidParameters, action_hash, checked_parameters, sentence
from warehouse.decisions import AlreadyDecided, Expired, NoSuchDecision, propose
from warehouse.money import price_in_force
from warehouse.price_evidence import price_evidence
from warehouse.records import Decision, Recommendation
from warehouse.store import Store

POLICY = "market"
"""Who proposes a decision that came from a recommendation."""
OLD_AFTER = timedelta(hours=26)
"""A round comes once a day at least; what is older says nothing of today."""
HOURS_PER_MONTH = 730.0
INTERVAL_RATIO = 0.8

_NEWEST = """
    SELECT r.* EXCLUDE (decision_id, rowid), d.decision_id FROM (
        SELECT *, rowid FROM recommendations
        WHERE made_at > $since
            AND made_at = (SELECT max(made_at) FROM recommendations WHERE made_at <= $now)
    ) r LEFT JOIN decisions d
        ON d.policy = 'market' AND (d.evidence ->> '$.recommendation_id') = r.recommendation_id
    ORDER BY rank
"""
_ONE = "SELECT * FROM recommendations WHERE recommendation_id = $id"


class NoSuchRecommendation(NoSuchDecision):
    """There is none of this id."""


class RecommendationIsOld(Expired):
    """A newer round has others."""


class AlreadyProposed(AlreadyDecided):
    """It has become a decision before."""


class NotForTheLoop(InvalidParameters):
    """It is a finding: a person must act on it."""


def recommendations(store: Store, now: datetime) -> list[Recommendation]:
    """Those of the newest round, unless it is old, the most valuable first; with the decision each
    became."""
    return store.rows(Recommendation, _NEWEST, now=now, since=now - OLD_AFTER)


def recommendations_frame(store: Store, now: datetime) -> pl.DataFrame:
    """The same as a frame; what holds several values is JSON."""
    return store.query(_NEWEST, now=now, since=now - OLD_AFTER)


def propose_recommendation(
    store: Store,
    recommendation_id: str,
    *,
    by: str,
    now: datetime,
    via: audit.AuditVia = "browser",
    market_at: datetime | None = None,
) -> Decision:
    """Make a recommendation a decision that waits for approval, whatever the action's mode.

    Raises:
        NoSuchRecommendation, RecommendationIsOld, AlreadyProposed, NotForTheLoop: see above.
        TargetBusy: another decision on this price is open.
    """
    found = store.rows(Recommendation, _ONE, id=recommendation_id)
    if not found:
        raise NoSuchRecommendation(
            f"there is no recommendation {recommendation_id}: read the list again"
        )
    chosen = found[0]
    _refuse_old(store, chosen, now)
    decision = _decision(store, chosen, by, now, market_at)
    with store.transaction():
        _refuse_second(store, decision.decision_id)
        propose(store, decision)
        audit.record(
            store,
            by,
            "recommendation.propose",
            recommendation_id,
            via=via,
            at=now,
            detail={"decision_id": decision.decision_id, "parameters": decision.parameters},
        )
    return decision


# -- how -------------------------------------------------------------------------------


def _refuse_old(store: Store, chosen: Recommendation, now: datetime) -> None:
    if chosen.kind != "decision" or chosen.action is None or chosen.pool is None:
        raise NotForTheLoop("this is a finding for a person: the loop has no action for it")
    newest = store.query("SELECT max(made_at) FROM recommendations").item()
    if chosen.made_at < newest or now - chosen.made_at > OLD_AFTER:
        raise RecommendationIsOld("newer recommendations were made since: read the list again")


def _refuse_second(store: Store, decision_id: str) -> None:
    sql = "SELECT count(*) FROM decisions WHERE decision_id = $id"
    if store.query(sql, id=decision_id).item():
        raise AlreadyProposed(f"it is decision {decision_id} already: see it there")


def _decision(
    store: Store, chosen: Recommendation, by: str, now: datetime, market_at: datetime | None
) -> Decision:
    assert chosen.action is not None
    assert chosen.pool is not None
    limits = controls.limits(store)
    parameters = checked_parameters(chosen.action, chosen.parameters)
    target = f"price/{chosen.pool}"
    name = f"decision/recommendation/{chosen.recommendation_id}"
    return Decision(
        decision_id=str(uuid5(NAMESPACE_URL, name)),
        action=chosen.action,
        target=target,
        pool=chosen.pool,
        parameters=parameters,
        action_hash=action_hash(chosen.action, target, parameters),
        mode="approve",
        policy=POLICY,
        summary=sentence(chosen.action, chosen.pool, parameters),
        reason=f"{chosen.reason} {by} proposed it from the market's recommendations.",
        evidence=_evidence(store, chosen, by, now, market_at),
        expected_gain_usd_per_hour=chosen.effect_usd_per_month / HOURS_PER_MONTH,
        expected_gain_low_usd_per_hour=chosen.effect_low_usd_per_month / HOURS_PER_MONTH,
        expected_gain_high_usd_per_hour=chosen.effect_high_usd_per_month / HOURS_PER_MONTH,
        interval_ratio=INTERVAL_RATIO,
        disruption_cost_usd=0.0,
        baseline="The rule prices by how full the pool is; this one by what the market pays.",
        alternatives=[{"action": "do_nothing", "parameters": {}, "guard": None,
                       "expected_gain_usd_per_hour": 0.0, "why_not": "would leave it unearned"}],
        snapshot_id=store.snapshot_id(),
        propensity_ratio=None,
        horizon_seconds=limits.horizon_seconds,
        proposed_at=now,
        expires_at=now + timedelta(seconds=limits.decision_expiry_seconds),
    )  # fmt: skip


def _evidence(
    store: Store, chosen: Recommendation, by: str, now: datetime, market_at: datetime | None
) -> dict[str, Any]:
    assert chosen.pool is not None
    in_force = price_in_force(store, chosen.pool, at=now)
    today = {} if in_force is None else {"price_usd_per_gpu_hour": in_force.price_usd_per_gpu_hour}
    return {
        **today,
        **price_evidence(store, chosen.pool, now, market_at=market_at),
        "recommendation_id": chosen.recommendation_id,
        "proposed_by": by,
        "effect_usd_per_month": chosen.effect_usd_per_month,
        "assumptions": " ".join(chosen.assumptions),
    }
