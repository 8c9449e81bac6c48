"""The weights of the scores: the defaults, a settings file, and what people set on the page.

Rows hold: the file is read when the console starts and becomes a row when it says something new,
so whoever spoke last is heard, the file or a person. A weight that nobody set is the default.

    InvalidWeights      (a ControlError) no such group or metric, or a weight it can't take
"""

from __future__ import annotations

import hashlib
import json
import math
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from warehouse.control_rows import Door
from warehouse.controls import ControlError
from warehouse.metric_catalogue import DEFAULT_GROUP_WEIGHTS, METRICS, metrics_of
from warehouse.records import AuditEvent, Control
from warehouse.store import Store

FILE_NAME = "score_weights.toml"
"""Its name in the console's home; `PILOTHOUSE_SCORE_WEIGHTS` names another."""
LEAST_KNOWN_RATIO = 0.4
"""Below this known share of the weight there is no overall score."""
CONTROL = "market.score_weights"
BY_FILE = "settings file"
_SHAPES: dict[str, frozenset[str]] = {
    "groups": frozenset(DEFAULT_GROUP_WEIGHTS),
    "metrics": frozenset(name for name, metric in METRICS.items() if metric.is_scored),
}

_NEWEST = """
    SELECT value ->> '$.value' AS value, set_by, reason, set_at FROM controls WHERE name = $name
    ORDER BY set_at DESC, rowid DESC LIMIT 1
"""


class InvalidWeights(ControlError):
    """No such group or metric, or a weight it can't take."""


@dataclass(frozen=True)
class Weights:
    """What counts how much."""

    groups: dict[str, float] = field(
        default_factory=lambda: {str(name): value for name, value in DEFAULT_GROUP_WEIGHTS.items()}
    )
    """Of each group, a share of their sum."""
    metrics: dict[str, float] = field(
        default_factory=lambda: {
            name: metric.weight for name, metric in METRICS.items() if metric.is_scored
        }
    )
    """Of each metric, a share of the sum within its group."""
    set_by: str | None = None
    """Who set them last; None for the defaults."""
    reason: str | None = None
    set_at: datetime | None = None

    def share(self, metric: str) -> float:
        """What a metric counts in the overall score; all shares sum to 1."""
        group = METRICS[metric].group
        inside = sum(self.metrics[each.name] for each in metrics_of(group))
        if inside == 0:
            return 0.0
        return self.group_share(group) * self.metrics[metric] / inside

    def group_share(self, group: str) -> float:
        """What a group counts in the overall score; one of weightless metrics counts nothing."""
        total = sum(self.groups[each] for each in self.groups if self._counts(each))
        return self.groups[group] / total if total > 0 and self._counts(group) else 0.0

    def _counts(self, group: str) -> bool:
        return any(self.metrics[each.name] > 0 for each in metrics_of(group))


@dataclass(frozen=True)
class Part:
    """A part of a weighted mean."""

    weight: float
    score: float | None
    """None where it is not known."""
    known_ratio: float
    """Share of the part's own weight that is known, 0 to 1."""


def weighted_mean(parts: Iterable[Part]) -> tuple[float | None, float]:
    """The mean of what is known, by weight, and the share of the weight that is known.

    What is not known counts for neither: it lowers the known share and leaves the mean alone.
    """
    several = list(parts)
    total = sum(part.weight for part in several)
    known = [
        (part.weight * part.known_ratio, part.score) for part in several if part.score is not None
    ]
    heard = sum(weight for weight, _ in known)
    if total <= 0 or heard <= 0:
        return None, 0.0
    mean = sum(weight * score for weight, score in known) / heard
    return min(100.0, max(0.0, mean)), min(1.0, heard / total)


def weights(store: Store) -> Weights:
    """The weights in force."""
    for row in store.query(_NEWEST, name=CONTROL).iter_rows(named=True):
        given = json.loads(row["value"])
        merged = _merged(Weights(), _known(given))
        return Weights(merged.groups, merged.metrics, row["set_by"], row["reason"], row["set_at"])
    return Weights()


def set_weights(
    store: Store,
    given: Mapping[str, Any],
    *,
    by: str,
    reason: str | None,
    now: datetime,
    via: Door = "console",
) -> Weights:
    """Set some weights, `{"groups": {...}, "metrics": {...}}`; the others stay as they are.

    Raises:
        InvalidWeights: no such group or metric, a weight below 0, or no weight left at all.
    """
    with store.transaction():
        changed = _checked(_merged(weights(store), _refused(given)))
        _write(store, changed, by, reason, now, via)
    return weights(store)


def take_file(store: Store, path: Path, *, now: datetime) -> bool:
    """Read the settings file, if it is there and says something new; returns whether it did.

    Raises:
        InvalidWeights: it is not TOML, or names what is not known.
    """
    if not path.is_file():
        return False
    text = path.read_bytes()
    digest = hashlib.sha256(text).hexdigest()[:16]
    reason = f"{path.name} {digest}"
    seen = "SELECT count(*) FROM controls WHERE name = $name AND set_by = $by AND reason = $reason"
    if store.query(seen, name=CONTROL, by=BY_FILE, reason=reason).item():
        return False
    try:
        given = tomllib.loads(text.decode())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InvalidWeights(f"{path} is not TOML ({error}): correct it or remove it") from error
    _write(store, _checked(_merged(Weights(), _refused(given))), BY_FILE, reason, now, "console")
    return True


# -- how -------------------------------------------------------------------------------


def _merged(base: Weights, given: Mapping[str, Mapping[str, float]]) -> Weights:
    return Weights(
        {**base.groups, **given.get("groups", {})}, {**base.metrics, **given.get("metrics", {})}
    )


def _known(given: Mapping[str, Mapping[str, float]]) -> dict[str, dict[str, float]]:
    """Without names that have gone since they were set."""
    return {
        kind: {name: value for name, value in given.get(kind, {}).items() if name in names}
        for kind, names in _SHAPES.items()
    }


def _refused(given: Mapping[str, Any]) -> dict[str, dict[str, float]]:
    odd = set(given) - set(_SHAPES)
    if odd:
        raise InvalidWeights(f"there is no {', '.join(sorted(odd))}: use groups and metrics")
    checked: dict[str, dict[str, float]] = {}
    for kind, names in _SHAPES.items():
        values = given.get(kind, {})
        if not isinstance(values, Mapping):
            raise InvalidWeights(f"{kind} takes a weight for each name")
        checked[kind] = {
            str(name): _weight(kind, str(name), value, names) for name, value in values.items()
        }
    return checked


def _weight(kind: str, name: str, value: Any, names: Iterable[str]) -> float:
    if name not in set(names):
        raise InvalidWeights(f"{kind} has no {name}: use {', '.join(sorted(names))}")
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not is_number or not math.isfinite(value) or not 0 <= value <= 1e6:
        raise InvalidWeights(f"the weight of {name} is a number from 0 to 1e6, not {value!r}")
    return float(value)


def _checked(found: Weights) -> Weights:
    if sum(found.share(metric) for metric in found.metrics) <= 0:
        raise InvalidWeights("some group with some metric must have a weight above 0")
    return found


def _write(
    store: Store, found: Weights, by: str, reason: str | None, now: datetime, via: Door
) -> None:
    value: dict[str, Any] = {
        "groups": found.groups,
        "metrics": found.metrics,
    }
    last = store.query("SELECT max(set_at) AS at FROM controls WHERE name = $name", name=CONTROL)
    newest: datetime | None = last.item()
    at = now if newest is None else max(now, newest + timedelta(microseconds=1))
    control = Control(
        name=CONTROL, value={"value": value}, set_by=by, reason=reason or None, set_at=at
    )
    event = AuditEvent(
        actor=by,
        act="control.set",
        target=CONTROL,
        detail={**value, "reason": reason or None},
        via=via,
        happened_at=now,
    )
    store.append([control, event])
