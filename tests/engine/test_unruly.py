"""A policy that wants one thing or another for no good reason: the guards hold all the same."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from tests.engine.crowned import crown, make_network
from tests.engine.invariants import check_capacity_and_budgets, check_prices
from tests.engine.world import Played
from warehouse import policies

QUARTER = timedelta(minutes=15)
HOURS = 5


@pytest.mark.timeout(200)
def test_an_unruly_champion_breaks_no_guard(played: Played, tmp_path: Path) -> None:
    crown(played.store, tmp_path, played.now, network=make_network(seed=5, scale=30.0))
    engine = replace(played.engine, home=tmp_path)
    played.set_modes("autonomous")
    for _ in range(4 * HOURS):
        engine.tick()
        played.forward(QUARTER)
    failed = played.store.query("SELECT detail FROM collector_runs WHERE outcome <> 'succeeded'")
    assert failed["detail"].to_list() == []
    done = played.store.query(
        "SELECT count(*) FROM executions e JOIN decisions d USING (decision_id) "
        "WHERE e.phase = 'succeeded' AND d.policy = 'learned-1'"
    ).item()
    assert done >= 5
    assert policies.steering(played.store).policy_id in ("learned-1", "rule")
    check_capacity_and_budgets(played)
    check_prices(played)
