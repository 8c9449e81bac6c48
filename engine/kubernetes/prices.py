"""Setting a price, which no cluster has a part in: the price list is ours."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

from engine.kubernetes.steps import Answer, Deed, Done, Found, Ran, Refused, Step, Wait
from warehouse.clock import Clock
from warehouse.money import price_in_force
from warehouse.store import Store


@dataclass
class ReadPrice(Step):
    """The price in force, which the new one takes the place of."""

    name: ClassVar[str] = "read_price"
    changes: ClassVar[bool] = False
    store: Store = field(repr=False, kw_only=True)
    clock: Clock = field(repr=False, kw_only=True)
    pool: str = field(kw_only=True)
    first_price: float | None = field(default=None, kw_only=True)
    """Of a pool whose price nobody has set, in USD per GPU-hour."""

    def take(self, found: Found) -> Done | Wait:
        row = price_in_force(self.store, self.pool, at=self.clock.now())
        price = row.price_usd_per_gpu_hour if row else self.first_price
        if price is None:
            raise Refused(
                "no_price", f"{self.pool} has no price yet: say its first in the pools file"
            )
        return Done({"previous_price_usd_per_gpu_hour": price})


@dataclass
class SetPrice(Deed):
    """Another price."""

    read: ReadPrice

    def steps(self, ran: Ran) -> list[Step]:
        return [self.read]

    def answer(self, ran: Ran) -> Answer:
        return {"node_ids": [], **(ran.answer("read_price", self.read.target) or {})}
