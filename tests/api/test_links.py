"""Making, listing and revoking links by the API."""

from __future__ import annotations

from datetime import timedelta

import pytest

from tests.api.conftest import Console
from tests.makers import make_decision
from warehouse.audit import audit
from warehouse.decisions import propose

PATH = "/api/v1/decisions/decision-1/links"


@pytest.fixture
def waiting(console: Console) -> Console:
    propose(console.store, make_decision())
    return console


def test_an_operator_makes_a_link_and_sees_its_address_once(waiting: Console) -> None:
    ann = waiting.program("operator", "ann")
    made = ann.post(PATH, json={"right": "single_use", "validity_seconds": 600})
    assert made.status_code == 201
    told = made.json()
    assert told["url"] == f"http://localhost{told['path']}"
    assert told["speaks_for"] == "ann"
    assert told["action_hash"] == make_decision().action_hash
    listed = ann.get(PATH).json()["items"]
    assert [each["link_id"] for each in listed] == [told["link_id"]]
    signature = told["path"].split("link=")[1]
    kept = waiting.store.query("FROM approval_links").write_json()
    kept += audit(waiting.store).rows.write_json()
    assert told["link_id"] in kept
    assert signature not in kept + str(listed)
    assert signature.split(".")[-1] not in kept + str(listed)


def test_links_for_others_need_an_admin(waiting: Console) -> None:
    waiting.program("operator", "ben")
    asked = {"right": "single_use", "speaks_for": "ben"}
    ann = waiting.program("operator", "ann")
    assert ann.post(PATH, json=asked).status_code == 403
    made = waiting.program("admin").post(PATH, json=asked)
    assert made.status_code == 201
    assert ann.get(PATH).json()["total"] == 0
    gone = ann.delete(f"{PATH}/{made.json()['link_id']}")
    assert gone.status_code == 404
    assert "you have no link" in gone.json()["detail"]
    ben = waiting.program("operator", "ben")
    assert ben.delete(f"{PATH}/{made.json()['link_id']}").json()["is_active"] is False
    assert ben.delete(f"{PATH}/{made.json()['link_id']}").status_code == 410
    assert waiting.program("viewer").post(PATH, json=asked).status_code == 403
    vic = {"right": "single_use", "speaks_for": "the-viewer"}
    assert waiting.program("admin").post(PATH, json=vic).status_code == 403


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        ({"validity_seconds": 59}, 422),
        ({"validity_seconds": 7 * 86_400 + 1}, 422),
        ({"right": "forever"}, 422),
        ({"action_hash": "0" * 64}, 412),
        ({"right": "single_use", "speaks_for": "x' OR '1'='1"}, 403),
        ({"colour": "red"}, 422),
    ],
)
def test_what_makes_no_sense_is_refused(
    waiting: Console, sent: dict[str, object], status: int
) -> None:
    assert waiting.program("operator").post(PATH, json=sent).status_code == status
    assert waiting.store.query("SELECT count(*) FROM approval_links").item() == 0


def test_there_are_no_links_to_what_is_decided_over_or_unknown(waiting: Console) -> None:
    ann = waiting.program("operator", "ann")
    assert ann.post(PATH.replace("decision-1", "x' OR '1'='1")).status_code == 404
    waiting.clock.turn(timedelta(hours=3))
    assert ann.post(PATH).status_code == 410
    waiting.clock.turn(timedelta(hours=-3))
    assert ann.post(PATH.replace("/links", "/approve")).status_code == 200
    assert ann.post(PATH).status_code == 409
