"""Exports by the API: listed, checked, fetched in pieces, asked for; never a path of one's own."""

from __future__ import annotations

import asyncio
import hashlib
import io
import json
from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest
from starlette.requests import ClientDisconnect
from starlette.testclient import TestClient

from api.export_shapes import Answered
from api.exports import FileAnswer
from tests.api.conftest import Console
from tests.exporting import exporter_to, meter
from warehouse.audit import audit
from warehouse.export_places import INDEX_NAME
from warehouse.export_schedule import export_due
from warehouse.store import Store

BASE = "/api/v1/exports"
DAY = datetime(2026, 11, 1, tzinfo=UTC)


@pytest.fixture
def console(console: Console, store: Store) -> Console:
    meter(store, DAY, 24 + 6)
    return console


@pytest.fixture
def exported(console: Console, store: Store) -> str:
    """The id of a day's FOCUS export."""
    export_due(exporter_to(store, console.office.settings.home / "exports", console.wall))  # type: ignore[arg-type]
    return str(store.query("SELECT export_id FROM exports WHERE kind = 'focus'").item())


@pytest.fixture
def viewer(console: Console) -> TestClient:
    return console.program("viewer")


def test_exports_are_listed_and_told_one_by_one(viewer: TestClient, exported: str) -> None:
    page = viewer.get(BASE, params={"kind": "focus", "outcome": "written"}).json()
    assert page["total"] == 1
    (row,) = page["items"]
    assert (row["export_id"], row["version"], row["billed_usd"]) == (exported, 1, 432.0)
    assert viewer.get(f"{BASE}/{exported}").json() == row
    told = viewer.get(f"{BASE}/{exported}/manifest").json()
    assert (told["sha256"], told["rows"]) == (row["sha256"], 24)
    assert viewer.get(f"{BASE}/{exported}/verification").json()["is_intact"]


def test_a_file_is_fetched_whole_and_its_etag_saves_the_second_time(
    viewer: TestClient, exported: str
) -> None:
    got = viewer.get(f"{BASE}/{exported}/file")
    assert got.headers["etag"] == f'"{hashlib.sha256(got.content).hexdigest()}"'
    assert got.headers["content-disposition"].endswith('filename="focus-2026-11-01-v1.parquet"')
    assert pl.read_parquet(io.BytesIO(got.content)).height == 24
    again = viewer.get(f"{BASE}/{exported}/file", headers={"if-none-match": got.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")


def test_a_download_that_broke_off_is_taken_up(viewer: TestClient, exported: str) -> None:
    whole = viewer.get(f"{BASE}/{exported}/file").content
    for asked, expected in {
        "bytes=0-99": whole[:100],
        "bytes=100-": whole[100:],
        "bytes=-8": whole[-8:],
        "bytes=5-999999999": whole[5:],
    }.items():
        part = viewer.get(f"{BASE}/{exported}/file", headers={"range": asked})
        assert (part.status_code, part.content) == (206, expected), asked
        assert part.headers["content-length"] == str(len(part.content))


def test_ranges_that_lie_outside_or_are_of_another_file_are_not_answered_as_such(
    viewer: TestClient, exported: str
) -> None:
    url = f"{BASE}/{exported}/file"
    outside = viewer.get(url, headers={"range": "bytes=999999999-"})
    size_bytes = len(viewer.get(url).content)
    assert outside.status_code == 416
    assert outside.headers["content-range"] == f"bytes */{size_bytes}"
    other = viewer.get(url, headers={"range": "bytes=0-9", "if-range": '"of-another"'})
    assert (other.status_code, len(other.content)) == (200, size_bytes)
    several = viewer.get(url, headers={"range": "bytes=0-1,4-5"})
    assert (several.status_code, len(several.content)) == (200, size_bytes)


def test_only_what_an_export_names_can_be_fetched(viewer: TestClient, exported: str) -> None:
    assert exported
    for trick in ("..%2f..%2fcatalogue.duckdb", "%2e%2e", "x'%20OR%201=1--", "_index.json"):
        for end in ("file", "manifest", "verification"):
            assert viewer.get(f"{BASE}/{trick}/{end}").status_code == 404, trick


def test_what_comes_next_is_told_with_what_waits(viewer: TestClient) -> None:
    found = viewer.get(f"{BASE}/schedule").json()
    assert [(each["kind"], each["period"]) for each in found["due"]] == [
        ("focus", "2026-11-01"),
        ("usage", "2026-11-01"),
    ]
    assert {each["period"] for each in found["waiting"]} == {"2026-11-02", "2026-11"}
    assert found["metered_until_at"] == "2026-11-02T06:00:00Z"
    assert found["failing"] == []


def test_a_day_is_shown_before_it_is_written(viewer: TestClient) -> None:
    found = viewer.get(f"{BASE}/preview", params={"day": "2026-11-02", "limit": 2}).json()
    assert (len(found["rows"]), found["row_count"], found["is_complete"]) == (2, 6, False)
    assert float(found["rows"][0]["BilledCost"]) == 18
    assert found["sums"]["BilledCost"] == 108


def test_an_operator_asks_for_a_day_and_gets_it_once(console: Console, store: Store) -> None:
    operator = console.program("operator")
    asked = {"kind": "usage", "from_day": "2026-11-01", "to_day": "2026-11-01"}
    first = operator.post(BASE, json=asked).json()
    assert [(row["kind"], row["reason"]) for row in first["exports"]] == [("usage", "by hand")]
    assert first["exports"][0]["requested_by"] == "the-operator"
    again = operator.post(BASE, json=asked).json()
    assert again == {"exports": [], "unchanged": ["2026-11-01"], "waits_because": None}
    assert set(first) == set(Answered.model_fields)
    assert audit(store, act="export").total == 2


def test_of_several_days_those_that_are_metered_are_written_and_the_index_knows_them(
    console: Console,
) -> None:
    operator = console.program("operator")
    made = operator.post(BASE, json={"from_day": "2026-11-01", "to_day": "2026-11-02"}).json()
    assert [row["outcome"] for row in made["exports"]] == ["written"]
    assert "2026-11-02 is not wholly metered (6 of 24 hours" in made["waits_because"]
    (index,) = console.office.settings.home.rglob(INDEX_NAME)
    assert [row["rows"] for row in json.loads(index.read_text())["exports"]] == [
        made["exports"][0]["row_count"]
    ]


def test_what_cannot_be_exported_is_refused_with_why(console: Console) -> None:
    operator = console.program("operator")
    early = {"from_day": "2026-11-02", "to_day": "2026-11-02"}
    answer = operator.post(BASE, json=early)
    assert (answer.status_code, answer.json()["type"]) == (
        409,
        "urn:pilothouse:problem:not-metered",
    )
    assert "6 of 24 hours" in answer.json()["detail"]
    assert (
        operator.post(BASE, json={"from_day": "2026-11-02", "to_day": "2026-11-01"}).status_code
        == 422
    )
    many = operator.post(BASE, json={"from_day": "2026-01-01", "to_day": "2026-11-01"})
    assert (many.status_code, many.json()["title"]) == (422, "Too many at once")


def test_a_viewer_asks_for_none(viewer: TestClient) -> None:
    asked = {"from_day": "2026-11-01", "to_day": "2026-11-01"}
    assert viewer.post(BASE, json=asked).status_code == 403


def test_a_file_is_closed_though_whoever_asked_is_gone_before_its_first_part(
    tmp_path: Path,
) -> None:
    path = tmp_path / "part-0.parquet"
    path.write_bytes(b"rows")
    opened = path.open("rb")

    async def gone(message: object = None) -> None:
        raise OSError("nobody is there any more")

    answer = FileAnswer(opened, iter([b"rows"]))
    with pytest.raises(ClientDisconnect):
        asyncio.run(answer({"type": "http", "asgi": {"spec_version": "2.4"}}, gone, gone))
    assert opened.closed
