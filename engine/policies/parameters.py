"""The knobs that tuning found, by policy name; `python app.py tune` writes them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from engine.policies import Floats, Knob

PATH = Path(__file__).with_name("parameters.json")


@cache
def tuned() -> dict[str, dict[str, Any]]:
    """By policy: `knobs` by name, and the figures of their tuning; empty where none was done."""
    if not PATH.exists():
        return {}
    policies: dict[str, dict[str, Any]] = json.loads(PATH.read_text("utf-8"))["policies"]
    return policies


def knob_values(name: str, knobs: Sequence[Knob]) -> Floats:
    """The tuned values of a policy in the order of `knobs`, shape (K,); starts where none is."""
    return in_order(knobs, tuned().get(name, {}).get("knobs", {}))


def in_order(knobs: Sequence[Knob], values: Mapping[str, float]) -> Floats:
    """Values by name as an array (K,); a knob that is not named stands at its start.

    Raises:
        ValueError: a name is no knob.
    """
    unknown = sorted(set(values) - {knob.name for knob in knobs})
    if unknown:
        known = ", ".join(knob.name for knob in knobs)
        raise ValueError(f"no such knob: {', '.join(unknown)}; there are {known}")
    return np.array([float(values.get(knob.name, knob.start)) for knob in knobs])
