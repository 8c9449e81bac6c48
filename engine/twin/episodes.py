"""What really came to a pool in a span, from rows, as an episode that any policy can play.

Known are the pool at the start, everyone who took our price with their size and, once ended, their
work, the market's path, the failures, and how many offers were refused when. Not known is what each
customer would have paid: their acceptance is drawn anew, conditional on what they did. Who took
the price x times the market's has a draw below the acceptance curve D(x), who refused one above it;
so under the prices that were really set the twin accepts exactly who accepted, and under others it
errs only as the curve does. Refused offers borrow size and work from past jobs; work that has not
ended is drawn given how long it has gone on.

Failures that rows show are replayed at their instants on the nodes that stood on at the start,
whoever steers, as long as the node has not been switched off meanwhile; no others happen. A node
that failed after it was switched on within the span, or a second time, does not fail in the twin.
"""

from __future__ import annotations

import itertools
import zlib
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import numpy as np
import numpy.typing as npt

from engine.history import NO_PAST, past
from engine.observe import observed
from engine.simulator.continuing import known_tape
from engine.simulator.episodes import Episode
from engine.simulator.features import TAPE_TICKS
from engine.simulator.layout import TICK_SECONDS
from engine.simulator.offers import offers_forecast_path
from engine.simulator.settings import Economics, PoolSettings
from engine.simulator.standing import ObservedPool, drawn_left, durations_like, remaining_seconds
from engine.simulator.workload import Arrivals
from engine.twin.errors import NothingKnown
from engine.twin.failures import failed_in_seconds
from engine.twin.realised import Job, Readings, jobs_of, readings_of
from engine.twin.sight import Standing, assumed_terms, market_price, standing
from warehouse.store import Store

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]

LONGEST_GAP = timedelta(minutes=65)
"""Between two readings of a pool; beyond, a span is not known."""
REFUSED_KEY = 1 << 40
"""Keys of refused offers begin here; an accepted job's key is its place in `Span.arrived`."""
QUARTER = timedelta(seconds=TICK_SECONDS)


@dataclass(frozen=True)
class Span:
    """All that rows say of a pool in a span; `episode` draws what they do not."""

    name: str
    starts_at: datetime
    """of the reading that the pool starts from, at or just before what was asked for"""
    ticks: int
    """whole quarters of an hour: as far as a policy is played"""
    stands: Standing
    jobs: dict[str, Job]
    """all that were there or came, by id"""
    arrived: list[Job]
    """those that came, in order"""
    readings: Readings
    offered_before: Floats
    """(n,): offers of the quarters up to the start, NaN where unknown"""

    def episode(self, redraw_seed: int) -> Episode:
        """One draw of the span; the same seed gives the same draw."""
        random = np.random.default_rng([zlib.crc32(self.name.encode()), redraw_seed])
        pool = self.stands.pool
        market = self.readings.market_path(self.starts_at, self.ticks + 1)
        arrivals = self._arrivals(market, random)
        tape = known_tape(pool)
        return Episode(
            name=self.name,
            settings=pool.settings,
            seed=int(random.integers(1 << 40)),
            hour_of_week=pool.hour_of_week,
            arrivals=arrivals,
            market_usd_per_gpu_hour=market,
            forecast=self._forecast(arrivals),
            ticks=self.ticks,
            warm_ticks=0,
            start=self._start(random),
            tape=tape,
        )

    def _start(self, random: np.random.Generator) -> ObservedPool:
        pool = self.stands.pool
        left = drawn_left(pool, 1, random)[0]
        for at, job_id in enumerate(self.stands.job_ids):
            if job_id in self.jobs:
                job = self.jobs[job_id]
                left[at] = max(self._work(job, random) - int(job.worked_before_seconds), 1)
        queued = np.ones(len(pool.queued_gpus), np.int64)
        for at, job_id in enumerate(self.stands.queued_ids):
            if job_id in self.jobs:
                job = self.jobs[job_id]
                queued[at] = max(self._work(job, random) - int(job.worked_before_seconds), 1)
            elif len(pool.past_duration_seconds):
                queued[at] = random.choice(pool.past_duration_seconds)
        return pool._replace(running_left_seconds=left, queued_duration_seconds=queued)

    def _work(self, job: Job, random: np.random.Generator) -> int:
        """Seconds that a job works in all: as known, else drawn given what it has worked."""
        worked = int(job.worked_seconds)
        if job.has_ended:
            return max(worked, 1)
        pool = self.stands.pool
        alike = durations_like(pool, pool.past_gpus == job.gpus)
        return worked + int(remaining_seconds(np.array([worked]), alike, 1, random)[0, 0])

    def _arrivals(self, market: Floats, random: np.random.Generator) -> Arrivals:
        came = [(job.submitted_at or self.starts_at) for job in self.arrived]
        accepted = self._offers(
            _seconds(came, self.starts_at),
            np.array([job.gpus for job in self.arrived], np.int64),
            np.array([self._work(job, random) for job in self.arrived], np.int64),
            np.arange(len(self.arrived)),
        )
        prices = self.readings.price_at(came)
        paid = np.array(
            [
                price if job.price_usd_per_gpu_hour is None else job.price_usd_per_gpu_hour
                for job, price in zip(self.arrived, prices, strict=True)
            ]
        )
        share = self._share(paid, accepted.submitted_at, market)
        draws = random.random(len(share))
        accepted = accepted._replace(acceptance=draws * share * (1 - 1e-12))
        both = [accepted, self._refused(market, random)]
        whole = [np.concatenate(column) for column in zip(*both, strict=True)]
        order = np.argsort(whole[Arrivals._fields.index("submitted_at")], kind="stable")
        return Arrivals._make(column[order] for column in whole)

    def _refused(self, market: Floats, random: np.random.Generator) -> Arrivals:
        rows = self.readings.rows.to_dicts()
        moments: list[datetime] = []
        for before, reading in itertools.pairwise(rows):
            if reading["measured_at"] <= self.starts_at:
                continue
            count = max(0, reading["offered"] - reading["accepted"])
            width = reading["measured_at"] - before["measured_at"]
            moments += [before["measured_at"] + share * width for share in random.random(count)]
        pool = self.stands.pool
        if not len(pool.past_gpus):
            moments = []
        moments.sort()
        picks = random.integers(max(len(pool.past_gpus), 1), size=len(moments))
        empty = np.zeros(0, np.int64)
        offers = self._offers(
            _seconds(moments, self.starts_at),
            pool.past_gpus[picks] if len(picks) else empty,
            pool.past_duration_seconds[picks] if len(picks) else empty,
            REFUSED_KEY + np.arange(len(moments)),
        )
        share = self._share(self.readings.price_at(moments), offers.submitted_at, market)
        draws = random.random(len(moments))
        return offers._replace(acceptance=share + draws * (1.0 - share))

    def _offers(
        self, submitted: Integers, gpus: Integers, seconds: Integers, keys: Integers
    ) -> Arrivals:
        none = np.zeros(len(keys))
        return Arrivals(keys, submitted, seconds, gpus, none.astype(np.int64), none)

    def _share(self, prices: Floats, submitted: Integers, market: Floats) -> Floats:
        """Share of customers who take these prices, at the market of their quarter."""
        terms = self.stands.pool.settings.economics
        ratio = np.round(prices * 1e6) / (1e6 * market[submitted // TICK_SECONDS])
        curve = 1.0 / (1.0 + np.exp(terms.acceptance_slope * (ratio - terms.acceptance_midpoint)))
        return np.minimum(self.stands.pool.acceptance_scale * curve, 1.0)

    def _forecast(self, arrivals: Arrivals) -> Floats:
        quarters = -(-arrivals.submitted_at // TICK_SECONDS)
        coming = np.bincount(quarters, minlength=self.ticks + 1)[1 : self.ticks + 1]
        before = self.offered_before[-TAPE_TICKS:]
        series = np.concatenate([before, coming.astype(np.float64)])
        hour = self.stands.pool.hour_of_week - len(before) / 4
        path = offers_forecast_path(series, hour)
        return path[len(path) - self.ticks - 1 :]


def realised_episode(
    store: Store,
    pool: str,
    starts_at: datetime,
    ends_at: datetime,
    terms: Economics | None = None,
    redraw_seed: int = 0,
) -> Episode:
    """What really came to `pool` in a span, with customers redrawn conditional on what they did.

    `terms` are what is agreed in the pool; without them documented defaults hold. It begins with
    the newest reading at or before `starts_at`.

    Raises:
        NothingKnown: the rows do not cover the span.
    """
    return read_span(store, pool, starts_at, ends_at, terms).episode(redraw_seed)


def read_span(
    store: Store,
    pool: str,
    starts_at: datetime,
    ends_at: datetime,
    terms: Economics | None = None,
    now: datetime | None = None,
) -> Span:
    """All that rows say of the span; `now` is where they end, by default far ahead.

    Raises:
        NothingKnown: the rows do not cover it.
    """
    readings = readings_of(store, pool, starts_at, ends_at)
    begins_at = _first_reading(pool, readings, starts_at, ends_at)
    agreed = {pool: terms} if terms else None
    seen = observed(store, begins_at, agreed, only=pool).get(pool)
    if seen is None or not seen.nodes:
        raise NothingKnown(
            f"no node of {pool} was read at {begins_at:%d %B %H:%M}: play a later span"
        )
    agreed_terms = terms or assumed_terms(seen.pool, market_price(seen))
    known = past(store, ends_at, only=pool).get(pool, NO_PAST)
    stands = standing(replace(seen, terms=agreed_terms), known)
    jobs = jobs_of(store, pool, begins_at, ends_at, agreed_terms, now or _newest(store, ends_at))
    fails = failed_in_seconds(
        store, pool, stands.node_ids, jobs, (begins_at, ends_at), agreed_terms
    )
    return Span(
        name=f"{pool} from {begins_at:%Y-%m-%d %H:%M:%S}",
        starts_at=begins_at,
        ticks=max((ends_at - begins_at) // QUARTER, 1),
        stands=stands._replace(pool=_without_luck(stands.pool, fails)),
        jobs={job.job_id: job for job in jobs},
        arrived=[job for job in jobs if job.submitted_at and job.submitted_at > begins_at],
        readings=readings,
        offered_before=seen.tape.offered_jobs if seen.tape else np.zeros(1),
    )


def _newest(store: Store, otherwise: datetime) -> datetime:
    found = store.query("SELECT max(measured_at) AS at FROM pool_states").item()
    return max(found or otherwise, otherwise)


def _first_reading(
    pool: str, readings: Readings, starts_at: datetime, ends_at: datetime
) -> datetime:
    instants = readings.rows["measured_at"]
    before = instants.filter(instants <= starts_at)
    if not len(before):
        raise NothingKnown(f"{pool} was not read before {starts_at:%d %B %H:%M}")
    newest: datetime = before[-1]
    inside = [newest, *instants.filter(instants > starts_at), ends_at]
    gap = max(later - earlier for earlier, later in itertools.pairwise(inside))
    if gap > LONGEST_GAP:
        minutes = gap.total_seconds() / 60
        raise NothingKnown(f"{pool} was not read for {minutes:.0f} min of the span")
    return newest


def _without_luck(pool: ObservedPool, fails: Integers) -> ObservedPool:
    """The pool whose nodes fail when they did, and else never."""
    quiet = replace(
        pool.settings.economics,
        failures_per_1000_node_days=0.0,
        degradations_per_1000_node_days=0.0,
        degraded_hours=float("inf"),
    )
    settings: PoolSettings = replace(pool.settings, economics=quiet)
    return pool._replace(settings=settings, node_fails_in_seconds=fails)


def _seconds(instants: list[datetime], start: datetime) -> Integers:
    return np.array([int((at - start).total_seconds()) for at in instants], np.int64)
