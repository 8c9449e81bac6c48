"""/metrics: what a Prometheus watches, in base units, read from the warehouse when asked."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from datetime import timedelta

from fastapi import APIRouter, Request, Response
from prometheus_client import CollectorRegistry, Histogram
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from warehouse import controls, decisions, fleet, healing, health, money
from warehouse.clock import Clock
from warehouse.pauses import EVERYTHING, oldest_waiting, pauses
from warehouse.store import Store

router = APIRouter(tags=["health"])

RATE_WINDOW = timedelta(hours=1)
"""Over which what was earned becomes a rate."""

DURATION_BUCKETS_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.5, 1.0, 2.5, 10.0)


class WarehouseMetrics(Collector):
    """Asks the warehouse the questions that the pages ask too."""

    def __init__(
        self, store: Store, clock: Clock, wall: Clock, led_by: Callable[[], str | None]
    ) -> None:
        self._store = store
        self._clock = clock
        self._wall = wall
        self._led_by = led_by

    def describe(self) -> Iterable[Metric]:
        """Nothing is asked when it is registered: the warehouse may be long in answering."""
        return ()

    def collect(self) -> Iterator[Metric]:
        """Every metric, as it stands."""
        yield from self._of_collectors()
        yield from self._of_pools()
        yield from self._of_money()
        yield from self._of_decisions()
        yield from self._of_healing()
        yield from self._of_pauses()

    def _of_collectors(self) -> Iterator[Metric]:
        succeeded = _gauge(
            "collector_last_success_timestamp_seconds",
            "When the collector last succeeded.",
            "collector",
        )
        stale = _gauge(
            "collector_stale", "1 where a collector's last success is too old.", "collector"
        )
        for row in health.collector_health(self._store, now=self._wall.now()).iter_rows(named=True):
            if row["last_success_at"] is not None:
                succeeded.add_metric([row["collector"]], row["last_success_at"].timestamp())
            if row["is_stale"] is not None:
                stale.add_metric([row["collector"]], float(row["is_stale"]))
        yield from (succeeded, stale)

    def _of_pools(self) -> Iterator[Metric]:
        gpus = _gauge("gpus", "GPUs that are switched on, by what they do.", "pool", "state")
        nodes = _gauge("nodes", "Nodes, by state.", "pool", "state")
        jobs = _gauge("jobs", "Jobs that run or wait.", "pool", "state")
        price = _gauge("price_usd_per_gpu_hour", "Our price in force.", "pool")
        market = _gauge("market_price_usd_per_gpu_hour", "The market's price.", "pool")
        read = _gauge(
            "pool_reading_timestamp_seconds",
            "When the pool was last read, on the console's clock.",
            "pool",
        )
        for state in fleet.pool_states(self._store, now=self._clock.now()):
            pool = state.pool
            free = state.gpus_on - state.gpus_used - state.gpus_cordoned
            gpus.add_metric([pool, "used"], state.gpus_used)
            gpus.add_metric([pool, "free"], max(0, free))
            gpus.add_metric([pool, "cordoned"], state.gpus_cordoned)
            nodes.add_metric([pool, "on"], state.owned_nodes_on + state.leased_nodes_on)
            nodes.add_metric([pool, "provisioning"], state.nodes_provisioning)
            nodes.add_metric([pool, "off"], state.nodes_off)
            nodes.add_metric([pool, "down"], state.nodes_down)
            jobs.add_metric([pool, "running"], state.running_jobs)
            jobs.add_metric([pool, "queued"], state.queued_jobs)
            price.add_metric([pool], state.price_usd_per_gpu_hour)
            if state.market_usd_per_gpu_hour is not None:
                market.add_metric([pool], state.market_usd_per_gpu_hour)
            read.add_metric([pool], state.measured_at.timestamp())
        yield from (gpus, nodes, jobs, price, market, read)

    def _of_money(self) -> Iterator[Metric]:
        revenue = _gauge(
            "revenue_usd_per_hour", "Metered revenue, spot included, of the last hour.", "pool"
        )
        profit = _gauge(
            "profit_usd_per_hour",
            "That less variable cost, penalties and refunds of the last hour.",
            "pool",
        )
        now = self._clock.now()
        sums = money.earnings_total(self._store, since=now - RATE_WINDOW, until=now)
        for row in sums.iter_rows(named=True):
            revenue.add_metric([row["pool"]], row["revenue_usd"] + row["spot_revenue_usd"])
            profit.add_metric([row["pool"]], row["profit_usd"])
        yield from (revenue, profit)

    def _of_healing(self) -> Iterator[Metric]:
        ill = _gauge("nodes_suspect", "Nodes too ill to be given jobs.")
        ill.add_metric([], len(healing.suspects(self._store)))
        took = _gauge(
            "time_to_repair_seconds",
            "Median of the last 30 days, from detection to return.",
            "waiting_for_people",
        )
        times = healing.times(healing.incidents(self._store, now=self._clock.now()))
        if times.repair_median_seconds is not None and times.unattended_median_seconds is not None:
            took.add_metric(["included"], times.repair_median_seconds)
            took.add_metric(["excluded"], times.unattended_median_seconds)
        yield from (ill, took)

    def _of_decisions(self) -> Iterator[Metric]:
        by_state = _gauge("decisions", "Decisions on record, by state.", "state")
        counts = decisions.counts_by_state(self._store, now=self._clock.now())
        for state, count in counts.items():
            by_state.add_metric([state], count)
        kill = _gauge("kill_switch_on", "1 while the kill switch stops every action.")
        kill.add_metric([], float(controls.kill_switch(self._store).is_on))
        breaker = _gauge("breaker_open", "1 while the breaker stops every action.")
        breaker.add_metric([], float(controls.breaker(self._store).is_open))
        yield from (by_state, kill, breaker)

    def _of_pauses(self) -> Iterator[Metric]:
        """What stops every action has a series also while it does not; the others while they do."""
        now = self._clock.now()
        paused = _gauge("paused", "1 while actions are paused, by reason.", "reason", "action")
        seconds = _gauge("paused_seconds", "For how long they have been.", "reason", "action")
        found = {(reason, "all"): 0.0 for reason in EVERYTHING}
        lasting = dict.fromkeys(found, 0.0)
        for each in pauses(self._store, now=now, wall_now=self._wall.now()):
            series = (each.reason, each.action or "all")
            found[series] = 1.0
            lasting[series] = max(lasting.get(series, 0.0), each.seconds(now))
        for series, is_paused in found.items():
            paused.add_metric(series, is_paused)
            seconds.add_metric(series, lasting[series])
        waiting = _gauge(
            "decisions_waiting_seconds", "How long the oldest decision has waited.", "action"
        )
        for action, oldest_at in oldest_waiting(self._store, now=now).items():
            waiting.add_metric([action], (now - oldest_at).total_seconds())
        leads = _gauge("leads", "1 where this console is the one that acts.")
        leads.add_metric([], float(self._led_by() is None))
        yield from (paused, seconds, waiting, leads)


class Measured:
    """ASGI middleware that times every request."""

    def __init__(self, app: ASGIApp, registry: CollectorRegistry) -> None:
        self._app = app
        self._seconds = Histogram(
            "pilothouse_http_request_duration_seconds",
            "How long requests took to be answered.",
            ["method", "route", "status"],
            buckets=DURATION_BUCKETS_SECONDS,
            registry=registry,
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let the app answer, and note how long it took."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        status = 500

        async def send_noting_status(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        started_seconds = time.perf_counter()
        try:
            await self._app(scope, receive, send_noting_status)
        finally:
            took_seconds = time.perf_counter() - started_seconds
            labels = (_method(scope), _route(scope), str(status))
            self._seconds.labels(*labels).observe(took_seconds)


def registry_of(
    store: Store, clock: Clock, wall: Clock, led_by: Callable[[], str | None] = lambda: None
) -> CollectorRegistry:
    """A registry of this console alone; two in one process don't meet.

    `led_by` says who acts, where another console does.
    """
    registry = CollectorRegistry(auto_describe=False)
    registry.register(WarehouseMetrics(store, clock, wall, led_by))
    return registry


@router.get("/metrics", response_class=Response)
def metrics(request: Request) -> Response:
    """The metrics in the exposition format that the asker prefers."""
    encode, content_type = choose_encoder(request.headers.get("accept", ""))
    text = encode(request.app.state.metrics)
    return Response(text, headers={"content-type": content_type})


def _gauge(name: str, help_text: str, *labels: str) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"pilothouse_{name}", help_text, labels=labels)


_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


def _method(scope: Scope) -> str:
    """The method; odd ones share a name, or whoever asks could make series without end."""
    method: str = scope["method"]
    return method if method in _METHODS else "other"


def _route(scope: Scope) -> str:
    """The route's template, of which there are few, and not the path."""
    path = getattr(scope.get("route"), "path", None)
    return str(path) if path else "none"
