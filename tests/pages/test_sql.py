"""SQL: a question asked, followed, taken back; its answer as table, picture and file."""

from __future__ import annotations

import base64
import io
import json
import shutil
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from dash import no_update

from pages import _sql_plot
from pages._context import Context, NotAllowed, set_context
from pages._sql_answer import for_the_wire
from tests.makers import NOON, make_gpu_sample, make_pool_state
from tests.pages.conftest import Console, ids_in, pressed, words_in
from warehouse.analyst import Analyst
from warehouse.analyst_examples import EXAMPLES
from warehouse.analyst_question import Limits
from warehouse.analyst_source import Source
from warehouse.clock import FleetClock
from warehouse.store import Location, Store

ENDLESS = "SELECT count(*) FROM range(10000000) a, range(10000000) b"
CLOCK = FleetClock(NOON, speed=0.0)
WHOLE = {"startRow": 0, "endRow": 100, "sortModel": []}


@pytest.fixture(scope="module")
def analyst(empty_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Analyst]:
    home = shutil.copytree(empty_home, tmp_path_factory.mktemp("sql") / "home")
    store = Store(Location.embedded(home))
    store.append([make_gpu_sample(gpu_id=f"gpu-{i}", slot=i) for i in range(4)])
    hours = [NOON - timedelta(hours=i) for i in range(3)]
    store.append([make_pool_state(pool=p, measured_at=at) for p in ("a", "b") for at in hours])
    limits = Limits(seconds=20.0, rows=1_000, memory_megabytes=256)
    made = Analyst(store, Source(f"{home}/parquet/"), home / "questions", CLOCK, CLOCK, limits)
    yield made
    made.close()
    store.close()


@pytest.fixture
def sql(console: Console, analyst: Analyst) -> Console:
    set_context(Context(console.store, CLOCK, lambda: console.status, CLOCK, analyst))
    return console


def asked(sql: Console, text: str, view: str = "table") -> tuple[str, Any]:
    """The question's id and what is shown once it has ended."""
    page = sql.page("sql")
    question_id, shown, is_done = page.run(1, text, view, None)
    assert page._here()[0].question(question_id, page._here()[1]).ended.wait(20)
    return question_id, shown if is_done else page.follow(1, question_id, view)[0]


def test_the_page_shows_an_example_its_limits_and_every_table(sql: Console) -> None:
    shown = sql.open("/sql")
    words = words_in(shown)
    for known in ("FROM pool_states", "At most 20 s", "1,000 rows", "gpu_samples", "on record"):
        assert known in words
    assert "api_tokens" not in words
    assert "Nothing was asked yet" in words
    assert {"sql-q", "sql-run", "sql-example", "sql-answer", "sql-poll"} <= ids_in(shown)


def test_a_question_in_the_address_is_shown_and_not_run(sql: Console) -> None:
    shown = sql.open("/sql", "?q=SELECT+7+AS+seven&view=plot")
    assert "SELECT 7 AS seven" in words_in(shown)
    assert "Nothing was asked yet" in words_in(shown)


def test_an_answer_says_how_many_rows_how_long_and_as_of_when(sql: Console) -> None:
    _, shown = asked(sql, "SELECT gpu_id, utilisation_ratio FROM gpu_samples ORDER BY 1")
    words = words_in(shown)
    assert "4 rows" in words
    assert "data as of 2026-11-02 12:00:00 UTC" in words
    assert "with all around it" in words


def test_the_table_is_served_a_page_at_a_time_and_sorted_by_the_server(sql: Console) -> None:
    question_id, _ = asked(sql, "SELECT i, 'x' || i AS t, i % 2 = 0 AS even FROM range(300) r(i)")
    page, grid = sql.page("sql"), {"type": "sql-grid", "answer": question_id}
    sent = page.rows({**WHOLE, "startRow": 200, "endRow": 250}, grid)
    assert (sent["rowCount"], len(sent["rowData"])) == (300, 50)
    assert sent["rowData"][0] == {"c0": 200, "c1": "x200", "c2": "true"}
    sent = page.rows({**WHOLE, "sortModel": [{"colId": "c0", "sort": "desc"}]}, grid)
    assert sent["rowData"][0]["c0"] == 299
    assert page.rows(None, grid) is no_update


def test_values_are_written_so_that_a_browser_shows_them_right() -> None:
    frame = pl.DataFrame({"a": [2**60], "b": [float("nan")], "c": [NOON], "d": [None], "e": [0.5]})
    assert for_the_wire(frame) == [
        {"c0": str(2**60), "c1": "nan", "c2": "2026-11-02 12:00:00", "c3": None, "c4": 0.5}
    ]


def test_what_is_cut_off_says_so(sql: Console) -> None:
    _, shown = asked(sql, "SELECT * FROM range(5000)")
    assert "Cut off at 1,000 rows" in words_in(shown)


def test_no_row_and_an_error_are_told_apart_from_an_answer(sql: Console) -> None:
    _, shown = asked(sql, "SELECT * FROM pools")
    assert "The answer has no rows" in words_in(shown)
    _, shown = asked(sql, "SELECT gpu_idd FROM gpu_samples")
    words = words_in(shown)
    for known in ('"gpu_idd" not found', "LINE 1: SELECT gpu_idd", "^", "gpu_id in gpu_samples"):
        assert known in words
    _, shown = asked(sql, "SELECT * FROM users")
    assert "hashes of passwords" in words_in(shown)
    _, shown = asked(sql, "   ")
    assert "There is no question yet" in words_in(shown)


def test_a_long_question_is_followed_and_taken_back(sql: Console) -> None:
    page = sql.page("sql")
    question_id, shown, is_done = page.run(1, ENDLESS, "table", None)
    assert not is_done
    assert "of at most 20 s" in words_in(shown)
    assert "sql-cancel" in ids_in(json.loads(json.dumps(shown.to_plotly_json(), default=_plain)))
    shown, is_done = page.follow(1, question_id, "table")
    assert not is_done
    assert page.cancel(1, question_id) is True
    analyst, person = page._here()
    assert analyst.question(question_id, person).ended.wait(10)
    shown, is_done = page.follow(2, question_id, "table")
    assert is_done
    assert "Cancelled" in words_in(shown)


def _plain(component: Any) -> Any:
    return component.to_plotly_json()


def test_who_asks_anew_takes_the_question_before_back(sql: Console) -> None:
    page = sql.page("sql")
    first, *_ = page.run(1, ENDLESS, "table", None)
    second, *_ = page.run(2, "SELECT 1", "table", first)
    analyst, person = page._here()
    assert analyst.question(first, person).ended.wait(10)
    assert "taken back" in str(analyst.question(first, person).error)
    assert analyst.question(second, person).ended.wait(20)


def test_an_answer_is_not_shown_to_somebody_else_nor_after_a_restart(sql: Console) -> None:
    page = sql.page("sql")
    shown, is_done = page.follow(1, "gone", "table")
    assert is_done
    assert "run it again" in words_in(shown)
    assert page.follow(1, None, "table") == (no_update, True)


def test_a_role_that_does_not_reach_sees_why_and_can_ask_nothing(
    sql: Console, analyst: Analyst
) -> None:
    analyst.limits = Limits(role="operator")
    try:
        with sql.asked_by("viewer"):
            assert "takes the role operator" in words_in(sql.open("/sql"))
            with pytest.raises(NotAllowed):
                sql.page("sql").run(1, "SELECT 1", "table", None)
    finally:
        analyst.limits = Limits(seconds=20.0, rows=1_000, memory_megabytes=256)


def test_a_console_without_questions_says_so(console: Console) -> None:
    set_context(Context(console.store, CLOCK, lambda: console.status, CLOCK))
    assert "without questions" in words_in(console.open("/sql"))


# -- plots -----------------------------------------------------------------------------

OVER_TIME = "SELECT measured_at AS hour, pool, gpus_on FROM pool_states ORDER BY hour"


def test_the_picture_that_suits_an_answer_comes_by_itself(sql: Console) -> None:
    question_id, _ = asked(sql, OVER_TIME, "plot")
    shown, kind, x, y, color = sql.page("sql").plot("line", None, None, None, question_id)
    assert (kind, x, y, color) == ("line", "hour", "gpus_on", "pool")
    chart = shown.children[1]
    assert [each["name"] for each in chart.series] == ["a", "b"]
    assert len(chart.data) == 3
    assert "gpus_on by hour" in words_in(shown)


def test_a_picture_is_chosen_and_says_what_it_leaves_out(sql: Console) -> None:
    question_id, _ = asked(
        sql, "SELECT 'w' || i AS w, i % 7 AS n, i * 1.5 AS v FROM range(900) r(i)"
    )
    page = sql.page("sql")
    bars, *_ = page.plot("bar", "w", "v", None, question_id)
    assert "first 40 of 900" in words_in(bars)
    means, *_ = page.plot("bar", "n", "v", None, question_id)
    assert "their mean is drawn" in words_in(means)
    dots, *_ = page.plot("scatter", "n", "v", None, question_id)
    assert len(dots.children[1].data[0]["data"]) == 900
    wrong, *_ = page.plot("line", "w", "nothing", None, question_id)
    assert "Choose what stands across" in words_in(wrong)
    coloured, *_ = page.plot("line", "n", "v", "w", question_id)
    assert "Only the 8 of 900 w" in words_in(coloured)


def test_what_holds_no_figures_is_not_drawn(sql: Console) -> None:
    question_id, _ = asked(sql, "SELECT 'a' AS word")
    shown, *_ = sql.page("sql").plot("line", None, None, None, question_id)
    assert "no column of figures" in words_in(shown)


def test_many_points_are_thinned() -> None:
    frame = pl.DataFrame({"x": list(range(5000)), "y": [1.0] * 5000})
    shown = _sql_plot.plot_of(frame, _sql_plot.Axes("line", "x", "y"))
    assert len(shown.children[1].data) <= _sql_plot.POINTS_MOST
    assert "One in 13 of 5,000" in words_in(shown)


# -- files and finding one's way -------------------------------------------------------


@pytest.mark.parametrize("file_format", ["csv", "parquet"])
def test_an_answer_is_to_be_had_as_a_file_that_runs_nothing(sql: Console, file_format: str) -> None:
    question_id, _ = asked(sql, "SELECT '=cmd()' AS word, 1 AS n")
    clicks, button = pressed("sql-download", format=file_format)
    sent = sql.call("sql-file.data", {**clicks, "sql-asked.data": question_id}, button)
    file = sent["response"]["sql-file"]["data"]
    assert file["filename"].startswith("pilothouse-answer-20261102")
    if file_format == "csv":
        assert file["content"].splitlines() == ["word,n", "'=cmd(),1"]
    else:
        frame = pl.read_parquet(io.BytesIO(base64.b64decode(file["content"])))
        assert frame.row(0) == ("=cmd()", 1)


def test_examples_tables_and_columns_are_found(sql: Console) -> None:
    page = sql.page("sql")
    assert page.show_example("waits") == next(e.sql for e in EXAMPLES if e.key == "waits")
    assert page.show_example(None) is no_update
    assert "No table has such a name" in words_in(page.show_tables("zzz"))
    assert "oldest_wait_seconds" in words_in(page.show_tables("oldest wait"))
    columns = words_in(page.show_columns("gpu_samples"))
    for known in ("utilisation_ratio", "ratio", "Power drawn", "First rows"):
        assert known in columns
    assert page.show_columns("users") is no_update
