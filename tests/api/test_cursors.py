"""Cursors: lists gone through to their end, and words that no console gave."""

from __future__ import annotations

import base64
import json
from datetime import timedelta

import pytest

from api.cursors import cursor_of, position_of
from tests.api.conftest import Console
from tests.makers import NOON, make_job_event
from warehouse.paging import After, BadCursor


def word(told: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(told).encode()).decode().rstrip("=")


def test_a_cursor_comes_back_as_it_was() -> None:
    end = After("12345678", ("2026-11-01T00:00:00+00:00", None, 1.5, "ü", True))
    assert position_of(cursor_of(7, end)) == (7, end)
    assert position_of(cursor_of(7, None)) == (7, 7)


@pytest.mark.parametrize(
    "wrong",
    [
        "",
        "§",
        "!!!!",
        word([]),
        word({"n": -1}),
        word({"n": True}),
        word({"n": 2**40}),
        word({"n": 1, "o": 5, "v": []}),
        word({"n": 1, "o": "a", "v": [[1]]}),
        word({"n": 1, "o": "a", "v": [float("inf")]}),
        word("x" * 10)[:7],
    ],
)
def test_a_word_that_no_console_gave_is_refused(wrong: str) -> None:
    with pytest.raises(BadCursor, match="begin again"):
        position_of(wrong)


def test_a_list_that_grows_is_gone_through_once(console: Console) -> None:
    store, viewer = console.store, console.program("viewer")
    store.append(
        make_job_event(job_id=f"job-{n}", happened_at=NOON - timedelta(minutes=n)) for n in range(5)
    )
    seen: list[str] = []
    asked: dict[str, object] = {"limit": 2}
    for turn in range(10):
        answer = viewer.get("/api/v1/jobs", params=asked)
        seen += [row["job_id"] for row in answer.json()["items"]]
        cursor = answer.json()["next_cursor"]
        if cursor is None:
            break
        asked = {"limit": 2, "cursor": cursor}
        store.append([make_job_event(job_id=f"new-{turn}", happened_at=NOON)])
    assert seen == [f"job-{n}" for n in range(5)]
    assert "cursor=" not in answer.headers.get("link", "")


def test_a_list_at_hand_has_cursors_too_and_a_strange_one_is_422(console: Console) -> None:
    admin = console.program("admin")
    first = admin.get("/api/v1/admin/users?limit=1").json()
    second = admin.get("/api/v1/admin/users", params={"limit": 1, "cursor": first["next_cursor"]})
    assert second.json()["items"] != first["items"]
    assert second.json()["next_cursor"] is None
    console.store.append(make_job_event(job_id=f"job-{n}") for n in range(3))
    of_jobs = admin.get("/api/v1/jobs?limit=1").json()["next_cursor"]
    for path, asked in (
        ("/api/v1/jobs", {"cursor": "nonsense"}),
        ("/api/v1/jobs", {"cursor": of_jobs, "sort": "tenant"}),
        ("/api/v1/admin/audit", {"cursor": of_jobs}),
        ("/api/v1/jobs", {"cursor": "x" * 5000}),
    ):
        answer = admin.get(path, params=asked)
        assert answer.status_code == 422, asked
        assert answer.headers["content-type"] == "application/problem+json"


def test_the_link_leads_on_by_cursor_where_it_was_come_to_by_one(console: Console) -> None:
    console.store.append(make_job_event(job_id=f"job-{n}") for n in range(5))
    viewer = console.program("viewer")
    first = viewer.get("/api/v1/jobs?limit=2")
    assert "offset=2" in first.headers["link"]
    cursor = first.json()["next_cursor"]
    second = viewer.get("/api/v1/jobs", params={"limit": 2, "cursor": cursor})
    assert f"cursor={second.json()['next_cursor']}" in second.headers["link"]
    assert "prev" not in second.headers["link"]


def test_a_path_with_odd_characters_has_links_too(console: Console) -> None:
    answer = console.program("operator").get("/api/v1/decisions/\U00043d7a%22%3E/links")
    assert answer.status_code in (200, 404)
    assert answer.headers.get("link", "").isascii()
