"""Own history: what really came to this console's pools, as episodes to learn from and be asked
with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from engine.learning.contract import Settings
from engine.simulator.episodes import Episode
from engine.simulator.settings import Economics
from engine.twin.episodes import realised_episode
from engine.twin.errors import NothingKnown
from warehouse.store import Store

Window = tuple[datetime, datetime]

_SPANS = """
    SELECT pool, min(measured_at) AS first, max(measured_at) AS last FROM pool_states
    WHERE measured_at > $since AND measured_at <= $now GROUP BY pool ORDER BY pool
"""


@dataclass(frozen=True)
class Curriculum:
    """How much is learned from, and how long."""

    fewest_days: float = 14.0
    """of own history, below which nothing is learned"""
    most_days: float = 28.0
    """older history is of another time"""
    window: timedelta = timedelta(days=2)
    """of the history, an episode each"""
    held_out_ratio: float = 0.25
    """of the history, the newest, kept for the gates"""
    seeds: tuple[int, ...] = (1, 2)
    """a member of the ensemble each"""
    settings: Settings = field(
        default_factory=lambda: replace(
            Settings(),
            decisions=300_000,
            learning_rate=2e-4,
            entropy_coefficient=0.001,
            critic_updates=3,
        )
    )
    """PPO's; a gentle hand, since it starts from what is good already"""
    rows: int = 64
    """pools side by side"""
    warm_ticks: int = 96
    """quarters of an hour in which the rule fills a generated pool"""
    practice_ticks: int = 4 * 96
    """and those of a generated practice episode after that"""
    week_ticks: int = 672
    """and those of a generated pool-week"""
    held_out_weeks: int = 24
    """generated pool-weeks for the gates"""
    stress_weeks: int = 4
    """of those, played under each stress setting"""
    validation_weeks: int = 6
    """generated pool-weeks by which checkpoints are chosen"""
    largest_nodes: int = 60
    """of a generated pool"""


@dataclass(frozen=True)
class History:
    """What came here, as episodes."""

    practice: list[Episode]
    validation: list[Episode]
    held_out: list[Episode]
    days: float


class TooLittle(Exception):
    """There is too little to learn from; the sentence says how much there is."""


def history(store: Store, now: datetime, terms: Mapping[str, Economics], at: Curriculum) -> History:
    """What came here: older windows of one length to practise on, the last of them to validate
    with, and the newest part of each pool's history in one piece for the gates.

    Raises:
        TooLittle: the rows do not reach back far enough.
    """
    spans = store.query(_SPANS, since=now - timedelta(days=at.most_days), now=now)
    days = max((last - first for _, first, last in spans.iter_rows()), default=timedelta(0))
    if days / timedelta(days=1) < at.fewest_days - 0.05:  # readings need not begin on the dot
        raise TooLittle(
            f"{days / timedelta(days=1):.1f} days of own history are known, and "
            f"{at.fewest_days:g} are wanted: it begins by itself once they are there"
        )
    parts: dict[str, list[Episode]] = {"practice": [], "validation": [], "held_out": []}
    for pool, first, last in spans.iter_rows():
        cut = last - max(at.held_out_ratio * (last - first), at.window)
        windows = _windows(first, cut, at.window)
        for place, window in enumerate(windows, start=1):
            part = "validation" if place == len(windows) > 1 else "practice"
            parts[part] += _episodes(store, pool, window, terms)
        parts["held_out"] += _episodes(store, pool, (cut, last), terms)
    if not parts["practice"] or not parts["held_out"]:
        raise TooLittle(
            "the readings of the own history have too many gaps to be played again: it is tried "
            "again tomorrow"
        )
    return History(**parts, days=days / timedelta(days=1))


def _windows(first: datetime, last: datetime, window: timedelta) -> list[Window]:
    """Whole windows, the last ending where the span ends."""
    count = (last - first) // window
    return [(last - (n + 1) * window, last - n * window) for n in reversed(range(count))]


def _episodes(
    store: Store, pool: str, window: Window, terms: Mapping[str, Economics]
) -> list[Episode]:
    """The episode of a window; none where the readings have a gap: others are as good."""
    try:
        return [realised_episode(store, pool, *window, terms.get(pool))]
    except NothingKnown:
        return []
