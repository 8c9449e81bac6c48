"""The front door: settings, wiring, schedule.

    python app.py                     the console
    python app.py --trace jobs.parquet   … with a fleet that works through this trace
    python app.py openapi | data | settings | nvml
    python app.py train | evaluate | tune | safety …   the policies; each has its --help

Imports every room and is imported by none.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import sys
import threading
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from importlib import import_module
from pathlib import Path
from typing import Any

import uvicorn
from fastapi import FastAPI
from pydantic import ValidationError

from api.application import bare_app, bring_door_outside, create_api, openapi_document
from api.listening import CannotListen, listening
from api.sessions import UnusableKey
from api.settings import ApiSettings
from collectors import nvml
from collectors.base import InvalidSetting
from collectors.discovery import collector_classes, collectors_here
from collectors.runner import Runner
from collectors.schedule import catch_up, new_scheduler, schedule
from collectors.schedule import stop as stop_schedule
from engine.background import background
from engine.gains import Planner
from engine.hands import NoHands
from engine.loop import Engine
from engine.simulator.errors import TraceError
from engine.simulator.hands import SimulatedHands
from engine.simulator.judge import TwinJudge
from engine.simulator.session import FleetAsked, FleetSession, SessionError
from engine.twin.judge import RowsJudge
from pages._context import ConsoleStatus, Context
from pages._shell import create_pages
from warehouse import controls, fleet
from warehouse.clock import Clock, WallClock
from warehouse.dictionary import data_markdown
from warehouse.people import Passwords, WeakPassword, has_admin
from warehouse.records import ClockJump, CollectorRun
from warehouse.settings import PREFIX, Settings, settings_markdown
from warehouse.store import Location, Store, WarehouseError
from warehouse.tokens import first_sign_in, make_admin

TICK_SECONDS = 1.0
"""How often the engine looks whether there is something to do."""
BESIDE_SECONDS = 30.0
"""How often it is looked whether forecasts, scores or a training are due."""
LABORATORY = {
    "train": "engine.learning.train",
    "evaluate": "engine.learning.evaluation",
    "tune": "engine.learning.tune",
    "safety": "engine.learning.safety",
}
"""Commands with arguments of their own, and the module whose `main` takes them; loaded when asked
for, since some of it needs more packages."""
ROLL_UP_SECONDS = 60.0
TIDY_SECONDS = 900.0
WATCH_SECONDS = 1.0
SNAPSHOT_DAYS = 2.0
"""How long the data can be asked what it was."""
RUN_DAYS = 14.0
"""How long collector runs are kept."""
SHUTDOWN_SECONDS = 5

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
        self.clock: Clock = self.session.clock if self.session else self.wall
        self.runner = Runner(self.store, self.wall)
        self.scheduler = new_scheduler()
        self.engine = self._engine()
        self._stopping = threading.Event()
        self.background = background(
            self.engine, self._stopping, is_learning=self.settings.learn_enabled
        )
        self._history = threading.Thread(target=self._produce_history, name="history")
        self._watch = threading.Thread(target=self._watch_clock, name="watch", daemon=True)
        self.server = self._faces()

    def _fleet_session(self) -> FleetSession | None:
        given = self.settings
        if given.fleet == "none":
            return None
        set_speed = controls.fleet_speed(self.store)
        asked = FleetAsked(
            seed=given.seed,
            trace=given.trace,
            history=timedelta(days=given.history_days),
            live_from=given.live_from,
            speed=given.speed if set_speed is None else set_speed,
        )
        return FleetSession.open(self.store, asked, wall_now=self.wall.now())

    def _engine(self) -> Engine:
        home = self.settings.home
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
        found = collectors_here(os.environ)
        for name, absent in found.absent.items():
            self.runner.record_absent(name, absent)
        schedule(self.scheduler, self.runner, found.present)
        if self.session and is_live:
            schedule(self.scheduler, self.runner, [self.session])
            self._every(TICK_SECONDS, self._follow_speed)
            self._every(TICK_SECONDS, self.judge.remember)
        self.background.begin()
        self._every(TICK_SECONDS, self.engine.tick)
        self._every(BESIDE_SECONDS, self.background.forecast)
        self._every(BESIDE_SECONDS, self.background.score)
        self._every(BESIDE_SECONDS, self.background.learn)
        self._every(ROLL_UP_SECONDS, self._roll_up)
        self._every(TIDY_SECONDS, self._tidy)
        self.scheduler.start()
        if self.session and is_live:
            print(f"The fleet runs live, {self.session.clock.speed:g} times as fast.", flush=True)

    def _every(self, seconds: float, act: Any) -> None:
        self.scheduler.add_job(
            act, "interval", seconds=seconds, coalesce=True, max_instances=1, misfire_grace_time=60
        )

    def _follow_speed(self) -> None:
        speed = controls.fleet_speed(self.store)
        if self.session and speed is not None and speed != self.session.clock.speed:
            self.session.clock.set_speed(speed)

    def _roll_up(self) -> None:
        fleet.roll_up(self.store)

    def _tidy(self) -> None:
        now = self.wall.now()
        self._roll_up()
        fleet.drop_samples(self.store, keep=timedelta(days=self.settings.sample_days))
        self.store.delete_before(CollectorRun, now - timedelta(days=RUN_DAYS))
        self.store.tidy(keep_snapshots_since=now - timedelta(days=SNAPSHOT_DAYS))

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


# -- the command line -----------------------------------------------------------------


class CannotStart(Exception):
    """The console can't start; the sentence says what to do."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what the command line asks for; returns the exit status."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    if words and words[0] in LABORATORY:
        return int(import_module(LABORATORY[words[0]]).main(words[1:]) or 0)
    given = _parser().parse_args(words)
    if given.command != "run":
        return _print(given.command)
    try:
        return _serve(_settings(given))
    except (
        CannotListen,
        CannotStart,
        InvalidSetting,
        SessionError,
        TraceError,
        UnusableKey,
        WarehouseError,
        WeakPassword,
    ) as error:
        print(f"pilothouse: {error}", file=sys.stderr)
        return 1


def _print(command: str) -> int:
    printed = {
        "openapi": lambda: json.dumps(openapi_document(), indent=2) + "\n",
        "data": data_markdown,
        "settings": settings_document,
        "nvml": lambda: nvml.describe(now=WallClock().now()) + "\n",
    }
    sys.stdout.write(printed[command]())
    return 0


def settings_document() -> str:
    """The whole of `docs/settings.md`."""
    found = collector_classes()
    return settings_markdown({name: found[name].settings_class for name in sorted(found)})


def _serve(settings: Settings) -> int:
    logging.basicConfig(
        level=settings.log_level.upper(), format="%(asctime)s %(levelname)s %(name)s %(message)s"
    )
    logging.getLogger("apscheduler").setLevel(logging.ERROR)  # a tick that takes long is no news
    with listening(settings.host, settings.port) as listener:
        console = Console(settings)
        host = f"[{settings.host}]" if ":" in settings.host else settings.host
        console.address = f"http://{host}:{listener.getsockname()[1]}"
        server = uvicorn.Server(
            uvicorn.Config(
                console.server,
                log_level="warning",
                access_log=False,
                timeout_graceful_shutdown=SHUTDOWN_SECONDS,
            )
        )
        server.run(sockets=[listener])
    return 0


def _settings(given: argparse.Namespace) -> Settings:
    flags = {
        name: value
        for name, value in vars(given).items()
        if name in Settings.model_fields and value is not None
    }
    try:
        return Settings(**flags)
    except ValidationError as error:
        first = error.errors()[0]
        name = str(first["loc"][0]) if first["loc"] else "settings"
        raise CannotStart(
            f"{PREFIX}{name.upper()} (or its flag) is {first['input']!r}: {first['msg']}"
        ) from error


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python app.py",
        description="The console from which a GPU cloud is steered.",
        epilog="Every setting is a variable too: see docs/settings.md. Besides these, "
        "`train`, `evaluate`, `tune` and `safety` make and judge policies; each has its --help.",
    )
    commands = ("run", "openapi", "data", "settings", "nvml")
    parser.add_argument(
        "command",
        nargs="?",
        choices=commands,
        default="run",
        help="run the console (default), or print the API's OpenAPI document, docs/data.md, "
        "docs/settings.md, or what NVML finds on this host",
    )
    parser.add_argument("--home", type=Path, help="data folder")
    parser.add_argument("--host", help="address to listen on (default 127.0.0.1)")
    parser.add_argument("--port", help="port to listen on (default 8050; 0 picks one)")
    parser.add_argument("--trace", type=Path, help="Parquet file of jobs for the simulated fleet")
    parser.add_argument("--fleet", choices=("simulated", "none"), help="which fleet (simulated)")
    parser.add_argument("--seed", help="seed of the simulated fleet (default 7)")
    parser.add_argument("--speed", help="fleet seconds per real second (default 20)")
    parser.add_argument("--history-days", help="days of history at the start (default 14)")
    parser.add_argument("--live-from", help="instant at which the fleet goes live (default now)")
    parser.add_argument("--log-level", choices=("debug", "info", "warning", "error"))
    return parser


if __name__ == "__main__":
    sys.exit(main())
