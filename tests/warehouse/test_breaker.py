"""The breaker opens after failures in a row or too many quarantines, and says which."""

from __future__ import annotations

from datetime import datetime, timedelta

from tests.makers import NOON, make_decision
from warehouse import breaker
from warehouse.limits import Limits
from warehouse.records import Execution
from warehouse.store import Store

LIMITS = Limits()


def quarantine(store: Store, number: int, at: datetime, *, phases: tuple[str, ...] = ()) -> None:
    parameters = {"node_id": f"n{number}"}
    made = make_decision(
        decision_id=f"q{number}",
        action="quarantine_node",
        target=f"node/n{number}",
        parameters=parameters,
    )
    ends = [
        Execution(
            decision_id=f"q{number}", kind="do", phase=phase, parameters=parameters, result={},
            happened_at=at,
        )
        for phase in ("intended", *phases)
    ]  # fmt: skip
    store.append([made, *ends])


def test_too_many_quarantines_within_the_window_open_it_with_a_reason(store: Store) -> None:
    for number in range(2):
        quarantine(store, number, NOON - timedelta(minutes=20 * number), phases=("succeeded",))
    breaker.open_where_due(store, LIMITS, NOON)
    assert not breaker.breaker(store).is_open
    quarantine(store, 2, NOON)
    breaker.open_where_due(store, LIMITS, NOON)
    found = breaker.breaker(store)
    assert (found.is_open, found.reason) == (True, "3 nodes quarantined within 60 min")


def test_old_and_refused_quarantines_and_those_before_it_was_closed_do_not_count(
    store: Store,
) -> None:
    quarantine(store, 0, NOON - timedelta(minutes=61))
    quarantine(store, 1, NOON, phases=("refused",))
    quarantine(store, 2, NOON - timedelta(minutes=5))
    assert breaker.quarantines_begun(store, None, LIMITS, NOON) == 1
    breaker.open_breaker(store, failures=3, now=NOON - timedelta(minutes=3))
    breaker.close_breaker(store, by="ada", reason="mended", now=NOON - timedelta(minutes=2))
    closed_at = breaker.breaker(store).closed_at
    assert breaker.quarantines_begun(store, closed_at, LIMITS, NOON) == 0


def test_an_open_breaker_keeps_the_reason_that_opened_it(store: Store) -> None:
    breaker.open_breaker(store, failures=3, now=NOON)
    for number in range(4):
        quarantine(store, number, NOON)
    breaker.open_where_due(store, LIMITS, NOON + timedelta(minutes=1))
    found = breaker.breaker(store)
    assert (found.reason, found.opened_at) == ("3 actions failed in a row", NOON)
