"""A training's progress on stderr: a bar on a terminal, else a line at each tenth."""

from __future__ import annotations

import sys
from collections.abc import Mapping

_BAR_WIDTH = 30


def tell_progress(record: Mapping[str, float], updates: int) -> None:
    """Say how far the training is; `record` is that of its last update, of `updates` in all."""
    update = int(record["update"])
    tenths = 10 * update // updates
    if sys.stderr.isatty():
        end = "\n" if update == updates else ""
        print(f"\r{_bar(update / updates)} {_words(record, updates)}", end=end, file=sys.stderr)
    elif tenths > 10 * (update - 1) // updates:
        print(f"training {10 * tenths:3d} %: {_words(record, updates)}", file=sys.stderr)


def _bar(done: float) -> str:
    filled = round(_BAR_WIDTH * done)
    return "█" * filled + "░" * (_BAR_WIDTH - filled)


def _words(record: Mapping[str, float], updates: int) -> str:
    pace = record["decisions"] / record["update"] / max(record["seconds"], 1e-9)
    score = f", score {record['score']:+.4f}" if "score" in record else ""
    return (
        f"update {int(record['update'])} of {updates}, reward {record['reward']:+.4f}, "
        f"explained {record['explained_variance']:.2f}, {pace:,.0f} decisions/s{score}"
    )
