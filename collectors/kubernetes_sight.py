"""All that is known of a cluster at a pass, and what changed since the pass before."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from collectors.kubernetes_cache import Change
from warehouse.records import ScaleTarget

Changes = Mapping[str, Change]


@dataclass(frozen=True)
class Sight:
    """All that is known of a cluster at a pass, by kind."""

    objects: Mapping[str, Mapping[str, Any]]
    """The tuples of every kind that was ever listed, by key."""
    changes: Mapping[str, Changes]
    scale_targets: tuple[ScaleTarget, ...]
    blind: frozenset[str]
    """Kinds that may not be read now."""
    now: datetime

    def of(self, kind: str) -> Mapping[str, Any]:
        """The tuples of a kind; empty where it was never listed."""
        return self.objects.get(kind, {})

    def changed(self, kind: str, is_full: bool = False) -> Changes:
        """What changed in a kind; all of it if `is_full`."""
        changes = self.changes.get(kind, {})
        if not is_full:
            return changes
        return {key: Change(None, seen, False) for key, seen in self.of(kind).items()} | {
            key: change for key, change in changes.items() if change.is_gone
        }
