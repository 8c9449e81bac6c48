"""Analysts' questions: asked, limited, told what went wrong, and on record."""

from __future__ import annotations

import os
import shutil
import signal
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from tests.makers import NOON
from tests.warehouse.analyst_scene import MARA, PIET, fill, make_analyst
from warehouse import analyst_pool, analyst_tables
from warehouse.analyst import Analyst
from warehouse.analyst_answers import KEPT_OF_ONE, Answer, Answers
from warehouse.analyst_errors import (
    Broken,
    Cancelled,
    NoSuchAnswer,
    NotForAsking,
    NotForYou,
    QuestionError,
    TooManyQuestions,
    TooMuchMemory,
    TooSlow,
    TooWide,
    WrongQuestion,
)
from warehouse.analyst_rules import OPEN, TEXT_MOST, VIEWS_OPEN
from warehouse.analyst_source import Source
from warehouse.location import Location, S3Access
from warehouse.records import AuditEvent
from warehouse.store import Store

ENDLESS = "SELECT count(*) FROM range(10000000) a, range(10000000) b"


@pytest.fixture(scope="module")
def home(empty_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return shutil.copytree(empty_home, tmp_path_factory.mktemp("analyst") / "home")


@pytest.fixture(scope="module")
def store(home: Path) -> Iterator[Store]:
    """One for all: questions change nothing."""
    opened = Store(Location.embedded(home))
    fill(opened)
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def analyst(store: Store, home: Path) -> Iterator[Analyst]:
    made = make_analyst(store, home)
    yield made
    made.close()


@pytest.fixture(scope="module")
def hurried(store: Store, home: Path) -> Iterator[Analyst]:
    """One whose questions may take two seconds and a thousand rows, one at a time."""
    made = make_analyst(store, home, seconds=2.0, rows=1_000, at_once=1, memory_megabytes=128)
    yield made
    made.close()


def rows(analyst: Analyst, sql: str) -> pl.DataFrame:
    return analyst.answers.rows(analyst.ask(sql, MARA))


def events(store: Store) -> list[AuditEvent]:
    return store.rows(AuditEvent, "SELECT * FROM audit_events ORDER BY happened_at, rowid")


def test_a_question_gets_the_rows_that_the_warehouse_has(analyst: Analyst, store: Store) -> None:
    sql = "SELECT gpu_id, count(*) AS samples FROM gpu_samples GROUP BY ALL ORDER BY gpu_id"
    answer = analyst.ask(sql, MARA)
    assert analyst.answers.rows(answer).equals(store.query(sql))
    assert answer.row_count == 8
    assert answer.cut == ""
    assert list(answer.schema) == ["gpu_id", "samples"]


def test_it_knows_the_consoles_instant(analyst: Analyst) -> None:
    found = rows(analyst, "SELECT fleet_now() AS at, count(*) FILTER (measured_at > fleet_now() "
                          "- INTERVAL 10 MINUTE) AS n FROM gpu_samples")  # fmt: skip
    assert found.row(0) == (NOON, 10)


def test_whatever_kind_a_value_is_it_comes_as_one_of_a_few(analyst: Analyst) -> None:
    found = rows(
        analyst,
        "SELECT sum(x)::HUGEINT AS whole, 1.5::DECIMAL(9, 2) AS figure, 1 AS a, 2 AS a,"
        " [1, 2] AS l, {'k': 'v'} AS o, INTERVAL 90 MINUTE AS i, 'ab'::BLOB AS b, NULL AS n,"
        " 170141183460469231731687303715884105727::HUGEINT AS large, true AS t, MAP {1: 2} AS m,"
        " DATE '2026-01-02' AS d, 'x'::ENUM('x', 'y') AS e FROM range(5) r(x)",
    )
    row = found.row(0, named=True)
    kept = {"whole": 10, "figure": 1.5, "a": 1, "a_2": 2, "l": "[1,2]", "o": '{"k":"v"}'}
    assert {name: row[name] for name in kept} == kept
    assert (row["i"], row["b"], row["n"], row["t"], row["e"]) == (
        "01:30:00",
        "6162",
        None,
        True,
        "x",
    )
    assert row["large"] == pytest.approx(1.7e38, rel=0.01)
    assert row["m"] == '{"1":2}'


def test_an_answer_is_looked_at_a_page_at_a_time_in_any_order(analyst: Analyst) -> None:
    answer = analyst.ask("SELECT i, -i AS j FROM range(250) t(i)", MARA)
    page = analyst.answers.page(answer, offset=100, limit=3)
    assert (page.rows["i"].to_list(), page.total) == ([100, 101, 102], 250)
    page = analyst.answers.page(answer, offset=0, limit=2, sort_by="j")
    assert page.rows["i"].to_list() == [249, 248]
    page = analyst.answers.page(answer, offset=0, limit=1, sort_by="i", is_down=True)
    assert page.rows["i"].to_list() == [249]


def test_an_answer_is_for_whoever_asked(analyst: Analyst) -> None:
    first = analyst.ask("SELECT 1", MARA)
    with pytest.raises(NoSuchAnswer):
        analyst.answer(first.answer_id, PIET)
    with pytest.raises(NoSuchAnswer):
        analyst.question(first.answer_id, PIET)
    with pytest.raises(NoSuchAnswer):
        analyst.cancel(first.answer_id, PIET)


def test_answers_are_not_kept_for_ever(tmp_path: Path) -> None:
    answers, frame = Answers(tmp_path), pl.DataFrame({"a": [1]})
    told = Answer("", "SELECT 1", "mara", Path(), dict(frame.schema), 1, "", 0.0, 0.0, NOON)
    kept = [answers.keep(frame, replace(told, answer_id=str(i))) for i in range(KEPT_OF_ONE + 1)]
    assert answers.of("1", "mara") == kept[1]
    with pytest.raises(NoSuchAnswer, match="run the question again"):
        answers.of("0", "mara")
    assert len(list(tmp_path.iterdir())) == KEPT_OF_ONE
    answers.close()
    assert list(tmp_path.iterdir()) == []


def test_too_many_rows_are_cut_off_and_it_says_so(hurried: Analyst) -> None:
    answer = hurried.ask("SELECT * FROM range(100000)", MARA)
    assert (answer.row_count, answer.cut) == (1_000, "rows")
    assert hurried.ask("SELECT * FROM range(1000)", MARA).cut == ""


def test_too_many_bytes_are_cut_off_and_it_says_so(analyst: Analyst) -> None:
    answer = analyst.ask("SELECT repeat('x', 10000) AS x FROM range(20000)", MARA)
    assert answer.cut == "bytes"
    assert 1_000 < answer.row_count < 20_000


Kinds = tuple[type[QuestionError], ...]
MUCH: Kinds = (TooSlow, TooMuchMemory, Broken)
WRONG: Kinds = (WrongQuestion, NotForAsking)
BOMBS: dict[str, Kinds] = {
    ENDLESS: (TooSlow,),
    "WITH RECURSIVE n AS (SELECT 1 AS i UNION ALL SELECT i FROM n) SELECT count(*) FROM n": MUCH,
    "SELECT list(i) FROM range(1000000000) t(i)": MUCH,
    "SELECT length(repeat('x', 2000000000))": MUCH,
    "SELECT a.i, b.i FROM range(1000000) a(i), range(1000000) b(i) ORDER BY a.i + b.i": MUCH,
    "SELECT count(*) FROM range(100000000) t(i) WHERE "
    "regexp_matches(repeat('a', 2000) || i, '(a*)*(a*)*(a*)*b')": MUCH,
    "SELECT " + ", ".join(f"{i} AS c{i}" for i in range(900)): (TooWide,),
    "SELECT " + "(" * 3000 + "1" + ")" * 3000: (),
    "FROM " + "(SELECT * FROM " * 900 + "pools" + ")" * 900: WRONG,
    "SELECT " + "-".join(["1"] * 5000): WRONG,
    "SELECT 1 AS " + "x" * TEXT_MOST: (NotForAsking,),
    "SELECT '\udc80'": (NotForAsking,),
    "SELECT * FROM pools\0; DROP TABLE pools": (NotForAsking,),
}
"""Questions that take too much, and what may come of each; the one without is harmless."""


def test_what_takes_too_much_is_ended_and_the_next_is_answered(store: Store, home: Path) -> None:
    analyst = make_analyst(store, home, seconds=2.0, at_once=len(BOMBS), memory_megabytes=128)
    asked = [(analyst.begin(sql, MARA), kinds) for sql, kinds in BOMBS.items()]
    assert all(question.ended.wait(30) for question, _ in asked)
    for question, kinds in asked:
        told = (question.sql[:60], question.error)
        assert isinstance(question.error, kinds) if kinds else question.error is None, told
    assert analyst.ask("SELECT 1", MARA).row_count == 1
    analyst.close()


def test_a_question_is_taken_back(analyst: Analyst) -> None:
    question = analyst.begin(ENDLESS, MARA)
    analyst.cancel(question.question_id, MARA)
    assert question.ended.wait(10)
    assert isinstance(question.error, Cancelled)


def test_a_process_that_is_killed_takes_nothing_with_it(analyst: Analyst) -> None:
    analyst.warm()
    question = analyst.begin(ENDLESS, MARA)
    assert question.begun.wait(10)
    assert question.answerer is not None
    os.kill(question.answerer.pid, signal.SIGKILL)
    assert question.ended.wait(10)
    assert isinstance(question.error, Broken)
    assert "Nothing else was touched" in str(question.error)
    assert analyst.ask("SELECT 1", MARA).row_count == 1


def test_as_many_as_may_run_and_wait_and_the_next_is_told(hurried: Analyst) -> None:
    asked = [hurried.begin(ENDLESS, MARA) for _ in range(12)]
    assert all(each.ended.wait(30) for each in asked)
    kinds = [type(each.error) for each in asked]
    assert set(kinds) == {TooSlow, TooManyQuestions}
    assert kinds.count(TooManyQuestions) >= 7
    assert any("try again" in str(each.error) for each in asked)
    assert hurried.ask("SELECT 1", MARA).row_count == 1


def test_nothing_is_left_behind_for_the_next(analyst: Analyst) -> None:
    first = rows(analyst, "SELECT current_localtimestamp() AS at")
    assert first.height == 1
    for sql in ("SET VARIABLE x = 1", "CREATE TEMP TABLE t AS SELECT 1"):
        with pytest.raises(NotForAsking):
            analyst.ask(sql, MARA)
    with pytest.raises(NotForAsking, match="no table t"):
        analyst.ask("FROM t", PIET)


@pytest.mark.parametrize(
    ("sql", "said", "hint"),
    [
        ("SELECT pol,\n gpus_onn FROM pool_states", "LINE 1", "pool"),
        ("SELECT gpus_onn FROM pool_states", "^", "gpus_on"),
        ("SELECT pool, gpu_count FROM job_events GROUP BY pool", "GROUP BY", "GROUP BY ALL"),
        ("SELECT nosuch(1)", "does not exist", "DuckDB's"),
        ("SELEC 1", "syntax error", ""),
        ("SELECT 'a'::INTEGER", "Could not convert", "TRY_CAST"),
    ],
)
def test_an_error_says_where_and_what_may_help(
    analyst: Analyst, sql: str, said: str, hint: str
) -> None:
    with pytest.raises(WrongQuestion) as told:
        analyst.ask(sql, MARA)
    assert said in str(told.value)
    assert hint in told.value.hint
    assert "Stack Trace" not in str(told.value)


def test_every_question_is_on_record_with_what_came_of_it(analyst: Analyst, store: Store) -> None:
    analyst.ask("SELECT 1 AS one", MARA, "10.0.0.9")
    with pytest.raises(NotForAsking):
        analyst.ask("SELECT * FROM users", PIET)
    first, second = events(store)[-2:]
    assert (first.actor, first.via, first.address) == ("mara", "browser", "10.0.0.9")
    assert first.detail["text"] == "SELECT 1 AS one"
    assert (first.detail["outcome"], first.detail["rows"]) == ("Answered", 1)
    assert first.target == first.detail["sha256"][:16]
    assert (second.actor, second.via, second.detail["outcome"]) == ("piet", "api", "NotForAsking")


def test_who_may_ask_is_a_setting(store: Store, home: Path) -> None:
    analyst = make_analyst(store, home, role="operator")
    with pytest.raises(NotForYou, match="operator"):
        analyst.ask("SELECT 1", MARA)
    assert analyst.ask("SELECT 1", PIET).row_count == 1
    analyst.close()


def test_closing_ends_what_runs_and_leaves_nothing_on_disk(
    store: Store, home: Path, tmp_path: Path
) -> None:
    analyst = make_analyst(store, home, folder=tmp_path / "questions")
    analyst.ask("SELECT 1", MARA)
    question = analyst.begin(ENDLESS, MARA)
    analyst.close()
    assert question.ended.is_set()
    assert list((tmp_path / "questions").iterdir()) == []


def test_the_environment_of_the_console_is_not_in_the_process(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PILOTHOUSE_ADMIN_PASSWORD", "a-secret")
    answerer = analyst_pool.Answerer(("ducklake",))
    answerer._line(time.monotonic() + 30)
    environment = Path(f"/proc/{answerer.pid}/environ").read_text()
    answerer.end()
    assert "PILOTHOUSE" not in environment
    assert "OMP_NUM_THREADS" in environment


def test_data_on_s3_is_read_with_a_secret_of_its_own_and_over_one_port() -> None:
    s3 = S3Access(endpoint="minio:9000", key_id="id", secret=_secret("it's"), use_ssl=False)
    source = Source.of(Location("c", "s3://bucket/prefix/", s3=s3))
    assert source.ports == (9000,)
    assert "secret 'it''s'" in source.statements[0]
    assert "scope 's3://bucket/prefix/'" in source.statements[0]
    assert Source.of(Location("c", "/data/")).statements == ()


def _secret(text: str) -> Any:
    from pydantic import SecretStr

    return SecretStr(text)


def test_tables_are_found_by_name_column_and_meaning() -> None:
    assert {each.name for each in analyst_tables.tables()} == OPEN | VIEWS_OPEN
    assert analyst_tables.search("gpu samples").tables[0].name == "gpu_samples"
    found = analyst_tables.search("oldest wait")
    assert found.columns["pool_states"] == ("oldest_wait_seconds",)
    assert analyst_tables.search("zzz").tables == ()
    assert analyst_tables.unit_of("price_usd_per_gpu_hour") == "USD per GPU-hour"
    assert analyst_tables.unit_of("pool") == ""
