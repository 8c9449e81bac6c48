"""/api/docs and /api/openapi.json: what the API is, on a page that needs no other network."""

from __future__ import annotations

from importlib.resources import files
from typing import Any, Literal

from fastapi import APIRouter, FastAPI
from fastapi.openapi.utils import get_openapi
from fastapi.responses import HTMLResponse, Response
from fastapi.routing import APIRoute
from starlette.routing import BaseRoute

from api.problems import MEDIA_TYPE, Problem
from api.repeats import CHANGES_NOTHING, KEY_LENGTH_MAX

router = APIRouter(prefix="/api", include_in_schema=False)

TITLE = "Pilothouse"
API_VERSION = "1"
DESCRIPTION = """
The console from which a GPU cloud is steered, for programs.

**Signing in.** Send an API token as `Authorization: Bearer pht_…`. Make one under `POST
/api/v1/tokens`, or trade a name and password for one that holds 12 hours under `POST
/api/v1/sign-in`. Roles: a viewer reads, an operator also decides, an admin also sets.

**Units** are the last words of names; instants end in `_at` and are UTC. A missing measurement
is null, never 0.

**Errors** are problem details (RFC 9457): `type` is for programs, `detail` says what to do next.

**Sending again.** A POST with an `Idempotency-Key` of your choice is done once within 24 hours:
sent again it is answered as the first time, with `Idempotency-Replayed: true`. An answer that told
a secret is not kept; then it is 409.

**Less of it.** `fields=job_id,state` leaves the other fields out. Each answer to a GET has an
`ETag`: send it as `If-None-Match` and you get 304 while nothing has changed.

**How often.** `RateLimit-Policy` says how many requests a minute a token may send, `RateLimit` how
many are left; beyond that it is 429 with `Retry-After`.

**Paging.** `offset` and `limit` in, `total` out, and a `Link` header to the pages around. To go
through a list that grows meanwhile, send each answer's `next_cursor` back as `cursor`.
"""

_ERRORS = {
    400: "What was sent can't be read.",
    401: "Not signed in.",
    403: "Signed in, but not allowed to.",
    404: "There is no such thing.",
    409: "Somebody was faster, or it is in no state for this.",
    410: "Too late.",
    412: "What you saw is not what it is now.",
    413: "What was sent is too large.",
    422: "What was sent will not do.",
    429: "Too many requests, or tries; `Retry-After` says how long to wait.",
    500: "A fault of ours, with the reference under which the log has it.",
    503: "Not now; `Retry-After` says when to ask again.",
}

_FIELDS: dict[str, Any] = {
    "name": "fields",
    "in": "query",
    "description": "Only these fields of each row, or of the one thing, separated by commas.",
    "schema": {"type": "string"},
}
_IF_NONE_MATCH: dict[str, Any] = {
    "name": "If-None-Match",
    "in": "header",
    "description": "The ETag you have: 304 and no body while the answer is the same.",
    "schema": {"type": "string"},
}
_IDEMPOTENCY_KEY: dict[str, Any] = {
    "name": "Idempotency-Key",
    "in": "header",
    "description": (
        "A key of your choice, a UUID for example: the same request sent again with it within "
        "24 hours is done once, and answered as the first time."
    ),
    "schema": {"type": "string", "minLength": 1, "maxLength": KEY_LENGTH_MAX},
}
_UNCHANGED = {"description": "The answer you have is the one."}
_ETAG = {"description": "The answer's digest.", "schema": {"type": "string"}}
_RATE_HEADERS: dict[str, Any] = {
    name: {"description": words, "schema": {"type": "string"}}
    for name, words in {
        "RateLimit": "Requests that may follow at once, and seconds until all may.",
        "RateLimit-Policy": "Requests a minute; missing where there is no limit.",
    }.items()
}

_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Pilothouse API</title>
<link rel="stylesheet" href="/api/docs/swagger-ui.css">
</head>
<body>
<div id="docs"></div>
<script src="/api/docs/swagger-ui-bundle.js"></script>
<script src="/api/docs/start.js"></script>
</body>
</html>
"""

_START = """SwaggerUIBundle({
  url: "/api/openapi.json",
  dom_id: "#docs",
  deepLinking: true,
  defaultModelsExpandDepth: 0,
  displayRequestDuration: true,
  presets: [SwaggerUIBundle.presets.apis],
  validatorUrl: null,
});
"""

_FILES = {
    "swagger-ui-bundle.js": "text/javascript",
    "swagger-ui.css": "text/css",
}
"""Swagger UI's own files, from a package: the page FastAPI has fetches them from a CDN."""


@router.get("/docs")
async def docs() -> HTMLResponse:
    """The API to read and to try."""
    return HTMLResponse(_PAGE)


@router.get("/docs/start.js")
async def start() -> Response:
    """What starts the page; in a file because the content policy wants no script in the page."""
    return Response(_START, media_type="text/javascript")


@router.get("/docs/{name}")
def docs_file(name: Literal["swagger-ui-bundle.js", "swagger-ui.css"]) -> Response:
    """A file of Swagger UI's."""
    content = (files("fastapi_offline") / "static" / name).read_bytes()
    kept = {"cache-control": "private, max-age=86400"}
    return Response(content, media_type=_FILES[name], headers=kept)


def document_of(app: FastAPI) -> dict[str, Any]:
    """The OpenAPI document of an app's routes, Dash's left out."""
    ours = [route for route in app.routes if not _is_dash(route)]
    document = get_openapi(title=TITLE, version=API_VERSION, description=DESCRIPTION, routes=ours)
    document["components"]["securitySchemes"] = {
        "token": {"type": "http", "scheme": "bearer", "description": "An API token, `pht_…`."}
    }
    document["security"] = [{"token": []}]
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            _complete(method, path, operation)
    document["components"]["schemas"].pop("HTTPValidationError", None)
    document["components"]["schemas"].pop("ValidationError", None)
    document["components"]["schemas"].update(_problem_schemas())
    return document


def _is_dash(route: BaseRoute) -> bool:
    return isinstance(route, APIRoute) and not route.path.startswith(("/api", "/healthz"))


def _complete(method: str, path: str, operation: dict[str, Any]) -> None:
    operation["summary"] = operation["description"].split("\n")[0].split(". ")[0].rstrip(".")
    operation["responses"].pop("422", None)
    if path in ("/healthz", "/readyz", "/api/v1/sign-in"):
        operation["security"] = []
    if path.startswith("/api/v1/"):
        _add_what_all_can(method, path, operation)
    content = {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}
    for status, words in _ERRORS.items():
        operation["responses"].setdefault(str(status), {"description": words, "content": content})


def _add_what_all_can(method: str, path: str, operation: dict[str, Any]) -> None:
    """What the layers around every route add: `answers.py`, `repeats.py`, `rate_limits.py`."""
    parameters = operation.setdefault("parameters", [])
    answered = operation["responses"].get("200", {})
    if method == "get" and "application/json" in answered.get("content", {}):
        parameters += [_FIELDS, _IF_NONE_MATCH]
        operation["responses"].setdefault("304", _UNCHANGED)
        answered.setdefault("headers", {})["ETag"] = _ETAG
    if method == "post" and path not in CHANGES_NOTHING:
        parameters.append(_IDEMPOTENCY_KEY)
    for status, response in operation["responses"].items():
        if status.startswith("2"):
            response.setdefault("headers", {}).update(_RATE_HEADERS)


def _problem_schemas() -> dict[str, Any]:
    schema = Problem.model_json_schema(ref_template="#/components/schemas/{model}")
    return {**schema.pop("$defs", {}), "Problem": schema}
