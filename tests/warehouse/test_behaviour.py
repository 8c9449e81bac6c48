"""What tenants do: their jobs, waits and troubles; cohorts; signs of leaving, each by hand."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.makers import NOON, POOL, make_charge, make_job_event, make_price
from warehouse import behaviour, churn, cohorts, spend
from warehouse.churn_rules import (
    RULES,
    Found,
    Seen,
    Signal,
    Span,
    Unjudged,
    activity,
    give_ups,
    prices,
    silence,
    upsets,
    waits,
)
from warehouse.records import JobEvent, MeteredHour, MeteringRun
from warehouse.store import Store

HOUR, DAY, WEEK = timedelta(hours=1), timedelta(days=1), timedelta(days=7)
SINCE = NOON - 30 * DAY


def job(name: str, at: datetime, *told: tuple[str, timedelta], **changes: Any) -> list[JobEvent]:
    """A job submitted at an instant, and what happened to it how long after."""
    return [
        make_job_event(job_id=name, event=event, happened_at=at + after, **changes)
        for event, after in (("submitted", timedelta()), *told)
    ]


def figures(store: Store, tenant: str = "blue") -> dict[str, Any]:
    found = behaviour.tenant_figures(store, since=SINCE, now=NOON)
    return found.filter(found["tenant"] == tenant).row(0, named=True)


# -- what tenants do -------------------------------------------------------------------


def test_hours_run_are_told_of_jobs_that_ended_run_wait_and_were_interrupted(store: Store) -> None:
    at = NOON - 10 * HOUR
    store.append(
        [
            *job("ended", at, ("started", HOUR), ("checkpointed", 2 * HOUR),
                 ("finished", 4 * HOUR)),
            *job("runs", at, ("started", 8 * HOUR)),
            *job("waits", at),
            *job("twice", at, ("started", HOUR), ("preempted", 2 * HOUR), ("started", 5 * HOUR),
                 ("failed", 6 * HOUR), detail="node-7 fell over"),
            *job("gone", at, ("left", 2 * HOUR)),
        ]
    )  # fmt: skip
    seen = figures(store)
    assert (seen["jobs"], seen["started_jobs"]) == (5, 3)
    assert seen["delivered_gpu_hours"] == pytest.approx(4 * (3 + 2 + 0 + 2 + 0))
    assert seen["asked_gpu_hours"] == pytest.approx(4 * (4 + 10 + 10 + 6 + 2))
    assert seen["wait_median_seconds"] == 2 * 3600  # 1, 1, 2, 8 and 10 hours
    ratios = ("failed_ratio", "left_ratio", "preempted_ratio", "retried_ratio")
    assert [seen[name] for name in ratios] == [0.2] * 4


def test_a_share_of_a_gpu_counts_as_a_share(store: Store) -> None:
    at = NOON - 2 * HOUR
    store.append(job("s", at, ("started", timedelta()), gpu_count=1, share_ratio=0.25))
    assert figures(store)["delivered_gpu_hours"] == pytest.approx(0.5)


def test_a_job_whose_stop_nobody_told_counts_from_its_first_start(store: Store) -> None:
    at = NOON - 9 * HOUR
    store.append(job("odd", at, ("started", HOUR), ("started", 3 * HOUR), ("finished", 5 * HOUR)))
    assert figures(store)["delivered_gpu_hours"] == pytest.approx(16)


def test_what_happened_before_the_span_counts_only_as_first_seen(store: Store) -> None:
    store.append([*job("old", SINCE - DAY), *job("new", NOON - 8 * DAY), *job("now", NOON - DAY)])
    seen = figures(store)
    assert (seen["jobs"], seen["active_days"]) == (2, 2)
    assert seen["first_seen_at"] == SINCE - DAY
    assert seen["last_seen_at"] == NOON - DAY
    assert seen["growth_ratio"] == 0.0


def test_a_tenant_that_did_nothing_in_the_span_has_no_ratios(store: Store) -> None:
    store.append(job("old", SINCE - DAY))
    seen = figures(store)
    assert (seen["jobs"], seen["charge_usd"]) == (0, 0.0)
    assert seen["failed_ratio"] is seen["wait_median_seconds"] is seen["growth_ratio"] is None


def test_the_list_is_paged_sorted_and_searched(store: Store) -> None:
    for number, tenant in enumerate(("Ada", "bob", "carl")):
        events = [job(f"{tenant}{n}", NOON - DAY, tenant=tenant) for n in range(number + 1)]
        store.append([event for each in events for event in each])
    found = behaviour.tenant_figures(store, since=SINCE, now=NOON)
    page = behaviour.tenant_page(found, sort="jobs", offset=1, limit=1)
    assert (page.rows["tenant"].to_list(), page.total) == (["bob"], 3)
    assert behaviour.tenant_page(found, search="AD").rows["tenant"].to_list() == ["Ada"]
    assert set(behaviour.SORTABLE) <= set(found.columns)
    with pytest.raises(ValueError, match="use one of tenant, jobs"):
        behaviour.tenant_page(found, sort="shoe_size")


def test_causes_are_told_without_the_names_in_them(store: Store) -> None:
    for number in range(3):
        detail = f"node-{number} failed: back to the queue"
        store.append(job(f"j{number}", NOON - DAY, ("preempted", HOUR), detail=detail))
    store.append(job("silent", NOON - DAY, ("failed", HOUR)))
    found = behaviour.troubles(store, since=SINCE, now=NOON, tenant="blue")
    assert found.select("event", "cause", "jobs").rows() == [
        ("preempted", "… failed: back to the queue", 3),
        ("failed", "not told", 1),
    ]


def test_days_and_sizes_are_told_of_one_tenant_alone(store: Store) -> None:
    store.append([*job("a", NOON - DAY, gpu_count=8), *job("b", NOON, gpu_count=1, tenant="red")])
    now = NOON + HOUR
    days = behaviour.activity_by_day(store, since=SINCE, now=now, tenant="blue")
    assert days.select("day_at", "jobs").rows() == [(datetime(2026, 11, 1, tzinfo=UTC), 1)]
    assert behaviour.sizes(store, since=SINCE, now=now)["gpu_count"].to_list() == [1.0, 8.0]


# -- money -----------------------------------------------------------------------------


def charge(tenant: str, usd: float, at: datetime = NOON - 2 * HOUR) -> Any:
    return make_charge(
        tenant=tenant, charge_usd=usd, period_starts_at=at, period_ends_at=at + timedelta(minutes=5)
    )


def metered(store: Store, at: datetime, version: int, usd: float) -> None:
    run_id = f"{at:%H}-{version}"
    hour = MeteredHour(
        run_id=run_id, job_id="job-1", tenant="blue", pool=POOL, sharing="whole",
        pricing="standard", allocated_gpu_hours=4.0, list_cost_usd=usd, charge_usd=usd,
        hour_starts_at=at,
    )  # fmt: skip
    run = MeteringRun(run_id=run_id, version=version, reason="first", row_count=1,
                      hour_starts_at=at, metered_at=at)  # fmt: skip
    store.append([run, hour])


def test_charges_tell_only_of_hours_that_were_not_metered_and_a_new_version_holds(
    store: Store,
) -> None:
    at = NOON - 3 * HOUR
    store.append([charge("blue", 1.0, at - HOUR), charge("blue", 500.0, at)])
    store.append([charge("blue", 2.0, at + HOUR)])
    metered(store, at, 1, 40.0)
    assert spend.spend_total(store, since=SINCE, until=NOON)["charge_usd"].to_list() == [43.0]
    metered(store, at, 2, 30.0)
    assert spend.spend_total(store, since=SINCE, until=NOON)["charge_usd"].to_list() == [33.0]


def test_concentration_tells_the_share_of_the_largest(store: Store) -> None:
    store.append([*job("a", NOON - DAY), *job("b", NOON - DAY, tenant="red")])
    store.append([charge("blue", 75.0), charge("red", 25.0)])
    found = behaviour.tenant_figures(store, since=SINCE, now=NOON)
    money = behaviour.concentration(found)
    assert money.top_ratios == {1: 0.75, 3: 1.0, 10: 1.0}
    assert (money.tenants, money.herfindahl) == (2, 0.75**2 + 0.25**2)
    assert behaviour.concentration(found.clear()).tenants == 0


# -- cohorts ---------------------------------------------------------------------------


def test_a_cohort_is_the_week_of_the_first_job_and_silent_weeks_are_zeros(store: Store) -> None:
    monday = datetime(2026, 10, 12, tzinfo=UTC)  # NOON is on Monday, three weeks later
    store.append(
        [
            *job("a", monday, tenant="a"), *job("a2", monday + 2 * WEEK, tenant="a"),
            *job("b", monday + 6 * DAY, tenant="b"), *job("c", monday + WEEK, tenant="c"),
            charge("a", 1.0, monday + WEEK), charge("a", 1.0, monday + 2 * WEEK),
            charge("a", 1.0, monday + 2 * WEEK + DAY),
        ]
    )  # fmt: skip
    found = cohorts.cohorts(store, now=NOON)
    first = found.filter(found["cohort_at"] == monday)
    assert first["week"].to_list() == [0, 1, 2, 3]
    assert first["retained_ratio"].to_list() == [1.0, 0.0, 0.5, 0.0]
    assert first["gpu_hours_ratio"].to_list() == [0.0, 1.0, 2.0, 0.0]
    assert first["is_running"].to_list() == [False, False, False, True]
    later = found.filter(found["cohort_at"] == monday + WEEK)
    assert later["tenants"].to_list() == [1, 1, 1]
    assert later["gpu_hours_ratio"].to_list() == [None, None, None]


def test_without_jobs_there_are_no_cohorts_and_nobody_is_judged(store: Store) -> None:
    assert cohorts.cohorts(store, now=NOON).is_empty()
    assert churn.judged(store, now=NOON) == []
    assert behaviour.tenant_figures(store, since=SINCE, now=NOON).is_empty()


# -- signs of leaving ------------------------------------------------------------------

MONDAYS = tuple(date(2026, 5, 4) + n * WEEK for n in range(26))
CALM = Seen(
    tenant="blue",
    today=NOON.date(),
    known_days=180,
    recent=Span(jobs=40, wait_median_seconds=300.0, upset_jobs=2, left_jobs=2),
    usual=Span(jobs=160, wait_median_seconds=300.0, upset_jobs=8, left_jobs=8),
    weeks=(40, 40, 40, 40),
    days=MONDAYS,
    paid_usd_per_gpu_hour=2.0,
    asked_usd_per_gpu_hour=2.0,
)
"""A tenant that is as it always is: no rule fires."""


def recent(**changes: Any) -> Seen:
    return replace(CALM, recent=replace(CALM.recent, **changes))


def usual(**changes: Any) -> Seen:
    return replace(CALM, usual=replace(CALM.usual, **changes))


def told(found: Found) -> str:
    return found.evidence if isinstance(found, Signal) else ""


def test_a_tenant_that_is_as_ever_gives_no_signal() -> None:
    assert [rule.judge(CALM) for rule in RULES] == [None] * len(RULES)


FIRES = [
    # of the 25 silences of seven days each, none was so long
    (silence, replace(CALM, today=MONDAYS[-1] + 8 * DAY), "8 days without a job; in 25 silences"),
    (activity, replace(recent(jobs=19)), "19 jobs in the last seven days; 40 a week"),
    (give_ups, recent(left_jobs=4), "4 of 40 jobs gave up waiting"),
    (waits, recent(wait_median_seconds=900.0), "It waited 15 min (median of 40 jobs)"),
    (upsets, recent(upset_jobs=6), "6 of 40 jobs failed or were interrupted"),
    (prices, replace(CALM, asked_usd_per_gpu_hour=2.1), "would be asked $2.10 now, 5 % more"),
]
JUST_NOT = [
    (silence, replace(CALM, today=MONDAYS[-1] + 7 * DAY)),
    (activity, recent(jobs=20)),
    (activity, replace(recent(jobs=10), weeks=(90, 90, 90, 10))),  # as poor a week was there before
    (give_ups, recent(left_jobs=3)),
    (give_ups, replace(usual(left_jobs=20), recent=replace(CALM.recent, left_jobs=9))),
    (waits, recent(wait_median_seconds=899.0)),
    (waits, replace(usual(wait_median_seconds=1000.0),
                    recent=replace(CALM.recent, wait_median_seconds=1999.0))),
    (upsets, recent(upset_jobs=5)),
    (prices, replace(CALM, asked_usd_per_gpu_hour=2.09)),
]  # fmt: skip
FEW = [
    (silence, replace(CALM, days=MONDAYS[:20]), "19 of its silences are known, and it takes 20"),
    (activity, replace(CALM, weeks=(40,), known_days=20), "known for 20 days"),
    (activity, replace(CALM, weeks=(4, 5, 5, 5)), "19 jobs in the 4 weeks before"),
    (give_ups, recent(jobs=9, left_jobs=9), "9 jobs in the last seven days, and it takes 10"),
    (waits, usual(jobs=19), "19 jobs in the weeks before, and it takes 20"),
    (upsets, recent(jobs=9, upset_jobs=9), "9 jobs in the last seven days"),
    (prices, replace(CALM, asked_usd_per_gpu_hour=None), "no standard job of the weeks before"),
    (prices, usual(jobs=19), "19 jobs in the weeks before"),
]


@pytest.mark.parametrize(("rule", "seen", "evidence"), FIRES)
def test_a_rule_fires_at_its_threshold_and_says_on_what(
    rule: Any, seen: Seen, evidence: str
) -> None:
    assert evidence in told(rule(seen))


@pytest.mark.parametrize(("rule", "seen"), JUST_NOT)
def test_a_rule_is_silent_just_short_of_its_threshold(rule: Any, seen: Seen) -> None:
    assert rule(seen) is None


@pytest.mark.parametrize(("rule", "seen", "why"), FEW)
def test_with_few_data_a_rule_says_so_and_gives_no_signal(rule: Any, seen: Seen, why: str) -> None:
    found = rule(seen)
    assert isinstance(found, Unjudged)
    assert why in found.why


@given(
    gaps=st.lists(st.integers(1, 30), min_size=20, max_size=80), silent=st.integers(0, 60)
)  # fmt: skip
def test_a_silence_fires_from_its_threshold_on_and_never_below_it(
    gaps: list[int], silent: int
) -> None:
    days = [date(2026, 1, 1)]
    for gap in gaps:
        days.append(days[-1] + gap * DAY)
    found = silence(replace(CALM, days=tuple(days), today=days[-1] + silent * DAY))
    longer = silence(replace(CALM, days=tuple(days), today=days[-1] + (silent + 1) * DAY))
    if isinstance(found, Signal):
        assert found.threshold <= found.value == silent
        assert isinstance(longer, Signal)
    rare = (sum(gap >= silent for gap in gaps) + 1) / (len(gaps) + 1) <= 0.05
    assert isinstance(found, Signal) == rare


@given(jobs=st.integers(0, 200), weeks=st.lists(st.integers(0, 200), min_size=2, max_size=4))
def test_activity_never_fires_for_a_tenant_that_grows(jobs: int, weeks: list[int]) -> None:
    found = activity(replace(recent(jobs=jobs), weeks=tuple(weeks)))
    if jobs >= max(weeks):
        assert not isinstance(found, Signal)
    if isinstance(found, Signal):
        assert found.value < found.threshold <= min(weeks)


# -- the same from rows ----------------------------------------------------------------


def tenant_rows(tenant: str, a_week: list[int], usd: float, **changes: Any) -> list[Any]:
    """A tenant's jobs, a number a week, the last week first, and what it paid in week 2."""
    events = [
        job(f"{tenant}-{week}-{n}", NOON - week * WEEK - (n + 1) * HOUR, ("started", HOUR / 6),
            tenant=tenant, **changes)
        for week, number in enumerate(a_week)
        for n in range(number)
    ]  # fmt: skip
    return [event for each in events for event in each] + [charge(tenant, usd, NOON - 2 * WEEK)]


def test_tenants_are_judged_from_their_rows_in_the_order_of_what_is_at_stake(store: Store) -> None:
    store.append([make_price(price_usd_per_gpu_hour=2.5, in_force_from_at=SINCE)])
    store.append(
        [
            *tenant_rows("calm", [20, 20, 20, 20, 20], 9000.0),
            *tenant_rows("small", [5, 20, 20, 20, 20], 28.0),
            *tenant_rows("large", [5, 20, 20, 20, 20], 2800.0),
            *tenant_rows("dear", [20, 20, 20, 20, 20], 280.0, price_usd_per_gpu_hour=2.0),
            *tenant_rows("new", [3], 0.0),
        ]
    )
    found = churn.judged(store, now=NOON)
    assert [each.tenant for each in found] == ["large", "dear", "small", "calm", "new"]
    assert [signal.rule for signal in found[0].signals] == ["activity"]
    assert "5 jobs in the last seven days; 20 a week in the 3 weeks" in told(found[0].signals[0])
    assert [signal.rule for signal in found[1].signals] == ["prices"]
    assert found[3].signals == ()
    assert len(found[4].unjudged) == len(RULES)
    standing = churn.standing(found, now=NOON)
    assert (standing.active, standing.tenants, standing.signs, standing.reasons) == (5, 5, 2, 1)
    assert standing.unjudged == 1
    assert standing.signs_usd_per_day == pytest.approx(
        found[0].at_stake_usd_per_day + found[2].at_stake_usd_per_day
    )


def test_a_job_of_nearly_seven_days_ago_is_recent_and_one_older_is_not(store: Store) -> None:
    rows = [job("a", NOON - WEEK + HOUR), job("b", NOON - WEEK - HOUR), job("c", NOON - 4 * DAY)]
    store.append([event for each in rows for event in each])
    jobs = churn._jobs(store, NOON)
    assert jobs["is_recent"].sum() == 2
    assert sorted(jobs["week"].to_list()) == [0, 0, 1]
