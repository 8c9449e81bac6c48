"""What people do with the console: counted in memory, stored each minute, nothing of a person."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import pytest

from tests.makers import NOON
from warehouse import usage
from warehouse.people import Person, current_person
from warehouse.store import Store, WarehouseError
from warehouse.usage import Tally, current_tally

MINUTE = timedelta(minutes=1)
SPAN = {"since": NOON - timedelta(days=1), "until": NOON + timedelta(days=1)}


@dataclass
class Clock:
    at: datetime = NOON

    def now(self) -> datetime:
        return self.at


class Refusing:
    """A warehouse whose disk is full."""

    def append_frame(self, *_: object) -> int:
        raise WarehouseError("the disk is full")


def add(tally: Tally, times: int = 1, subject: str = "/api/v1/jobs", tenant: str = "blue") -> None:
    for _ in range(times):
        tally.add("api_call", subject, tenant=tenant, user_id="mara")


def counted(store: Store) -> list[tuple[object, ...]]:
    order = 'SELECT subject, happened_at, "count" FROM usage_events ORDER BY 2, 1, 3'
    return list(store.query(order).iter_rows())


def test_acts_of_one_minute_are_one_row_and_the_next_minute_is_another(store: Store) -> None:
    clock = Clock(NOON + timedelta(seconds=59, microseconds=7))
    tally = Tally(clock)
    add(tally, 3)
    clock.at += timedelta(seconds=1)
    add(tally)
    assert tally.flush(store) == 2
    assert counted(store) == [("/api/v1/jobs", NOON, 3), ("/api/v1/jobs", NOON + MINUTE, 1)]


def test_what_was_stored_is_not_stored_again_and_two_rows_of_a_minute_add_up(store: Store) -> None:
    tally = Tally(Clock())
    add(tally, 2)
    assert tally.flush(store) == 1
    assert tally.flush(store) == 0
    add(tally)
    tally.flush(store)
    (row,) = usage.usage_by_tenant(store, **SPAN).to_dicts()
    assert (row["tenant"], row["kind"], row["count"], row["user_count"]) == (
        "blue", "api_call", 3, 1,
    )  # fmt: skip


def test_what_could_not_be_stored_is_kept_and_stored_the_next_time(store: Store) -> None:
    tally = Tally(Clock())
    add(tally, 2)
    with pytest.raises(WarehouseError):
        tally.flush(Refusing())  # type: ignore[arg-type]
    add(tally)
    assert tally.flush(store) == 1
    assert counted(store) == [("/api/v1/jobs", NOON, 3)]


def test_no_more_keys_are_kept_than_the_limit_and_known_ones_still_count(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(usage, "KEYS_MAX", 2)
    tally = Tally(Clock())
    for subject in ("/a", "/b", "/c", "/a"):
        add(tally, subject=subject)
    tally.flush(store)
    assert [(subject, number) for subject, _, number in counted(store)] == [("/a", 2), ("/b", 1)]


def test_outside_of_a_request_nothing_is_counted() -> None:
    assert current_tally.get() is None
    usage.note("page_view", "/jobs")  # and nothing is raised


def test_a_note_bears_the_tenant_and_the_user_of_whoever_asks(store: Store) -> None:
    tally, person = Tally(Clock()), Person("mara", "viewer", "browser", tenant="blue")
    entered, asking = current_tally.set(tally), current_person.set(person)
    try:
        usage.note("sql_question", "/sql")
        current_person.set(replace(person, name="ops", tenant=None))
        usage.note("sql_question", "/sql")
    finally:
        current_person.reset(asking)
        current_tally.reset(entered)
    tally.flush(store)
    rows = store.query("SELECT tenant, user_id FROM usage_events ORDER BY user_id").rows()
    assert rows == [("blue", "mara"), (None, "ops")]


def test_a_clock_that_fails_fails_no_request() -> None:
    class Broken:
        def now(self) -> datetime:
            raise RuntimeError("no clock")

    entered = current_tally.set(Tally(Broken()))
    try:
        usage.note("page_view", "/jobs")
    finally:
        current_tally.reset(entered)


def test_use_is_told_by_day_and_by_subject(store: Store) -> None:
    clock = Clock()
    tally = Tally(clock)
    add(tally, 2)
    add(tally, 5, subject="/api/v1/market", tenant="red")
    clock.at -= timedelta(days=1)
    add(tally, 4, subject="/api/v1/market")
    tally.flush(store)
    days = usage.usage_by_day(store, **SPAN, tenant="blue")
    assert days["count"].to_list() == [4, 2]
    subjects = usage.usage_by_subject(store, **SPAN, kind="api_call", limit=1)
    assert subjects.rows() == [("api_call", "/api/v1/market", 9)]
