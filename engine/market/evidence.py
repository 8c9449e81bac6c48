"""What a decision on a price rests on, beyond what the planning model saw: the market's rows."""

from __future__ import annotations

from datetime import datetime

from warehouse import price_evidence as questions
from warehouse.records import Decision
from warehouse.store import Store


def price_evidence(
    store: Store, pool: str, now: datetime, *, market_at: datetime | None = None
) -> dict[str, float | str]:
    """Percentiles, rank, elasticity, floor, ceiling and step of a pool's price, by name.

    `market_at` is the market's clock where it is not the console's.
    """
    return questions.price_evidence(store, pool, now, market_at=market_at)


def added_evidence(
    store: Store, decision: Decision, *, market_at: datetime | None = None
) -> dict[str, float | str]:
    """What to put beside a decision's own evidence; nothing for any that sets no price."""
    if decision.action != "adjust_price":
        return {}
    found = price_evidence(store, decision.pool, decision.proposed_at, market_at=market_at)
    return {name: value for name, value in found.items() if name not in decision.evidence}
