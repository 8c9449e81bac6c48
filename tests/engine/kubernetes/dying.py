"""A process that dies: before or after any write, to the cluster or to the warehouse, once each."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from cluster.api import Api
from engine.hands import CommandUnderWay
from engine.kubernetes.hands import KubernetesHands
from tests.engine.kubernetes.cluster import Handled
from warehouse.store import Store

LONGEST_TICKS = 600


class Died(BaseException):
    """As by kill -9: nothing in the program catches it."""


@dataclass
class Death:
    """Comes at every place once."""

    places: set[str] = field(default_factory=set)

    def at(self, place: str) -> None:
        if place not in self.places:
            self.places.add(place)
            raise Died(place)


@dataclass
class DyingApi:
    """The wire, with death before and after every write."""

    api: Api
    death: Death

    def __getattr__(self, name: str) -> Any:
        real = getattr(self.api, name)
        if name not in ("create", "replace", "patch", "delete"):
            return real

        def write(path: str, *args: Any, **more: Any) -> Any:
            self.death.at(f"before {name} {path} {args[:1]}")
            answer = real(path, *args, **more)
            self.death.at(f"after {name} {path} {args[:1]}")
            return answer

        return write


@dataclass
class DyingStore:
    """The warehouse, with death before and after every row."""

    store: Store
    death: Death

    def __getattr__(self, name: str) -> Any:
        return getattr(self.store, name)

    def append(self, rows: Iterable[Any]) -> int:
        rows = list(rows)
        told = [(row.step, row.target, row.phase, row.detail) for row in rows]
        self.death.at(f"before {told}")
        count = self.store.append(rows)
        self.death.at(f"after {told}")
        return count


def carry_out_dying(
    handled: Handled, command_id: str, command: str, **arguments: Any
) -> tuple[dict[str, Any], Death]:
    """What a command answers in the end, to hands that died at every place on the way."""
    death = Death()
    for _ in range(LONGEST_TICKS):
        hands = KubernetesHands(
            DyingStore(handled.store, death),
            DyingApi(handled.api, death),
            handled.clock,
            handled.settings,
            handled.gate,
            folder=handled.folder / "repairs",
        )
        try:
            return hands.perform(command_id, command, arguments), death
        except CommandUnderWay:
            handled.stand_in.settle(3)
        except Died:
            continue
    raise AssertionError(f"{command} did not end: {handled.tale(command_id)}")
