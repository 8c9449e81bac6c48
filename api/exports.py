"""/api/v1/exports: the files for finance, their manifests, what comes next; asking for one.

Whoever may look may list and download; asking for an export needs an operator.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import date
from typing import Annotated, Any, BinaryIO, Literal

from fastapi import APIRouter, Header, Query, Response
from fastapi.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from api.downloads import MEDIA_TYPES
from api.export_shapes import (
    Answered,
    Asked,
    ExportShape,
    PreviewShape,
    ScheduleShape,
    VerificationShape,
)
from api.office import Here, Office, Operator
from api.problems import Refused
from api.shapes import Paged, Rows
from warehouse import export_schedule, exports
from warehouse.export_kinds import KIND_OF, ExportKind
from warehouse.export_making import Exporter
from warehouse.export_periods import PERIODS_MAX, ExportSpan, periods
from warehouse.export_places import Place
from warehouse.export_terms import ExportTerms
from warehouse.records import Export

router = APIRouter(prefix="/api/v1/exports", tags=["exports"])

CHUNK_BYTES = 2**20
_RANGE = re.compile(r"^bytes=(?!-$)(\d{0,18})-(\d{0,18})$")
"""One range; a header that asks for several, or for none, is passed over, as HTTP has it."""


class FileAnswer(StreamingResponse):
    """Parts of a file, which is closed however the answer ends: who asked may go before the first
    part is read, and then nobody else would close it."""

    def __init__(self, opened: BinaryIO, parts: Iterator[bytes], **answered: Any) -> None:
        super().__init__(parts, **answered)
        self._opened = opened

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, and close the file."""
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._opened.close()


@router.get("", response_model=Rows[ExportShape])  # type: ignore[valid-type]
def history(
    here: Here,
    paged: Paged,
    kind: Annotated[ExportKind | None, Query(description="Only this kind.")] = None,
    span: Annotated[ExportSpan | None, Query(description="Only days, or only months.")] = None,
    outcome: Annotated[
        Literal["written", "failed"] | None, Query(description="Only these.")
    ] = None,
) -> dict[str, Any]:
    """Every export and every failure, the newest first."""
    page = exports.history(
        here.store,
        kind=kind,
        span=span,
        outcome=outcome,
        offset=paged.position,
        limit=paged.limit,
    )
    return paged.rows(page)


@router.get("/schedule", response_model=ScheduleShape)
def schedule(here: Here) -> dict[str, Any]:
    """What is due, what waits for hours to be metered, and what failed."""
    found = export_schedule.schedule(here.store, _place(here).url)
    return {
        "place": found.place,
        "metered_until_at": found.metered_until_at,
        "due": [
            {"kind": each.kind, "period": each.period.label, "reason": each.reason}
            for each in found.due
        ],
        "waiting": [{"period": each.period.label, "detail": each.detail} for each in found.waiting],
        "failing": [
            {
                "kind": each.kind,
                "period": each.period.label,
                "detail": each.detail,
                "failures": each.failures,
                "again_at": each.again_at,
            }
            for each in found.failing
        ],
    }


@router.get("/preview", response_model=PreviewShape)
def preview(
    here: Here,
    day: Annotated[date, Query(description="The day, of UTC.")],
    kind: Annotated[ExportKind, Query(description="Which kind.")] = "focus",
    limit: Annotated[int, Query(ge=0, le=1000, description="Most rows to show.")] = 50,
) -> dict[str, Any]:
    """A day's rows as they would be written now, and their sums."""
    found = exports.preview(here.store, kind, day, _terms(here).names, limit=limit)
    return {
        "rows": found.rows.to_dicts(),
        "row_count": found.row_count,
        "sums": found.sums,
        "is_complete": found.is_complete,
        "hours_metered": found.hours_metered,
        "hours_wanted": found.hours_wanted,
    }


@router.get("/{export_id}", response_model=ExportShape)
def export(here: Here, export_id: str) -> Export:
    """One export or failure."""
    return exports.export(here.store, export_id)


@router.get("/{export_id}/manifest")
def manifest(here: Here, export_id: str) -> dict[str, Any]:
    """Its manifest: rows, sums, columns, digest, and which meterings it rests on."""
    return exports.manifest(_place(here), exports.export(here.store, export_id))


@router.get("/{export_id}/verification", response_model=VerificationShape)
def verification(here: Here, export_id: str) -> exports.Verification:
    """Read the file again and hold it against what was written."""
    return exports.verify(_place(here), exports.export(here.store, export_id))


@router.get(
    "/{export_id}/file",
    response_class=Response,
    responses={
        200: {"description": "The Parquet file.", "content": {MEDIA_TYPES["parquet"]: {}}},
        206: {"description": "The range of it that was asked for."},
        304: {"description": "The file you have is the one."},
        416: {"description": "The range lies outside of the file."},
    },
)
def file(
    here: Here,
    export_id: str,
    asked_range: Annotated[
        str | None, Header(alias="range", description="Bytes of it, as HTTP has it.")
    ] = None,
    if_none_match: Annotated[
        str | None, Header(description="The ETag that is there already.")
    ] = None,
    if_range: Annotated[
        str | None, Header(description="The ETag that the range must still be of.")
    ] = None,
) -> Response:
    """Its data file; the ETag is its SHA-256, and a download that broke off can be taken up."""
    found = exports.export(here.store, export_id)
    etag = f'"{found.sha256}"'
    if if_none_match and etag in if_none_match:
        return Response(status_code=304, headers={"etag": etag})
    opened = exports.opened(_place(here), found)
    wanted = _RANGE.match(asked_range or "") if if_range in (None, etag) else None
    span = _span(wanted, found.size_bytes)
    headers = {"etag": etag, "accept-ranges": "bytes", "content-disposition": _kept_as(found)}
    if span is None:
        opened.close()
        headers["content-range"] = f"bytes */{found.size_bytes}"
        return Response(status_code=416, headers=headers)
    first, last = span
    headers["content-length"] = str(last - first + 1)
    if wanted:
        headers["content-range"] = f"bytes {first}-{last}/{found.size_bytes}"
    return FileAnswer(
        opened,
        _chunks(opened, first, last),
        status_code=206 if wanted else 200,
        headers=headers,
        media_type=MEDIA_TYPES["parquet"],
    )


@router.post("", response_model=Answered)
def ask(here: Here, person: Operator, sent: Asked) -> dict[str, Any]:
    """Export days or months now; what was exported and still holds is not written again."""
    wanted = periods(sent.span, sent.from_day, sent.to_day)
    if len(wanted) > PERIODS_MAX:
        detail = f"ask for at most {PERIODS_MAX} {sent.span}s at once: {len(wanted)} were asked for"
        raise Refused(422, "too many at once", detail)
    exporter = Exporter(here.store, _terms(here), here.wall)
    here.note(
        person.name,
        "export.ask",
        f"{sent.kind}/{sent.span}",
        via=person.via,
        address=None,
        from_day=str(sent.from_day),
        to_day=str(sent.to_day),
    )
    made = exporter.by_hand(KIND_OF[sent.kind], wanted, requested_by=person.name)
    return {
        "exports": made.rows,
        "unchanged": [each.label for each in made.unchanged],
        "waits_because": made.waits_because,
    }


def _terms(here: Office) -> ExportTerms:
    return here.settings.exports or ExportTerms.at_home(here.settings.home)


def _place(here: Office) -> Place:
    return _terms(here).opened()


def _kept_as(found: Export) -> str:
    day = "%Y-%m-%d" if found.span == "day" else "%Y-%m"
    name = f"{found.kind}-{found.period_starts_at.strftime(day)}-v{found.version}.parquet"
    return f'attachment; filename="{name}"'


def _span(wanted: re.Match[str] | None, size_bytes: int) -> tuple[int, int] | None:
    """First and last byte to send; None where they lie outside."""
    last = size_bytes - 1
    if wanted is None:
        return 0, last
    begin, end = wanted.groups()
    if not begin:
        return (max(0, size_bytes - int(end)), last) if int(end) else None
    last = min(int(end), last) if end else last
    return (int(begin), last) if int(begin) <= last else None


def _chunks(opened: BinaryIO, first: int, last: int) -> Iterator[bytes]:
    opened.seek(first)
    left = last - first + 1
    while left and (chunk := opened.read(min(CHUNK_BYTES, left))):
        left -= len(chunk)
        yield chunk
