"""Exports: what is due, what is written, what a correction says, what a kill leaves."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import polars as pl
import pytest

from tests.exporting import HOUR, HandClock, exporter_to, make_metered_hour, meter
from warehouse import exports
from warehouse.export_errors import BadPlace, BadSpan, NoSuchExport, NotMetered
from warehouse.export_kinds import FOCUS, USAGE, Kind
from warehouse.export_making import AGAIN_AFTER
from warehouse.export_periods import day_of, periods
from warehouse.export_places import place_at
from warehouse.export_schedule import ScheduledExportFailed, export_due, schedule
from warehouse.export_terms import ExportTerms
from warehouse.focus import Names
from warehouse.store import Store

DAY = datetime(2026, 11, 21, tzinfo=UTC)
NEXT = DAY + timedelta(days=1)


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return tmp_path / "exports"


def _written(store: Store) -> list[tuple[str, str, str, int]]:
    found = store.query("SELECT * FROM exports WHERE outcome = 'written' ORDER BY rowid")
    return [
        (row["kind"], row["span"], f"{row['period_starts_at']:%m-%d}", row["version"])
        for row in found.iter_rows(named=True)
    ]


# -- when -------------------------------------------------------------------------------


def test_every_day_that_is_wholly_metered_is_exported_in_order_and_once(
    store: Store, place: Path
) -> None:
    meter(store, DAY, 48 + 5)
    exporter = exporter_to(store, place)
    assert export_due(exporter).row_count == 4
    assert export_due(exporter).row_count == 0
    assert _written(store) == [
        ("focus", "day", "11-21", 1),
        ("usage", "day", "11-21", 1),
        ("focus", "day", "11-22", 1),
        ("usage", "day", "11-22", 1),
    ]


def test_a_day_waits_for_its_last_hour_and_says_so(store: Store, place: Path) -> None:
    meter(store, DAY, 20)
    meter(store, NEXT, 1)
    found = schedule(store, str(place))
    assert not found.due
    waiting = {each.period.label: each.detail for each in found.waiting}
    assert waiting.keys() == {"2026-11-21", "2026-11-22", "2026-11"}
    assert waiting["2026-11-21"].startswith("20 of 24 hours are metered")


def test_the_first_day_counts_from_the_first_hour_that_was_ever_metered(
    store: Store, place: Path
) -> None:
    meter(store, DAY + 17 * HOUR, 7)
    assert [each.period.label for each in schedule(store, str(place)).due] == ["2026-11-21"] * 2


def test_a_month_comes_once_its_last_day_is_metered(store: Store, place: Path) -> None:
    last = datetime(2026, 10, 31, tzinfo=UTC)
    meter(store, last - timedelta(days=1), 47)
    exporter = exporter_to(store, place)
    export_due(exporter)
    assert ("focus", "month", "10-01", 1) not in _written(store)
    meter(store, last + 23 * HOUR, 1)
    export_due(exporter)
    assert _written(store)[-2:] == [("focus", "month", "10-01", 1), ("usage", "month", "10-01", 1)]
    month = pl.read_parquet(place / "kind=focus/span=month/**/*.parquet")
    assert month.height == 48


def test_after_a_long_stand_a_run_does_so_much_and_the_next_the_rest(
    store: Store, place: Path
) -> None:
    meter(store, DAY, 72)
    exporter = exporter_to(store, place)
    done = export_due(exporter, most=4)
    assert done.detail == "4 exports written, 2 are still due"
    assert export_due(exporter, most=4).row_count == 2
    reasons = store.query("SELECT reason FROM exports ORDER BY period_starts_at, kind")["reason"]
    assert reasons.to_list() == ["catch_up"] * 2 + ["scheduled"] * 4


def test_by_hand_a_day_that_is_not_wholly_metered_is_refused_with_how_far_it_is(
    store: Store, place: Path
) -> None:
    meter(store, DAY, 3)
    exporter = exporter_to(store, place)
    with pytest.raises(NotMetered, match=r"3 of 24 hours; hours are metered up to 2026-11-21 03"):
        exporter.export(FOCUS, day_of(DAY), reason="by hand", requested_by="me")
    before = day_of(DAY - timedelta(days=1))
    with pytest.raises(NotMetered, match="is over before the first hour that was metered"):
        exporter.export(FOCUS, before, reason="by hand", requested_by="me")


def test_days_asked_for_backwards_are_refused() -> None:
    assert [each.label for each in periods("month", date(2026, 11, 30), date(2027, 1, 1))] == [
        "2026-11",
        "2026-12",
        "2027-01",
    ]
    with pytest.raises(BadSpan, match="give the earlier day first"):
        periods("day", date(2026, 11, 2), date(2026, 11, 1))


# -- what -------------------------------------------------------------------------------


def test_the_manifest_says_what_is_in_the_file(store: Store, place: Path) -> None:
    meter(store, DAY, 24)
    exporter = exporter_to(store, place)
    export_due(exporter)
    folder = place / "kind=focus/span=day/billing_period=2026-11/day=2026-11-21/version=1"
    told = json.loads((folder / "_manifest.json").read_text())
    rows = pl.read_parquet(folder / "part-0.parquet", hive_partitioning=False)
    assert told["rows"] == rows.height == 24
    assert Decimal(told["sums"]["BilledCost"]) == rows["BilledCost"].sum() == Decimal(24 * 18)
    assert Decimal(told["sums"]["x_UsedGpuHours"]) == Decimal(24 * 6)
    assert [each["name"] for each in told["columns"]] == rows.columns
    assert told["specification"]["version"] == "1.2"
    assert (told["version"], told["replaces_version"], told["reason"]) == (1, None, "scheduled")
    assert len(told["meterings"]) == told["hours_metered"] == 24
    (row,) = [each for each in exports.newest(store, exporter.place.url) if each.kind == "focus"]
    assert (row.sha256, row.size_bytes) == (told["sha256"], told["size_bytes"])
    assert row.snapshot_id == told["warehouse_snapshot"]
    assert exports.verify(exporter.place, row).is_intact


def test_hive_readers_find_the_period_and_the_version_in_the_folders(
    store: Store, place: Path
) -> None:
    meter(store, DAY, 48)
    export_due(exporter_to(store, place))
    pattern = str(place / "kind=focus/span=day/**/*.parquet")
    read = pl.read_parquet(pattern, hive_partitioning=True)
    by_day = read.group_by("day", "version").len().sort("day")
    assert by_day.rows() == [(date(2026, 11, 21), 1, 24), (date(2026, 11, 22), 1, 24)]
    found = store.query(
        f"SELECT day, max(version) AS version, sum(BilledCost) AS billed "
        f"FROM read_parquet('{pattern}', hive_partitioning = true) GROUP BY day ORDER BY day"
    )
    assert found["billed"].to_list() == [432.0, 432.0]


def test_the_index_names_the_version_that_holds_of_each_period(store: Store, place: Path) -> None:
    meter(store, DAY, 24)
    exporter = exporter_to(store, place)
    export_due(exporter)
    meter(store, DAY, 1, version=2, reason="an event came late", rows=())
    export_due(exporter)
    listed = json.loads((place / "_index.json").read_text())["exports"]
    assert [(each["kind"], each["version"]) for each in listed] == [("focus", 2), ("usage", 2)]
    assert all((place / each["path"]).is_file() for each in listed)


def test_the_usage_export_bills_what_the_focus_export_bills(store: Store, place: Path) -> None:
    thirds = make_metered_hour(
        allocated_gpu_hours=1 / 3, price_usd_per_gpu_hour=1.99, used_gpu_hours=None
    )
    free = make_metered_hour(job_id="job-2", price_usd_per_gpu_hour=None, pricing="spot")
    meter(store, DAY, 24, rows=(thirds, free))
    export_due(exporter_to(store, place))
    focus = pl.read_parquet(place / "kind=focus/**/*.parquet", hive_partitioning=False)
    usage = pl.read_parquet(place / "kind=usage/**/*.parquet", hive_partitioning=False)
    assert focus["BilledCost"].sum() == usage["charge_usd"].sum()
    assert usage.rows(named=True)[0]["used_gpu_hours"] is None
    assert usage["price_is_known"].to_list() == [True, False]
    assert usage["hours_running"].to_list() == [24, 24]
    assert usage.columns == [column.name for column in USAGE.columns]


def test_a_day_without_a_row_is_a_file_without_a_row(store: Store, place: Path) -> None:
    meter(store, DAY, 24, rows=())
    export_due(exporter_to(store, place))
    rows = pl.read_parquet(place / "kind=focus/**/*.parquet", hive_partitioning=False)
    assert (rows.height, rows.columns) == (0, [column.name for column in FOCUS.columns])


@pytest.mark.parametrize("kind", [FOCUS, USAGE])
def test_the_documentation_tells_every_column_as_it_is(kind: Kind) -> None:
    told = (Path(__file__).resolve().parents[2] / "docs" / "exports.md").read_text()
    for column in kind.columns:
        assert f"| `{column.name}` | {kind.type_words(column)} | {column.meaning} |" in told


# -- corrections ------------------------------------------------------------------------


def test_a_day_that_was_metered_anew_comes_as_the_next_version_with_its_reason(
    store: Store, place: Path
) -> None:
    meter(store, DAY, 24)
    exporter = exporter_to(store, place)
    export_due(exporter)
    first = place / "kind=focus/span=day/billing_period=2026-11/day=2026-11-21/version=1"
    before = (first / "part-0.parquet").read_bytes()
    more = make_metered_hour(allocated_gpu_hours=10.0)
    meter(store, DAY + 5 * HOUR, 2, version=2, reason="2 events came late", rows=(more,))
    assert export_due(exporter).row_count == 2
    row = exports.newest(store, exporter.place.url)[0]
    assert (row.version, row.gpu_hours, row.row_count) == (2, 24 * 8 + 4, 24)
    assert row.reason == (
        "corrected: 2 of 24 hours metered anew (2 events came late); billed 432.00 -> 441.00 USD "
        "(+9.00), GPU-hours 192.000 -> 196.000 (+4.000), rows 24 -> 24"
    )
    assert (first / "part-0.parquet").read_bytes() == before
    assert not schedule(store, exporter.place.url).due


def test_the_month_of_a_corrected_day_is_corrected_too(store: Store, place: Path) -> None:
    last = datetime(2026, 10, 31, tzinfo=UTC)
    meter(store, last, 24)
    exporter = exporter_to(store, place)
    export_due(exporter)
    meter(store, last, 1, version=2, reason="a price was put right")
    export_due(exporter)
    assert _written(store)[-4:] == [
        ("focus", "day", "10-31", 2),
        ("usage", "day", "10-31", 2),
        ("focus", "month", "10-01", 2),
        ("usage", "month", "10-01", 2),
    ]


def test_hours_that_retention_let_go_correct_nothing(store: Store, place: Path) -> None:
    meter(store, DAY, 24)
    exporter = exporter_to(store, place)
    export_due(exporter)
    for table in ("metering_runs", "metered_hours"):
        store._connection.execute(  # as retention does
            f"DELETE FROM warehouse.{table} WHERE hour_starts_at < '2026-11-21T12:00:00Z'"
        )
    assert not schedule(store, exporter.place.url).due


# -- failures ---------------------------------------------------------------------------


def test_a_place_that_refuses_leaves_a_failure_that_says_what_to_do_and_is_tried_again(
    store: Store, place: Path
) -> None:
    place.write_text("a file where the folder should be")
    meter(store, DAY, 24)
    clock = HandClock()
    exporter = exporter_to(store, place, clock)
    with pytest.raises(ScheduledExportFailed, match="a file is in its way: name a folder"):
        export_due(exporter)
    (failed,) = store.query("SELECT * FROM exports").to_dicts()
    assert (failed["outcome"], failed["path"], failed["sha256"]) == ("failed", None, None)
    assert "a file is in its way" in failed["detail"]
    assert export_due(exporter).row_count == 0, "it rests a while"
    (failing,) = schedule(store, exporter.place.url).failing
    assert (failing.failures, failing.again_at) == (1, clock.at + AGAIN_AFTER)
    place.unlink()
    clock.at += AGAIN_AFTER
    assert export_due(exporter).row_count == 2
    assert not schedule(store, exporter.place.url).failing


def test_a_period_that_fails_by_itself_holds_up_no_other(store: Store, place: Path) -> None:
    meter(store, DAY, 48)
    store._connection.execute(
        "DELETE FROM warehouse.metered_hours WHERE hour_starts_at = '2026-11-21T03:00:00Z'"
    )
    with pytest.raises(ScheduledExportFailed, match="made 24 rows and 23 are there"):
        export_due(exporter_to(store, place))
    assert [each[2] for each in _written(store)] == ["11-22", "11-22"]


def test_what_no_row_tells_of_is_put_on_record_as_it_is(store: Store, place: Path) -> None:
    """A kill between the file and its row, or a warehouse restored from a backup."""
    meter(store, DAY, 24)
    exporter = exporter_to(store, place)
    export_due(exporter)
    before = store.query("SELECT * EXCLUDE took_seconds FROM exports ORDER BY kind")
    store._connection.execute("DELETE FROM warehouse.exports")
    export_due(exporter)
    after = store.query("SELECT * EXCLUDE took_seconds FROM exports ORDER BY kind")
    assert after.equals(before)
    assert len(list(place.rglob("*.parquet"))) == 2


def test_a_place_that_is_none_is_refused() -> None:
    with pytest.raises(BadPlace, match="name a folder, or s3://bucket/prefix"):
        place_at("ftp://somewhere")


# -- what the faces ask -----------------------------------------------------------------


def test_a_file_that_was_changed_is_found_out(store: Store, place: Path) -> None:
    meter(store, DAY, 24)
    exporter = exporter_to(store, place)
    export_due(exporter)
    row = exports.newest(store, exporter.place.url)[0]
    data = place / str(row.path)
    data.write_bytes(data.read_bytes()[:-1] + b"x")
    found = exports.verify(exporter.place, row)
    assert not found.is_intact
    assert "restore it from a backup" in found.detail
    data.unlink()
    assert "is no longer at" in exports.verify(exporter.place, row).detail


def test_a_failure_and_another_place_have_no_file_to_open(store: Store, place: Path) -> None:
    meter(store, DAY, 24)
    exporter = exporter_to(store, place)
    export_due(exporter)
    row = exports.newest(store, exporter.place.url)[0]
    with pytest.raises(NoSuchExport, match="left no file"):
        exports.opened(exporter.place, replace(row, path=None))
    with pytest.raises(NoSuchExport, match="fetch it there"):
        exports.opened(ExportTerms(str(place / "other")).opened(), row)
    with pytest.raises(NoSuchExport, match="the history lists"):
        exports.export(store, "no-such-id")


def test_a_preview_shows_the_rows_as_they_would_be_written_and_how_far_the_day_is(
    store: Store,
) -> None:
    meter(store, DAY, 6)
    found = exports.preview(store, "focus", DAY.date(), Names(), limit=4)
    assert (found.rows.height, found.row_count) == (4, 6)
    assert found.rows.columns == [column.name for column in FOCUS.columns]
    assert found.sums["BilledCost"] == 6 * 18
    assert (found.is_complete, found.hours_metered, found.hours_wanted) == (False, 6, 24)


def test_the_history_is_filtered_and_paged(store: Store, place: Path) -> None:
    meter(store, DAY, 48)
    export_due(exporter_to(store, place))
    assert exports.history(store, limit=3).total == 4
    only = exports.history(store, kind="usage", span="day", outcome="written")
    assert only.total == 2
    assert only.rows["period_starts_at"].to_list() == [NEXT, DAY]
