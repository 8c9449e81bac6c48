"""Answers to a GET: fields left out, 304 where nothing has changed."""

from __future__ import annotations

from api.answers import FIELDS_MAX
from tests.api.conftest import Console


def test_only_the_fields_that_were_asked_for_are_sent(console: Console) -> None:
    admin = console.program("admin")
    whole = admin.get("/api/v1/admin/users").json()
    some = admin.get("/api/v1/admin/users?fields=user_name,role&limit=1").json()
    assert some["items"] == [
        {name: whole["items"][0][name] for name in ("user_name", "role")},
    ]
    assert some["total"] == whole["total"]
    assert admin.get("/api/v1/me", params={"fields": "role"}).json() == {"role": "admin"}


def test_a_field_that_is_not_there_is_refused_with_those_that_are(console: Console) -> None:
    admin = console.program("admin")
    refused = admin.get("/api/v1/admin/users?fields=user_name,password_hash")
    assert refused.status_code == 422
    assert refused.headers["content-type"] == "application/problem+json"
    assert "no field password_hash" in refused.json()["detail"]
    assert "session_epoch" not in refused.json()["detail"]
    many = ",".join(f"a{number}" for number in range(FIELDS_MAX + 1))
    assert admin.get(f"/api/v1/me?fields={many}").status_code == 422


def test_an_answer_that_is_there_already_is_not_sent_again(console: Console) -> None:
    admin = console.program("admin")
    first = admin.get("/api/v1/admin/users")
    etag = first.headers["etag"]
    again = admin.get("/api/v1/admin/users", headers={"if-none-match": f'"other", {etag}'})
    assert (again.status_code, again.content) == (304, b"")
    assert again.headers["etag"] == etag
    assert "content-security-policy" in again.headers
    made = {"user_name": "new-one", "role": "viewer"}
    assert admin.post("/api/v1/admin/users", json=made).status_code == 201
    changed = admin.get("/api/v1/admin/users", headers={"if-none-match": etag})
    assert changed.status_code == 200
    assert changed.headers["etag"] != etag


def test_a_browser_keeps_nothing(console: Console) -> None:
    answer = console.browser("viewer").get("/api/v1/me", headers={"if-none-match": "*"})
    assert (answer.status_code, answer.headers["cache-control"]) == (200, "no-store")
    of_program = console.program("viewer").get("/api/v1/me")
    assert of_program.headers["cache-control"] == "private, no-cache"


def test_errors_and_files_are_sent_as_they_are(console: Console) -> None:
    viewer = console.program("viewer")
    missing = viewer.get("/api/v1/decisions/none?fields=state", headers={"if-none-match": "*"})
    assert missing.status_code == 404
    assert viewer.get("/metrics", headers={"if-none-match": "*"}).status_code == 200
