"""Tenants: what they do, who gives signs of leaving and on what evidence, and who stays."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from dash import Output, page_registry

from pages._used import noting_downloads
from tests.makers import NOON, make_charge, make_job_event, make_price
from tests.pages.conftest import Console, words_in
from warehouse.clock import WallClock
from warehouse.people import Person, current_person
from warehouse.records import UsageEvent
from warehouse.usage import Tally, current_tally

BLOCK = {"startRow": 0, "endRow": 50, "sortModel": []}
WEEK, HOUR = timedelta(days=7), timedelta(hours=1)


def jobs_of(tenant: str, a_week: tuple[int, ...]) -> list[Any]:
    """A tenant's jobs, a number a week, the last week first."""
    return [
        make_job_event(job_id=f"{tenant}-{week}-{n}", tenant=tenant, event=event,
                       happened_at=NOON - week * WEEK - (n + 1) * HOUR + after)
        for week, number in enumerate(a_week)
        for n in range(number)
        for event, after in (("submitted", 0 * HOUR), ("started", HOUR / 2))
    ]  # fmt: skip


@pytest.fixture
def filled(console: Console) -> Console:
    console.store.append(jobs_of("leaving", (4, 20, 20, 20, 20)))
    console.store.append(jobs_of("staying", (20, 20, 20, 20, 20)))
    console.store.append(jobs_of("=new", (2,)))
    paid = {"period_starts_at": NOON - 2 * WEEK, "period_ends_at": NOON - 2 * WEEK + HOUR}
    console.store.append(
        [
            make_price(in_force_from_at=NOON - 6 * WEEK),
            make_charge(tenant="leaving", charge_usd=2800.0, **paid),
            make_charge(tenant="staying", charge_usd=1200.0, **paid),
        ]
    )
    return console


def block(console: Console, *filters: Any, **changes: Any) -> dict[str, Any]:
    return console.page("tenants").rows(BLOCK | changes, *(filters or (None, None)))


def test_an_empty_warehouse_says_that_there_are_no_tenants_and_hides_the_rest(
    loading: Console,
) -> None:
    top, signals, age, style = loading.page("tenants").show_standing(None, None)
    assert "No tenants yet" in words_in(top)
    assert "History is loading, 43 %" in words_in(top)
    assert (signals, age, style) == (None, "No tenants yet", {"display": "none"})
    assert "No cohorts yet" in words_in(loading.page("tenants").show_cohorts(None, None))
    assert block(loading) == {"rowData": [], "rowCount": 0}


def test_it_says_in_words_who_is_active_and_who_gives_signs_of_leaving(filled: Console) -> None:
    top, signals, age, style = filled.page("tenants").show_standing(None, None)
    said = words_in(top)
    assert "3 tenants active this week , of 3 known." in said
    assert "1 gives signs of leaving , worth $128 a day ; of 1 too little is known" in said
    assert "Of $4,000 charged in 30 days the largest pays 70\u202f%" in said
    assert "As of 2026-11-02 12:00:00 UTC" in age
    assert style == {}
    told = words_in(signals)
    assert "/tenants?tenant=leaving" in told
    assert "4 jobs in the last seven days; 20 a week in the 3 weeks before" in told
    assert "staying" not in told
    assert "Does not know:" in told


def test_where_too_little_is_known_it_says_so_and_gives_no_signal(console: Console) -> None:
    console.store.append(jobs_of("new", (2,)))
    top, signals, _, _ = console.page("tenants").show_standing("7", None)
    assert "Too little is known of any of them" in words_in(top)
    assert "Nobody was charged anything in 7 days" in words_in(top)
    assert "Too little is known for any signal" in words_in(signals)


def test_where_all_is_as_ever_it_says_that_no_rule_fired(console: Console) -> None:
    console.store.append(jobs_of("staying", (20, 20, 20, 20, 20)))
    top, signals, _, _ = console.page("tenants").show_standing(None, None)
    assert "Nobody gives signs of leaving" in words_in(top)
    assert "No signals" in words_in(signals)


def test_the_table_is_sorted_filtered_and_paged_on_the_server(filled: Console) -> None:
    sent = block(filled)
    assert [row["tenant"] for row in sent["rowData"]] == ["leaving", "staying", "=new"]
    row = sent["rowData"][0]
    assert (row["charge_usd"], row["revenue_share_ratio"], row["growth_ratio"]) == (2800, 0.7, -0.8)
    assert row["picked_tenant"] == "leaving"
    assert row["last_seen_at"] == "2026-11-02T11:00:00Z"
    by_jobs = block(filled, sortModel=[{"colId": "jobs", "sort": "asc"}], endRow=1)
    assert ([row["tenant"] for row in by_jobs["rowData"]], by_jobs["rowCount"]) == (["=new"], 3)
    assert [row["tenant"] for row in block(filled, "STAY", None)["rowData"]] == ["staying"]
    assert {row["tenant"]: row["jobs"] for row in block(filled, None, "7")["rowData"]} == {
        "leaving": 4, "staying": 20, "=new": 2,
    }  # fmt: skip


def test_every_column_of_the_table_can_be_sorted_by(filled: Console) -> None:
    for column in filled.page("tenants").COLUMNS:
        asked = [{"colId": column["field"], "sort": "desc"}]
        assert block(filled, sortModel=asked)["rowCount"] == 3


def test_cohorts_stand_in_a_grid_with_numbers_in_its_cells(filled: Console) -> None:
    grid = words_in(filled.page("tenants").show_cohorts("tenants", None))
    assert "First job in the week of" in grid
    assert "same week" in grid
    assert "Week of 2 Nov: " in grid  # what a cell says when it is pointed at
    assert "100\u202f%" in grid
    assert "is-running" in grid
    hours = words_in(filled.page("tenants").show_cohorts("hours", None))
    assert "GPU-hours that they held in it" in hours


def test_the_drawer_tells_of_one_tenant_and_links_to_its_jobs(filled: Console) -> None:
    troubled = {"tenant": "leaving", "job_id": "leaving-0-0", "detail": "node-3 failed"}
    filled.store.append(
        [make_job_event(event="preempted", happened_at=NOON - HOUR / 4, **troubled)]
    )
    title, shown = filled.page("tenants").show_tenant("leaving", None, None)
    assert "leaving" in words_in(title)
    said = words_in(shown)
    assert "/jobs?tenant=leaving" in said
    assert "Sends less" in said
    assert "… failed" in said
    assert "$2,800" in said
    assert "no user of this one has signed in" in said
    assert "of the rules know too little" in said


def test_the_drawer_tells_when_its_people_last_used_the_console(filled: Console) -> None:
    minute = WallClock().now().replace(second=0, microsecond=0) - timedelta(minutes=5)
    filled.store.append(
        [UsageEvent(tenant="leaving", user_id="ann", kind="api_call", subject="/api/v1/jobs",
                    count=7, happened_at=minute)]
    )  # fmt: skip
    said = words_in(filled.page("tenants").show_tenant("leaving", None, None)[1])
    assert "Api call 7" in said
    assert "min ago" in said


def test_a_tenant_of_an_old_link_that_nobody_knows_says_so(filled: Console) -> None:
    title, shown = filled.page("tenants").show_tenant("gone", None, None)
    assert title == "gone"
    assert "No tenant gone" in words_in(shown)


def test_a_download_holds_all_that_fits_and_no_formula(filled: Console) -> None:
    file, told = filled.page("tenants").download(1, "", "30")
    assert file["filename"] == "tenants-20261102-1200.csv"
    lines = file["content"].splitlines()
    assert len(lines) == 4
    assert lines[3].startswith("'=new,")
    assert told[0]["message"] == "3 rows"


def test_the_address_opens_the_page_as_it_was_left(filled: Console) -> None:
    opened = filled.open("/tenants", "?tenant=leaving&span=7&by=hours&search=lea")
    text = str(opened)
    for wanted in ("'value': 'leaving'", "'value': '7'", "'value': 'hours'", "'value': 'lea'"):
        assert wanted in text
    assert "'value': '30'" in str(filled.open("/tenants", "?span=1000"))


def test_a_page_that_is_looked_at_and_a_file_that_is_taken_are_counted(filled: Console) -> None:
    tally = Tally(NoonClock())
    person = Person("mara", "viewer", "browser", "blue")
    entered, asking = current_tally.set(tally), current_person.set(person)
    try:
        page = filled.page("tenants")
        page_registry["pages.tenants"]["layout"](span="7")
        noting = noting_downloads(page.download, [Output("tenants-file", "data"), Output("a", "b")])
        noting(None, None, None)  # the button was only drawn
        noting(1, "", "30")
    finally:
        current_person.reset(asking)
        current_tally.reset(entered)
    tally.flush(filled.store)
    rows = filled.store.query(
        'SELECT tenant, user_id, kind, subject, "count" FROM usage_events ORDER BY kind'
    )
    assert rows.rows() == [
        ("blue", "mara", "download", "/tenants", 1),
        ("blue", "mara", "page_view", "/tenants", 1),
    ]


class NoonClock:
    def now(self) -> Any:
        return NOON
