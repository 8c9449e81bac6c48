"""What people do on the Finance page: export, verify a file, put a unit cost in force."""

from __future__ import annotations

from datetime import date
from typing import Any

from pages._callbacks import notice
from pages._context import context, door_of
from pages._finance_asked import place, terms
from pages._finance_exports import KINDS
from pages._words import count
from warehouse import audit, exports, unit_costs
from warehouse.export_errors import BadSpan
from warehouse.export_kinds import Kind
from warehouse.export_making import ByHand, Exporter
from warehouse.export_periods import PERIODS_MAX, ExportSpan, Period, periods
from warehouse.people import Person
from warehouse.records import UnitCost


def exports_by_hand(
    person: Person, kind: Kind, span: ExportSpan, first: str | None, last: str | None
) -> dict[str, Any]:
    """Write what was asked for and say what became of it.

    Raises:
        BadSpan: the days make no span, or too long a one.
        NotMetered: not even the first of them is metered yet.
        ExportError: another export is under way, or there is no place.
    """
    wanted = _wanted(span, first, last)
    exporter = Exporter(context().store, terms(), context().wall)
    audit.record(
        context().store,
        person.name,
        "export.ask",
        f"{kind.name}/{span}",
        via=door_of(person),
        at=context().now(),
        detail={"from_day": first, "to_day": last},
    )
    return _told(kind, exporter.by_hand(kind, wanted, requested_by=person.name))


def _wanted(span: ExportSpan, first: str | None, last: str | None) -> list[Period]:
    if not first or not last:
        raise BadSpan("no days are chosen: pick the first and the last")
    wanted = periods(span, date.fromisoformat(first), date.fromisoformat(last))
    if len(wanted) > PERIODS_MAX:
        raise BadSpan(f"{len(wanted)} {span}s are asked for: ask for {PERIODS_MAX} at most")
    return wanted


def _told(kind: Kind, made: ByHand) -> dict[str, Any]:
    failed = [row for row in made.rows if row.outcome == "failed"]
    said = f"{count(len(made.written))} {KINDS[kind.name]} exports written"
    if made.unchanged:
        said += f", {count(len(made.unchanged))} unchanged: what is there still holds"
    if failed:
        said += f", {count(len(failed))} failed: {failed[-1].detail}"
    if made.waits_because:
        said += f". {made.waits_because[:1].upper()}{made.waits_because[1:]}"
    title = "Exported" if made.written else "Nothing written"
    color = "red" if failed else "amber" if made.waits_because else "harbour"
    return notice(title, f"{said}.", color)


def verified(export_id: str) -> dict[str, Any]:
    """What a file holds against what was written, as a notice.

    Raises:
        ExportError: there is no such export, or no place.
    """
    found = exports.verify(place(), exports.export(context().store, export_id))
    detail = f"{found.detail[:1].upper()}{found.detail[1:]}."
    if found.is_intact:
        return notice("The file is as it was written", detail)
    return notice("The file is not what was written", detail, "red")


def put_in_force(person: Person, cost: UnitCost) -> dict[str, Any]:
    """Set a unit cost, with who set it on record.

    Raises:
        InvalidUnitCost: a figure is missing, of the other kind, or out of bounds.
    """
    now = context().now()
    unit_costs.set_unit_cost(context().store, cost, now=now, via=door_of(person))
    said = f"{cost.kind} nodes of {cost.pool}; the hours from now on are metered by it."
    return notice("In force", f"{said[:1].upper()}{said[1:]}")
