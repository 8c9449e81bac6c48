"""What was not done, what came of what was, and approvals taken back, by the API."""

from __future__ import annotations

from datetime import timedelta

import pytest

from tests.api.conftest import Console
from tests.makers import NOON, POOL, make_decision
from warehouse.decisions import propose
from warehouse.records import Execution, Outcome

BASE = "/api/v1/decisions"
HOUR = timedelta(hours=1)


@pytest.fixture
def filled(console: Console) -> Console:
    for name, pool in (("a", POOL), ("b", "other")):
        made = {"decision_id": name, "pool": pool, "target": f"pool/{pool}", "mode": "shadow"}
        propose(console.store, make_decision(**made, horizon_seconds=3600))
    told = Outcome(
        decision_id="a", realised_gain_usd_per_hour=20.0, method="twin", did_harm=False,
        detail="", measured_at=NOON + HOUR,
    )  # fmt: skip
    console.store.append([told])
    return console


def test_what_was_not_done_is_read_with_its_totals(filled: Console) -> None:
    viewer = filled.program("viewer")
    found = viewer.get(f"{BASE}/not-done", params={"limit": 1}).json()
    assert (found["total"], len(found["items"])) == (2, 1)
    assert found["totals"] == [
        {
            "action": "scale_up", "fate": "shadow", "count": 2, "expected_usd": 62.0,
            "measured_count": 1, "would_have_gained_usd": 20.0,
        }
    ]  # fmt: skip
    (row,) = viewer.get(f"{BASE}/not-done", params={"pool": POOL}).json()["items"]
    assert (row["fate"], row["decision_id"], row["would_have_gained_usd"]) == ("shadow", "a", 20.0)


@pytest.mark.parametrize(
    ("asked", "total"),
    [
        ({"fate": "shadow"}, 2),
        ({"fate": "lapsed"}, 0),
        ({"action": "scale_down"}, 0),
        ({"since": (NOON + HOUR).isoformat()}, 0),
        ({"since": NOON.isoformat()}, 2),
    ],
)
def test_it_is_filtered(filled: Console, asked: dict[str, str], total: int) -> None:
    found = filled.program("viewer").get(f"{BASE}/not-done", params=asked).json()
    assert (found["total"], sum(each["count"] for each in found["totals"])) == (total, total)


@pytest.mark.parametrize("asked", [{"fate": "eaten"}, {"since": "2026-11-02T12:00:00"}])
def test_what_it_does_not_know_is_422(filled: Console, asked: dict[str, str]) -> None:
    answer = filled.program("viewer").get(f"{BASE}/not-done", params=asked)
    assert answer.status_code == 422


@pytest.fixture
def approved(console: Console) -> Console:
    propose(console.store, make_decision())
    console.program("operator", "ann").post(f"{BASE}/decision-1/approve")
    return console


def test_an_approval_is_withdrawn_with_a_reason(approved: Console) -> None:
    url = f"{BASE}/decision-1/withdraw"
    assert approved.program("viewer").post(url, json={"reason": "x"}).status_code == 403
    operator = approved.program("operator", "ben")
    assert operator.post(url, json={"reason": " "}).status_code == 422
    answer = operator.post(url, json={"reason": "the job is over"}).json()
    assert (answer["state"], answer["withdrawn_by"], answer["withdrawal_reason"]) == (
        "withdrawn", "ben", "the job is over",
    )  # fmt: skip
    again = operator.post(url, json={"reason": "x"})
    assert (again.status_code, again.json()["title"]) == (409, "Not withdrawable")
    assert operator.get(BASE, params={"state": "withdrawn"}).json()["total"] == 1
    (line,) = operator.get(f"{BASE}/not-done").json()["items"]
    assert (line["fate"], line["why"]) == ("withdrawn", "the job is over")


def test_an_outcome_is_read_with_its_judgement_and_its_criterion(approved: Console) -> None:
    at = approved.clock.now()
    did = {"decision_id": "decision-1", "kind": "do", "parameters": {}, "result": {}}
    came = Outcome(
        decision_id="decision-1", realised_gain_usd_per_hour=1.0, judgement="inconclusive",
        criterion="Nobody waits", criterion_is_met=False, method="twin", did_harm=False,
        detail="", measured_at=at,
    )  # fmt: skip
    phases = [Execution(**did, phase=phase, happened_at=at) for phase in ("intended", "succeeded")]
    approved.store.append([*phases, came])
    operator = approved.program("operator")
    for read in (operator.get(f"{BASE}/decision-1").json(), operator.get(BASE).json()["items"][0]):
        told = [read[f"outcome_{name}"] for name in ("judgement", "criterion", "criterion_is_met")]
        assert told == ["inconclusive", "Nobody waits", False]
        assert read["deciders"] == "ann"


def test_the_outcome_is_described_in_the_documentation(console: Console) -> None:
    schema = console.program("viewer").get("/api/openapi.json").json()
    fields = schema["components"]["schemas"]["DecisionDetail"]["properties"]
    for name in ("outcome_judgement", "outcome_criterion", "outcome_criterion_is_met", "deciders"):
        assert fields[name]["description"]
    assert "inconclusive" in str(fields["outcome_judgement"])
