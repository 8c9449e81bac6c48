"""Continual learning: a challenger from this console's own history, put on trial, once a day.

Half of what it practises on is what really came here, half is generated, so that nothing that was
known is forgotten. The newest part of the history is kept from it and asked by the gates. However
it ends, it ends in a `TrainingRun` row with a sentence.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path
from threading import Event
from typing import Any, Literal
from uuid import uuid4

from engine.champion import loaded
from engine.learning import trial
from engine.learning.evidence import stressed
from engine.learning.fine_tuning import (
    Learnt,
    Lesson,
    Teacher,
    TrainingError,
    has_torch,
    in_a_process,
)
from engine.learning.gates import as_rows, gates
from engine.learning.own_history import Curriculum, TooLittle, history
from engine.policies import rule
from engine.policies.envelope import AROUND_THE_RULE
from engine.policies.learned import SHIPPED, envelope_of, policy_id_of
from engine.policies.network import Network, WeightsError
from engine.simulator.episode_sources import training_episodes
from engine.simulator.episodes import Episode
from engine.simulator.settings import Economics
from warehouse import policies
from warehouse.records import PolicyVersion, TrainingRun
from warehouse.store import Store

EVERY = timedelta(days=1)
"""of the fleet's time"""
FOLDER = "policies"
"""Under the home: the weights trained here, each named by its digest."""
NO_TORCH = (
    "PyTorch is not installed here, so that nothing can be learned: install it with "
    "`pip install -c constraints.txt '.[learn]'`, or set PILOTHOUSE_LEARN_ENABLED to false"
)
PRACTICE_SEED = 5_000
HELD_OUT_SEED = 9_000
"""of generated episodes; a run adds its number, so that no two runs are asked the same"""

_LAST_RUN = "SELECT max(started_at) FROM training_runs WHERE purpose = 'fine_tune'"
_RUNS = "SELECT count(*) FROM training_runs WHERE purpose = 'fine_tune'"


@dataclass(frozen=True)
class Continual:
    """Continual learning on a warehouse; `step` may be called as often as one likes."""

    store: Store
    home: Path
    terms: Mapping[str, Economics] = field(default_factory=dict)
    """What is agreed in each pool, where it is known"""
    curriculum: Curriculum = field(default_factory=Curriculum)
    teacher: Teacher = in_a_process
    stopping: Event = field(default_factory=Event)

    def step(self, now: datetime) -> None:
        """What is due at `now`: the gates of the challenger on trial, or the next challenger."""
        challenger = policies.challenger(self.store)
        if challenger is not None and trial.is_on_trial(self.store, challenger, now):
            reviewed = trial.review(self.store, challenger, now)
            trial.ask_for_promotion(self.store, reviewed, now)
        elif self._is_due(now):
            self.learn(now)

    def learn(self, now: datetime) -> TrainingRun:
        """One run, from the rows to a challenger, or to a sentence why not."""
        began, run_id = time.monotonic(), f"run-{uuid4().hex[:12]}"
        version: list[PolicyVersion] = []
        curve: list[dict[str, Any]] = []
        outcome: Literal["finished", "failed", "refused"] = "finished"
        try:
            lesson, detail = self._lesson(now)
            learnt = self.teacher(lesson, self.stopping)
            version, curve = [self._kept(learnt, run_id, detail, now)], learnt.curve
        except TooLittle as error:
            outcome, detail = "refused", str(error)
        except TrainingError as error:
            outcome, detail = "failed", str(error)
        run = TrainingRun(
            run_id=run_id,
            purpose="fine_tune",
            seeds=list(self.curriculum.seeds) if version else [],
            decisions=len(self.curriculum.seeds) * self.curriculum.settings.decisions
            if version
            else 0,
            duration_seconds=time.monotonic() - began,
            curve=curve,
            outcome=outcome,
            detail=detail,
            started_at=now,
        )
        self.store.append([run, *version])
        return run

    def _is_due(self, now: datetime) -> bool:
        last: datetime | None = self.store.query(_LAST_RUN).item()
        return last is None or now >= last + EVERY

    def _lesson(self, now: datetime) -> tuple[Lesson, str]:
        if not has_torch():
            raise TooLittle(NO_TORCH)
        at, start = self.curriculum, self._start()
        own = history(self.store, now, self.terms, at)
        turn = int(self.store.query(_RUNS).item())
        generated = _generated(at, len(own.practice), PRACTICE_SEED + turn, at.practice_ticks)
        count = at.held_out_weeks + at.validation_weeks
        weeks = _generated(at, count, HELD_OUT_SEED + turn, at.week_ticks)
        held_out = weeks[: at.held_out_weeks]
        stress = stressed(held_out[: at.stress_weeks])
        envelope = AROUND_THE_RULE if start is None else envelope_of(start)
        facts = {
            "plan": {
                "envelope_nodes": envelope.nodes,
                "envelope_price_levels": envelope.price_levels,
            }
        }
        lesson = Lesson(
            practice=own.practice + generated,
            validation=own.validation + weeks[at.held_out_weeks :],
            held_out={"own history": own.held_out, "generated": held_out},
            stress=stress,
            start=start,
            seeds=at.seeds,
            settings=at.settings,
            rows=at.rows,
            facts=facts,
        )
        words = (
            f"{len(at.seeds)} seeds of {at.settings.decisions:,} decisions on "
            f"{own.days:.0f} days of own history ({len(own.practice)} episodes) and as many "
            f"generated ones"
        )
        return lesson, words

    def _start(self) -> Network | None:
        """The champion's network; where the rule steers, the one that came with the console."""
        steering = policies.steering(self.store)
        try:
            if steering.policy_id != rule.NAME:
                version = policies.policy(self.store, steering.policy_id)
                return loaded(version, self.home, "balanced").network
            return Network.load(SHIPPED)
        except (WeightsError, policies.NoSuchPolicy):
            return None

    def _kept(self, learnt: Learnt, run_id: str, words: str, now: datetime) -> PolicyVersion:
        folder, digest = self.home / FOLDER, learnt.network.sha256
        folder.mkdir(parents=True, exist_ok=True)
        learnt.network.save(folder / f"{digest}.npz")
        evidence, steering = learnt.evidence, policies.steering(self.store)
        found = as_rows(gates(evidence))
        return PolicyVersion(
            policy_id=policy_id_of(digest, folder),
            kind="network",
            origin="challenger",
            parent_id=steering.policy_id,
            run_id=run_id,
            weights_sha256=digest,
            weights_file=f"{FOLDER}/{digest}.npz",
            snapshot_id=self.store.snapshot_id(),
            settings={"learned_from": words, "ppo": asdict(self.curriculum.settings)},
            gates=found,
            figures={
                f"{name.replace(' ', '_')}_gain_ratio": round(weeks.gain_ratio, 5)
                for name, weeks in evidence.held_out.items()
                if len(weeks.gains_usd)
            },
            created_at=now,
        )


def _generated(at: Curriculum, count: int, seed: int, ticks: int) -> list[Episode]:
    """Generated pools, each warmed up by the rule before anybody learns or is measured."""
    made = training_episodes(
        count, seed, ticks=at.warm_ticks + ticks, largest_nodes=at.largest_nodes
    )
    return [replace(episode, warm_ticks=at.warm_ticks) for episode in made]
