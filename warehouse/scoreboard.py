"""What decisions promised, what they kept, and what was missed by not acting.

What was overridden is left out of promised against kept: the promise was made for other parameters
than those that were carried out. So are promotions of policies: what a policy gains, its own
decisions gain. Harm counts whoever chose the parameters.
"""

from __future__ import annotations

from dataclasses import dataclass

from warehouse.store import Store

_SCOREBOARD = """
    SELECT
        count(*) FILTER (is_measured) AS measured_count,
        coalesce(sum(expected_usd) FILTER (is_measured), 0) AS expected_usd,
        coalesce(sum(realised_gain_usd_per_hour * hours) FILTER (is_measured), 0) AS realised_usd,
        count(*) FILTER (is_measured AND realised_gain_usd_per_hour
            BETWEEN expected_gain_low_usd_per_hour AND expected_gain_high_usd_per_hour
        ) AS covered_count,
        count(*) FILTER (did_harm) AS harmful_count,
        count(*) FILTER (state IN ('shadow', 'lapsed', 'rejected')) AS missed_count,
        coalesce(sum(expected_usd) FILTER (state = 'shadow'), 0) AS shadow_usd,
        coalesce(sum(expected_usd) FILTER (state = 'lapsed'), 0) AS lapsed_usd,
        coalesce(sum(expected_usd) FILTER (state = 'rejected'), 0) AS rejected_usd
    FROM (
        SELECT *, horizon_seconds / 3600 AS hours, expected_gain_usd_per_hour * hours
            AS expected_usd, execution_phase = 'succeeded'
                AND realised_gain_usd_per_hour IS NOT NULL
                AND verdict = 'approve' AS is_measured
        FROM decision_states WHERE action <> 'promote_policy'
    )
"""


@dataclass(frozen=True)
class Scoreboard:
    """What decisions promised and kept, and what those not acted on promised."""

    measured_count: int
    """Decisions carried out as proposed whose gain was measured; none that was overridden."""
    expected_usd: float
    """What those promised over their horizons."""
    realised_usd: float
    """What they gained."""
    covered_count: int
    """Of those, how many gained within the interval they promised."""
    harmful_count: int
    """How many are judged harmful."""
    missed_count: int
    """Decisions not acted on: shadow, lapsed or rejected."""
    shadow_usd: float
    """What shadow decisions promised over their horizons."""
    lapsed_usd: float
    """What those promised that nobody decided in time."""
    rejected_usd: float
    """What the rejected ones promised."""

    @property
    def missed_usd(self) -> float:
        """What all decisions not acted on promised; never measured, so never added to gains."""
        return self.shadow_usd + self.lapsed_usd + self.rejected_usd


def scoreboard(store: Store) -> Scoreboard:
    """Promised against kept, over all decisions that were carried out as proposed."""
    return Scoreboard(**store.query(_SCOREBOARD).row(0, named=True))
