"""Engine: who steers, what it would do and why, whether it earns more, and who judges that."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from pages._callbacks import NOTICES
from tests.makers import (
    NOON,
    POOL,
    make_alarm,
    make_champion,
    make_decision,
    make_forecast,
    make_policy,
    make_pool,
    make_pool_state,
    make_proposal,
    make_score,
    make_training_run,
    make_twin_check,
)
from tests.pages.conftest import Console, ids_in, pressed, words_in
from warehouse import controls, decisions, policies
from warehouse.decision_errors import ReasonNeeded
from warehouse.records import Outcome

BLOCK = {"startRow": 0, "endRow": 50}
DAY = timedelta(days=1)
GATES = [
    {"name": "held_out_gain", "passed": True, "value": 0.031, "threshold": 0.0,
     "sentence": "Mean gain on 24 held-out pool-weeks."},
    {"name": "stress_sets", "passed": False, "value": -0.004, "threshold": 0.0,
     "sentence": "Worst stress setting."},
    {"name": "shadow_days", "passed": False, "value": 3, "threshold": 7,
     "sentence": "3 of 7 days in the shadow."},
    {"name": "late_share", "passed": False, "value": None, "threshold": 0.005,
     "sentence": "Its late jobs have not been counted."},
]  # fmt: skip


@pytest.fixture
def filled(console: Console) -> Console:
    console.store.append(
        [
            make_pool(),
            make_policy(),
            make_policy(policy_id="net-b", origin="challenger", gates=GATES, created_at=NOON),
            make_champion(),
            make_proposal(),
            make_proposal(policy_id="net-b", role="challenger", nodes=-1, is_clipped=True),
            make_proposal(policy_id="rule", role="rule", nodes=0, value_usd=None, drivers=[]),
        ]
    )
    decisions.propose(console.store, make_decision(policy="net-a", observation_id="observation-1"))
    return console


def steering(console: Console) -> list[str]:
    """The words on champion, challenger, history and alarms."""
    return [words_in(each) for each in console.page("engine").show_steering(None)]


def test_a_new_warehouse_says_in_every_section_what_will_come(console: Console) -> None:
    page = console.page("engine")
    champion, challenger, history, alarms = steering(console)
    assert "The rule" in champion
    assert "nothing to roll back to" in champion
    assert "No challenger" in challenger
    assert "The rule has steered from the start" in history
    assert "No alarms" in alarms
    assert "No pools yet" in words_in(page.show_now(None, None)[0])
    assert "The first score comes after a full day" in words_in(page.show_gain(None))
    promises, twin = page.show_judge(None, None)
    assert "when a decision's horizon has passed" in words_in(promises)
    assert "held against the ledger once a day" in words_in(twin)
    assert "No training runs yet" in words_in(page.show_learning(None))
    assert "there is none yet" in words_in(page.show_forecast(None, None, None, None))
    answer, style, said = page.rows(BLOCK, None, None)
    assert (answer["rowCount"], style) == (0, {"display": "none"})
    assert "Nothing was proposed in the shadow yet" in said


def test_while_history_loads_the_empty_sections_say_how_far_it_is(loading: Console) -> None:
    assert "43 %" in words_in(loading.page("engine").show_gain(None))


def test_who_steers_stands_with_the_challengers_gates(filled: Console) -> None:
    champion, challenger, history, _ = steering(filled)
    for known in ("net-a", "9\u202fd ago", "by ann", "Gain 2.4\u202f%", "Roll back to the rule"):
        assert known in champion
    stands = ("passed 1 of 4 gates", "Failed: stress sets.", "Awaited: shadow days, late share.")
    for known in stands:
        assert known in challenger
    assert "−0.4\u202f%" in challenger
    assert "3 of 7 days in the shadow." in challenger
    assert "It passed every gate." in history


def test_a_promotion_that_waits_is_led_to_from_its_challenger(filled: Console) -> None:
    promotion = make_decision(
        decision_id="promotion-1", action="promote_policy", target="policy/champion", pool="all",
        parameters={"policy_id": "net-b"},
    )  # fmt: skip
    assert "waits for a person" not in steering(filled)[1]
    decisions.propose(filled.store, promotion)
    assert "/decisions?id=promotion-1" in steering(filled)[1]


def test_where_the_twin_drifts_the_rule_is_said_to_steer(filled: Console) -> None:
    filled.store.append([make_twin_check(is_valid=False)])
    assert f"In {POOL} the rule steers" in steering(filled)[0]


def test_what_it_would_do_stands_beside_the_rule_and_why(filled: Console) -> None:
    shown, head = filled.page("engine").show_now(POOL, None)
    words = words_in(shown)
    assert "net-a would add 2 nodes and ask $2.65" in words
    assert "the rule would keep its nodes" in words
    assert "Queued GPUs: 40, usually 6" in words
    assert "+0.82" in words
    assert "−0.31" in words
    assert "80\u202f% sure of +$12.00 to +$55.00" in words
    assert "5\u202fmin ago" in head


def test_gains_are_summed_against_the_rule_with_their_interval(filled: Console) -> None:
    filled.store.append([make_score(), make_score(ends_at=NOON - DAY, starts_at=NOON - 2 * DAY)])
    words = words_in(filled.page("engine").show_gain(None))
    assert "On what really came, the twin says the champion earned  $60 (3.0\u202f%) more" in words
    assert "80 % sure of +$46 to +$74" in words
    assert "in 2\u202fd" in words


def test_the_judge_is_judged_by_promises_kept_and_by_the_ledger(filled: Console) -> None:
    decisions.approve(filled.store, "decision-1", by="ann", via="api", now=NOON)
    kept = Outcome(
        decision_id="decision-1", realised_gain_usd_per_hour=28.0, method="twin",
        did_harm=False, detail="", measured_at=NOON,
    )  # fmt: skip
    elsewhere = make_twin_check(pool="other", is_valid=False)
    alarm = make_alarm(trigger="twin_drift", threshold=6.0)
    filled.store.append([kept, make_twin_check(), elsewhere, alarm])
    promises, twin = filled.page("engine").show_judge(POOL, None)
    assert "100\u202f% gained within the interval" in words_in(promises)
    assert "−$3.00" in words_in(promises)
    assert "The twin may judge" in words_in(twin)
    assert "1.0 % more than the ledger says" in words_in(twin)
    assert "may not pass 6" in words_in(twin)
    assert "It may not judge in other either." in words_in(twin)


def test_a_learning_curve_has_a_line_a_seed(filled: Console) -> None:
    failed = make_training_run(run_id="run-2", curve=[], outcome="failed", started_at=NOON)
    filled.store.append([make_training_run(), failed])
    shown = words_in(filled.page("engine").show_learning(None))
    for known in ("seed 1", "seed 2", "2,000,000 decisions", "failed", "0.25 M"):
        assert known in shown


def test_forecasts_stand_against_what_came(filled: Console) -> None:
    issued = [NOON - timedelta(hours=hours) for hours in (2, 3)]
    filled.store.append(
        [make_forecast(issued_at=at, target_at=at + timedelta(hours=1)) for at in issued]
    )
    for used, hours in ((200, 1), (300, 2)):
        at = NOON - timedelta(hours=hours)
        filled.store.append([make_pool_state(gpus_used=used, measured_at=at)])
    words = words_in(filled.page("engine").show_forecast(POOL, "occupancy", "3600", None))
    assert "GPUs in use" in words
    assert "50\u202f%" in words  # 200 lies inside 190 to 220, 300 does not
    assert "79\u202f%" in words
    assert "+14\u202f%" in words
    other = filled.page("engine").show_forecast(POOL, "arrivals", "3600", None)
    assert "No forecasts of this series and horizon yet" in words_in(other)


def test_the_ledger_is_paged_and_downloaded(filled: Console) -> None:
    page = filled.page("engine")
    answer, _, said = page.rows(BLOCK, POOL, "challenger")
    (row,) = answer["rowData"]
    assert (row["nodes"], row["held_back"]) == (-1, "held back")
    assert row["rest"] == "migrate, strict, 100 % spot"
    assert row["done"] == "Switch on 2 nodes in h100-us-east, waiting"
    assert said.startswith(f"1 proposals for {POOL}")
    file, told = page.download(1, POOL, None)
    assert len(file["content"].splitlines()) == 4
    assert told[0]["message"] == "3 rows"


def test_an_operator_rolls_back_with_a_reason_and_a_second_click_changes_nothing(
    filled: Console,
) -> None:
    given, changed = pressed("engine-back", policy="net-a")
    asked = filled.call("engine-back-dialog.opened", given, changed)["response"]
    assert "the rule proposes from the next tick on" in asked["engine-back-words"]["children"]
    assert asked["engine-back-of"]["data"] == "net-a"
    page = filled.page("engine")
    with pytest.raises(ReasonNeeded):
        page.roll_back(1, "net-a", " ")
    for _ in range(2):
        told, is_open, champion = page.roll_back(1, "net-a", "it lost")
    assert (told[0]["title"], is_open) == ("The rule steers", False)
    assert "it lost" in words_in(champion)
    assert policies.champion_history(filled.store).height == 2


def test_a_viewer_is_shown_no_button_and_no_dial_to_turn(filled: Console) -> None:
    with filled.asked_by("viewer"):
        champion = filled.page("engine").show_steering(None)[0]
        assert "engine-back" not in ids_in(champion.to_plotly_json())
        assert "takes the role operator" in words_in(champion)


def turned(console: Console, name: str) -> Any:
    given = {"engine-dial.value": name}
    return console.call("engine-dial-box.children", given, "engine-dial.value")


def test_the_dial_is_turned_once_and_a_drawing_of_it_turns_nothing(filled: Console) -> None:
    sent = turned(filled, "service")["response"]
    assert sent[NOTICES]["sendNotifications"][0]["title"] == "Dial turned"
    assert "jobs that start on time" in words_in(sent["engine-dial-box"]["children"])
    turned(filled, "service")
    assert controls.control_history(filled.store)["name"].to_list() == ["engine.dial"]


def test_a_dial_turned_elsewhere_is_drawn_anew_and_else_left_alone(filled: Console) -> None:
    page = filled.page("engine")
    _, seen = page.show_dial(None, None)
    given = {"engine-dial-seen.data": seen}
    same = filled.call("engine-dial-box.children", given, "engine-slow.n_intervals")["response"]
    assert "engine-dial-box" not in same
    controls.set_dial(filled.store, "profit", by="robot", now=NOON, via="api")
    drawn, _ = page.show_dial(None, seen)
    assert "by robot" in words_in(drawn)


def test_the_address_picks_the_pool_the_series_and_the_role(filled: Console) -> None:
    filled.store.append([make_pool(pool="a100")])
    asked = "?pool=h100-us-east&series=market_price&horizon=86400&role=rule"
    values: dict[str, Any] = {}

    def walk(node: Any) -> None:
        if isinstance(node, list):
            for each in node:
                walk(each)
        elif isinstance(node, dict):
            props = node.get("props", {})
            if isinstance(props.get("id"), str) and "value" in props:
                values[props["id"]] = props["value"]
            for each in node.values():
                walk(each)

    walk(filled.open("/engine", asked))
    assert values["engine-pool"] == POOL
    assert values["engine-series"] == "market_price"
    assert values["engine-horizon"] == "86400"
    assert values["engine-role"] == "rule"
