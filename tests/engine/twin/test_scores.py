"""Shadow scores, the twin against reality, and judging from rows, on one small fleet."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta

import numpy as np
import pytest

from engine.policies.registry import baseline
from engine.twin.judge import RowsJudge
from engine.twin.scores import WINDOW, Window, check, job, score
from engine.twin.spread import interval, student_quantile
from engine.twin.validity import is_valid, threshold
from tests.engine.twin.deeds import do, make_question
from tests.engine.world import MONDAY, NAME, SMALL_POOL, Played
from warehouse.records import ShadowScore, TwinCheck
from warehouse.store import Location, Store

HOUR = timedelta(hours=1)
TERMS = SMALL_POOL.economics
CONTENDERS = {
    "rule": ("rule", baseline("rule")),
    "idle": ("champion", baseline("static+list")),
}
STEPS = (
    ("adjust_price", {"price_usd_per_gpu_hour": 2.5}),
    ("scale_up", {"nodes": 1}),
    ("adjust_price", {"price_usd_per_gpu_hour": 3.2}),
    ("scale_up", {"nodes": 2}),
    ("adjust_price", {"price_usd_per_gpu_hour": 2.7}),
    ("adjust_price", {"price_usd_per_gpu_hour": 3.0}),
)


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Played]:
    """A day and a half of history, then twelve hours with a decision every two."""
    store = Store(Location.embedded(tmp_path_factory.mktemp("scores")))
    played = Played(store)
    played.start(timedelta(hours=36))
    for turn, (action, parameters) in enumerate(STEPS):
        do(played, f"d{turn}", action, **parameters)
        for _ in range(8):
            played.forward(HOUR / 4)
    yield played
    store.close()


def window(hours: float) -> Window:
    return Window(MONDAY + hours * HOUR, MONDAY + hours * HOUR + WINDOW)


def test_every_policy_is_scored_beside_the_rule(played: Played) -> None:
    rule, idle = score(played.store, NAME, CONTENDERS, window(40), terms=TERMS)
    assert (rule.policy_id, rule.role) == ("rule", "rule")
    assert rule.profit_usd == rule.rule_profit_usd == idle.rule_profit_usd
    assert rule.gain_low_usd == rule.gain_high_usd == 0
    gain = idle.profit_usd - idle.rule_profit_usd
    assert gain != 0
    assert idle.gain_low_usd < gain < idle.gain_high_usd
    assert 0 < idle.utilisation_ratio <= 1
    assert (idle.starts_at, idle.ends_at, idle.redraws) == (*window(40), 8)


def test_under_the_commands_really_given_the_twin_says_what_the_ledger_says(
    played: Played,
) -> None:
    found = check(played.store, NAME, window(40), TERMS)
    assert found is not None
    assert found.actual_profit_usd is not None
    assert abs(found.error_ratio) < 0.03
    assert found.twin_used_gpu_hours == pytest.approx(found.actual_used_gpu_hours, rel=0.02)
    assert found.is_valid
    assert "it may judge" in found.detail


def test_without_a_ledger_the_gpu_hours_are_compared(store: Store) -> None:
    played = Played(store)
    played.put(played.source.standing())
    for frames in played.source.history(MONDAY + 36 * HOUR):
        kept = {cls: f for cls, f in frames.items() if cls.__name__ != "PoolLedger"}
        played.put(kept)
    found = check(store, NAME, window(28), TERMS)
    assert found is not None
    assert found.actual_profit_usd is None
    assert found.error_ratio == pytest.approx(0.0, abs=0.03)
    assert "GPU-hours" in found.detail


def test_a_window_is_done_once_and_a_restart_goes_on_where_it_stopped(played: Played) -> None:
    store, now = played.store, MONDAY + 17 * HOUR
    assert not is_valid(store, NAME)  # it was never compared with reality
    assert job(store, now, CONTENDERS, {NAME: TERMS}, most_windows=2) == 2
    assert job(store, now, CONTENDERS, {NAME: TERMS}, most_windows=99) == 1
    assert job(store, now, CONTENDERS, {NAME: TERMS}, most_windows=99) == 0
    checks = store.rows(TwinCheck, "SELECT * FROM twin_checks ORDER BY starts_at")
    scores = store.rows(ShadowScore, "SELECT * FROM shadow_scores ORDER BY starts_at")
    assert [one.starts_at for one in checks] == [MONDAY + hours * HOUR for hours in (4, 8, 12)]
    assert len(scores) == 2 * len(checks)
    assert is_valid(store, NAME)


def test_a_twin_that_no_longer_matches_may_not_judge(played: Played) -> None:
    """Its terms are not the fleet's."""
    wrong, store = replace(TERMS, spot_depth_ratio=3.0, spot_ratio=3.0), played.store
    before = store.query("SELECT max(drift) FROM twin_checks").item() or 0.0
    assert job(store, MONDAY + 25 * HOUR, CONTENDERS, {NAME: wrong}, most_windows=99) >= 2
    newest = store.rows(TwinCheck, "SELECT * FROM twin_checks ORDER BY starts_at")[-1]
    assert newest.error_ratio > 0.2
    assert newest.drift > threshold() > before
    assert not newest.is_valid
    assert "may not judge" in newest.detail
    assert RowsJudge(store, {NAME: TERMS}).judgement(make_question(played, "d0")) is None


# -- judging from rows -----------------------------------------------------------------


def test_what_rows_say_of_a_decision_holds_what_the_fleets_own_twin_says(played: Played) -> None:
    judge = RowsJudge(played.store, {NAME: TERMS}, asks_validity=False)
    inside, wide = 0, 0.0
    for turn in range(len(STEPS)):
        question = make_question(played, f"d{turn}")
        question = replace(question, ends_at=question.starts_at + 2 * HOUR)
        exact, told = played.judge.judgement(question), judge.judgement(question)
        assert exact is not None
        assert told is not None
        assert told.method == "twin"
        assert told.low_usd_per_hour <= told.gain_usd_per_hour <= told.high_usd_per_hour
        slack = 0.02
        inside += (
            told.low_usd_per_hour - slack
            <= exact.gain_usd_per_hour
            <= told.high_usd_per_hour + slack
        )
        wide += told.high_usd_per_hour - told.low_usd_per_hour
    assert inside >= 4  # of six, at 80 %
    assert 0 < wide < 6 * 30


def test_what_was_not_done_is_worth_what_it_would_have_brought(played: Played) -> None:
    judge = RowsJudge(played.store, {NAME: TERMS}, asks_validity=False)
    question = make_question(played, "d1")
    ends_at = question.starts_at + 2 * HOUR
    question = replace(question, decision_id="never", was_done=False, ends_at=ends_at)
    exact, told = played.judge.judgement(question), judge.judgement(question)
    assert exact is not None
    assert told is not None
    half = max(told.high_usd_per_hour - told.low_usd_per_hour, 1.0)
    assert told.gain_usd_per_hour == pytest.approx(exact.gain_usd_per_hour, abs=2 * half)


def test_what_rows_do_not_reach_is_not_judged(played: Played) -> None:
    judge = RowsJudge(played.store, {NAME: TERMS}, asks_validity=False)
    question = make_question(played, "d0", ends_at=played.now + 9 * HOUR)
    assert judge.judgement(question) is None
    assert judge.judgement(replace(question, pool="elsewhere")) is None


def test_the_interval_is_that_of_one_draw_more() -> None:
    assert student_quantile(0.9, 7) == pytest.approx(1.415, abs=0.005)
    assert student_quantile(0.9, 15) == pytest.approx(1.341, abs=0.005)
    random = np.random.default_rng(0)
    held = []
    for _ in range(400):
        *draws, next_one = random.standard_normal(9)
        _, low, high = interval(np.array(draws))
        held.append(low <= next_one <= high)
    assert np.mean(held) == pytest.approx(0.8, abs=0.05)
    assert interval(np.array([3.0])) == (3.0, 3.0, 3.0)
