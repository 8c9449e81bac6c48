"""Everything put together: the rooms on one warehouse, the schedule, and what is served.

With `app.py`, the front door, the only module that imports every room.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from fastapi import FastAPI

from api.application import bare_app, bring_door_outside, create_api
from api.settings import ApiSettings, approvals_elsewhere
from collectors.base import settings_from
from collectors.collecting import LEASE as COLLECTORS
from collectors.collecting import Collecting
from collectors.kubernetes import KubernetesCollector
from collectors.runner import Runner
from collectors.schedule import catch_up, new_scheduler, schedule
from collectors.schedule import stop as stop_schedule
from engine.background import background
from engine.gains import Planner
from engine.hands import NoHands
from engine.kubernetes.settings import HandsSettings
from engine.kubernetes.side import ClusterSide
from engine.leading import Alone, CatalogueLease, Leader, Onlooker, own_name
from engine.loop import Engine
from engine.market.round import MarketRound
from engine.simulator.hands import SimulatedHands
from engine.simulator.judge import TwinJudge
from engine.simulator.session import FleetAsked, FleetSession, SessionError
from engine.twin.judge import RowsJudge
from pages._context import ConsoleStatus, Context
from pages._shell import create_pages
from warehouse import controls, usage
from warehouse.analyst import Analyst
from warehouse.analyst_question import Limits
from warehouse.analyst_source import Source
from warehouse.clock import Clock, WallClock
from warehouse.export_making import Exporter
from warehouse.export_schedule import EXPORT_SECONDS, export_due
from warehouse.export_terms import terms_of
from warehouse.keeping import days_kept
from warehouse.metering_hours import Meter
from warehouse.people import Passwords, has_admin
from warehouse.records import ClockJump
from warehouse.settings import Settings
from warehouse.store import Location, Store
from warehouse.tidying import house_chores
from warehouse.tokens import first_sign_in, make_admin
from warehouse.upkeep import Chore, Upkeep

LOOK_SECONDS = 5.0
"""How often it is looked whether the cluster's rights are due to be asked for."""
TICK_SECONDS = 1.0
"""How often the engine looks whether there is something to do."""
BESIDE_SECONDS = 30.0
"""How often it is looked whether forecasts, scores or a training are due."""
WATCH_SECONDS = 1.0
KEEP_SECONDS = 5.0
"""How often leases are looked after."""
METER_SECONDS = 60.0
"""How often it is looked whether an hour is over, or came to something else, for the bills."""

log = logging.getLogger("pilothouse")


class Console:
    """Everything put together; `server` is what is served, and its lifespan starts the rest."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.export_terms = terms_of(settings)
        self.export_terms.opened()  # a place that is none is told at the start
        self.address = ""
        self.location = Location.of(settings)
        self.store = Store(self.location)
        try:
            self._wire()
        except BaseException:
            self.store.close()
            raise

    def _wire(self) -> None:
        self.days_kept = days_kept(self.settings.sample_days)
        self.wall = WallClock(on_step_back=self._note_step_back)
        self.first_token = self._first_admin()
        self.leader, self.house, self.collects = self._leaders()
        self.session = self._fleet_session()
        self.cluster = self._cluster_side()
        self.clock: Clock = self.session.clock if self.session else self.wall
        self.runner = Runner(self.store, self.wall)
        self.scheduler = new_scheduler()
        self.tally = usage.Tally(self.wall)
        self.upkeep = Upkeep(self.store, self.wall, self.house.leads)
        self.engine = self._engine()
        self.market = MarketRound(self.store, self.clock, self.settings, wall=self.wall)
        self._stopping = threading.Event()
        self.background = background(
            self.engine, self._stopping, is_learning=self.settings.learn_enabled
        )
        self._history = threading.Thread(target=self._produce_history, name="history")
        self._watch = threading.Thread(target=self._watch_clock, name="watch", daemon=True)
        self._keeper = threading.Thread(target=self._keep_leases, name="leases", daemon=True)
        self.analyst = self._analyst()
        self.server = self._faces()

    def _leaders(self) -> tuple[Leader, Leader, Leader]:
        """Who acts on the fleet, who does the chores, and who reads what is the same from
        everywhere: of several that share a warehouse, one.

        A simulated fleet is steered where it is played; a console without a fleet only looks on.
        """
        if not self.location.is_shared:
            return Alone(), Alone(), Alone()
        me = own_name()
        is_played = "SELECT count(*) > 0 FROM simulations"
        looks_on = self.settings.fleet == "none" and self.store.query(is_played).item()
        engine = (Onlooker if looks_on else CatalogueLease)(self.store, self.wall, "engine", me)
        house, collects = (
            CatalogueLease(self.store, self.wall, name, me) for name in ("house", COLLECTORS)
        )
        return engine, house, collects

    def _fleet_session(self) -> FleetSession | None:
        given = self.settings
        if given.fleet != "simulated":
            return None
        self._take_fleet()
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

    def _take_fleet(self) -> None:
        """Become the one console that plays the fleet; one that was killed holds it for a while.

        Raises:
            SessionError: another console plays it.
        """
        if isinstance(self.leader, CatalogueLease) and not self.leader.taken():
            raise SessionError(
                f"{self.leader.holder() or 'another console'} plays the simulated fleet of this "
                "warehouse: set PILOTHOUSE_FLEET=none to look on and take approvals here"
            )

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
            judge, leader = RowsJudge(self.store), self.leader
            return Engine(self.store, self.clock, NoHands(), judge, home=home, leader=leader)
        self.judge = TwinJudge(self.session)
        hands = SimulatedHands(self.store, self.session)
        pools = self.session.fleet.pools.items()
        terms = {name: pool.settings.economics for name, pool in pools}
        planner = Planner(terms)
        return Engine(
            *(self.store, self.clock, hands, self.judge, planner),
            terms=terms,
            home=home,
            leader=self.leader,
        )

    def _analyst(self) -> Analyst:
        given = self.settings
        source, folder = Source.of(self.location), given.home / "questions"
        return Analyst(self.store, source, folder, self.clock, self.wall, Limits.of(given))

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
            analyst=self.analyst,
        )
        given = Context(
            self.store,
            self.clock,
            self.status,
            self.wall,
            self.analyst,
            self.export_terms,
            exports_are_scheduled=self.settings.export_enabled,
        )
        self.dash = create_pages(server, given)
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
            requests_per_minute=given.requests_per_minute,
            script_hashes=lambda: self.dash.csp_hashes(),
            led_by=lambda: self.engine.led_by,
            **approvals_elsewhere(given),
            exports=self.export_terms,
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
        if self._stopping.is_set():
            return ["it is being stopped"]
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
        if self.location.is_shared:
            self._keeper.start()
        yield
        self._stop()

    def _produce_history(self) -> None:
        is_live = self.session is not None and self.session.catch_up(self._stopping)
        if not self._stopping.is_set():
            self._start_schedule(is_live)

    def _start_schedule(self, is_live: bool) -> None:
        """Everything but the fleet runs also where the fleet could not be had."""
        collecting = Collecting(self.store, self.wall, self.runner, self.collects.leads)
        collecting.begin(self.scheduler, self._environment())
        if self.session and is_live:
            # What was lost to another console while this one hung is not its any more.
            is_ours = lambda _: self.leader.leads()  # noqa: E731
            schedule(self.scheduler, self.runner, [self.session], is_ours)
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

    def _look_at_market(self, _: datetime) -> None:
        self.market.run()

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
            *house_chores(self.store, self.wall, self.days_kept),
            Chore("meter", METER_SECONDS, Meter(self.store, self.clock).run),
            *self._export_chores(),
            *self.server.state.office.slack.chores(),
        )

    def _export_chores(self) -> Iterator[Chore]:
        if self.settings.export_enabled:
            exporter = Exporter(self.store, self.export_terms, self.wall)
            yield Chore("export", EXPORT_SECONDS, partial(export_due, exporter))

    def _watch_clock(self) -> None:
        """Look at the machine's clock each second: the scheduler, which goes by it, would else
        sleep through a step back, and nobody would notice."""
        while not self._stopping.wait(WATCH_SECONDS):
            self.wall.now()

    def _keep_leases(self) -> None:
        """Renew what this console holds, and take what is free, also while it is busy starting."""
        did_lead = None
        while not self._stopping.is_set():
            for one in (self.house, self.collects):
                one.leads()
            leads = self.engine.leads()
            if leads != did_lead:
                what = "leads" if leads else f"looks on; {self._leads_elsewhere()} leads"
                print(f"This console {what}.", flush=True)
            did_lead = leads
            self._stopping.wait(KEEP_SECONDS)

    def _leads_elsewhere(self) -> str:
        return self.engine.leader.holder() or "nobody yet"

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
        for one in (self.leader, self.house, self.collects):
            one.resign()  # another need not wait until they have run out
        self.analyst.close()
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
        if self.location.is_shared:
            print(f"The warehouse is shared: {self.location.words}.", flush=True)
        print("Stop it with Ctrl-C; nothing is lost.", flush=True)
        if self.session:
            print("The fleet's past is being made up to now; the page shows how far.", flush=True)
