"""Everything put together: the rooms on one warehouse, the schedule, and what is served.

With `app.py`, the front door, the only module that imports every room.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from fastapi import FastAPI

from api.application import bare_app, bring_door_outside, create_api
from api.settings import ApiSettings
from collectors.base import settings_from
from collectors.discovery import collectors_here
from collectors.kubernetes import Hands as CollectorHands
from collectors.kubernetes import KubernetesCollector
from collectors.market_prices import PROCESS_MEMORY
from collectors.runner import Runner
from collectors.schedule import catch_up, new_scheduler, schedule
from collectors.schedule import stop as stop_schedule
from engine.background import background
from engine.gains import Planner
from engine.hands import NoHands
from engine.kubernetes.settings import HandsSettings
from engine.kubernetes.side import ClusterSide
from engine.loop import Engine
from engine.market.round import MarketRound
from engine.simulator.hands import SimulatedHands
from engine.simulator.judge import TwinJudge
from engine.simulator.session import FleetAsked, FleetSession
from engine.twin.judge import RowsJudge
from pages._context import ConsoleStatus, Context
from pages._shell import create_pages
from warehouse import controls, fleet, market, money, offers, usage
from warehouse.clock import Clock, WallClock
from warehouse.last_told import last_told
from warehouse.people import Passwords, has_admin
from warehouse.records import (
    BenchmarkScore,
    ClockJump,
    CollectorRun,
    MarketMetric,
    Pool,
)
from warehouse.settings import Settings
from warehouse.store import Location, Store
from warehouse.tokens import first_sign_in, make_admin
from warehouse.upkeep import Chore, Done, Upkeep

LOOK_SECONDS = 5.0
"""How often it is looked whether the cluster's rights are due to be asked for."""
TICK_SECONDS = 1.0
"""How often the engine looks whether there is something to do."""
BESIDE_SECONDS = 30.0
"""How often it is looked whether forecasts, scores or a training are due."""
ROLL_UP_SECONDS = 60.0
TIDY_SECONDS = 900.0
WATCH_SECONDS = 1.0
SNAPSHOT_DAYS = 2.0
"""How long the data can be asked what it was."""
RUN_DAYS = 14.0
"""How long collector runs are kept."""
METRIC_DAYS = 90.0
"""How long the metrics of comparison are kept; they are worked out again from the offers."""
SCORE_DAYS = 400.0
"""How long the history of scores reaches."""

log = logging.getLogger("pilothouse")


class Console:
    """Everything put together; `server` is what is served, and its lifespan starts the rest."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.address = ""
        self.store = Store(Location.embedded(settings.home))
        try:
            self._wire()
        except BaseException:
            self.store.close()
            raise

    def _wire(self) -> None:
        self.wall = WallClock(on_step_back=self._note_step_back)
        self.first_token = self._first_admin()
        self.session = self._fleet_session()
        self.cluster = self._cluster_side()
        self.clock: Clock = self.session.clock if self.session else self.wall
        self.runner = Runner(self.store, self.wall)
        PROCESS_MEMORY.seed(offers.last_good_offers(self.store, self.wall.now()))
        self.scheduler = new_scheduler()
        self.tally = usage.Tally(self.wall)
        self.upkeep = Upkeep(self.store, self.wall)
        self.engine = self._engine()
        self.market = MarketRound(self.store, self.clock, self.settings, wall=self.wall)
        self._stopping = threading.Event()
        self.background = background(
            self.engine, self._stopping, is_learning=self.settings.learn_enabled
        )
        self._history = threading.Thread(target=self._produce_history, name="history")
        self._watch = threading.Thread(target=self._watch_clock, name="watch", daemon=True)
        self.server = self._faces()

    def _fleet_session(self) -> FleetSession | None:
        given = self.settings
        if given.fleet != "simulated":
            return None
        set_speed = controls.fleet_speed(self.store)
        asked = FleetAsked(
            seed=given.seed,
            trace=given.trace,
            history=timedelta(days=given.history_days),
            live_from=given.live_from,
            speed=given.speed if set_speed is None else set_speed,
            gpus=given.fleet_gpus,
        )
        return FleetSession.open(self.store, asked, wall_now=self.wall.now())

    def _cluster_side(self) -> ClusterSide | None:
        if self.settings.fleet != "kubernetes":
            return None
        given = settings_from(os.environ, KubernetesCollector.name, HandsSettings)
        return ClusterSide(self.store, self.wall, given, self.settings.home)

    def _engine(self) -> Engine:
        home = self.settings.home
        if self.cluster is not None:
            side = self.cluster
            judge = RowsJudge(self.store)
            return Engine(self.store, self.clock, side.hands, judge, home=home, leader=side.leader)
        if self.session is None:
            judge = RowsJudge(self.store)
            return Engine(self.store, self.clock, NoHands(), judge, home=home)
        self.judge = TwinJudge(self.session)
        hands = SimulatedHands(self.store, self.session)
        pools = self.session.fleet.pools.items()
        terms = {name: pool.settings.economics for name, pool in pools}
        planner = Planner(terms)
        return Engine(self.store, self.clock, hands, self.judge, planner, terms=terms, home=home)

    def _faces(self) -> FastAPI:
        server = bare_app(lifespan=self._lifespan)
        create_api(
            server,
            store=self.store,
            clock=self.clock,
            settings=self._api_settings(),
            readiness=self,
            wall=self.wall,
            tally=self.tally,
        )
        self.dash = create_pages(server, Context(self.store, self.clock, self.status, self.wall))
        bring_door_outside(server)
        return server

    def _api_settings(self) -> ApiSettings:
        given = self.settings
        names = (name.strip() for name in given.allowed_hosts.split(","))
        return ApiSettings(
            home=given.home,
            bind_host=given.host,
            allowed_hosts=tuple(name for name in names if name),
            is_behind_https=given.is_behind_https,
            metrics_are_open=given.metrics_are_open,
            script_hashes=lambda: self.dash.csp_hashes(),
            led_by=lambda: self.engine.led_by,
        )

    # -- what the faces ask --------------------------------------------------------

    def status(self) -> ConsoleStatus:
        """What the banner says."""
        session = self.session
        return ConsoleStatus(
            is_simulated=session is not None,
            workload=session.workload_words if session else "",
            fleet_now=self.clock.now(),
            speed=session.clock.speed if session else 1.0,
            history_progress_ratio=session.progress_ratio if session else 1.0,
            is_ready=not self.reasons_not_ready(),
            failure=session.failure if session else None,
            led_by=self.engine.led_by,
        )

    def reasons_not_ready(self) -> list[str]:
        """What keeps the console from being ready, in words."""
        session = self.session
        if session and session.failure:
            return [f"the simulated fleet stopped: {session.failure}"]
        if session and session.progress_ratio < 1.0:
            return [f"the fleet's history is {session.progress_ratio:.0%} produced"]
        return [] if self.scheduler.running else ["the schedule does not run"]

    # -- the schedule --------------------------------------------------------------

    @asynccontextmanager
    async def _lifespan(self, _: FastAPI) -> AsyncIterator[None]:
        self._welcome()
        self._history.start()
        self._watch.start()
        yield
        self._stop()

    def _produce_history(self) -> None:
        is_live = self.session is not None and self.session.catch_up(self._stopping)
        if not self._stopping.is_set():
            self._start_schedule(is_live)

    def _start_schedule(self, is_live: bool) -> None:
        """Everything but the fleet runs also where the fleet could not be had."""
        found = collectors_here(self._environment())
        for name, absent in found.absent.items():
            self.runner.record_absent(name, absent)
        for collector in found.present:
            if isinstance(collector, KubernetesCollector):
                hands = CollectorHands(price_of=self._price_now, market_of=self._market_now)
                collector.remember(last_told(self.store, now=self.wall.now()), hands)
        schedule(self.scheduler, self.runner, found.present)
        if self.session and is_live:
            schedule(self.scheduler, self.runner, [self.session])
            self._every(TICK_SECONDS, self._follow_speed)
            self._every(TICK_SECONDS, self.judge.remember)
        if self.cluster:
            self.cluster.begin(self.wall.now())
            look = partial(self.engine.aside, "cluster", self.cluster.look, is_for_all=True)
            self._every(LOOK_SECONDS, look)
        self.background.begin()
        self._every(TICK_SECONDS, self.engine.tick)
        self._every(BESIDE_SECONDS, self.background.forecast)
        self._every(BESIDE_SECONDS, lambda: self.engine.aside("market", self._look_at_market))
        self._every(BESIDE_SECONDS, self.background.score)
        self._every(BESIDE_SECONDS, self.background.learn)
        # Every console stores what it counted, also one that does not lead and does no chores.
        self._every(usage.FLUSH_SECONDS, partial(self.tally.flush, self.store))
        for chore in self._chores():
            self._every(chore.every_seconds, partial(self.upkeep.run, chore))
        self.scheduler.start()
        if self.cluster:
            print("The cluster is read, and steered once this console leads.", flush=True)
        if self.session and is_live:
            print(f"The fleet runs live, {self.session.clock.speed:g} times as fast.", flush=True)

    def _market_now(self, pool: Pool) -> float | None:
        found = market.market_price(
            self.store, pool.gpu_model, self.wall.now(), memory_bytes=pool.gpu_memory_bytes
        )
        return found.median_usd_per_gpu_hour if found else None

    def _look_at_market(self, _: datetime) -> None:
        self.market.run()

    def _price_now(self, pool: str) -> float | None:
        found = money.price_in_force(self.store, pool, at=self.wall.now())
        return found.price_usd_per_gpu_hour if found else None

    def _environment(self) -> dict[str, str]:
        """The environment; without the cluster where another fleet is steered, since rows of the
        two would be mixed."""
        environment = dict(os.environ)
        if self.settings.fleet == "simulated":
            environment["PILOTHOUSE_KUBERNETES_ENABLED"] = "false"
        return environment

    def _every(self, seconds: float, act: Any) -> None:
        self.scheduler.add_job(
            act, "interval", seconds=seconds, coalesce=True, max_instances=1, misfire_grace_time=60
        )

    def _follow_speed(self) -> None:
        speed = controls.fleet_speed(self.store)
        if self.session and speed is not None and speed != self.session.clock.speed:
            self.session.clock.set_speed(speed)

    def _chores(self) -> tuple[Chore, ...]:
        return (
            Chore("roll_up", ROLL_UP_SECONDS, self._roll_up),
            Chore("tidy", TIDY_SECONDS, self._tidy),
        )

    def _roll_up(self) -> Done:
        rows = fleet.roll_up(self.store)
        return Done(f"{rows} rows rolled up", rows)

    def _tidy(self) -> Done:
        now = self.wall.now()
        self._roll_up()
        fleet.drop_samples(self.store, keep=timedelta(days=self.settings.sample_days))
        self.store.delete_before(CollectorRun, now - timedelta(days=RUN_DAYS))
        self.store.delete_before(MarketMetric, now - timedelta(days=METRIC_DAYS))
        self.store.delete_before(BenchmarkScore, now - timedelta(days=SCORE_DAYS))
        self.store.tidy(keep_snapshots_since=now - timedelta(days=SNAPSHOT_DAYS))
        return Done("old rows and snapshots let go, small files merged")

    def _watch_clock(self) -> None:
        """Look at the machine's clock each second: the scheduler, which goes by it, would else
        sleep through a step back, and nobody would notice."""
        while not self._stopping.wait(WATCH_SECONDS):
            self.wall.now()

    def _note_step_back(self, seconds: float, at: Any) -> None:
        log.warning("the machine's clock stepped back %.1f s; the console's stands still", seconds)
        self.store.append([ClockJump(stepped_back_seconds=seconds, noticed_at=at)])
        catch_up(self.scheduler)

    def _stop(self) -> None:
        self._stopping.set()
        self._history.join()
        stop_schedule(self.scheduler, self.runner)
        if self.cluster:
            self.cluster.close()
        try:
            self.tally.flush(self.store)
        finally:
            self.store.close()

    # -- the welcome ---------------------------------------------------------------

    def _first_admin(self) -> str | None:
        """Give the admin the password that was set; else the one-time token to choose one with."""
        password = self.settings.admin_password
        if password and not has_admin(self.store):
            make_admin(self.store, Passwords(), password.get_secret_value(), now=self.wall.now())
        return first_sign_in(self.store, now=self.wall.now())

    def _welcome(self) -> None:
        print(f"Pilothouse is at {self.address}/", flush=True)
        if self.first_token:
            link = f"{self.address}/sign-in?token={self.first_token}"
            print(f"Sign in, once, with {link}", flush=True)
        print("Stop it with Ctrl-C; nothing is lost.", flush=True)
        if self.session:
            print("The fleet's past is being made up to now; the page shows how far.", flush=True)
