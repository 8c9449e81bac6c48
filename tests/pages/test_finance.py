"""Finance: what was metered and billed, whether the books agree, and the files for finance."""

from __future__ import annotations

import base64
import io
import json
import shutil
import socket
import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import uvicorn
from playwright.sync_api import expect, sync_playwright

from pages._callbacks import NOTICES
from pages._context import context, set_context
from tests.exporting import HandClock, make_metered_hour, meter
from tests.makers import NOON, POOL, make_node, make_pool
from tests.makers_money import keep_books, make_fleet_hour, make_metering_alarm
from tests.pages.conftest import Console, ids_in, pressed, words_in
from warehouse import audit, exports, unit_costs
from warehouse.clock import FleetClock
from warehouse.export_terms import ExportTerms
from warehouse.records import UpkeepRun

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
MIDNIGHT = NOON.replace(hour=0)
YESTERDAY = MIDNIGHT - DAY
BLOCK = {"startRow": 0, "endRow": 50, "sortModel": []}


@pytest.fixture
def finance(console: Console, tmp_path: Path) -> Console:
    """A day and a half of one job and its books, and a place for exports."""
    set_context(
        replace(
            context(),
            wall=HandClock(NOON),
            exports=ExportTerms(str(tmp_path / "exports")),
            exports_are_scheduled=True,
        )
    )
    keep_books(console.store, YESTERDAY, 36)
    return console


def page_of(console: Console) -> Any:
    return console.page("finance")


def answer(name: str) -> Any:
    """An answer that the page registers from beside it."""
    import pages._finance_answers as found

    return getattr(found, name)


def standing(console: Console, span: str | None = None) -> str:
    return words_in(page_of(console).show_standing(span, None)[0])


def written(console: Console) -> Any:
    """Have yesterday exported as an operator does, and give its row."""
    answer("ask")(1, "focus", "day", str(YESTERDAY.date()), str(YESTERDAY.date()), "all")
    return exports.history(console.store).rows.row(0, named=True)


def out_of_bound(console: Console) -> None:
    """One more hour, which metering and readings have apart by more than its bound."""
    meter(console.store, NOON, 1)
    beyond = make_fleet_hour(
        run_id=f"{NOON:%Y%m%d%H}-1", observed_gpu_hours=5.0, difference_gpu_hours=3.0
    )
    console.store.append([make_pool(), make_node(gpu_count=8), beyond])


# -- money -----------------------------------------------------------------------------


def test_the_page_begins_with_words(finance: Console) -> None:
    said = standing(finance)
    assert f"Metered to {NOON:%H:%M} UTC" in said
    assert f"{NOON:%B} so far: 288 GPU-hours" in said
    assert "$648 billed" in said
    assert "margin 50\u202f%" in said
    assert "75\u202f% of the hours used" in said
    assert "Books agree within the bound" in said


def test_margin_with_idle_gpus_is_told_beside_that_of_the_hours_sold(finance: Console) -> None:
    assert "With idle GPUs tile-label 33\u202f%" in standing(finance)


def test_hours_that_differ_are_counted_and_their_pool_is_named(finance: Console) -> None:
    out_of_bound(finance)
    assert f"but for 1 hour of {POOL}" in standing(finance)


def test_a_metering_that_fell_behind_is_told(finance: Console) -> None:
    set_context(replace(context(), clock=FleetClock(NOON + 5 * HOUR, speed=0.0)))
    assert "5\u202fh behind the fleet's clock" in standing(finance)


def test_a_metering_that_fails_says_why(finance: Console) -> None:
    finance.store.append(
        [
            UpkeepRun(
                job="meter", outcome="failed", detail="the disk is full", row_count=0,
                started_at=NOON, duration_seconds=1.0,
            )
        ]
    )  # fmt: skip
    assert "The metering fails: the disk is full" in standing(finance)


def test_before_the_first_hour_is_metered_the_page_says_when_it_will_be(console: Console) -> None:
    box, said, style = page_of(console).show_standing(None, None)
    assert "No metered hours yet" in words_in(box)
    assert "as soon as the sources" in words_in(box)
    assert (said, style) == ("Nothing is metered yet", {"display": "none"})


def test_while_the_history_loads_the_page_says_so(loading: Console) -> None:
    assert "History is loading, 43 %" in standing(loading)


def test_a_page_of_the_address_opens_with_its_controls(finance: Console) -> None:
    month = f"{NOON:%Y-%m}"
    sent = json.dumps(finance.open("/finance", f"?span={month}&by=pool&kind=usage&log=failed"))
    for value in (month, "pool", "usage", "failed"):
        assert f'"value": "{value}"' in sent.replace('":"', '": "')


def table(console: Console, by: str, span: str | None = None, **asked: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = page_of(console).rows(BLOCK | asked, span, by)[0]["rowData"]
    return found


@pytest.mark.parametrize(
    ("by", "keys"),
    [("tenant", ["tenant-a"]), ("pool", [POOL]), ("gpu_model", ["H100 SXM"]), ("job_id", ["job-1"]),
     ("day", [f"{MIDNIGHT:%Y-%m-%d}", f"{YESTERDAY:%Y-%m-%d}"])],
)  # fmt: skip
def test_hours_are_summed_by_what_is_asked(finance: Console, by: str, keys: list[str]) -> None:
    found = table(finance, by)
    assert [row["key"] for row in found] == keys
    assert sum(row["charge_usd"] for row in found) == pytest.approx(36 * 18.0)
    assert sum(row["used_gpu_hours"] for row in found) == pytest.approx(36 * 6.0)


def test_a_margin_leaves_out_the_hours_whose_cost_is_not_known(finance: Console) -> None:
    free = make_metered_hour(job_id="job-2", tenant="tenant-b", cost_usd=None)
    meter(finance.store, NOON, 1, rows=(free,))
    by_tenant = {row["key"]: row for row in table(finance, "tenant")}
    assert by_tenant["tenant-b"]["margin_ratio"] is None
    assert "margin 50\u202f%" in standing(finance)
    assert "8.00 GPU-hours lack a cost" in standing(finance)


def test_the_table_is_sorted_and_paged_by_the_warehouse(finance: Console) -> None:
    small = make_metered_hour(tenant="tenant-b", job_id="job-2", charge_usd=1.0)
    meter(finance.store, NOON, 1, rows=(small,))
    upwards = [{"colId": "charge_usd", "sort": "asc"}]
    assert [row["key"] for row in table(finance, "tenant", sortModel=upwards)] == [
        "tenant-b", "tenant-a"]  # fmt: skip
    assert [row["key"] for row in table(finance, "tenant", startRow=1)] == ["tenant-b"]


def test_a_span_may_be_a_month_or_the_last_days(finance: Console) -> None:
    (row,) = table(finance, "tenant", span="1")
    assert row["allocated_gpu_hours"] == 24 * 8.0
    assert "The last 24 hours: 192 GPU-hours" in standing(finance, "1")


# -- the books -------------------------------------------------------------------------


def test_the_books_show_where_each_physical_hour_went(finance: Console) -> None:
    said = words_in(page_of(finance).show_books(None, "all", 1, None)[0])
    assert "384 GPU-hours: 192 held by jobs, 120 idle, 24.00 cordoned, 36.00 down or off" in said
    assert "the sum of their parts adds up" in said
    assert "within" in said


def test_a_day_that_differs_leads_to_the_hour_its_nodes_and_jobs(finance: Console) -> None:
    out_of_bound(finance)
    said = words_in(page_of(finance).show_books(None, "apart", 1, None)[0])
    assert "1 hour beyond" in said
    today = f"{POOL}@{MIDNIGHT:%Y-%m-%d}"
    assert f"/finance?book={today.replace('@', '%40')}" in said
    title, detail = page_of(finance).show_book(today)
    assert POOL in words_in(title)
    told = words_in(detail)
    assert f"{NOON.hour:02}:00 to {NOON.hour:02}:59 UTC" in told
    assert "+3.00 GPU-hours between metering and readings, beyond the bound of 0.50" in told
    assert "node-0" in told


def test_an_hour_of_the_address_is_taken_apart(finance: Console) -> None:
    detail = page_of(finance).show_book(f"{POOL}@{MIDNIGHT:%Y-%m-%d}T03")[1]
    assert "03:00 to 03:59 UTC" in words_in(detail)


@pytest.mark.parametrize("book", ["nonsense", f"{POOL}@2026-13-01", f"{POOL}@2001-01-01",
                                  f"{POOL}@2026-11-01T77"])  # fmt: skip
def test_an_address_of_no_book_says_so(finance: Console, book: str) -> None:
    assert "No books" in words_in(page_of(finance).show_book(book)[1])


def test_books_that_agree_everywhere_say_so(finance: Console) -> None:
    assert "They differ nowhere" in words_in(page_of(finance).show_books(None, "apart", 1, None)[0])


def test_each_alarm_says_what_to_do_and_leads_there(finance: Console) -> None:
    beyond = make_metering_alarm(
        alarm_id="out", kind="out_of_bounds", job_id=None, detail="far", happened_at=NOON - HOUR
    )
    uncosted = make_metering_alarm(alarm_id="cost", kind="no_cost", job_id=None)
    finance.store.append([make_metering_alarm(), beyond, uncosted])
    said = words_in(page_of(finance).show_alarms(None))
    for told in ("Price of $0", "see whether that was meant", "/jobs?job=job-1", "Out of bound",
                 f"book={POOL}%40{NOON - HOUR:%Y-%m-%dT%H}", "#finance-costs-box"):  # fmt: skip
        assert told in said


# -- exports ---------------------------------------------------------------------------


def test_the_schedule_tells_what_is_due_and_what_waits_and_why(finance: Console) -> None:
    said = words_in(answer("show_schedule")(None))
    assert "2 due, written at the next look" in said
    assert f"{YESTERDAY:%Y-%m-%d} FOCUS" in said
    assert f"{MIDNIGHT:%Y-%m-%d} waits, over in 12\u202fh" in said
    assert "12 of 24 hours are metered" in said


def test_a_console_without_a_place_says_how_to_name_one(finance: Console) -> None:
    set_context(replace(context(), exports=None))
    assert "set PILOTHOUSE_EXPORT_PLACE" in words_in(answer("show_schedule")(None))
    assert "No exports yet" in words_in(answer("show_history")("all", 1, None)[0])


def test_an_operator_has_a_day_written_and_it_is_on_record(finance: Console) -> None:
    given = {"finance-ask.n_clicks": 1, "finance-ask-kind.value": "focus",
             "finance-ask-span.value": "day", "finance-log.value": "all",
             "finance-ask-from.value": str(YESTERDAY.date()),
             "finance-ask-to.value": str(MIDNIGHT.date())}  # fmt: skip
    with finance.asked_by("operator"):
        sent = finance.call("finance-schedule.children", given, "finance-ask.n_clicks")["response"]
    (told,) = sent[NOTICES]["sendNotifications"]
    assert "1 FOCUS exports written" in told["message"]
    assert "not wholly metered (12 of 24 hours" in told["message"]
    assert "1 due" in words_in(sent["finance-schedule"])
    said = words_in(sent["finance-history"])
    for known in (f"{YESTERDAY:%Y-%m-%d} FOCUS", "by hand, by mara", "24", "$432.00", "192"):
        assert known in said
    assert audit.audit(finance.store, act="export").rows["actor"].to_list() == ["mara"]
    assert "1 unchanged" in answer("exports_by_hand")(
        finance.person, answer("kind_of")("focus"), "day",
        str(YESTERDAY.date()), str(YESTERDAY.date()),
    )["message"]  # fmt: skip


def test_a_viewer_reads_and_may_not_export(finance: Console) -> None:
    given = {"finance-ask.n_clicks": 1}
    with finance.asked_by("viewer"):
        shown = ids_in(finance.open("/finance"))
        refused = finance.call("finance-schedule.children", given, "finance-ask.n_clicks")
    assert "finance-grid" in shown
    assert not shown & {"finance-ask", "finance-cost-set"}
    assert "takes the role operator" in json.dumps(refused["sideUpdate"])
    assert exports.history(finance.store).total == 0


def test_a_written_export_offers_file_manifest_digest_and_verification(finance: Console) -> None:
    row = written(finance)
    said = words_in(answer("show_history")("focus", 9, None)[0])
    for known in (f"/api/v1/exports/{row['export_id']}/file", f"{row['export_id']}/manifest",
                  row["sha256"], "Verify"):  # fmt: skip
        assert known in said
    assert "None" in words_in(answer("show_history")("failed", 1, None)[0])


def test_verifying_tells_whether_the_file_is_what_was_written(
    finance: Console, tmp_path: Path
) -> None:
    row = written(finance)
    given, changed = pressed("finance-verify", id=row["export_id"])

    def told() -> Any:
        sent = finance.call(f"{NOTICES}.sendNotifications", given, changed)["response"]
        return sent[NOTICES]["sendNotifications"][0]

    assert told()["title"] == "The file is as it was written"
    file = tmp_path / "exports" / row["path"]
    file.chmod(0o644)
    file.write_bytes(b"something else")
    assert "restore it from a backup" in told()["message"]


def test_a_day_is_previewed_as_it_would_be_written(finance: Console) -> None:
    sent, said, style = answer("preview")(BLOCK, str(YESTERDAY.date()), "focus")
    assert sent["rowCount"] == 24
    assert sent["rowData"][0]["BilledCost"] == "18.000000000"
    assert "192 GPU-hours, $432.00 billed. It is complete" in said
    assert style == {}
    assert "12 of 24 hours" in answer("preview")(BLOCK, str(MIDNIGHT.date()), "usage")[1]
    assert "No hour of 2001-01-01 is metered" in answer("preview")(BLOCK, "2001-01-01", "usage")[1]


# -- unit costs and files --------------------------------------------------------------


def test_an_admin_puts_a_unit_cost_in_force(finance: Console) -> None:
    finance.store.append([make_pool()])
    assert "stands in" in words_in(answer("show_costs")(None))
    names = [{"type": "finance-cost", "name": "rent_usd_per_gpu_hour"},
             {"type": "finance-cost", "name": "purchase_usd_per_gpu"}]  # fmt: skip
    told, box = answer("set_cost")(1, POOL, "leased", names, [1.75, ""])
    assert told[0]["title"] == "In force"
    assert "set by mara" in words_in(box)
    (kept,) = unit_costs.all_in_force(finance.store, NOON)
    assert (kept.kind, kept.rent_usd_per_gpu_hour) == ("leased", 1.75)
    with finance.asked_by("operator"), pytest.raises(Exception, match="takes the role admin"):
        answer("set_cost")(1, POOL, "leased", names, [1.75, ""])


def test_a_figure_beyond_its_bounds_is_refused_with_the_bounds(finance: Console) -> None:
    finance.store.append([make_pool()])
    names = [{"type": "finance-cost", "name": "rent_usd_per_gpu_hour"}]
    with pytest.raises(unit_costs.InvalidUnitCost, match="between 0 and 100"):
        answer("set_cost")(1, POOL, "leased", names, [175])


@pytest.mark.parametrize("what", ["money", "books", "alarms", "exports"])
def test_every_table_downloads_as_csv_and_parquet(finance: Console, what: str) -> None:
    strange = make_metered_hour(tenant="=cmd()", job_id="job-9")
    meter(finance.store, NOON, 1, rows=(strange,))
    finance.store.append([make_metering_alarm()])
    written(finance)
    found = {}
    for kind in ("csv", "parquet"):
        given, changed = pressed("finance-download", what=what, format=kind)
        sent = finance.call("finance-file.data", given, changed)["response"]
        found[kind] = sent["finance-file"]["data"]
    lines = found["csv"]["content"].splitlines()
    assert len(lines) > 1
    assert not [line for line in lines if line.startswith("=")]
    parquet = pl.read_parquet(io.BytesIO(base64.b64decode(found["parquet"]["content"])))
    assert parquet.columns == lines[0].split(",")


# -- in a browser ----------------------------------------------------------------------


@pytest.fixture
def address(finance: Console) -> Iterator[str]:
    """Where the pages are served that the other tests ask in memory."""
    out_of_bound(finance)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        settings = {"lifespan": "off", "ws": "none", "log_level": "error"}
        server = uvicorn.Server(uvicorn.Config(finance.client.app, **settings))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        server.should_exit = True
        thread.join()


@pytest.mark.browser
def test_a_difference_is_followed_from_the_words_to_the_hour(address: str) -> None:
    path = shutil.which("chromium")
    if path is None:
        pytest.skip("no Chromium on this machine")
    flags = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
    wrong: list[str] = []
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=path, args=flags)
        page = browser.new_page(viewport={"width": 390, "height": 844})
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.goto(f"{address}/finance?by=pool")
        expect(page.locator("#finance-standing")).to_contain_text(f"but for 1 hour of {POOL}")
        expect(page.locator("#finance-grid .ag-row").first).to_contain_text(POOL)
        expect(page.locator("#finance-alarms")).to_contain_text("No alarms")
        expect(page.locator("#finance-schedule")).to_contain_text("2 due")
        page.locator("#finance-shown").get_by_text("Where they differ").click()
        page.get_by_role("link", name=f"Take {POOL} on").first.click()
        expect(page.locator("#finance-detail")).to_contain_text("beyond the bound")
        assert "shown=apart" in page.url
        assert f"book={POOL}" in page.url
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
        browser.close()
    assert wrong == []
