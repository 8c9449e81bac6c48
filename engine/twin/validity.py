"""Whether the twin of a pool matches reality: the drift of its errors, window by window."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from engine.learning.statistics import cusum_threshold
from engine.learning.undoing import Usual, twin_drift
from warehouse.store import Store

Floats = npt.NDArray[np.float64]

USUAL = Usual(0.0, 0.01)
"""Of the error of a window's profit. On the demo fleet (benchmarks/twin_from_rows.py) the twin errs
by nothing in windows without decisions and by 0.4 to 0.6 % (standard deviation) where some were
carried out, since how long a lease boots is drawn anew; about twice that is allowed for."""
REMEMBERED = 84
"""windows: a fortnight of four hours"""

_NEWEST = """
    SELECT is_valid FROM twin_checks WHERE pool = $pool ORDER BY starts_at DESC, rowid DESC LIMIT 1
"""
_ERRORS = """
    SELECT error_ratio FROM twin_checks WHERE pool = $pool AND starts_at < $before
    ORDER BY starts_at DESC, rowid DESC LIMIT $limit
"""


def is_valid(store: Store, pool: str) -> bool:
    """Whether the twin of the pool may judge: it was compared with reality, and matched."""
    found = store.query(_NEWEST, pool=pool)
    return bool(found.height and found.item())


def earlier_errors(store: Store, pool: str, before: object) -> Floats:
    """The twin's errors in the windows before an instant, oldest first."""
    found = store.query(_ERRORS, pool=pool, before=before, limit=REMEMBERED)
    errors: Floats = found["error_ratio"].to_numpy().astype(np.float64)[::-1]
    return errors


def drift(errors: Floats) -> tuple[float, bool]:
    """The newest sum of the standardised errors, and whether the twin still matches."""
    path = twin_drift(errors, USUAL)
    newest = float(path[-1]) if len(path) else 0.0
    return newest, newest <= threshold()


def threshold() -> float:
    """What the drift may not pass: 0.02 false alarms a pool-week."""
    return float(cusum_threshold(side="both"))
