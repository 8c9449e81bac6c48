"""What is asked of the console is counted, by ids and templates alone; what is told of tenants."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta

import pytest
from fastapi import FastAPI

from api.application import bare_app, bring_door_outside, create_api
from api.settings import ApiSettings
from tests.api.conftest import ORIGIN, PASSWORD, Console, HandClock, MakeConsole, Reasons, sign_in
from tests.makers import NOON, make_charge, make_job_event, make_offer
from warehouse import people, usage
from warehouse.records import UsageEvent
from warehouse.schema import TABLES
from warehouse.usage import Tally

DAY = timedelta(days=1)


def tally_of(app: FastAPI) -> Tally:
    (counting,) = [each for each in app.user_middleware if each.cls.__name__ == "Counted"]
    found = counting.kwargs["tally"]
    assert isinstance(found, Tally)
    return found


def counted(console: Console) -> dict[tuple[str | None, str, str | None], int]:
    """What was counted so far, by user, kind and subject."""
    tally_of(console.app).flush(console.store)
    rows = console.store.query(
        'SELECT user_id, kind, subject, sum("count")::BIGINT FROM usage_events GROUP BY ALL'
    )
    return {(user, kind, subject): number for user, kind, subject, number in rows.iter_rows()}


def test_calls_are_counted_by_the_template_of_their_route(console: Console) -> None:
    program = console.program("viewer")
    console.store.append([make_job_event()])
    for _ in range(3):
        assert program.get("/api/v1/jobs/job-1").status_code == 200
    assert program.get("/api/v1/jobs?search=secret-project").status_code == 200
    program.get("/healthz")
    assert counted(console) == {
        ("the-viewer", "api_call", "/api/v1/jobs/{job_id}"): 3,
        ("the-viewer", "api_call", "/api/v1/jobs"): 1,
    }


def test_a_file_is_a_call_and_a_download(console: Console) -> None:
    console.store.append([make_offer()])
    answer = console.program("viewer").get("/api/v1/market/download/offers")
    assert answer.headers["content-disposition"].startswith("attachment")
    template = "/api/v1/market/download/{what}"
    assert counted(console) == {
        ("the-viewer", "api_call", template): 1,
        ("the-viewer", "download", template): 1,
    }


def test_who_signs_in_is_counted_and_of_who_fails_only_that_they_did(console: Console) -> None:
    browser = console.browser("viewer", "mara")
    assert sign_in(console.visitor(), "mara", "a wrong password").status_code == 401
    wrong = {"user_name": "somebody@example.org", "password": "hunter2-hunter2"}
    stranger = console.visitor()
    assert stranger.post("/api/v1/sign-in", json=wrong).status_code == 401
    right = {"user_name": "mara", "password": PASSWORD}
    assert stranger.post("/api/v1/sign-in", json=right).status_code == 201
    assert browser.get("/sign-in").status_code == 303  # looking at the form is no sign-in
    assert counted(console) == {
        ("mara", "sign_in", "/sign-in"): 1,
        (None, "sign_in_failed", "/sign-in"): 1,
        (None, "sign_in_failed", "/api/v1/sign-in"): 1,
        ("mara", "sign_in", "/api/v1/sign-in"): 1,
    }


def test_whoever_the_door_refuses_is_not_counted(console: Console) -> None:
    assert console.visitor().get("/api/v1/jobs").status_code == 401
    assert counted(console) == {}


def test_a_person_of_a_tenant_is_counted_by_its_name(console: Console) -> None:
    made = people.create_user(
        console.store, console.office.passwords, "ann", "viewer", now=NOON, password=PASSWORD
    )
    console.store.append([replace(made, tenant="blue", recorded_at=NOON + people.TICK)])
    assert sign_in(console.visitor(), "ann").status_code == 303
    console.program("viewer", "ann").get("/api/v1/me")
    tally_of(console.app).flush(console.store)
    rows = console.store.query("SELECT tenant, kind FROM usage_events ORDER BY kind").rows()
    assert rows == [("blue", "api_call"), ("blue", "sign_in")]


def test_no_column_of_a_row_holds_anything_that_a_person_typed_or_is_told_by_the_browser(
    console: Console,
) -> None:
    typed = {
        "agent": "Netscape Navigator 4", "mail": "somebody@example.org", "address": "203.0.113.9",
        "search": "secret-project", "password": "hunter2-hunter2", "path": "no-such-thing",
        "job": "my-private-job", "language": "tlh", "referer": "elsewhere.example",
    }  # fmt: skip
    program = console.program("viewer")
    program.headers |= {
        "user-agent": typed["agent"], "x-forwarded-for": typed["address"],
        "accept-language": typed["language"], "referer": f"https://{typed['referer']}/",
    }  # fmt: skip
    program.get(f"/api/v1/jobs/{typed['job']}?search={typed['search']}")
    program.get(f"/api/v1/jobs?search={typed['search']}")
    program.get(f"/api/v1/{typed['path']}")
    program.post(
        "/api/v1/sign-in", json={"user_name": typed["mail"], "password": typed["password"]}
    )
    sign_in(console.visitor(headers={"origin": ORIGIN}), typed["mail"], typed["password"])
    assert len(counted(console)) >= 4
    columns = {column.name for column in TABLES[UsageEvent].columns}
    assert columns == {"tenant", "user_id", "kind", "subject", "count", "happened_at"}
    rows = console.store.query("SELECT * FROM usage_events").to_dicts()
    stored = json.dumps(rows, default=str)
    assert "testclient" not in stored  # the caller's address, as the test client gives it
    assert [word for word in typed.values() if word in stored] == []
    assert {row["user_id"] for row in rows} <= {"the-viewer", None}
    assert {(row["happened_at"].second, row["happened_at"].microsecond) for row in rows} == {(0, 0)}


def test_counting_that_fails_fails_no_request(make_console: MakeConsole) -> None:
    console = make_console()
    tally = tally_of(console.app)
    tally._wall = None  # type: ignore[assignment]
    assert console.program("viewer").get("/api/v1/jobs").status_code == 200


def test_the_tally_that_is_given_is_the_one_that_counts(console: Console) -> None:
    app, tally = bare_app(), Tally(HandClock())
    create_api(
        app, store=console.store, clock=HandClock(), wall=HandClock(), tally=tally,
        settings=ApiSettings(home=console.office.settings.home), readiness=Reasons(),
    )  # fmt: skip
    bring_door_outside(app)
    assert tally_of(app) is tally
    names = [each.cls.__name__ for each in app.user_middleware]
    assert names.index("SignInRequired") < names.index("Counted")


# -- what is told of tenants -----------------------------------------------------------


@pytest.fixture
def told(console: Console) -> Console:
    events = [
        make_job_event(
            job_id=f"{tenant}-{n}", tenant=tenant, event=event, happened_at=NOON - DAY + after
        )
        for tenant, jobs in (("blue", 3), ("red", 1))
        for n in range(jobs)
        for event, after in (("submitted", 0 * DAY), ("left", DAY / 24))
    ]
    console.store.append([*events, make_charge(tenant="red", charge_usd=9.0)])
    return console


def test_a_viewer_reads_the_list_of_tenants_sorted_and_paged(told: Console) -> None:
    program = told.program("viewer")
    answer = program.get("/api/v1/tenants").json()
    assert [row["tenant"] for row in answer["items"]] == ["red", "blue"]
    assert answer["items"][1]["left_ratio"] == 1.0
    answer = program.get("/api/v1/tenants?sort=jobs&limit=1&days=7").json()
    assert (answer["items"][0]["tenant"], answer["total"]) == ("blue", 2)
    assert program.get("/api/v1/tenants?sort=height").status_code == 422


def test_one_tenant_is_told_with_its_troubles_its_use_and_what_is_not_known(told: Console) -> None:
    usage_of_blue = Tally(HandClock())
    usage_of_blue.add("api_call", "/api/v1/jobs", tenant="blue", user_id="ann")
    usage_of_blue.flush(told.store)
    answer = told.program("viewer").get("/api/v1/tenants/blue").json()
    assert answer["jobs"] == 3
    assert answer["troubles"] == [{"event": "left", "cause": "not told", "jobs": 3}]
    assert answer["usage"] == {"api_call": 1}
    assert answer["signals"] == []
    assert {each["rule"] for each in answer["unjudged"]} >= {"silence", "activity"}


def test_a_tenant_that_nobody_knows_is_404_and_says_what_to_do(told: Console) -> None:
    answer = told.program("viewer").get("/api/v1/tenants/nobody")
    assert answer.status_code == 404
    assert "read the list again" in answer.json()["detail"]


def test_a_signal_comes_with_its_rule_and_what_it_does_not_know(console: Console) -> None:
    jobs = [
        make_job_event(job_id=f"{week}-{n}", happened_at=NOON - week * 7 * DAY - (n + 1) * DAY / 24)
        for week, number in enumerate((2, 20, 20, 20, 20))
        for n in range(number)
    ]
    console.store.append(jobs)
    (signal,) = console.program("viewer").get("/api/v1/tenants/blue").json()["signals"]
    assert (signal["rule"], signal["value"], signal["usual"]) == ("activity", 2.0, 20.0)
    assert "2 jobs in the last seven days" in signal["evidence"]
    assert "How large the jobs are" in signal["blind"]
    assert usage.USAGE_KINDS[0] == "api_call"
