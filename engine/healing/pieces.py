"""A piece of evidence: what was seen of a node, what it weighs, in words."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

MEANS_SOMETHING_RATIO = 0.1
"""A piece that weighs less is no beginning of an illness."""


@dataclass(frozen=True)
class Piece:
    """One thing that speaks against a node."""

    node_id: str
    signal: str
    """Its name: `xid_79`, `row_remap_pending`, `not_ready`, …"""
    value: float
    """The count, share or degrees"""
    weight_ratio: float
    """What it takes from the health, 0 to 1"""
    words: str
    """In one line; it does not change while the evidence doesn't"""
    at: datetime
    """When it was last seen"""
    since_at: datetime
    """When it was first seen"""

    def as_dict(self) -> dict[str, Any]:
        """As a row of `node_health` keeps it."""
        return {
            "signal": self.signal,
            "value": round(self.value, 3),
            "weight_ratio": round(self.weight_ratio, 3),
            "words": self.words,
            "at": self.at.isoformat(),
        }


def span_words(since_at: datetime, at: datetime) -> str:
    """Over how long something came: ` in 10 min`; nothing where it came at once."""
    minutes = round((at - since_at) / timedelta(minutes=1))
    if minutes < 1:
        return ""
    return f" in {minutes} min" if minutes < 90 else f" in {round(minutes / 60)} h"


def gpu_words(slots: Iterable[str]) -> str:
    """Which GPUs: `, GPU 3`, `, GPUs 0, 3`; nothing where that is not known."""
    known = sorted(set(slots))
    if not known:
        return ""
    return f", {'GPU' if len(known) == 1 else 'GPUs'} {', '.join(known)}"
