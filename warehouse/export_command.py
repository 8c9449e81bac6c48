"""Exports by hand: `python app.py export --from 2026-11-01 --to 2026-11-20`.

Where a console has the warehouse open it is asked by its API, which `--url` and `--token` name.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path
from typing import Any

import httpx
from pydantic import ValidationError
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from warehouse.clock import WallClock
from warehouse.errors import InUse, WarehouseError
from warehouse.export_errors import NotMetered
from warehouse.export_kinds import KIND_OF, KINDS, ExportKind
from warehouse.export_making import Exporter
from warehouse.export_periods import SPANS, Period, periods
from warehouse.export_terms import terms_of
from warehouse.settings import PREFIX, Settings
from warehouse.store import Location, Store

BY_HAND = "command line"
TOKEN = f"{PREFIX}TOKEN"
ASK_SECONDS = 600.0
"""How long a console is waited for; a month of a large fleet takes minutes."""


@dataclass(frozen=True)
class Line:
    """What became of one export."""

    kind: ExportKind
    period: str
    outcome: str
    """Written, unchanged, waiting or failed."""
    version: int | None = None
    row_count: int | None = None
    gpu_hours: float | None = None
    billed_usd: float | None = None
    detail: str = ""
    """The path, or why not."""

    @property
    def is_bad(self) -> bool:
        return self.outcome in ("failed", "waiting")


Make = Callable[[ExportKind, Period], Line]


class ConsoleRefused(WarehouseError):
    """The console that was asked said no, or nothing."""


def main(arguments: Sequence[str]) -> int:
    """`export --from DAY --to DAY …`; returns 0 where all that was asked for is there."""
    given = _parser().parse_args(list(arguments))
    shown = Console(stderr=True)
    try:
        wanted = _wanted(given)
        with _maker(given) as make:
            lines = _made(wanted, make, shown)
    except ValidationError as error:
        shown.print(f"pilothouse: a setting will not do: {error}", markup=False)
        return 2
    except WarehouseError as error:
        shown.print(f"pilothouse: {error}", markup=False, soft_wrap=True)
        return 1
    _tell(lines)
    return 1 if any(line.is_bad for line in lines) else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python app.py export",
        description="Write the files for finance, as docs/exports.md says. What was exported and "
        "still holds is not written again; what was metered anew comes as the next version.",
    )
    parser.add_argument("--from", dest="first", type=_day, required=True, help="first day, of UTC")
    parser.add_argument("--to", dest="last", type=_day, help="last day (the first one)")
    parser.add_argument("--kind", choices=(*KINDS, "both"), default="both", help="which (both)")
    parser.add_argument("--span", choices=SPANS, default="day", help="a file a day, or a month")
    parser.add_argument("--to-place", default="", help="folder or s3://bucket/prefix instead")
    parser.add_argument("--home", type=Path, help="data folder of the warehouse")
    parser.add_argument("--url", help="a running console to ask, http://127.0.0.1:8050")
    parser.add_argument("--token", help=f"its API token, of an operator; or in {TOKEN}")
    return parser


def _day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r} is no day: write 2026-11-01") from error


def _wanted(given: argparse.Namespace) -> list[tuple[ExportKind, Period]]:
    kinds = KINDS if given.kind == "both" else (given.kind,)
    found = periods(given.span, given.first, given.last or given.first)
    return [(kind, period) for period in found for kind in kinds]


def _made(wanted: list[tuple[ExportKind, Period]], make: Make, shown: Console) -> list[Line]:
    columns = (
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    )  # fmt: skip
    lines: list[Line] = []
    with Progress(*columns, console=shown, transient=True) as progress:
        task = progress.add_task("exporting", total=len(wanted))
        for kind, period in wanted:
            progress.update(task, description=f"{kind} {period.label}")
            lines.append(make(kind, period))
            progress.advance(task)
    return lines


@contextmanager
def _maker(given: argparse.Namespace) -> Iterator[Make]:
    if given.url:
        with httpx.Client(base_url=given.url.rstrip("/"), timeout=ASK_SECONDS) as client:
            yield _asking(client, given)
        return
    settings = Settings(**({"home": given.home} if given.home else {}))
    try:
        store = Store(Location.of(settings))
    except InUse as error:
        raise InUse(
            f"a console has this warehouse open: ask it by adding --url http://127.0.0.1:"
            f"{settings.port} and --token with an operator's API token, or stop it first"
        ) from error
    try:
        exporter = Exporter(store, terms_of(settings, given.to_place), WallClock())
        with exporter.alone():
            yield lambda kind, period: _by_ourselves(exporter, kind, period)
            exporter.write_index()
    finally:
        store.close()


def _by_ourselves(exporter: Exporter, kind: ExportKind, period: Period) -> Line:
    try:
        row = exporter.export(KIND_OF[kind], period, reason="by hand", requested_by=BY_HAND)
    except NotMetered as error:
        return Line(kind, period.label, "waiting", detail=str(error))
    if row is None:
        return Line(kind, period.label, "unchanged", detail="its newest version still holds")
    return _line(asdict(row), period)


def _line(row: dict[str, Any], period: Period) -> Line:
    """Of a row of `exports`, our own or as the API tells it."""
    return Line(
        kind=row["kind"],
        period=period.label,
        outcome=row["outcome"],
        version=row["version"],
        row_count=row["row_count"],
        gpu_hours=row["gpu_hours"],
        billed_usd=row["billed_usd"],
        detail=(row["path"] if row["outcome"] == "written" else row["detail"]) or "",
    )


# -- by a console -----------------------------------------------------------------------


def _asking(client: httpx.Client, given: argparse.Namespace) -> Make:
    token = given.token or os.environ.get(TOKEN)
    if not token:
        raise ConsoleRefused(f"give --token, or set {TOKEN}, to an operator's API token")
    if given.to_place:
        raise ConsoleRefused("a console writes to its own place: leave --to-place away with --url")
    client.headers["authorization"] = f"Bearer {token}"

    def make(kind: ExportKind, period: Period) -> Line:
        day = period.starts_at.date().isoformat()
        sent = {"kind": kind, "span": period.span, "from_day": day, "to_day": day}
        return _answered(_post(client, sent), kind, period)

    return make


def _post(client: httpx.Client, sent: dict[str, Any]) -> httpx.Response:
    try:
        return client.post("/api/v1/exports", json=sent)
    except httpx.HTTPError as error:
        raise ConsoleRefused(
            f"no console answers at {client.base_url} ({error}): see that it runs"
        ) from error


def _answered(answer: httpx.Response, kind: ExportKind, period: Period) -> Line:
    try:
        told = answer.json()
    except ValueError as error:
        raise ConsoleRefused(f"{answer.url} is no console of ours: see --url") from error
    if answer.status_code == httpx.codes.OK:
        if told["unchanged"]:
            return Line(kind, period.label, "unchanged", detail="its newest version still holds")
        return _line(told["exports"][0], period)
    if told.get("type", "").endswith("not-metered"):
        return Line(kind, period.label, "waiting", detail=told["detail"])
    raise ConsoleRefused(f"the console refused: {told.get('detail', answer.text[:200])}")


# -- the summary ------------------------------------------------------------------------


def _tell(lines: list[Line]) -> None:
    table = Table("kind", "period", "outcome", box=None, pad_edge=False)
    for name in ("version", "rows", "GPU-hours", "billed USD"):
        table.add_column(name, justify="right")
    table.add_column("file, or why not", overflow="fold")
    for line in lines:
        table.add_row(
            line.kind,
            line.period,
            line.outcome,
            _number(line.version, "d"),
            _number(line.row_count, ",d"),
            _number(line.gpu_hours, ",.3f"),
            _number(line.billed_usd, ",.2f"),
            line.detail,
        )
    counts = [sum(line.outcome == "written" for line in lines), sum(line.is_bad for line in lines)]
    out = Console(file=sys.stdout, width=None if sys.stdout.isatty() else 200)
    out.print(table)
    out.print(f"{counts[0]} written, {counts[1]} not, {len(lines)} asked for")


def _number(value: float | int | None, form: str) -> str:
    return "" if value is None else format(value, form)
