"""Jobs: the queue and what runs, filtered and asked for a page at a time."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from pages._files import said_of_download
from tests.makers import NOON, make_charge, make_job_event, make_pool
from tests.pages.conftest import Console, words_in

BLOCK = {"startRow": 0, "endRow": 2, "sortModel": []}


@pytest.fixture
def filled(console: Console) -> Console:
    events = [
        make_job_event(
            job_id=f"job-{i}", tenant="blue" if i % 2 else "red",
            happened_at=NOON - timedelta(hours=i + 1), gpu_count=i + 1,
        )
        for i in range(5)
    ]  # fmt: skip
    started = make_job_event(
        job_id="job-1", event="started", node_ids=["node-3"], happened_at=NOON - timedelta(hours=1)
    )
    console.store.append([make_pool(), *events, started, make_charge()])
    return console


def block(console: Console, request: dict[str, Any] = BLOCK, *filters: Any) -> dict[str, Any]:
    filters = filters or (None, None, None, None)
    return console.page("jobs").rows(request, *filters)


def test_an_empty_warehouse_says_that_there_are_no_jobs(loading: Console) -> None:
    counts, nothing = loading.page("jobs").count_states(None)
    assert counts == "No jobs yet"
    assert "History is loading, 43 %" in words_in(nothing)
    assert block(loading) == {"rowData": [], "rowCount": 0}


def test_a_block_holds_what_was_asked_for_and_says_how_many_there_are(filled: Console) -> None:
    sent = block(filled)
    assert [row["job_id"] for row in sent["rowData"]] == ["job-0", "job-1"]
    assert sent["rowCount"] == 5
    assert sent["rowData"][1]["charged_usd"] == 10.0
    assert sent["rowData"][1]["submitted_at"] == "2026-11-02T10:00:00Z"


def test_the_table_sorts_as_the_grid_asks(filled: Console) -> None:
    asked = BLOCK | {"sortModel": [{"colId": "gpu_count", "sort": "desc"}]}
    assert [row["gpu_count"] for row in block(filled, asked)["rowData"]] == [5, 4]


@pytest.mark.parametrize(
    ("filters", "found"),
    [
        ((["running"], None, None, None), ["job-1"]),
        (([], None, "red", None), ["job-0", "job-2"]),
        ((None, "a100", None, None), []),
        ((None, None, None, "JOB-4"), ["job-4"]),
    ],
)
def test_filters_narrow_the_table(
    filled: Console, filters: tuple[Any, ...], found: list[str]
) -> None:
    assert [row["job_id"] for row in block(filled, BLOCK, *filters)["rowData"]] == found


def test_a_picked_job_shows_what_happened_to_it_and_what_it_costs(filled: Console) -> None:
    title, detail = filled.page("jobs").show_job("job-1", None)
    assert "Running" in words_in(title)
    shown = words_in(detail)
    assert "/fleet?node=node-3" in shown
    assert "$10.00" in shown
    assert shown.index("Submitted") < shown.index("Started")


def test_a_download_holds_all_that_fits_the_filters(filled: Console) -> None:
    file, told = filled.page("jobs").download(1, None, None, "red", None)
    assert file["filename"] == "jobs-20261102-1200.csv"
    assert len(file["content"].splitlines()) == 4  # the head and three jobs
    assert told[0]["message"] == "3 rows"


def test_a_download_that_is_cut_says_so() -> None:
    told = said_of_download(50_000, 80_000)
    assert told["title"] == "Downloaded in part"
    assert "50,000 of 80,000" in told["message"]
