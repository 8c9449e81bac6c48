"""The front door: the command line and its settings; `console.py` puts the rooms together.

    python app.py                     the console
    python app.py --trace jobs.parquet   … with a fleet that works through this trace
    python app.py openapi | data | settings | nvml
    python app.py agent [--port 9450]   this host's GPUs as Prometheus text, as docs/agent.md says
    python app.py train | evaluate | tune | safety …   the policies; each has its --help
    python app.py import-offers FILE   a market's history, as docs/market.md says
    python app.py collector           collecting alone, into a shared warehouse: docs/scale.md
    python app.py move-warehouse …    a warehouse to another place, as docs/scale.md says
    python app.py export --from DAY --to DAY   files for finance, as docs/exports.md says
    python app.py ctl …               a client of a console's API: decisions, jobs, prices, exports

Imports every room and is imported by none.
"""

from __future__ import annotations

import argparse
import json
import logging
import sys
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path

if __name__ == "__main__" and sys.argv[1:2] == ["agent"]:
    # Before the imports below: the agent runs on GPU hosts, where the console's packages needn't be
    sys.exit(import_module("collectors.agent").main(sys.argv[2:]))

import uvicorn
from pydantic import ValidationError

from api.application import openapi_document
from api.ending import REQUESTS_SECONDS, EndingServer, end_well_on_sigterm
from api.listening import CannotListen, listening
from api.sessions import UnusableKey
from cluster.errors import NotConfigured
from collectors import nvml
from collectors.base import InvalidSetting
from collectors.discovery import collector_classes
from collectors.market_settings import SHARED, MarketSettings
from console import Console
from engine.kubernetes.settings import HandsSettings
from engine.simulator.errors import TraceError
from engine.simulator.session import SessionError
from warehouse.clock import WallClock
from warehouse.dictionary import data_markdown
from warehouse.people import WeakPassword
from warehouse.settings import PREFIX, Settings, settings_markdown
from warehouse.store import WarehouseError

LABORATORY = {
    "train": "engine.learning.train",
    "evaluate": "engine.learning.evaluation",
    "tune": "engine.learning.tune",
    "safety": "engine.learning.safety",
    "import-offers": "warehouse.import_offers",
    "export": "warehouse.export_command",
    "agent": "collectors.agent",
    "collector": "collectors.process",
    "move-warehouse": "warehouse.moving",
    "generate": "engine.simulator.generate",
    "ctl": "api.ctl",
}
"""Commands with arguments of their own, and the module whose `main` takes them; loaded when asked
for, since some of it needs more packages."""

INTERRUPTED = 130
"""The exit status that shells expect of what was ended by Ctrl-C."""


# -- the command line -----------------------------------------------------------------


class CannotStart(Exception):
    """The console can't start; the sentence says what to do."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what the command line asks for; returns the exit status."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    try:
        return _run(words)
    except KeyboardInterrupt:  # Ctrl-C: all was ended in order before it came here
        return INTERRUPTED


def _run(words: Sequence[str]) -> int:
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
        NotConfigured,
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
    collectors = {name: found[name].settings_class for name in sorted(found)}
    return settings_markdown(collectors, {SHARED: MarketSettings}, {"kubernetes": HandsSettings})


def _serve(settings: Settings) -> int:
    logging.basicConfig(
        level=settings.log_level.upper(), format="%(asctime)s %(levelname)s %(name)s %(message)s"
    )
    logging.getLogger("apscheduler").setLevel(logging.ERROR)  # a tick that takes long is no news
    end_well_on_sigterm()
    with listening(settings.host, settings.port) as listener:
        console = Console(settings)
        host = f"[{settings.host}]" if ":" in settings.host else settings.host
        console.address = f"http://{host}:{listener.getsockname()[1]}"
        server = EndingServer(
            uvicorn.Config(
                console.server,
                log_level="warning",
                access_log=False,
                timeout_graceful_shutdown=REQUESTS_SECONDS,
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
        "`train`, `evaluate`, `tune` and `safety` make and judge policies, and `agent` serves this "
        "host's GPUs and `ctl` asks a console by its API; each has its --help.",
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
    fleets = ("simulated", "kubernetes", "none")
    parser.add_argument("--fleet", choices=fleets, help="which fleet (simulated)")
    parser.add_argument("--fleet-gpus", help="GPUs of the simulated fleet (default 512)")
    parser.add_argument("--seed", help="seed of the simulated fleet (default 7)")
    parser.add_argument("--speed", help="fleet seconds per real second (default 20)")
    parser.add_argument("--history-days", help="days of history at the start (default 14)")
    parser.add_argument("--live-from", help="instant at which the fleet goes live (default now)")
    parser.add_argument("--log-level", choices=("debug", "info", "warning", "error"))
    return parser


if __name__ == "__main__":
    sys.exit(main())
