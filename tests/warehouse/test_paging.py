"""A page at a time: nothing twice and nothing missed, whatever comes in meanwhile."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from tests.makers import NOON, make_job_event
from warehouse.jobs import SORTABLE, jobs
from warehouse.paging import After, BadCursor, Position, page_of
from warehouse.store import Store

ROWS = "SELECT * FROM (VALUES (1, 'b'), (NULL, 'c'), (2, 'a'), (NULL, 'a'), (2, 'b')) t(x, y)"


@pytest.mark.parametrize("order", ["x, y", "x DESC, y DESC", "y, x DESC", "y DESC, x"])
@pytest.mark.parametrize("limit", [1, 2, 3])
def test_page_after_page_is_the_whole_with_missing_values_last(
    store: Store, order: str, limit: int
) -> None:
    whole = store.query(f"SELECT * FROM ({ROWS}) ORDER BY {order}").rows()
    found, position = [], 0
    while position is not None:
        page = page_of(store, ROWS, order=order, offset=position, limit=limit)
        assert page.total == 5
        found += page.rows.rows()
        position = page.end
    assert found == whole


def test_what_comes_in_at_the_front_moves_no_row_to_the_next_page(store: Store) -> None:
    store.append(
        make_job_event(job_id=f"job-{n}", happened_at=NOON + timedelta(minutes=n)) for n in range(4)
    )
    now = NOON + timedelta(hours=1)
    first = jobs(store, now=now, limit=2)
    store.append([make_job_event(job_id="new", happened_at=NOON + timedelta(minutes=9))])
    assert first.end is not None
    second = jobs(store, now=now, offset=first.end, limit=2)
    by_count = jobs(store, now=now, offset=2, limit=2)
    assert second.rows["job_id"].to_list() == ["job-1", "job-0"]
    assert by_count.rows["job_id"].to_list() == ["job-2", "job-1"], "by a count it would be twice"
    assert second.total == 5


def test_jobs_can_be_gone_through_in_every_order(store: Store) -> None:
    store.append(
        make_job_event(
            job_id=f"job-{n}", tenant=f"tenant-{n % 2}", happened_at=NOON + timedelta(seconds=n)
        )
        for n in range(5)
    )
    for sort in SORTABLE:
        for descending in (True, False):
            seen: list[str] = []
            position: Position | None = 0
            while position is not None:
                page = jobs(
                    store,
                    now=NOON,
                    sort=sort,
                    descending=descending,
                    offset=position,
                    limit=2,
                )
                seen += page.rows["job_id"].to_list()
                position = page.end
            assert sorted(seen) == [f"job-{n}" for n in range(5)], sort


def test_a_place_of_another_list_or_of_another_type_is_refused(store: Store) -> None:
    end = page_of(store, ROWS, order="x, y", offset=0, limit=1).end
    assert end is not None
    for wrong in (
        replace(end, order_digest="00000000"),
        replace(end, values=end.values[:1]),
        replace(end, values=("1", "b")),
        replace(end, values=(True, "b")),
        replace(end, values=(2**70, "b")),
        replace(end, values=(1, 2)),
    ):
        with pytest.raises(BadCursor, match="begin again"):
            page_of(store, ROWS, order="x, y", offset=wrong, limit=1)
    instants = "SELECT TIMESTAMPTZ '2026-11-01' AS t"
    after = page_of(store, instants, order="t", offset=0, limit=1).end
    assert isinstance(after, After)
    for value in ("yesterday", "2026-11-01T00:00:00", 5):
        with pytest.raises(BadCursor):
            page_of(store, instants, order="t", offset=replace(after, values=(value,)), limit=1)
