"""The API, put together: routes, errors, the door around them."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, FastAPI, Request
from fastapi.responses import JSONResponse
from starlette.middleware import Middleware
from starlette.routing import Match
from starlette.types import Lifespan

from api import (
    audit,
    cluster,
    controls,
    decisions,
    docs,
    embedded,
    engine,
    exports,
    fleet,
    health,
    jobs,
    links,
    market,
    metrics,
    money,
    people,
    series,
    sign_in,
    slack,
    sql,
    usage,
)
from api.answers import Answers
from api.body_limit import BodyLimit
from api.door import SignInRequired
from api.link_tokens import LinkSigner
from api.office import Office
from api.problems import add_problem_handlers, problem_response
from api.rate_limits import RateLimited, RateLimits
from api.register import Register
from api.repeats import Repeated
from api.sessions import Sessions, secret_key
from api.settings import ApiSettings, Readiness
from api.slack_messages import Messenger
from api.throttle import Throttle
from warehouse.analyst import Analyst
from warehouse.clock import Clock, WallClock
from warehouse.people import Passwords
from warehouse.store import Store
from warehouse.usage import Tally

ROUTERS: tuple[APIRouter, ...] = (
    health.router,
    metrics.router,
    series.router,
    fleet.router,
    cluster.router,
    jobs.router,
    market.router,
    money.router,
    decisions.router,
    links.router,
    embedded.router,
    controls.router,
    engine.router,
    exports.router,
    people.router,
    audit.router,
    docs.router,
    sign_in.router,
    slack.router,
    sql.router,
    usage.router,
)

METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]


def bare_app(lifespan: Lifespan[FastAPI] | None = None) -> FastAPI:
    """A FastAPI app without the documentation pages it comes with: they need a CDN."""
    return FastAPI(docs_url=None, redoc_url=None, openapi_url=None, lifespan=lifespan)


def create_api(
    app: FastAPI,
    *,
    store: Store,
    clock: Clock,
    settings: ApiSettings,
    readiness: Readiness,
    passwords: Passwords | None = None,
    wall: Clock | None = None,
    throttle: Throttle | None = None,
    tally: Tally | None = None,
    analyst: Analyst | None = None,
    rate_limits: RateLimits | None = None,
) -> Office:
    """Add the API and the door to an app, to which nothing else was added yet.

    Dash comes after, whose last route answers whatever is left; then `bring_door_outside`.

    Raises:
        UnusableKey: the session key can't be read or made.
    """
    key = secret_key(settings.home)
    wall = wall or WallClock()
    office = Office(
        store=store,
        clock=clock,
        wall=wall,
        settings=settings,
        readiness=readiness,
        passwords=passwords or Passwords(),
        sessions=Sessions(key, idle=settings.session_idle, length=settings.session_length),
        register=Register(store),
        throttle=throttle or Throttle(),
        links=LinkSigner(key),
        slack=Messenger(store, clock, wall, settings.slack),
        analyst=analyst,
    )
    app.state.office = office
    app.state.metrics = metrics.registry_of(store, clock, office.wall, settings.led_by)
    _add_routes(app)
    add_problem_handlers(app)
    app.add_middleware(Answers)
    app.add_middleware(usage.Counted, tally=tally or Tally(office.wall))
    app.add_middleware(Repeated, store=store, wall=office.wall)
    app.add_middleware(BodyLimit)
    app.add_middleware(RateLimited, limits=rate_limits or RateLimits(settings.requests_per_minute))
    app.add_middleware(SignInRequired, office=office)
    app.add_middleware(metrics.Measured, registry=app.state.metrics)
    return office


def bring_door_outside(app: FastAPI) -> None:
    """Put the door around the middleware that was added since; Dash's reads whole requests."""
    app.user_middleware.sort(key=_place)


def openapi_document() -> dict[str, Any]:
    """The API's OpenAPI document; it takes no warehouse."""
    app = bare_app()
    _add_routes(app)
    return docs.document_of(app)


def _place(middleware: Middleware) -> int:
    outermost: tuple[object, ...] = (
        metrics.Measured,
        SignInRequired,
        RateLimited,
        BodyLimit,
        Repeated,
        usage.Counted,
        Answers,
    )
    made_by: object = middleware.cls
    return outermost.index(made_by) if made_by in outermost else len(outermost)


def _add_routes(app: FastAPI) -> None:
    for router in ROUTERS:
        app.include_router(router)
    app.add_api_route("/api/openapi.json", _openapi, methods=["GET"], include_in_schema=False)
    app.add_api_route("/api/{path:path}", _nothing_here, methods=METHODS, include_in_schema=False)


async def _openapi(request: Request) -> JSONResponse:
    return JSONResponse(docs.document_of(request.app))


async def _nothing_here(request: Request, path: str) -> JSONResponse:
    """Unknown paths under /api end here: Dash's last route would say 200 to them."""
    methods = _methods_of(request)
    if methods:
        allow = ", ".join(sorted(methods))
        detail = f"this address takes {allow}"
        return problem_response(
            request.url.path, 405, "method not allowed", detail, {"Allow": allow}
        )
    detail = "nothing is at this address: /api/docs lists what there is"
    return problem_response(request.url.path, 404, "not found", detail)


def _methods_of(request: Request) -> set[str]:
    """The methods that a route of ours takes at this path."""
    found: set[str] = set()
    for router in ROUTERS:
        for route in router.routes:
            match, _ = route.matches(request.scope)
            if match is Match.PARTIAL:
                found |= set(getattr(route, "methods", ()))
    return found
