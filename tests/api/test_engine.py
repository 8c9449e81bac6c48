"""The engine by the API: who steers, every policy, the forecasts; the dial and the way back."""

from __future__ import annotations

import pytest

from tests.api.conftest import Console, MakeConsole
from tests.makers import NOON, POOL, make_champion, make_forecast, make_policy
from warehouse import policies
from warehouse.audit import audit
from warehouse.store import Store

BASE = "/api/v1/engine"


@pytest.fixture
def console(store: Store, make_console: MakeConsole) -> Console:
    store.append(
        [
            make_policy(),
            make_policy(policy_id="net-b", origin="challenger", created_at=NOON),
            make_champion(),
            make_forecast(),
            make_forecast(series="arrivals", q50=9.0),
        ]
    )
    return make_console()


def test_who_steers_is_told_with_the_dial_and_the_challenger(console: Console) -> None:
    found = console.program("viewer").get(BASE).json()
    assert (found["policy_id"], found["previous_policy_id"]) == ("net-a", "rule")
    assert found["challenger_id"] == "net-b"
    assert found["dial"] == {"name": "balanced", "set_by": None, "reason": None, "set_at": None}


def test_versions_are_told_with_their_gates_and_figures(console: Console) -> None:
    viewer = console.program("viewer")
    page = viewer.get(f"{BASE}/policies").json()
    assert [each["policy_id"] for each in page["items"]] == ["net-b", "net-a"]
    assert viewer.get(f"{BASE}/policies/net-a").json()["figures"] == {"gain_ratio": 0.024}
    answer = viewer.get(f"{BASE}/policies/net-z")
    assert (answer.status_code, answer.json()["title"]) == (404, "No such policy")


def test_the_newest_forecasts_are_filtered_by_series(console: Console) -> None:
    viewer = console.program("viewer")
    assert viewer.get(f"{BASE}/forecasts").json()["total"] == 2
    given = {"pool": POOL, "series": "arrivals"}
    (found,) = viewer.get(f"{BASE}/forecasts", params=given).json()["items"]
    assert (found["q50"], found["horizon_seconds"]) == (9.0, 3600)
    assert viewer.get(f"{BASE}/forecasts", params={"series": "weather"}).status_code == 422


def test_an_operator_rolls_back_what_was_seen_once(console: Console) -> None:
    operator, sent = console.program("operator", "ann"), {"reason": "it lost", "policy_id": "net-a"}
    for _ in range(2):
        found = operator.post(f"{BASE}/rollback", json=sent).json()
        assert (found["policy_id"], found["set_by"]) == ("rule", "ann")
    assert policies.champion_history(console.store).height == 2
    (event,) = audit(console.store, act="policy").rows.iter_rows(named=True)
    assert (event["actor"], event["via"]) == ("ann", "api")


def test_an_operator_turns_the_dial_to_what_is_on_it(console: Console) -> None:
    operator = console.program("operator", "ann")
    turned = operator.put(f"{BASE}/dial", json={"name": "service"}).json()
    assert (turned["name"], turned["set_by"]) == ("service", "ann")
    assert operator.put(f"{BASE}/dial", json={"name": "fame"}).status_code == 422


def test_a_viewer_changes_nothing_and_a_rollback_needs_a_reason(console: Console) -> None:
    viewer, sent = console.program("viewer"), {"reason": "it lost"}
    assert viewer.post(f"{BASE}/rollback", json=sent).status_code == 403
    assert viewer.put(f"{BASE}/dial", json={"name": "service"}).status_code == 403
    operator = console.program("operator")
    assert operator.post(f"{BASE}/rollback", json={"reason": " "}).status_code == 422
    assert policies.steering(console.store).policy_id == "net-a"
