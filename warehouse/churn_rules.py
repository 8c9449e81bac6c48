"""The rules of leaving: from what is seen of one tenant to a signal, in words and numbers.

Each rule compares a tenant with itself, never with others: its last seven days with its own usual,
the four weeks before them. A rule that knows too little says so and gives no signal. Two kinds: a
sign is something the tenant does (it sends less, is silent, gives up); a reason is something that
befalls it (it waits longer, more of its jobs are upset, it is asked a higher price).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, timedelta

RECENT = timedelta(days=7)
USUAL = timedelta(days=28)
"""The weeks before the recent one, with which it is compared."""
GAPS_SPAN = timedelta(days=180)
"""How far back a tenant's own silences are looked at."""

USUAL_WEEKS_MIN = 2
"""Fewest whole weeks in which a tenant was known, to speak of its usual activity."""
USUAL_JOBS_MIN = 20
RECENT_JOBS_MIN = 10
GAPS_MIN = 20
"""Fewest silences known; with fewer, none could be rarer than 1 in 20."""

DOWN_RATIO = 0.5
RARE_RATIO = 0.05
WAIT_TIMES = 2.0
WAIT_LONGER_SECONDS = 600.0
UPSET_TIMES = 2.0
UPSET_HIGHER_RATIO = 0.10
UPSET_JOBS_MIN = 5
LEFT_TIMES = 2.0
LEFT_RATIO = 0.10
LEFT_JOBS_MIN = 3
PRICE_HIGHER_RATIO = 0.05
ROUNDING = 1e-9
"""A figure just at its threshold fires, whatever 0.05 + 0.1 is in binary."""


@dataclass(frozen=True)
class Span:
    """What a tenant's jobs of one span met."""

    jobs: int = 0
    wait_median_seconds: float | None = None
    """Jobs that still wait count with their wait so far."""
    upset_jobs: int = 0
    """Failed or interrupted."""
    left_jobs: int = 0


@dataclass(frozen=True)
class Seen:
    """What is known of one tenant."""

    tenant: str
    today: date
    known_days: float
    """Since its first submission."""
    recent: Span
    usual: Span
    """The four weeks before, or those of them in which it was known."""
    weeks: tuple[int, ...]
    """Jobs in each whole week of the usual in which it was known, the newest first."""
    days: tuple[date, ...]
    """Days on which it submitted, in order."""
    paid_usd_per_gpu_hour: float | None = None
    """Mean list price locked for its jobs in the usual weeks, by GPU."""
    asked_usd_per_gpu_hour: float | None = None
    """What the same jobs would be asked now."""


@dataclass(frozen=True)
class Signal:
    """A rule that fired, with its evidence."""

    tenant: str
    rule: str
    evidence: str
    value: float
    usual: float
    threshold: float
    """The value at which it fires, in the value's unit."""


@dataclass(frozen=True)
class Unjudged:
    """A rule that knows too little of a tenant."""

    tenant: str
    rule: str
    why: str


Found = Signal | Unjudged | None


@dataclass(frozen=True)
class Rule:
    """One rule, as it is told to people."""

    name: str
    title: str
    is_sign: bool
    """Something the tenant does; else something that befalls it."""
    says: str
    """When it fires."""
    blind: str
    """What it does not know."""
    judge: Callable[[Seen], Found]


def _few(seen: Seen, rule: str, why: str) -> Unjudged:
    return Unjudged(seen.tenant, rule, why)


def _percent(ratio: float) -> str:
    return f"{ratio * 100:.0f} %"


def _minutes(seconds: float) -> str:
    return f"{seconds / 60:,.0f} min" if seconds < 2 * 3600 else f"{seconds / 3600:,.1f} h"


def silence(seen: Seen) -> Found:
    """Silent for longer than 95 % of its own silences: their survival, this one counted in."""
    gaps = [
        (later - earlier).days for earlier, later in zip(seen.days, seen.days[1:], strict=False)
    ]
    if len(gaps) < GAPS_MIN:
        why = f"{len(gaps)} of its silences are known, and it takes {GAPS_MIN}"
        return _few(seen, "silence", why)
    now = (seen.today - seen.days[-1]).days
    as_long = sum(gap >= now for gap in gaps)
    rarity = (as_long + 1) / (len(gaps) + 1)
    if rarity > RARE_RATIO:
        return None
    times = "never" if not as_long else "once" if as_long == 1 else f"{as_long} times"
    evidence = (
        f"{now} days without a job; in {len(gaps)} silences of its own it was {times} silent for "
        f"so long, and for {max(gaps)} days at most."
    )
    usual = float(sorted(gaps)[len(gaps) // 2])
    threshold = next(d for d in range(1, max(gaps) + 2) if _rarity(gaps, d) <= RARE_RATIO)
    return Signal(seen.tenant, "silence", evidence, float(now), usual, float(threshold))


def _rarity(gaps: list[int], days: int) -> float:
    return (sum(gap >= days for gap in gaps) + 1) / (len(gaps) + 1)


def activity(seen: Seen) -> Found:
    """Less than half its usual jobs a week, and fewer than in any of those weeks."""
    known, total = len(seen.weeks), sum(seen.weeks)
    if known < USUAL_WEEKS_MIN:
        why = f"known for {seen.known_days:.0f} days, and it takes two whole weeks before the last"
        return _few(seen, "activity", why)
    if total < USUAL_JOBS_MIN:
        why = f"{total} jobs in the {known} weeks before, and it takes {USUAL_JOBS_MIN}"
        return _few(seen, "activity", why)
    usual, least, now = total / known, min(seen.weeks), seen.recent.jobs
    if now >= usual * (1 - DOWN_RATIO) or now >= least:
        return None
    evidence = (
        f"{now:,} jobs in the last seven days; {usual:,.0f} a week in the {known} weeks before, "
        f"{least:,} in the poorest: {_percent(1 - now / usual)} less."
    )
    threshold = min(usual * (1 - DOWN_RATIO), float(least))
    return Signal(seen.tenant, "activity", evidence, float(now), usual, threshold)


def _too_few_jobs(seen: Seen, rule: str) -> Unjudged | None:
    if seen.recent.jobs < RECENT_JOBS_MIN:
        why = f"{seen.recent.jobs} jobs in the last seven days, and it takes {RECENT_JOBS_MIN}"
        return _few(seen, rule, why)
    if seen.usual.jobs < USUAL_JOBS_MIN:
        why = f"{seen.usual.jobs} jobs in the weeks before, and it takes {USUAL_JOBS_MIN}"
        return _few(seen, rule, why)
    return None


def give_ups(seen: Seen) -> Found:
    """One in ten gave up, twice its usual share, and three jobs at least."""
    few = _too_few_jobs(seen, "give_ups")
    if few:
        return few
    left, share = seen.recent.left_jobs, seen.recent.left_jobs / seen.recent.jobs
    usual = seen.usual.left_jobs / seen.usual.jobs
    threshold = max(LEFT_RATIO, LEFT_TIMES * usual, LEFT_JOBS_MIN / seen.recent.jobs)
    if left < LEFT_JOBS_MIN or share < threshold - ROUNDING:
        return None
    evidence = (
        f"{left:,} of {seen.recent.jobs:,} jobs gave up waiting in the last seven days "
        f"({_percent(share)}); {_percent(usual)} in the weeks before."
    )
    return Signal(seen.tenant, "give_ups", evidence, share, usual, threshold)


def waits(seen: Seen) -> Found:
    """Its median wait is twice its usual and ten minutes longer."""
    few = _too_few_jobs(seen, "waits")
    if few:
        return few
    now, usual = seen.recent.wait_median_seconds or 0.0, seen.usual.wait_median_seconds or 0.0
    threshold = max(WAIT_TIMES * usual, usual + WAIT_LONGER_SECONDS)
    if now < threshold:
        return None
    evidence = (
        f"It waited {_minutes(now)} (median of {seen.recent.jobs:,} jobs) in the last seven days; "
        f"{_minutes(usual)} in the weeks before."
    )
    return Signal(seen.tenant, "waits", evidence, now, usual, threshold)


def upsets(seen: Seen) -> Found:
    """Twice its usual share of jobs failed or was interrupted: ten points more, five at least."""
    few = _too_few_jobs(seen, "upsets")
    if few:
        return few
    upset, share = seen.recent.upset_jobs, seen.recent.upset_jobs / seen.recent.jobs
    usual = seen.usual.upset_jobs / seen.usual.jobs
    least = UPSET_JOBS_MIN / seen.recent.jobs
    threshold = max(UPSET_TIMES * usual, usual + UPSET_HIGHER_RATIO, least)
    if upset < UPSET_JOBS_MIN or share < threshold - ROUNDING:
        return None
    evidence = (
        f"{upset:,} of {seen.recent.jobs:,} jobs failed or were interrupted in the last seven days "
        f"({_percent(share)}); {_percent(usual)} in the weeks before."
    )
    return Signal(seen.tenant, "upsets", evidence, share, usual, threshold)


def prices(seen: Seen) -> Found:
    """What it ran in the usual weeks would cost 5 % more at the list prices now."""
    paid, asked = seen.paid_usd_per_gpu_hour, seen.asked_usd_per_gpu_hour
    if not paid or asked is None:
        return _few(seen, "prices", "no standard job of the weeks before has a price to compare")
    if seen.usual.jobs < USUAL_JOBS_MIN:
        why = f"{seen.usual.jobs} jobs in the weeks before, and it takes {USUAL_JOBS_MIN}"
        return _few(seen, "prices", why)
    threshold = paid * (1 + PRICE_HIGHER_RATIO)
    if asked < threshold - ROUNDING:
        return None
    evidence = (
        f"Its jobs of the weeks before were sold at ${paid:.2f} per GPU-hour on average; the same "
        f"would be asked ${asked:.2f} now, {_percent(asked / paid - 1)} more."
    )
    return Signal(seen.tenant, "prices", evidence, asked, paid, threshold)


RULES = (
    Rule(
        "silence", "Silent for longer than usual", True,
        "It has been without a new job for longer than 95 % of its own silences, by whole days.",
        "Why. A silence over holidays looks the same; long jobs may still run.",
        silence,
    ),
    Rule(
        "activity", "Sends less", True,
        "Less than half its usual jobs a week, and fewer than in any of the weeks before.",
        "How large the jobs are: one large job in place of ten small ones counts as less.",
        activity,
    ),
    Rule(
        "give_ups", "Gives up waiting", True,
        "One job in ten left the queue, at least three of them and twice the usual share.",
        "Whether the work went elsewhere, or was submitted again under another name.",
        give_ups,
    ),
    Rule(
        "waits", "Waits longer", False,
        "The median wait is twice the usual and at least ten minutes longer.",
        "How long a wait it can bear. Jobs that still wait count with their wait so far.",
        waits,
    ),
    Rule(
        "upsets", "More is upset", False,
        "Twice the usual share failed or was interrupted: ten points more, at least five jobs.",
        "Whether a failure was the job's own fault or the fleet's.",
        upsets,
    ),
    Rule(
        "prices", "Is asked more", False,
        "The same jobs in the same pools would be asked at least 5 % more at today's list prices.",
        "What others ask, and discounts agreed since. Committed and spot jobs are left out.",
        prices,
    ),
)  # fmt: skip
"""Every rule, signs before reasons."""
