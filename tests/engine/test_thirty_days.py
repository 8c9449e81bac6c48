"""Thirty fleet days of the whole loop in autonomous mode: what must always hold, holds."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import polars as pl
import pytest

from tests.engine.invariants import (
    check_capacity_and_budgets,
    check_moves,
    check_nodes_out_of_use,
    check_prices,
)
from tests.engine.world import Played
from warehouse.store import Location, Store

DAYS = 30
STEP = timedelta(hours=12)
HISTORY = timedelta(days=2)


pytestmark = pytest.mark.timeout(900)


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Played]:
    folder: Path = tmp_path_factory.mktemp("thirty-days")
    store = Store(Location.embedded(folder))
    played = Played(store)
    played.start(HISTORY)
    played.set_modes("autonomous")
    for _ in range(int(timedelta(days=DAYS) / STEP)):
        played.engine.tick()
        played.forward(STEP)
    _let_everything_end(played)
    yield played
    store.close()


def _let_everything_end(played: Played) -> None:
    """Propose nothing more, and tick until every horizon is over."""
    played.set_modes("off")
    for _ in range(4):
        played.forward(STEP)
        played.engine.tick()


def _states(played: Played) -> pl.DataFrame:
    return played.store.query("SELECT * FROM decision_states")


def test_capacity_prices_and_jobs_were_acted_on(played: Played) -> None:
    done = _states(played).filter(execution_phase="succeeded")
    assert set(done["action"]) >= {"scale_up", "scale_down", "adjust_price"}
    assert done.height > 20


def test_nothing_failed_on_the_way(played: Played) -> None:
    runs = played.store.query("SELECT * FROM collector_runs WHERE outcome <> 'succeeded'")
    assert runs["detail"].to_list() == []


def test_nothing_was_carried_out_without_a_verdict_before_it(played: Played) -> None:
    steps = played.store.query(
        "SELECT e.happened_at, v.verdict, v.decided_at FROM executions e "
        "LEFT JOIN verdicts v USING (decision_id)"
    )
    assert set(steps["verdict"]) == {"approve"}
    assert (steps["decided_at"] <= steps["happened_at"]).all()


def test_the_fleet_took_no_command_without_an_intent_before_it(played: Played) -> None:
    commands = played.store.query(
        "SELECT c.command_id, c.applied_at, e.happened_at FROM fleet_commands c "
        "LEFT JOIN executions e ON split_part(c.command_id, ':', 1) = e.decision_id "
        "AND e.phase = 'intended' "
        "AND e.kind = CASE WHEN split_part(c.command_id, ':', 2) = 'undo' THEN 'undo' ELSE 'do' END"
    )
    assert commands["happened_at"].null_count() == 0
    assert (commands["happened_at"] <= commands["applied_at"]).all()
    assert commands["command_id"].is_unique().all()


def test_every_decision_ends(played: Played) -> None:
    ended = {"noted", "measured", "undone", "undo_failed", "refused", "failed"}
    assert set(_states(played)["state"]) <= ended


def test_what_was_carried_out_was_measured_by_the_twin(played: Played) -> None:
    done = _states(played).filter(execution_phase="succeeded")
    assert done["realised_gain_usd_per_hour"].null_count() == 0
    assert set(done["outcome_method"]) == {"twin"}


def test_no_guard_was_broken_on_capacity_and_budgets(played: Played) -> None:
    check_capacity_and_budgets(played)


def test_no_node_was_left_out_of_use_without_a_decision_that_says_why(played: Played) -> None:
    check_nodes_out_of_use(played)


def test_no_job_was_moved_and_no_node_emptied_but_by_a_decision(played: Played) -> None:
    check_moves(played)


def test_no_price_left_its_band_or_took_too_large_a_step(played: Played) -> None:
    assert check_prices(played) > 10


def test_the_price_list_says_what_the_fleet_charged(played: Played) -> None:
    """Every job submitted while a price was in force locked exactly that price."""
    jobs = played.store.query(
        "SELECT e.price_usd_per_gpu_hour AS paid, p.price_usd_per_gpu_hour AS listed "
        "FROM job_events e ASOF JOIN price_list p ON e.happened_at > p.in_force_from_at "
        "WHERE e.event = 'submitted'"
    )
    assert jobs.height > 1000
    assert (jobs["paid"] - jobs["listed"]).abs().max() < 1e-6


def test_money_adds_up(played: Played) -> None:
    charges = played.store.query(
        "SELECT sum(charge_usd) AS charged, sum(gpu_hours * price_usd_per_gpu_hour) AS metered, "
        "sum(gpu_hours) AS hours FROM charges"
    ).row(0, named=True)
    ledger = played.store.query(
        "SELECT sum(revenue_usd) AS revenue, sum(used_gpu_hours) AS hours FROM pool_ledgers"
    ).row(0, named=True)
    assert charges["charged"] == pytest.approx(charges["metered"], rel=1e-9)
    assert charges["charged"] == pytest.approx(ledger["revenue"], rel=1e-6)
    assert charges["hours"] == pytest.approx(ledger["hours"], rel=1e-6)


def test_each_job_pays_the_price_locked_at_its_submission(played: Played) -> None:
    wrong = played.store.query(
        "SELECT count(*) FROM charges c JOIN job_events e USING (job_id) "
        "WHERE e.event = 'submitted' "
        "AND abs(c.price_usd_per_gpu_hour - e.price_usd_per_gpu_hour) > 1e-9"
    ).item()
    assert wrong == 0


def test_the_fleet_can_be_built_again_from_its_commands(played: Played) -> None:
    fleet = played.world.fleet
    again = type(fleet).replayed(fleet.settings, list(fleet.log), fleet.now)
    assert again.checksums() == fleet.checksums()


def test_the_loop_earned_more_than_leaving_the_fleet_alone(played: Played) -> None:
    left_alone = type(played.world.fleet).replayed(
        played.world.fleet.settings, [], played.world.fleet.now
    )
    assert _profit_usd(played.world.fleet) > _profit_usd(left_alone)


def _profit_usd(fleet: object) -> float:
    from engine.simulator.metrics import profit

    return sum(float(profit(metrics)) for metrics in fleet.metrics().values())
