"""Fine-tuning: one lesson on own and generated episodes, and what its pupil shows afterwards.

A lesson is plain data, so that it can be taught in another process: of low priority, apart from
the console's threads, and gone with all its memory when it is done. Only there torch is loaded.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from contextlib import redirect_stderr
from dataclasses import dataclass, field, replace
from importlib.util import find_spec
from io import StringIO
from multiprocessing import get_context
from multiprocessing.connection import Connection
from threading import Event
from typing import Any

from engine.learning.contract import Settings
from engine.learning.evidence import offline_evidence
from engine.learning.gates import Evidence
from engine.learning.practice import Practice, PracticeSettings
from engine.policies.envelope import CAPACITY_CHOICES, Envelope, Mode
from engine.policies.learned import Learned, envelope_of
from engine.policies.network import Network
from engine.policies.registry import baseline
from engine.simulator.episodes import Episode
from engine.simulator.metrics import profit
from engine.simulator.pools import play

NICENESS = 19
"""the lowest priority there is"""
POLL_SECONDS = 0.5
CURVE_POINTS = 8


class TrainingError(Exception):
    """A training did not come to its end; the sentence says why."""


@dataclass(frozen=True)
class Lesson:
    """All that a fine-tuning is made of."""

    practice: list[Episode]
    """half of them own history, half generated"""
    validation: list[Episode]
    """checkpoints are chosen by these; own days after those practised on, and generated pools"""
    held_out: Mapping[str, list[Episode]]
    """by set: what the gates are asked with, seen by nobody before"""
    stress: Mapping[str, list[Episode]]
    start: Network | None
    """the champion's network; None to learn from scratch"""
    seeds: tuple[int, ...]
    """a member of the ensemble each"""
    settings: Settings
    rows: int
    """pools side by side"""
    facts: dict[str, Any] = field(default_factory=dict)
    """kept with the weights"""


@dataclass(frozen=True)
class Learnt:
    """What came of a lesson."""

    network: Network
    curve: list[dict[str, Any]]
    """as `TrainingRun.curve`"""
    evidence: Evidence
    """for the gates that need no waiting"""


Teacher = Callable[[Lesson, Event], Learnt]


def has_torch() -> bool:
    """Whether anything can be learned here at all; torch is not loaded by asking."""
    return find_spec("torch") is not None


def fine_tuned(lesson: Lesson) -> Learnt:
    """The lesson taught here and now.

    Raises:
        ModuleNotFoundError: torch is not installed.
    """
    from engine.learning import ppo  # torch is loaded where it is used, and nowhere else

    rule, mode = baseline("rule"), _mode(lesson.start)
    at = PracticeSettings(rows=lesson.rows, mode=mode)
    if lesson.start is not None:
        at = replace(at, envelope=envelope_of(lesson.start))
    judge, done = _Judge(lesson.validation, at.envelope), []
    for place, seed in enumerate(lesson.seeds):
        practice = Practice(lesson.practice, rule, at)
        members = lesson.start.members if lesson.start is not None else (None,)
        start = members[place % len(members)]
        settings = _judged_often(lesson.settings, lesson.rows)
        done.append(ppo.train(practice, settings, seed, judge=judge, start=start))
    network = ppo.ensemble(done, lesson.facts)
    policy = Learned("candidate", network, rule, at.envelope)
    evidence = offline_evidence(policy, rule, lesson.held_out, lesson.stress)
    curve = [point for one in done for point in _curve(one.seed, one.records)]
    return Learnt(network, curve, evidence)


def in_a_process(lesson: Lesson, stopping: Event) -> Learnt:
    """The lesson taught in a process of its own; `stopping` ends it at once.

    Raises:
        TrainingError: it failed, or was stopped.
    """
    context = get_context("spawn")
    here, there = context.Pipe(duplex=False)
    child = context.Process(target=_teach, args=(lesson, there), name="learning", daemon=True)
    child.start()
    there.close()
    try:
        return _answer(here, stopping)
    finally:
        if child.is_alive():
            child.terminate()
        child.join()
        here.close()


def _answer(here: Connection, stopping: Event) -> Learnt:
    while not here.poll(POLL_SECONDS):
        if stopping.is_set():
            raise TrainingError("it was stopped with the console; it begins anew another day")
    try:
        answer = here.recv()
    except EOFError as error:
        raise TrainingError("its process ended without an answer, perhaps for memory") from error
    if isinstance(answer, str):
        raise TrainingError(answer)
    learnt: Learnt = answer
    return learnt


def _teach(lesson: Lesson, there: Connection) -> None:
    os.nice(NICENESS)
    try:
        with redirect_stderr(StringIO()):  # progress is for those who train at a terminal
            learnt = fine_tuned(lesson)
        there.send(learnt)
    except Exception as error:  # whatever it is, the console is told; nobody else would hear it
        there.send(f"{type(error).__name__}: {error}")


def _mode(start: Network | None) -> Mode:
    sizes: dict[int, Mode] = {len(of): mode for mode, of in CAPACITY_CHOICES.items()}
    return "offset" if start is None else sizes[start.head_sizes[0]]


def _judged_often(settings: Settings, rows: int) -> Settings:
    updates = max(1, settings.decisions // (settings.steps * rows))
    return replace(settings, judge_updates=max(1, updates // CURVE_POINTS))


class _Judge:
    """The gain over the rule on the validation episodes, over the rule's profit."""

    def __init__(self, episodes: list[Episode], envelope: Envelope) -> None:
        self.rule, self.episodes, self.envelope = baseline("rule"), episodes, envelope
        self.base = profit(play(episodes, self.rule, self.rule, threads=1))

    def __call__(self, network: Network) -> float:
        policy = Learned("candidate", network, self.rule, self.envelope)
        gains = profit(play(self.episodes, policy, self.rule, threads=1)) - self.base
        return float(gains.sum() / max(abs(self.base).sum(), 1e-9))


def _curve(seed: int, records: list[dict[str, float]]) -> list[dict[str, Any]]:
    return [
        {
            "seed": seed,
            "decisions": int(record["decisions"]),
            "gain_ratio": round(record["score"], 5),
            "explained_variance": round(record["explained_variance"], 4),
            "approx_kl": round(record.get("kl", 0.0), 5),
            "reward": round(record["reward"], 5),
        }
        for record in records
        if "score" in record
    ]
