"""A process that only collects, into a warehouse that it shares: `python app.py collector`.

It has no pages and no engine. Several may run, on the hosts whose GPUs they read or with a share of
the targets each (`docs/scale.md`).
"""

from __future__ import annotations

import argparse
import logging
import os
import signal
import sys
import threading
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from pydantic import ValidationError

from cluster.errors import NotConfigured
from collectors.base import InvalidSetting
from collectors.collecting import LEASE, Collecting
from collectors.runner import Runner
from collectors.schedule import new_scheduler, stop
from warehouse import leases
from warehouse.clock import WallClock
from warehouse.errors import Refused, WarehouseError
from warehouse.settings import PREFIX, Settings
from warehouse.store import Location, Store


def main(arguments: Sequence[str]) -> int:
    """`collector [--home FOLDER]`; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="python app.py collector",
        description="Only collect, into a shared warehouse; see docs/scale.md.",
    )
    parser.add_argument("--home", type=Path, help="data folder")
    given = parser.parse_args(list(arguments))
    try:
        settings = Settings(**({"home": given.home} if given.home else {}))
        logging.basicConfig(level=settings.log_level.upper())
        logging.getLogger("apscheduler").setLevel(logging.ERROR)
        collect(settings, _told_to_stop())
    except (InvalidSetting, NotConfigured, WarehouseError) as error:
        print(f"pilothouse: {error}", file=sys.stderr)
        return 1
    except ValidationError as error:
        names = ", ".join(f"{PREFIX}{str(one['loc'][0]).upper()}" for one in error.errors())
        print(f"pilothouse: {names} makes no sense: see docs/settings.md", file=sys.stderr)
        return 1
    return 0


def collect(settings: Settings, stopping: threading.Event) -> None:
    """Collect until told to stop.

    Raises:
        Refused: the warehouse is not a shared one.
        WarehouseError: it can't be opened.
    """
    location = Location.of(settings)
    if not location.is_shared:
        raise Refused(
            "a warehouse in a folder is one process's: let the console collect, or name a shared "
            f"catalogue by {PREFIX}CATALOGUE and {PREFIX}DATA"
        )
    store, clock, me = Store(location), WallClock(), leases.own_name()
    try:
        leads = partial(leases.is_held, store, LEASE, me, clock)
        runner, scheduler = Runner(store, clock), new_scheduler()
        names = Collecting(store, clock, runner, leads).begin(scheduler, os.environ)
        scheduler.start()
        found = ", ".join(sorted(names)) or "nothing: see docs/settings.md"
        print(f"Collecting by {found}.", flush=True)
        stopping.wait()
        stop(scheduler, runner)
        leases.let_go(store, LEASE, me, clock)
    finally:
        store.close()


def _told_to_stop() -> threading.Event:
    stopping = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stopping.set())
    return stopping
