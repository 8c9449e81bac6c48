"""Beside the tick: forecasts, the twin's scores, continual learning. Each at its own pace.

None of them is in a hurry and none may hold a page or a tick up: the schedule gives each a thread,
and what takes long (training) has a process of its own.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from threading import Event

from engine import champion
from engine.forecasts.job import Forecaster
from engine.learning.continual import Continual
from engine.loop import Engine
from engine.shipped import register_shipped
from engine.twin import scores


def background(engine: Engine, stopping: Event, *, is_learning: bool) -> Background:
    """What goes on beside an engine's tick; `stopping` ends a training under way at once."""
    learning = None
    if is_learning and engine.home is not None:
        terms = dict(engine.terms or {})
        learning = Continual(engine.store, engine.home, terms, stopping=stopping)
    return Background(engine, learning)


@dataclass(frozen=True)
class Background:
    """What the engine does besides its tick; each may be called as often as one likes."""

    engine: Engine
    learning: Continual | None = None
    """None where nothing is to be learned here"""
    forecaster: Forecaster = field(default_factory=Forecaster)

    def begin(self) -> None:
        """Enter the policy that came with the console; it steers a fresh warehouse."""
        self.engine.aside("shipped", lambda now: register_shipped(self.engine.store, now))

    def forecast(self) -> None:
        """Forecasts of every pool, once a quarter of an hour."""
        self.engine.aside(
            "forecasts", lambda now: self.forecaster.forecast_all(self.engine.store, now)
        )

    def score(self) -> None:
        """What every policy would have earned, and whether the twin is right, every four hours."""
        self.engine.aside("twin", self._score)

    def _score(self, now: datetime) -> None:
        store = self.engine.store
        everyone = champion.roster(store, self.engine.home, now).everyone()
        scores.job(store, now, everyone, self.engine.terms)

    def learn(self) -> None:
        """The next challenger, or the gates of the one on trial, once a day."""
        if self.learning is not None:
            self.engine.aside("learning", self.learning.step)
