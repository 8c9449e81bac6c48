"""Continual learning: from this warehouse's own rows to a challenger, its trial and its end."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from threading import Event

import numpy as np
import pytest

from engine.act import carry_on
from engine.alarms import watch
from engine.champion import loaded, roster
from engine.hands import NoHands
from engine.learning.continual import Continual
from engine.learning.contract import Settings
from engine.learning.evidence import STRESSES, offline_evidence, stressed
from engine.learning.fine_tuning import Lesson, TrainingError, fine_tuned, in_a_process
from engine.learning.own_history import Curriculum, TooLittle, history
from engine.learning.trial import begun_at, is_on_trial, review
from engine.policies.learned import Learned
from engine.policies.registry import baseline
from engine.simulator.episode_sources import training_episodes
from tests.engine.crowned import GATES, SIZES, challenge, make_network
from tests.engine.world import NAME, Played
from tests.makers import NOON, POOL, make_pool, make_score
from warehouse import decisions, policies
from warehouse.records import PolicyVersion
from warehouse.store import Location, Store

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
TINY = Curriculum(
    fewest_days=1.0,
    window=timedelta(hours=6),
    seeds=(1, 2),
    settings=Settings(decisions=64, steps=8, epochs=1, minibatch=64, hidden=16, critic_updates=0),
    rows=4,
    warm_ticks=8,
    practice_ticks=24,
    week_ticks=48,
    held_out_weeks=2,
    stress_weeks=1,
    validation_weeks=1,
    largest_nodes=12,
)


@pytest.fixture(scope="module")
def lived(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Played]:
    """The small fleet after a day and a half under nobody."""
    store = Store(Location.embedded(tmp_path_factory.mktemp("lived")))
    played = Played(store)
    played.start(36 * HOUR)
    yield played
    store.close()


def _stub(lesson: Lesson, stopping: Event) -> object:
    raise AssertionError("nothing is taught here")


def test_own_history_is_cut_into_practice_validation_and_what_is_kept_for_the_gates(
    lived: Played,
) -> None:
    found = history(lived.store, lived.now, {}, TINY)
    assert found.days == pytest.approx(1.5, abs=0.1)
    assert [len(part) for part in (found.practice, found.validation, found.held_out)] == [3, 1, 1]
    assert all(episode.ticks in (24, 25) for episode in found.practice)
    assert found.held_out[0].ticks >= 36  # a quarter of a day and a half
    with pytest.raises(TooLittle, match=r"1\.5 days of own history are known, and 14 are wanted"):
        history(lived.store, lived.now, {}, Curriculum())


def test_too_little_history_is_a_run_that_says_so_and_is_tried_again_a_day_later(
    lived: Played, tmp_path: Path
) -> None:
    learning = Continual(lived.store, tmp_path, teacher=_stub)  # type: ignore[arg-type]
    before = len(policies.training_runs(lived.store))
    learning.step(lived.now)
    learning.step(lived.now + 23 * HOUR)
    (run, *others) = policies.training_runs(lived.store)
    assert len(others) == before
    assert (run.outcome, run.decisions, run.seeds) == ("refused", 0, [])
    assert "begins by itself" in run.detail
    learning.step(lived.now + 24 * HOUR)
    assert len(policies.training_runs(lived.store)) == before + 2


def test_a_training_that_fails_is_on_record_with_its_sentence(
    lived: Played, tmp_path: Path
) -> None:
    def failing(lesson: Lesson, stopping: Event) -> object:
        raise TrainingError("its process ended without an answer")

    run = Continual(lived.store, tmp_path, curriculum=TINY, teacher=failing).learn(  # type: ignore[arg-type]
        lived.now + 2 * DAY
    )
    assert (run.outcome, run.detail) == ("failed", "its process ended without an answer")
    assert policies.challenger(lived.store) is None


def test_what_fails_in_the_other_process_is_told_in_words() -> None:
    lesson = Lesson([], [], {}, {}, None, (1,), TINY.settings, 2)
    with pytest.raises(TrainingError, match="Error"):
        in_a_process(lesson, Event())


def test_a_console_that_stops_ends_the_training_at_once() -> None:
    stopping = Event()
    stopping.set()
    lesson = Lesson([], [], {}, {}, None, (1,), TINY.settings, 2)
    with pytest.raises(TrainingError, match="stopped with the console"):
        in_a_process(lesson, stopping)


# -- the whole way ---------------------------------------------------------------------


def test_from_own_rows_to_a_challenger_to_the_champion_and_back(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    store = Store(Location.embedded(tmp_path / "warehouse"))
    try:
        played = Played(store)
        played.start(26 * HOUR)
        _the_whole_way(played, tmp_path)
    finally:
        store.close()


def _the_whole_way(played: Played, home: Path) -> None:
    store, now = played.store, played.now
    learning = Continual(
        store, home, played.engine.terms or {}, TINY, teacher=lambda lesson, _: fine_tuned(lesson)
    )
    learning.step(now)
    made = _as_it_was_made(store, home)
    made = replace(made, gates=_with_time_to_come(made), created_at=now + timedelta(minutes=1))
    store.append([made])  # sixty-four decisions teach nothing: say that it passed
    champion_at = _through_its_trial(store, learning, made)
    _falls_behind(store, home, made.policy_id, champion_at)


def _as_it_was_made(store: Store, home: Path) -> PolicyVersion:
    (run,) = policies.training_runs(store)
    assert (run.outcome, run.seeds, run.decisions) == ("finished", [1, 2], 128)
    assert {point["seed"] for point in run.curve} == {1, 2}
    assert all(np.isfinite(point["gain_ratio"]) for point in run.curve)
    made = policies.challenger(store)
    assert made is not None
    assert (made.run_id, made.parent_id, made.origin) == (run.run_id, "rule", "challenger")
    assert made.snapshot_id is not None
    assert len(made.gates) == 11
    early = {gate["name"]: gate for gate in made.gates}
    assert early["held_out_weeks"]["value"] == 3  # two generated, one own
    assert early["stress_sets"]["value"] is not None
    assert early["guardrails"]["passed"]
    assert (home / "policies" / f"{made.weights_sha256}.npz").exists()
    assert loaded(made, home, "balanced").network.head_sizes == SIZES
    return made


def _with_time_to_come(made: PolicyVersion) -> list[dict[str, object]]:
    later = ("shadow_days", "shadow_gain", "canary")
    return [gate | {"passed": gate["name"] not in later} for gate in made.gates]


def _through_its_trial(store: Store, learning: Continual, made: PolicyVersion) -> object:
    """Seven days in shadow, three in the canary, then people are asked and say yes."""
    begun, name = begun_at(store, made), made.policy_id
    _score(store, name, begun, days=8)
    learning.step(begun + 8 * DAY)  # now only the canary lacks
    found = roster(store, learning.home, begun + 8 * DAY)
    assert found.policy_id_of(NAME) == name
    assert found.champion_id == "rule"
    _score(store, name, begun + 8 * DAY, days=4)
    asked_at = begun + 12 * DAY
    learning.step(asked_at)
    (asked,) = decisions.decisions(store, now=asked_at, action="promote_policy").rows.to_dicts()
    assert asked["state"] == "waiting"
    assert asked["expected_gain_usd_per_hour"] > 0
    learning.step(asked_at)  # asked once
    decisions.approve(store, asked["decision_id"], by="ann", via="browser", now=asked_at)
    carry_on(store, NoHands(), asked["decision_id"], {}, asked_at)
    assert policies.steering(store).policy_id == name
    return asked_at


def _score(store: Store, policy_id: str, since: object, *, days: int, usd: float = 200.0) -> None:
    random = np.random.default_rng(days)
    store.append(
        [
            make_score(
                pool=NAME, policy_id=policy_id, role="challenger",
                profit_usd=1000.0 + usd + float(random.normal(0, 5)), rule_profit_usd=1000.0,
                starts_at=since + 4 * at * HOUR, ends_at=since + 4 * (at + 1) * HOUR,  # type: ignore[operator]
            )
            for at in range(6 * days)
        ]
    )  # fmt: skip


def _falls_behind(store: Store, home: Path, policy_id: str, since: object) -> None:
    _score(store, policy_id, since + timedelta(minutes=1), days=3, usd=-60.0)  # type: ignore[operator]
    now = since + 3 * DAY + HOUR  # type: ignore[operator]
    fired = watch(store, roster(store, home, now), now)
    assert [alarm.trigger for alarm in fired] == ["cusum"]
    assert policies.steering(store).policy_id == "rule"
    assert policies.steering(store).set_by == "rule"


# -- the trial -------------------------------------------------------------------------


def test_the_trial_ends_without_promotion_after_eight_weeks(store: Store, tmp_path: Path) -> None:
    made = challenge(store, tmp_path, NOON)
    assert is_on_trial(store, made, NOON + 55 * DAY)
    assert not is_on_trial(store, made, NOON + 57 * DAY)


def test_one_that_failed_without_waiting_is_not_on_trial(store: Store, tmp_path: Path) -> None:
    failed = [GATES[0] | {"passed": False}, *GATES[1:]]
    assert not is_on_trial(store, challenge(store, tmp_path, NOON, gates=failed), NOON)


def test_days_that_were_not_scored_whole_do_not_count(store: Store, tmp_path: Path) -> None:
    store.append([make_pool()])
    made = challenge(store, tmp_path, NOON)
    for day, windows in ((0, 6), (1, 5), (2, 3)):
        store.append(
            [
                make_score(
                    pool=POOL, policy_id="learned-2", starts_at=NOON + day * DAY + 4 * at * HOUR,
                    ends_at=NOON + day * DAY + 4 * (at + 1) * HOUR,
                )
                for at in range(windows)
            ]
        )  # fmt: skip
    reviewed = review(store, made, NOON + 3 * DAY)
    gates = {gate["name"]: gate for gate in reviewed.gates}
    assert (gates["shadow_days"]["value"], gates["shadow_days"]["passed"]) == (2.0, False)
    assert review(store, reviewed, NOON + 3 * DAY) is reviewed  # nothing new, no row


# -- evidence --------------------------------------------------------------------------


def test_the_rules_twin_is_judged_to_gain_nothing_and_to_break_nothing() -> None:
    episodes = [
        replace(one, warm_ticks=8) for one in training_episodes(2, 3, ticks=32, largest_nodes=12)
    ]
    rule = baseline("rule")
    network = make_network(seed=3, scale=20.0)
    found = offline_evidence(Learned("x", network, rule), rule, {"a": episodes}, {"b": episodes})
    assert found.guardrail_breaks == 0
    assert found.envelope_hit_ratio is not None
    assert 0 <= found.envelope_hit_ratio <= 1
    assert found.held_out["a"].rule_usd.shape == (2,)
    assert found.held_out["a"].gains_usd.tolist() == found.stress["b"].gains_usd.tolist()


def test_stress_changes_the_terms_and_nothing_else() -> None:
    (episode,) = training_episodes(1, 3, ticks=8, largest_nodes=12)
    for name, (changed,) in stressed([episode]).items():
        assert changed.settings.economics != episode.settings.economics, name
        assert replace(changed, settings=episode.settings) == episode
    assert set(stressed([episode])) == set(STRESSES)
