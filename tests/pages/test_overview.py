"""Overview: is the fleet well, what does it earn and cost, what waits for me."""

from __future__ import annotations

from datetime import timedelta

import pytest

from pages import _figures, _verdicts
from pages._charts import POINTS_MAX
from tests.makers import NOON, make_decision, make_ledger, make_pool, make_pool_state
from tests.pages.conftest import Console, pressed, words_in
from warehouse import decisions


def figures(console: Console) -> dict[str, str]:
    sent = console.call("overview-tiles.children", {})["response"]
    return {name: words_in(changed) for name, changed in sent.items()}


@pytest.fixture
def filled(console: Console) -> Console:
    ledgers = [
        make_ledger(
            period_starts_at=NOON - timedelta(hours=hour + 1),
            period_ends_at=NOON - timedelta(hours=hour),
        )
        for hour in range(30)
    ]
    state = make_pool_state(
        measured_at=NOON - timedelta(seconds=42), queued_jobs=3, queued_gpus=24, nodes_down=2
    )
    console.store.append([make_pool(), state, *ledgers])
    return console


def test_an_empty_warehouse_says_that_nothing_was_read_yet(console: Console) -> None:
    shown = figures(console)
    assert "No pools yet" in shown["overview-pools"]
    assert "nothing was read yet" in shown["overview-tiles"]
    assert "Nothing waits for you" in shown["overview-waiting"]


def test_while_history_loads_the_page_says_how_far_it_is(loading: Console) -> None:
    assert "History is loading, 43 %" in figures(loading)["overview-pools"]


def test_the_figures_say_what_was_measured_and_how_old_it_is(filled: Console) -> None:
    shown = figures(filled)
    assert "42\u202fs ago" in shown["overview-age"]
    assert "78\u202f%" in shown["overview-tiles"]  # 200 of 256 GPUs
    assert "200 of 256 GPUs on" in shown["overview-tiles"]
    assert "$105" in shown["overview-tiles"]  # revenue and spot of the last whole hour
    assert "$70" in shown["overview-tiles"]  # less power, leases, penalties and refunds
    assert "$1,680 in 24 h" in shown["overview-tiles"]
    assert "2 down" in shown["overview-pools"]
    assert "we ask 4 % more" in shown["overview-pools"]


@pytest.mark.parametrize(("measure", "usd"), [("profit", 70.0), ("revenue", 105.0), ("cost", 35.0)])
def test_the_chart_shows_usd_an_hour_by_pool(filled: Console, measure: str, usd: float) -> None:
    chart = filled.page("overview").draw_money("24h", measure, None)
    assert len(chart.data) == 24
    assert {row["h100-us-east"] for row in chart.data} == {usd}


def test_a_fortnight_stays_within_the_points_that_a_chart_may_have(filled: Console) -> None:
    chart = filled.page("overview").draw_money("14d", "profit", None)
    assert len(chart.data) <= POINTS_MAX


def test_a_waiting_decision_is_a_card_with_its_gain_its_interval_and_its_expiry(
    filled: Console,
) -> None:
    decisions.propose(filled.store, make_decision())
    card = figures(filled)["overview-waiting"]
    assert "Switch on 2 nodes" in card
    assert "+$31.00/h" in card
    assert "+$12.00 to +$55.00" in card
    assert "in 2\u202fh" in card
    assert "Approve" in card


def test_a_viewer_sees_the_card_without_the_button(filled: Console) -> None:
    decisions.propose(filled.store, make_decision())
    with filled.asked_by("viewer"):
        assert "Approve" not in figures(filled)["overview-waiting"]


def test_cards_that_look_the_same_are_not_sent_again(filled: Console) -> None:
    decisions.propose(filled.store, make_decision())
    first = filled.call("overview-tiles.children", {})["response"]
    digest = first["overview-waiting-of"]["data"]
    again = filled.call("overview-tiles.children", {"overview-waiting-of.data": digest})
    assert "overview-waiting" in first
    assert "overview-waiting" not in again["response"]


def test_the_button_on_a_card_approves_exactly_what_it_shows(filled: Console) -> None:
    shown = make_decision()
    decisions.propose(filled.store, shown)
    given, changed = pressed("overview-approve", id=shown.decision_id, hash=shown.action_hash)
    sent = filled.call("overview-waiting.children", given, changed)["response"]
    assert sent["shell-notices"]["sendNotifications"][0]["title"] == "Approved"
    assert "Nothing waits for you" in words_in(sent["overview-waiting"])
    found = decisions.decision(filled.store, shown.decision_id, now=NOON)
    assert (found.state, found.decided_by, found.decided_via) == ("approved", "mara", "browser")


def test_the_second_of_two_who_approve_is_told_who_was_faster(filled: Console) -> None:
    shown = make_decision()
    decisions.propose(filled.store, shown)
    decisions.approve(filled.store, shown.decision_id, by="jon", via="api", now=NOON)
    told = _verdicts.approve(shown.decision_id, shown.action_hash)
    assert told["title"] == "Already decided"
    assert "by jon, 2026-11-02 12:00:00 UTC" in told["message"]


@pytest.mark.parametrize(
    ("ours", "said"),
    [(2.0, "at market"), (1.991, "at market"), (2.009, "at market"), (1.9, "5 % less"),
     (2.2, "10 % more")],
)  # fmt: skip
def test_a_price_that_rounds_to_the_market_is_said_to_be_at_it(ours: float, said: str) -> None:
    assert said in words_in(_figures._market_cell(ours, 2.0))
