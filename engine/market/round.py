"""The market's round: metrics, scores, elasticities and recommendations, when they are due.

It may be called as often as one likes. A round is due an hour after the last, a few minutes after
new offers came, and at once when the weights changed; between rounds a call costs one small
question. What came out as it was before is not written again until a day has passed.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

from engine.market import elasticity, metrics, own, recommendations, scoring
from engine.market.facts import facts_with
from engine.market.metric_rows import rows_of
from warehouse.clock import Clock
from warehouse.price_evidence import elasticities, pool_prices
from warehouse.recommendations import recommendations as recommendations_in_force
from warehouse.records import BenchmarkScore, PriceElasticity, Recommendation
from warehouse.score_weights import FILE_NAME, Weights, take_file, weights
from warehouse.settings import Settings
from warehouse.store import Store

EVERY = timedelta(hours=1)
AFTER_OFFERS = timedelta(minutes=5)
"""New offers start a round no sooner than this after the last one."""
WRITE_EVERY = timedelta(days=1)
"""What stays as it is is written again after this long."""
FACTS_NAME = "market_facts.yaml"
"""Facts of one's own in the console's home, in the shape of `facts.yaml`; read at every round."""
MOVED_SCORE = 0.5
"""Points by which a group's or an overall score must move to be written."""
MOVED_ELASTICITY = 0.01
MOVED_EFFECT_RATIO = 0.1
MOVED_PRICE_RATIO = 0.01

_NEWEST = "SELECT max(stored_at) AS at FROM offers WHERE measured_at > $since"
_IN_FORCE = """
    SELECT * FROM benchmark_scores WHERE scored_at = (SELECT max(scored_at) FROM benchmark_scores)
"""

Signature = tuple[datetime | None, datetime | None]
"""The newest offer, and when the weights were set."""


@dataclass
class MarketRound:
    """The market's round on a warehouse."""

    store: Store
    clock: Clock
    """The console's: of our own rows, decisions and recommendations."""
    settings: Settings
    wall: Clock | None = None
    """The collectors': of offers and scores; None where it is the console's"""
    _last_at: datetime | None = field(default=None, init=False)
    _seen: Signature | None = field(default=None, init=False)

    def run(self) -> bool:
        """Do a round if one is due; returns whether one was."""
        at = (self.wall or self.clock).now()
        if self._last_at is None:
            take_file(self.store, weights_file(self.settings), now=self.clock.now())
        signature = self._signature(at)
        if not self._is_due(at, signature):
            return False
        self._round(at, self.clock.now())
        self._last_at, self._seen = at, signature
        return True

    def _signature(self, at: datetime) -> Signature:
        newest = self.store.query(_NEWEST, since=at - metrics.LAST_GOOD).item()
        return newest, weights(self.store).set_at

    def _is_due(self, at: datetime, signature: Signature) -> bool:
        if self._last_at is None or self._seen is None or at - self._last_at >= EVERY:
            return True
        if signature[1] != self._seen[1]:
            return True
        return signature[0] != self._seen[0] and at - self._last_at >= AFTER_OFFERS

    def _round(self, at: datetime, now: datetime) -> None:
        self._score(at, now)
        answers = self._elasticities(at, now)
        made = recommendations.recommendations(self.store, now, answers, market_at=at)
        before = recommendations_in_force(self.store, now)
        if recommendations_moved(made, before, now):
            self.store.append(made)

    def _score(self, at: datetime, now: datetime) -> None:
        in_use, known = weights(self.store), facts_with(self.settings.home / FACTS_NAME)
        seen = metrics.seen(self.store, at, known)
        found = rows_of(seen, at, known)
        found += own.own_metrics(self.store, now, seen.prices, at, known)
        scored = scoring.scores_of(found, in_use, at)
        before = self.store.rows(BenchmarkScore, _IN_FORCE)
        if scores_moved(scored, before, in_use, at):
            self.store.append([*found, *scored])

    def _elasticities(self, at: datetime, now: datetime) -> list[PriceElasticity]:
        before = {one.pool: one for one in elasticities(self.store, now)}
        made = []
        for price in pool_prices(self.store, now, market_at=at):
            reference = price.market.median_usd_per_gpu_hour if price.market else None
            made.append(
                elasticity.elasticity(
                    self.store, price.pool, now, market_usd_per_gpu_hour=reference
                )
            )
        moved = [one for one in made if elasticity_moved(one, before.get(one.pool))]
        if moved:
            self.store.append(moved)
        return made


def weights_file(settings: Settings) -> Path:
    """Where the weights' settings file is, if there is one."""
    return settings.score_weights or settings.home / FILE_NAME


def scores_moved(
    scored: Iterable[BenchmarkScore],
    before: Iterable[BenchmarkScore],
    in_use: Weights,
    at: datetime,
) -> bool:
    """Whether a round of scores says something new, or the last is a day old."""
    old = {(one.provider, one.name): one for one in before}
    new = {(one.provider, one.name): one for one in scored}
    if not old or set(old) != set(new):
        return True
    written_at = max(one.scored_at for one in old.values())
    was_reweighed = in_use.set_at is not None and in_use.set_at > written_at
    differs = any(
        one.level != "metric" and _moved(one.score, old[key].score) for key, one in new.items()
    ) or any(one.weight != old[key].weight for key, one in new.items())
    return was_reweighed or differs or at - written_at >= WRITE_EVERY


def elasticity_moved(made: PriceElasticity, before: PriceElasticity | None) -> bool:
    """Whether it says something new, or the last is a day old."""
    if before is None or made.basis != before.basis:
        return True
    is_old = made.made_at - before.made_at >= WRITE_EVERY
    return is_old or abs(made.elasticity - before.elasticity) >= MOVED_ELASTICITY


def recommendations_moved(
    made: list[Recommendation], before: list[Recommendation], now: datetime
) -> bool:
    """Whether they say something new, or the last are a day old."""
    if len(made) != len(before) or not before:
        return bool(made)
    if now - before[0].made_at >= WRITE_EVERY:
        return True
    pairs = zip(sorted(made, key=_kind_of), sorted(before, key=_kind_of), strict=True)
    return any(_says_other(new, old) for new, old in pairs)


# -- how -------------------------------------------------------------------------------


def _moved(new: float | None, old: float | None) -> bool:
    if new is None or old is None:
        return new is not old
    return abs(new - old) >= MOVED_SCORE


def _kind_of(one: Recommendation) -> tuple[str, str, str]:
    """What it is about, without its figures."""
    return one.kind, one.pool or "", re.sub(r"[-+]?\$?\d[\d.,]*%?", "#", one.title)


def _says_other(new: Recommendation, old: Recommendation) -> bool:
    if _kind_of(new) != _kind_of(old):
        return True
    changed = abs(new.effect_usd_per_month - old.effect_usd_per_month)
    if changed > MOVED_EFFECT_RATIO * abs(old.effect_usd_per_month):
        return True
    return any(
        abs(float(value) - float(old.parameters.get(name, 0.0))) > MOVED_PRICE_RATIO * float(value)
        for name, value in new.parameters.items()
    )
