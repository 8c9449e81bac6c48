"""What was proposed and not done, why, and what that cost: the ledger of what was forgone.

Each line counts from its proposal until the same was proposed of the same target anew, or until its
horizon was over: who lets one proposal lapse four times in a day forgoes its gain once. Its cost is
what was expected of it, and beside that, where the twin could tell, what it would have gained. A
negative one was well left.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Literal, get_args

import polars as pl

from warehouse.paging import Page, Position, page_of
from warehouse.store import Store

Fate = Literal[
    "shadow", "lapsed", "rejected", "withdrawn", "held_back", "refused", "stale", "failed"
]
"""Only on record; nobody answered in time; a person said no; a person took the approval back; a
guard let it not be proposed; a guard or the fleet said no right before it was done; it no longer
made sense by then, or somebody else had changed its target; it went wrong."""
FATES: tuple[Fate, ...] = get_args(Fate)

REASONED_EVERY = timedelta(minutes=15)
"""What a guard holds back is weighed anew at the next reasoning, and counts until then."""

_NOT_DONE = """
    WITH guarded AS (
        SELECT decision_id, arg_max(guard, refused_at) AS guard FROM refusals
        WHERE decision_id IS NOT NULL GROUP BY decision_id
    ), everything AS (
        SELECT proposed_at AS "at", action, target, pool, decision_id, summary, guard,
            CASE WHEN state <> 'refused' THEN state
                WHEN guard IN ('still_makes_sense', 'unchanged_since_proposed') THEN 'stale'
                ELSE 'refused' END AS fate,
            CASE state WHEN 'rejected' THEN verdict_reason
                WHEN 'withdrawn' THEN withdrawal_reason WHEN 'refused' THEN execution_detail
                WHEN 'failed' THEN execution_detail END AS why,
            expected_gain_usd_per_hour, realised_gain_usd_per_hour, horizon_seconds
        FROM decision_states LEFT JOIN guarded USING (decision_id)
        WHERE action NOT IN ('do_nothing', 'promote_policy')
        UNION ALL
        SELECT refused_at, action, target,
            coalesce(pool, CASE WHEN split_part(target, '/', 1) IN ('pool', 'price')
                THEN split_part(target, '/', 2) END),
            NULL, NULL, guard, 'held_back', detail,
            expected_gain_usd_per_hour, NULL, epoch($reasoned_every)
        FROM refusals
        WHERE decision_id IS NULL AND guard <> 'target_has_no_other_decision'
    ), spanned AS (
        SELECT *, least(horizon_seconds, coalesce(epoch(
            lead("at") OVER (PARTITION BY action, target ORDER BY "at", decision_id) - "at"
        ), horizon_seconds)) / 3600 AS hours
        FROM everything
    )
    SELECT *, hours * expected_gain_usd_per_hour AS expected_usd,
        hours * realised_gain_usd_per_hour AS would_have_gained_usd
    FROM spanned
    WHERE list_contains($fates::VARCHAR[], fate) AND ($since IS NULL OR "at" >= $since)
        AND ($pool IS NULL OR pool = $pool) AND ($action IS NULL OR action = $action)
"""
"""What is held back since a decision on the same is open is that decision's line already."""


def not_done(
    store: Store,
    *,
    since: datetime | None = None,
    pool: str | None = None,
    action: str | None = None,
    fate: Fate | None = None,
    offset: Position = 0,
    limit: int = 50,
) -> Page:
    """One page of what was proposed and not done, the newest first.

    Columns: `at`, `action`, `target`, `pool`, `decision_id` (NULL where a guard let it not come to
    one), `summary`, `guard`, `fate` (see `Fate`), `why`, `expected_gain_usd_per_hour`,
    `realised_gain_usd_per_hour` (by the twin, had it been done), `hours` it counts,
    `expected_usd` and `would_have_gained_usd` over those.
    """
    return page_of(
        store,
        f"SELECT * EXCLUDE (horizon_seconds) FROM ({_NOT_DONE})",
        order='"at" DESC, action, target, decision_id, guard',
        offset=offset,
        limit=limit,
        **_asked(since, pool, action, fate),
    )


def forgone(
    store: Store,
    *,
    since: datetime | None = None,
    pool: str | None = None,
    action: str | None = None,
    fate: Fate | None = None,
) -> pl.DataFrame:
    """What all of it cost, a row an action type and fate.

    Columns: `action`, `fate`, `count`, `expected_usd`, `measured_count`, `would_have_gained_usd`
    (of those measured; NULL where none was).
    """
    return store.query(
        f"""
        SELECT action, fate, count(*) AS "count", coalesce(sum(expected_usd), 0) AS expected_usd,
            count(would_have_gained_usd) AS measured_count,
            sum(would_have_gained_usd) AS would_have_gained_usd
        FROM ({_NOT_DONE}) GROUP BY action, fate ORDER BY action, fate
        """,
        **_asked(since, pool, action, fate),
    )


def _asked(
    since: datetime | None, pool: str | None, action: str | None, fate: Fate | None
) -> dict[str, object]:
    return {
        "since": since,
        "pool": pool,
        "action": action,
        "fates": [fate] if fate else list(FATES),
        "reasoned_every": REASONED_EVERY,
    }
