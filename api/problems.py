"""Every error as an RFC 9457 problem: `type`, `title`, `status`, `detail`, `instance`.

The warehouse's errors already say what to do next; here each gets its status.
"""

from __future__ import annotations

import logging
import re
import secrets
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict
from starlette.exceptions import HTTPException

from api.headers import security_headers
from warehouse import (
    approval_links,
    export_errors,
    paging,
    people,
    policies,
    series,
    tokens,
    unit_costs,
)
from warehouse.actions import InvalidParameters
from warehouse.controls import ControlError, InvalidLimit
from warehouse.decisions import (
    ActionChanged,
    AlreadyApproved,
    AlreadyDecided,
    Expired,
    NoSuchDecision,
    NotUndoable,
    NotWithdrawable,
    NotYetExpired,
    ReasonNeeded,
    SecondPersonNeeded,
    TargetBusy,
)

MEDIA_TYPE = "application/problem+json"
TYPE_PREFIX = "urn:pilothouse:problem:"

STATUS_OF: dict[type[Exception], int] = {
    NoSuchDecision: 404,
    AlreadyDecided: 409,
    AlreadyApproved: 409,
    SecondPersonNeeded: 409,
    TargetBusy: 409,
    NotUndoable: 409,
    NotWithdrawable: 409,
    NotYetExpired: 409,
    Expired: 410,
    ActionChanged: 412,
    ReasonNeeded: 422,
    InvalidParameters: 422,
    InvalidLimit: 422,
    ControlError: 422,
    unit_costs.InvalidUnitCost: 422,
    paging.BadCursor: 422,
    series.NoSuchMetric: 404,
    series.NoSuchEntity: 422,
    series.BadSteps: 422,
    people.NoSuchUser: 404,
    people.NameTaken: 409,
    people.LastAdmin: 409,
    people.BadName: 422,
    people.WeakPassword: 422,
    policies.NoSuchPolicy: 404,
    export_errors.NoSuchExport: 404,
    export_errors.NotMetered: 409,
    export_errors.ExportUnderWay: 409,
    export_errors.BadSpan: 422,
    export_errors.ExportError: 502,
    tokens.NoSuchToken: 404,
    tokens.LinkIsUsed: 410,
    tokens.TooMuch: 403,
    approval_links.NoSuchLink: 404,
    approval_links.LinkNotGranted: 403,
    approval_links.LinkIsOver: 410,
}
"""The status of each error; one that is not here is a fault of ours, 500."""

_log = logging.getLogger(__name__)


class Fault(BaseModel):
    """One thing wrong with what was sent."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    location: str
    """Where, for example `body.parameters`."""
    message: str
    """What is wrong with it."""


class Problem(BaseModel):
    """An error, as RFC 9457 has it."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    type: str
    """The kind of problem, for programs."""
    title: str
    """The kind of problem, for people."""
    status: int
    """The HTTP status."""
    detail: str
    """What happened and what to do next."""
    instance: str
    """The path that was asked for."""
    errors: list[Fault] | None = None
    """Of a 422: each thing that is wrong."""
    reference: str | None = None
    """Of a 500: by which it is found in the console's log."""


class Refused(Exception):
    """The API itself says no."""

    def __init__(
        self, status: int, kind: str, detail: str, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(detail)
        self.status, self.kind, self.detail, self.headers = status, kind, detail, headers


def problem_response(
    path: str,
    status: int,
    kind: str,
    detail: str,
    headers: Mapping[str, str] | None = None,
    **more: Any,
) -> JSONResponse:
    """A problem as an answer; `kind` is in words, `already decided`."""
    problem = Problem(
        type=TYPE_PREFIX + kind.replace(" ", "-"),
        title=kind.capitalize(),
        status=status,
        detail=detail,
        instance=path,
        **more,
    )
    body = problem.model_dump(exclude_none=True)
    return JSONResponse(body, status, dict(headers or {}), media_type=MEDIA_TYPE)


def add_problem_handlers(app: FastAPI) -> None:
    """Answer every error of an app with a problem."""
    for error_class in STATUS_OF:
        app.add_exception_handler(error_class, _known)
    app.add_exception_handler(Refused, _refused)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(Exception, _fault)


def _status_of(error: Exception) -> int:
    return next(STATUS_OF[cls] for cls in type(error).__mro__ if cls in STATUS_OF)


def _in_words(name: str) -> str:
    return re.sub(r"(?<!^)(?=[A-Z])", " ", name).lower()


def _known(request: Request, error: Exception) -> JSONResponse:
    kind = _in_words(type(error).__name__)
    return problem_response(request.url.path, _status_of(error), kind, str(error))


def _refused(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, Refused)
    return problem_response(request.url.path, error.status, error.kind, error.detail, error.headers)


_HTTP_DETAILS = {
    400: "what was sent can't be read: send JSON, in UTF-8",
    404: "nothing is at this address: /api/docs lists what there is",
    405: "this address doesn't take this method: the Allow header says which it takes",
    413: "what was sent is too large",
}


def _http(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    phrase = HTTPStatus(error.status_code).phrase
    detail = _HTTP_DETAILS.get(error.status_code, str(error.detail))
    return problem_response(
        request.url.path, error.status_code, phrase.lower(), detail, error.headers
    )


def _invalid(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    faults = [
        Fault(location=".".join(str(part) for part in each["loc"]), message=each["msg"])
        for each in error.errors()
    ]
    detail = "; ".join(f"{fault.location}: {fault.message}" for fault in faults)
    return problem_response(request.url.path, 422, "invalid request", detail, errors=faults)


def _fault(request: Request, error: Exception) -> JSONResponse:
    """What went wrong stays in the log; the asker gets the reference to find it there."""
    reference = secrets.token_hex(4)
    where = (request.method, request.url.path, reference)
    _log.error("%s %s failed, reference %s", *where, exc_info=error)
    detail = f"the console failed to answer: its log says why, under the reference {reference}"
    # This answer is made outside of the door, which would have added the headers.
    headers = security_headers(request.app.state.office.settings, is_secure=False)
    return problem_response(
        request.url.path, 500, "internal error", detail, headers, reference=reference
    )
