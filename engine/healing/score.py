"""The score: a health from 0 to 1 out of the evidence, and whether a node is suspect."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from math import prod

from engine.healing.pieces import MEANS_SOMETHING_RATIO, Piece
from engine.healing.roster import Node
from engine.healing.weights import WEIGHTS, Weights
from warehouse.records import NodeHealth

NEWS_RATIO = 0.05
"""A health that moved by less, on the same evidence, is not told again."""


def judged(
    node: Node,
    pieces: Sequence[Piece],
    before: NodeHealth | None,
    now: datetime,
    weights: Weights = WEIGHTS,
) -> NodeHealth:
    """A node's health; one that is suspect stays so until it is clearly sound again."""
    health = round(prod(1 - piece.weight_ratio for piece in pieces), 4)
    line = weights.suspect_below_ratio
    if before is not None and before.is_suspect:
        line = weights.sound_from_ratio
    telling = [piece for piece in pieces if piece.weight_ratio >= MEANS_SOMETHING_RATIO]
    return NodeHealth(
        node_id=node.node_id,
        pool=node.pool,
        health_ratio=min(1.0, max(0.0, health)),
        is_suspect=health < line,
        evidence=[piece.as_dict() for piece in pieces],
        onset_at=min((piece.since_at for piece in telling or pieces), default=None),
        judged_at=now,
    )


def cleared(before: NodeHealth, now: datetime) -> NodeHealth:
    """Of a node that is no more: nothing speaks against it."""
    return NodeHealth(
        node_id=before.node_id,
        pool=before.pool,
        health_ratio=1.0,
        is_suspect=False,
        evidence=[],
        judged_at=now,
    )


def is_news(after: NodeHealth, before: NodeHealth | None) -> bool:
    """Whether a judgement says something that the one before doesn't."""
    if before is None:
        return bool(after.evidence)
    return (
        after.is_suspect != before.is_suspect
        or _signs(after) != _signs(before)
        or abs(after.health_ratio - before.health_ratio) >= NEWS_RATIO
    )


def _signs(health: NodeHealth) -> set[tuple[str, str]]:
    return {(piece["signal"], piece["words"]) for piece in health.evidence}
