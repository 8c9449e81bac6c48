"""Finding the collectors: every module of this folder that defines one. There is no list."""

from __future__ import annotations

import inspect
import pkgutil
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from types import ModuleType

import collectors
from collectors.base import Absent, Collector
from collectors.timebox import TimeBox, TimedOut

PROBE_LIMIT_SECONDS = 10.0
"""A collector that can't say by then whether it has work here is taken for absent: a wedged
GPU driver hangs whoever asks it, and must not hang the console's start."""


@dataclass(frozen=True)
class Found:
    """The collectors that have something to read here, and those that have not."""

    present: tuple[Collector, ...]
    absent: dict[str, Absent]
    """By the collector's name."""


def collector_classes() -> dict[str, type[Collector]]:
    """Every collector's class by its name, which is its module's."""
    found: dict[str, type[Collector]] = {}
    for module in pkgutil.iter_modules(collectors.__path__):
        found |= _defined_in(import_module(f"{collectors.__name__}.{module.name}"))
    return found


def collectors_here(
    environ: Mapping[str, str],
    classes: Mapping[str, type[Collector]] | None = None,
    *,
    probe_limit_seconds: float = PROBE_LIMIT_SECONDS,
) -> Found:
    """Ask every collector whether it has work here.

    Raises:
        InvalidSetting: a setting can't be understood.
    """
    asked = {
        name: TimeBox(partial(cls.from_env, environ), f"probe-{name}")
        for name, cls in (collector_classes() if classes is None else classes).items()
    }
    answers = {name: _answer(name, box, probe_limit_seconds) for name, box in asked.items()}
    return Found(
        present=tuple(item for item in answers.values() if not isinstance(item, Absent)),
        absent={name: item for name, item in answers.items() if isinstance(item, Absent)},
    )


def _answer(
    name: str, box: TimeBox[Collector | Absent], limit_seconds: float
) -> Collector | Absent:
    answer = box.answer(limit_seconds)
    if isinstance(answer.error, TimedOut):
        return Absent(
            f"{name} didn't say within {limit_seconds:g} s whether there is something to read: "
            "see what hangs, then start the console again"
        )
    return answer.unwrapped()


def _defined_in(module: ModuleType) -> dict[str, type[Collector]]:
    return {
        member.name: member
        for _, member in inspect.getmembers(module, inspect.isclass)
        if issubclass(member, Collector)
        and member.__module__ == module.__name__
        and not inspect.isabstract(member)
    }
