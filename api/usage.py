"""Counting what is asked of the console, and /api/v1/tenants: what tenants do.

The counting is ASGI middleware inside the door: whoever the door refuses is not counted, what pages
count themselves (views, downloads, questions) lands in the same tally. It adds a dictionary's
look-up to a request; a subject is the route's template, of which there are few.
"""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime, timedelta
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.office import Here, Office
from api.problems import Refused
from api.shapes import Paged, Rows, Shape
from warehouse import behaviour, churn, usage
from warehouse.churn_rules import RULES, Signal
from warehouse.usage import Tally, current_tally

router = APIRouter(prefix="/api/v1/tenants", tags=["tenants"])

API = "/api/v1/"
SIGN_INS = ("/sign-in", "/api/v1/sign-in")
REFUSED_SIGN_INS = (401, 429)
"""Wrong, or tried too often; a form that was open for too long is no failed sign-in."""
DAYS_MAX = 400


class Counted:
    """ASGI middleware that counts API calls, downloads by the API, and failed sign-ins.

    Sign-ins are counted where the name is known, page views and what pages do by the pages.
    """

    def __init__(self, app: ASGIApp, tally: Tally) -> None:
        self._app = app
        self._tally = tally

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let the app answer, and count what it was asked."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        entered = current_tally.set(self._tally)
        try:
            if scope["path"].startswith(API) or scope["path"] in SIGN_INS:
                await self._counted(scope, receive, send)
            else:
                await self._app(scope, receive, send)
        finally:
            current_tally.reset(entered)

    async def _counted(self, scope: Scope, receive: Receive, send: Send) -> None:
        status, is_file = 500, False

        async def send_noting(message: Message) -> None:
            nonlocal status, is_file
            if message["type"] == "http.response.start":
                status = message["status"]
                is_file = _is_file(message)
            await send(message)

        try:
            await self._app(scope, receive, send_noting)
        finally:
            _note(scope, status, is_file=is_file)


def _is_file(message: Message) -> bool:
    return any(
        name == b"content-disposition" and value.startswith(b"attachment")
        for name, value in message.get("headers", ())
    )


def _note(scope: Scope, status: int, *, is_file: bool) -> None:
    route = getattr(scope.get("route"), "path", None)
    if route is None:
        return
    if route in SIGN_INS:
        if scope["method"] == "POST" and status in REFUSED_SIGN_INS:
            usage.note("sign_in_failed", route)
        return
    usage.note("api_call", route)
    if is_file:
        usage.note("download", route)


# -- what is told of tenants -----------------------------------------------------------


class TenantShape(Shape):
    """What a tenant did in the span, by the jobs it submitted in it."""

    tenant: str
    """The tenant."""
    jobs: int
    """Jobs submitted in the span."""
    active_days: int
    """Days, of UTC, on which it submitted."""
    gpu_count_median: float | None
    """Median of the GPUs a job asks for."""
    gpu_count_p95: float | None
    """95th percentile of the GPUs a job asks for."""
    wait_median_seconds: float | None
    """Median wait for the first start; jobs that still wait count with their wait so far."""
    wait_p95_seconds: float | None
    """95th percentile of that."""
    asked_gpu_hours: float | None
    """GPUs times the time from submission to end, or to now."""
    delivered_gpu_hours: float | None
    """GPUs times the time the jobs ran."""
    failed_ratio: float | None
    """Share of the jobs that failed."""
    left_ratio: float | None
    """Share of the jobs that gave up waiting."""
    preempted_ratio: float | None
    """Share of the jobs that were interrupted at least once."""
    retried_ratio: float | None
    """Share of the jobs that were started more than once."""
    growth_ratio: float | None
    """Jobs of the last seven days against those of the seven before, less 1."""
    charge_usd: float
    """Charged in the span, for jobs submitted earlier too."""
    revenue_share_ratio: float | None
    """Of all that was charged in the span."""
    first_seen_at: datetime
    """Its first submission on record."""
    last_seen_at: datetime
    """Its last submission."""


class SignalShape(Shape):
    """A rule that fired."""

    rule: str
    """Which one."""
    title: str
    """Its name in words."""
    is_sign: bool
    """True of something the tenant does; false of something that befalls it."""
    evidence: str
    """What was seen, in words and numbers."""
    value: float
    """The figure of the last seven days."""
    usual: float
    """The tenant's own usual figure."""
    threshold: float
    """The value at which the rule fires."""
    says: str
    """When the rule fires."""
    blind: str
    """What it does not know."""


class UnjudgedShape(Shape):
    """A rule that knows too little of the tenant."""

    rule: str
    """Which one."""
    why: str
    """What is missing."""


class TroubleShape(Shape):
    """A cause of failures, interruptions or give-ups."""

    event: Literal["failed", "preempted", "left"]
    """What happened."""
    cause: str
    """Why, as it was told, without the names in it."""
    jobs: int
    """How many jobs it befell."""


class TenantDetail(TenantShape):
    """A tenant, with its signals of leaving and what went wrong."""

    at_stake_usd_per_day: float
    """Charged a day in its usual weeks."""
    signals: list[SignalShape]
    """The rules that fired."""
    unjudged: list[UnjudgedShape]
    """The rules that know too little of it."""
    troubles: list[TroubleShape]
    """Why its jobs failed, were interrupted or gave up."""
    usage: dict[str, int]
    """What its people did with the console in the span, by kind."""


TenantSort = Literal[
    "tenant",
    "jobs",
    "asked_gpu_hours",
    "delivered_gpu_hours",
    "gpu_count_median",
    "gpu_count_p95",
    "wait_median_seconds",
    "wait_p95_seconds",
    "failed_ratio",
    "left_ratio",
    "preempted_ratio",
    "retried_ratio",
    "active_days",
    "growth_ratio",
    "charge_usd",
    "revenue_share_ratio",
    "first_seen_at",
    "last_seen_at",
]
Days = Annotated[int, Query(ge=1, le=DAYS_MAX, description="Days back from now.")]


@router.get("", response_model=Rows[TenantShape])
def tenants(
    here: Here,
    paged: Paged,
    days: Days = 30,
    search: Annotated[str | None, Query(description="Part of the tenant's name.")] = None,
    sort: TenantSort = "charge_usd",
    descending: bool = True,
) -> dict[str, Any]:
    """Every tenant and what it did in the last days."""
    now = here.clock.now()
    figures = behaviour.tenant_figures(here.store, since=now - timedelta(days=days), now=now)
    page = behaviour.tenant_page(
        figures,
        search=search,
        sort=sort,
        descending=descending,
        offset=paged.offset,
        limit=paged.limit,
    )
    return paged.rows(page)


@router.get("/{tenant}", response_model=TenantDetail)
def tenant(here: Here, tenant: str, days: Days = 30) -> dict[str, Any]:
    """One tenant: what it did, what befell it, and whether it gives signs of leaving."""
    now, wall = here.clock.now(), here.wall.now()
    span = timedelta(days=days)
    figures = behaviour.tenant_figures(here.store, since=now - span, now=now)
    found = figures.filter(figures["tenant"] == tenant)
    if found.is_empty():
        detail = f"no job of a tenant {tenant} is on record: read the list again"
        raise Refused(404, "no such tenant", detail)
    troubles = behaviour.troubles(here.store, since=now - span, now=now, tenant=tenant)
    used = usage.usage_by_tenant(here.store, since=wall - span, until=wall + timedelta(minutes=1))
    used = used.filter(used["tenant"] == tenant)
    return {
        **found.row(0, named=True),
        **_signals(here, tenant, now),
        "troubles": troubles.to_dicts(),
        "usage": dict(zip(used["kind"], used["count"], strict=True)),
    }


def _signals(here: Office, tenant: str, now: datetime) -> dict[str, Any]:
    judged = churn.judged(here.store, now=now)
    found = next((each for each in judged if each.tenant == tenant), None)
    return {
        "at_stake_usd_per_day": found.at_stake_usd_per_day if found else 0.0,
        "signals": [_signal(each) for each in found.signals] if found else [],
        "unjudged": [asdict(each) for each in found.unjudged] if found else [],
    }


def _signal(signal: Signal) -> dict[str, Any]:
    rule = next(rule for rule in RULES if rule.name == signal.rule)
    told = {"title": rule.title, "is_sign": rule.is_sign, "says": rule.says, "blind": rule.blind}
    return asdict(signal) | told
