"""The collectors of one process: which of them run here, and what they are told before they begin.

Of several processes that share a warehouse each reads its own host (`nvml`) and the targets that
it was given (`prometheus`). What is the same from everywhere - a cluster, a market - is read by
one of them: whoever holds the lease.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

from apscheduler.schedulers.background import BackgroundScheduler

from collectors.base import Source
from collectors.discovery import collectors_here
from collectors.kubernetes import Hands, KubernetesCollector
from collectors.market_prices import PROCESS_MEMORY, MarketMemory
from collectors.prometheus import PrometheusCollector
from collectors.runner import Runner
from collectors.schedule import schedule
from warehouse import market, money, offers
from warehouse.clock import Clock
from warehouse.cluster import pods_there
from warehouse.last_told import last_told
from warehouse.records import Pool
from warehouse.store import Store

EVERYWHERE = frozenset({"nvml", "prometheus"})
"""Collectors that each process runs for itself: what they read differs from one to the next."""
LEASE = "collectors"
"""Whose holder reads what is the same from everywhere."""


class Collecting:
    """Runs the collectors that the environment names; `leads` says whether this process is the one
    that reads what is the same from everywhere."""

    def __init__(
        self,
        store: Store,
        clock: Clock,
        runner: Runner,
        leads: Callable[[], bool] = lambda: True,
        memory: MarketMemory = PROCESS_MEMORY,
    ) -> None:
        self._store = store
        self._clock = clock
        self._runner = runner
        self._leads = leads
        self._memory = memory
        self._led: set[str] = set()

    def begin(self, scheduler: BackgroundScheduler, environment: Mapping[str, str]) -> list[str]:
        """Put them on the schedule, and those that have nothing to read here on record.

        Returns the names of those that were put on the schedule.
        """
        found = collectors_here(environment)
        for name, absent in found.absent.items():
            if self._leads():  # what one process lacks may be another's
                self._runner.record_absent(name, absent)
        for collector in found.present:
            if isinstance(collector, PrometheusCollector):
                collector.remember(partial(pods_there, self._store))
        schedule(scheduler, self._runner, found.present, self.is_ours)
        return [collector.name for collector in found.present]

    def is_ours(self, source: Source) -> bool:
        """Whether this process is to ask a source now."""
        if source.name in EVERYWHERE:
            return True
        if not self._leads():
            self._led.discard(source.name)
            return False
        if source.name not in self._led:
            self._remember(source)
            self._led.add(source.name)
        return True

    def _remember(self, source: Source) -> None:
        """Go on from what is stored: another process may have read it until now."""
        now = self._clock.now()
        if isinstance(source, KubernetesCollector):
            hands = Hands(price_of=self._price_now, market_of=self._market_now)
            source.remember(last_told(self._store, now=now), hands)
        else:
            self._memory.seed(offers.last_good_offers(self._store, now))

    def _price_now(self, pool: str) -> float | None:
        found = money.price_in_force(self._store, pool, at=self._clock.now())
        return found.price_usd_per_gpu_hour if found else None

    def _market_now(self, pool: Pool) -> float | None:
        found = market.market_price(
            self._store, pool.gpu_model, self._clock.now(), memory_bytes=pool.gpu_memory_bytes
        )
        return found.median_usd_per_gpu_hour if found else None
