"""Judging: one round over the fleet, whose rows are written only where they say something new."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta

from engine.healing import incidents
from engine.healing.evidence import evidence
from engine.healing.lemons import Failures
from engine.healing.pieces import Piece
from engine.healing.roster import Node, Readings, roster
from engine.healing.score import cleared, is_news, judged
from engine.healing.weights import WEIGHTS, Weights
from warehouse import healing
from warehouse.records import NodeHealth, NodeIncident
from warehouse.store import Store

ROUND_EVERY = timedelta(seconds=30)
"""Between two rounds, on the console's clock."""


@dataclass(frozen=True)
class Memory:
    """What one round need not ask again of the warehouse; without it all is asked anew."""

    readings: Readings = field(default_factory=Readings)
    failures: Failures = field(default_factory=Failures)


@dataclass
class Rounds:
    """Goes round the fleet, at most every `ROUND_EVERY`; all else it knows is rows."""

    weights: Weights = field(default_factory=Weights)
    _last_at: datetime | None = None
    _memory: Memory = field(default_factory=Memory)

    def go(self, store: Store, now: datetime) -> None:
        """Judge the fleet, where the last round is long enough ago."""
        if self._last_at is not None and timedelta(0) <= now - self._last_at < ROUND_EVERY:
            return
        self._last_at = now
        judge(store, now, self.weights, self._memory)


def judge(
    store: Store, now: datetime, weights: Weights = WEIGHTS, memory: Memory | None = None
) -> list[NodeHealth | NodeIncident]:
    """Judge every node and carry the incidents on; the rows that were written."""
    known = memory or Memory()
    nodes = roster(store, now, weights, known.readings)
    before = {row.node_id: row for row in healing.health_now(store)}
    pieces = evidence(store, nodes, now, weights, known.failures)
    after = _healths(pieces, nodes, before, now, weights)
    news = [each for name, each in after.items() if is_news(each, before.get(name))]
    rows: list[NodeHealth | NodeIncident] = [*news, *_steps(store, nodes, after, now)]
    if rows:
        store.append(rows)
    return rows


def _healths(
    pieces: dict[str, list[Piece]],
    nodes: dict[str, Node],
    before: dict[str, NodeHealth],
    now: datetime,
    weights: Weights,
) -> dict[str, NodeHealth]:
    """The healths of all nodes of which there is, or was, anything to say."""
    after = dict[str, NodeHealth]()
    for name in sorted(pieces.keys() | before.keys()):
        node, known = nodes.get(name), before.get(name)
        if node is not None and not node.is_gone:
            after[name] = judged(node, pieces.get(name, ()), known, now, weights)
        elif known is not None and known.evidence:
            after[name] = cleared(known, now)
    return after


def _steps(
    store: Store, nodes: dict[str, Node], healths: dict[str, NodeHealth], now: datetime
) -> list[NodeIncident]:
    under_way = incidents.open_incidents(store)
    steps: list[NodeIncident] = [
        incidents.began(health, now)
        for name, health in healths.items()
        if health.is_suspect and name not in under_way
    ]
    under_way |= {step.node_id: step for step in steps}
    if not under_way:
        return []
    since = min(step.happened_at for step in under_way.values())
    done = incidents.deeds(store, since, now)
    for name, last in under_way.items():
        steps += incidents.next_steps(last, nodes.get(name), healths.get(name), done, now)
    return steps
