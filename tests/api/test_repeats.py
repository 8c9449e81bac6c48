"""A POST that is sent again with its key is done once."""

from __future__ import annotations

import threading
from datetime import timedelta

import pytest
from fastapi import FastAPI

from api.repeats import KEY_LENGTH_MAX
from tests.api.conftest import Console, MakeConsole
from tests.makers import make_decision
from warehouse import request_keys
from warehouse.records import RequestAnswer
from warehouse.store import Store
from warehouse.verdicts import propose

KEY = {"idempotency-key": "8e03978e-40d5-43dd-bc93-6894a57f9324"}
NEW = {"user_name": "ann", "role": "viewer"}


def test_what_is_sent_again_is_answered_again_and_done_once(console: Console) -> None:
    admin = console.program("admin")
    first = admin.post("/api/v1/admin/users", json=NEW, headers=KEY)
    again = admin.post("/api/v1/admin/users", json=NEW, headers=KEY)
    assert (first.status_code, again.status_code) == (201, 201)
    assert again.json() == first.json()
    assert again.headers["idempotency-replayed"] == "true"
    assert "idempotency-replayed" not in first.headers
    assert admin.post("/api/v1/admin/users", json=NEW).status_code == 409, "without it, it is new"


def test_a_key_holds_after_a_restart_and_for_a_day(make_console: MakeConsole) -> None:
    console = make_console()
    admin = console.program("admin")
    assert admin.post("/api/v1/admin/users", json=NEW, headers=KEY).status_code == 201
    restarted = make_console()
    later = restarted.program("admin")
    again = later.post("/api/v1/admin/users", json=NEW, headers=KEY)
    assert (again.status_code, again.headers["idempotency-replayed"]) == (201, "true")
    restarted.wall.turn(request_keys.KEPT)
    assert later.post("/api/v1/admin/users", json=NEW, headers=KEY).status_code == 409


def test_a_key_of_another_request_is_refused(console: Console) -> None:
    admin = console.program("admin")
    assert admin.post("/api/v1/admin/users", json=NEW, headers=KEY).status_code == 201
    other = admin.post("/api/v1/admin/users", json={**NEW, "user_name": "bob"}, headers=KEY)
    assert other.status_code == 422
    assert other.json()["type"] == "urn:pilothouse:problem:key-of-another-request"


def test_keys_are_each_persons_own(console: Console) -> None:
    one, two = console.program("admin", "one"), console.program("admin", "two")
    assert one.post("/api/v1/admin/users", json=NEW, headers=KEY).status_code == 201
    assert two.post("/api/v1/admin/users", json=NEW, headers=KEY).status_code == 409


def test_a_secret_is_told_once_and_kept_nowhere(console: Console, store: Store) -> None:
    admin = console.program("admin")
    first = admin.post("/api/v1/tokens", json={"label": "ci"}, headers=KEY)
    assert first.status_code == 201
    again = admin.post("/api/v1/tokens", json={"label": "ci"}, headers=KEY)
    assert again.status_code == 409
    assert again.json()["type"] == "urn:pilothouse:problem:done-already"
    kept = store.rows(RequestAnswer, "SELECT * FROM request_answers")
    assert [each.body for each in kept] == [None]
    listed = admin.get("/api/v1/tokens").json()["items"]
    assert [each["label"] for each in listed].count("ci") == 1


def test_the_secret_of_a_link_is_kept_nowhere_either(console: Console, store: Store) -> None:
    made = make_decision()
    propose(store, made)
    path = f"/api/v1/decisions/{made.decision_id}/links"
    first = console.program("operator").post(path, json={}, headers=KEY)
    assert first.status_code == 201
    kept = store.rows(RequestAnswer, "SELECT * FROM request_answers")
    assert [each.body for each in kept] == [None]


@pytest.mark.parametrize("key", ["", "x" * (KEY_LENGTH_MAX + 1), "tab\there"])
def test_an_unusable_key_is_refused(console: Console, key: str) -> None:
    answer = console.program("admin").post(
        "/api/v1/admin/users", json=NEW, headers={"idempotency-key": key}
    )
    assert answer.status_code == 422
    assert answer.json()["type"] == "urn:pilothouse:problem:unusable-key"


def test_while_one_is_under_way_the_other_waits_and_what_was_cut_off_is_told(
    make_console: MakeConsole, store: Store
) -> None:
    under_way, may_end = threading.Event(), threading.Event()

    def add_slow(app: FastAPI) -> None:
        @app.post("/api/v1/slow")
        def slow() -> dict[str, str]:
            under_way.set()
            assert may_end.wait(30)
            return {"done": "yes"}

        # Before the last route, which says 404 to all that is left.
        app.router.routes.insert(0, app.router.routes.pop())

    console = make_console(before=add_slow)
    program, other = console.program("admin", "one"), console.program("admin", "one")
    answers = []
    busy = threading.Thread(
        target=lambda: answers.append(program.post("/api/v1/slow", headers=KEY))
    )
    busy.start()
    assert under_way.wait(30)
    meanwhile = other.post("/api/v1/slow", headers=KEY)
    assert (meanwhile.status_code, meanwhile.headers["retry-after"]) == (409, "1")
    console.wall.turn(timedelta(minutes=2))
    cut_off = other.post("/api/v1/slow", headers=KEY)
    assert cut_off.json()["type"] == "urn:pilothouse:problem:cut-off"
    may_end.set()
    busy.join()
    assert answers[0].json() == {"done": "yes"}
    assert other.post("/api/v1/slow", headers=KEY).json() == {"done": "yes"}


def test_a_fault_lets_go_of_the_key(make_console: MakeConsole) -> None:
    tries = []

    def add_faulty(app: FastAPI) -> None:
        @app.post("/api/v1/faulty")
        def faulty() -> dict[str, int]:
            tries.append(1)
            if len(tries) == 1:
                raise RuntimeError("the first time")
            return {"tries": len(tries)}

        app.router.routes.insert(0, app.router.routes.pop())

    console = make_console(before=add_faulty)
    program = console.program("admin")
    patient = console.visitor(raise_server_exceptions=False, headers=dict(program.headers))
    assert patient.post("/api/v1/faulty", headers=KEY).status_code == 500
    assert patient.post("/api/v1/faulty", headers=KEY).json() == {"tries": 2}
    assert patient.post("/api/v1/faulty", headers=KEY).json() == {"tries": 2}
