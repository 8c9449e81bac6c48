"""When hours are metered, and anew; and all of it against a slow reference."""

from __future__ import annotations

import random
import shutil
import threading
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.makers import (
    NOON,
    POOL,
    make_gpu_sample,
    make_pool,
    make_price,
)
from tests.warehouse.metered import HOUR, MINUTE, HandClock, event, hours_of, read, rows
from warehouse import metering
from warehouse.metering_books import books
from warehouse.metering_hours import Meter, over_until
from warehouse.records import GpuSample, JobEvent
from warehouse.store import Location, Store


@pytest.fixture
def meter(store: Store) -> Meter:
    store.append([make_pool(), make_price()])
    return Meter(store, HandClock())


# -- versions ----------------------------------------------------------------------------


def test_an_hour_is_over_when_its_sources_have_read_past_it_by_their_own_clocks(
    store: Store, meter: Meter
) -> None:
    store.append([event("started", 0)])
    store.append(read(range(0, 61)))
    assert over_until(store, now=NOON + 9 * HOUR) == NOON  # what is read at its end comes later
    store.append(read(range(61, 65)))
    assert over_until(store, now=NOON + 9 * HOUR) == NOON + HOUR
    assert meter.run().row_count == 1
    assert meter.run().row_count == 0
    behind = make_gpu_sample(source="slow", gpu_id="gpu-9", measured_at=NOON + 130 * MINUTE)
    store.append([*read(range(65, 190)), behind])
    assert over_until(store, now=NOON + 9 * HOUR) == NOON + 2 * HOUR  # the slower one is waited for


def test_late_events_meter_their_hours_anew_with_the_reason_and_nothing_is_deleted(
    store: Store, meter: Meter
) -> None:
    store.append([event("started", 0), event("started", 0, job_id="job-2")])
    assert meter.run().row_count == 2
    assert meter.run().row_count == 0
    store.append([event("finished", 90)])
    assert meter.run().detail == "1 hours metered anew"
    assert hours_of(store) == {0: 4.0, 1: 4.0}  # of job-2, the last in its order
    assert rows(store)["job-1", POOL, 1]["allocated_gpu_hours"] == 2.0
    newest = metering.version_of(store, since=NOON, until=NOON + 2 * HOUR)
    assert newest["version"].to_list() == [1, 2]
    assert newest["reason"].to_list()[1] == (
        "1 job events came late: -2.0000 GPU-hours allocated, -5.00 USD billed, of job-1"
    )
    assert metering.runs(store, since=NOON, until=NOON + 2 * HOUR).total == 3
    assert meter.run().row_count == 0


def test_rows_that_come_late_and_change_nothing_make_no_version(store: Store, meter: Meter) -> None:
    store.append([event("submitted", 0), event("started", 10), event("finished", 50)])
    meter.run()
    store.append([event("started", 10), event("submitted", 20, job_id="job-2")])
    assert meter.run().row_count == 0


def test_after_a_start_the_last_days_are_looked_at_once_more(store: Store, meter: Meter) -> None:
    store.append([event("started", 0)])
    meter.run()
    store.append([event("finished", 90)])
    again = Meter(store, HandClock())
    assert again.run().row_count == 1
    assert again.run().row_count == 0


def test_what_was_measured_is_kept_when_raw_readings_are_gone(store: Store, meter: Meter) -> None:
    jobs = ("job-1", "job-2", "lost")
    store.append([event("started", 0, job_id=job, gpu_count=1) for job in jobs])
    for n, job in enumerate(jobs[:2]):
        store.append(read(range(0, 130, 5), gpu_id=f"gpu-{n}", job_id=job, utilisation_ratio=0.8))
    meter.run()
    assert ("lost", POOL, 0) not in rows(store)
    store.delete(GpuSample, "true")
    store.append([event("finished", 30, job_id="job-2")])
    assert meter.run().row_count == 2
    found = rows(store)
    assert set(found) == {("job-1", POOL, 0), ("job-1", POOL, 1), ("job-2", POOL, 0)}
    assert found["job-2", POOL, 0]["allocated_gpu_hours"] == 0.5
    assert found["job-1", POOL, 0]["used_gpu_hours"] == pytest.approx(0.8)


def test_of_two_consoles_one_meters_an_hour(store: Store, meter: Meter) -> None:
    store.append([event("started", 0)])
    waiting, both = threading.Barrier(2), []

    def work() -> None:
        own = Meter(store, HandClock())
        waiting.wait()
        both.append(own.run().row_count)

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(both) == 2
    assert metering.runs(store, since=NOON, until=NOON + 2 * HOUR).total == 2


def test_zero_and_missing_prices_are_told_once(store: Store, meter: Meter) -> None:
    store.append([make_pool(pool="b"), event("started", 0, price_usd_per_gpu_hour=0.0),
                  event("started", 0, job_id="job-2", pool="b", price_usd_per_gpu_hour=None),
                  event("started", 0, job_id="job-3", pool="c")])  # fmt: skip
    meter.run()
    assert {each.alarm_id for each in metering.alarms(store)} == {
        f"zero_price/{POOL}/job-1", "no_price/b", "no_cost/c",
    }  # fmt: skip
    meter.clock.at += HOUR  # type: ignore[attr-defined]
    assert meter.run().row_count == 1
    assert len(metering.alarms(store)) == 3


# -- against a slow reference ------------------------------------------------------------

KINDS = ("submitted", "started", "preempted", "migrated", "checkpointed", "finished", "failed")
POOLS = (POOL, "b")
RANK = {"submitted": 0, "preempted": 1, "started": 2, "checkpointed": 3, "migrated": 4}


def slow_hours(events: list[JobEvent], until: datetime) -> dict[tuple[str, str, datetime], float]:
    """Second by second: who holds what, one job after the other."""
    found: dict[tuple[str, str, datetime], float] = {}
    for job_id in {each.job_id for each in events}:
        own = sorted({(e.happened_at, RANK.get(e.event, 5), e.pool, e.event, e.gpu_count,
                       e.share_ratio) for e in events if e.job_id == job_id})  # fmt: skip
        holds: tuple[str, float] | None = None
        last, turn, share_ratio = "submitted", 0, 1.0
        second = own[0][0]
        while second < until:
            while turn < len(own) and own[turn][0] <= second:
                _, _, pool, what, gpus, given = own[turn]
                share_ratio = given if given is not None else share_ratio
                if what in ("started", "migrated"):
                    holds, last = (pool, gpus * share_ratio), what
                elif what == "checkpointed":
                    if last == "submitted":
                        holds = (pool, gpus * share_ratio)
                else:
                    holds, last = None, what
                turn += 1
            if holds is not None:
                key = (job_id, holds[0], second.replace(minute=0, second=0))
                found[key] = found.get(key, 0.0) + holds[1] / 360
            second += timedelta(seconds=10)
    return found


@pytest.fixture(scope="module")
def scratch(empty_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    home = tmp_path_factory.mktemp("scratch") / "home"
    opened = Store(Location.embedded(shutil.copytree(empty_home, home)))
    opened.append([make_pool(), make_pool(pool="b"), make_price(), make_price(pool="b")])
    yield opened
    opened.close()


@given(seed=st.integers(0, 2**32), jobs=st.integers(1, 5), each=st.integers(1, 9))
@settings(max_examples=15, deadline=None, derandomize=True,
          suppress_health_check=[HealthCheck.function_scoped_fixture])  # fmt: skip
def test_whatever_is_told_of_jobs_the_hours_are_those_of_a_slow_reference(
    scratch: Store, seed: int, jobs: int, each: int
) -> None:
    draw = random.Random(seed)
    told = [
        event(draw.choice(KINDS), draw.randrange(0, 1080) / 6, job_id=f"job-{job}",
              pool=draw.choice(POOLS), gpu_count=draw.choice((1, 2, 8)),
              share_ratio=draw.choice((None, None, 0.25, 0.5)))
        for job in range(jobs) for _ in range(each)
    ]  # fmt: skip
    # One event of a kind at an instant: which of two contradicting ones holds nobody can tell.
    told = list({(e.job_id, e.happened_at): e for e in told}.values())
    scratch.delete(JobEvent, "true")
    scratch.append([*told, *draw.sample(told, len(told) // 2)])
    until = NOON + 4 * HOUR
    since = NOON + draw.choice((0, 0, 1)) * HOUR
    made = books(scratch, since=since, until=until).hours
    wanted = {key: hours for key, hours in slow_hours(told, until).items() if key[2] >= since}
    sums = made.group_by("job_id", "pool", "hour_starts_at").agg(
        pl.col("allocated_gpu_hours").sum()
    )
    assert {row[:3]: row[3] for row in sums.iter_rows()} == pytest.approx(wanted)
    assert made["charge_usd"].sum() == pytest.approx(2.5 * sum(wanted.values()))
