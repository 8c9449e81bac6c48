"""How the stand-in says no: Status objects with the words of a real API server."""

from __future__ import annotations

from typing import Any

from tests.stand_in.kinds import Kind

Body = dict[str, Any]


class Refusal(Exception):
    """An answer that is no success; `body` is its Status, or plain text."""

    def __init__(self, code: int, body: Body | str, retry_after: int | None = None) -> None:
        super().__init__(body if isinstance(body, str) else body["message"])
        self.code = code
        self.body = body
        self.retry_after = retry_after


def status(code: int, reason: str, message: str, details: Body | None = None) -> Body:
    """A Status of failure."""
    said: Body = {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": message,
        "reason": reason,
        "code": code,
    }
    if details is not None:
        said["details"] = details
    return said


def success(details: Body | None = None, code: int | None = None) -> Body:
    """A Status of success."""
    said: Body = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success"}
    if details is not None:
        said["details"] = details
    if code is not None:
        said["code"] = code
    return said


def details_of(kind: Kind, name: str) -> Body:
    """Which object it is about."""
    return {"name": name, **({"group": kind.group} if kind.group else {}), "kind": kind.plural}


def refuse(code: int, reason: str, message: str, details: Body | None = None) -> Refusal:
    return Refusal(code, status(code, reason, message, details))


def no_such_page() -> Refusal:
    """A path that nothing serves: plain text."""
    return Refusal(404, "404 page not found\n")


def not_found(kind: Kind, name: str) -> Refusal:
    message = f'{kind.qualified} "{name}" not found'
    return refuse(404, "NotFound", message, details_of(kind, name))


def exists_already(kind: Kind, name: str) -> Refusal:
    message = f'{kind.qualified} "{name}" already exists'
    return refuse(409, "AlreadyExists", message, details_of(kind, name))


def conflict(kind: Kind, name: str, why: str = "") -> Refusal:
    why = why or (
        "the object has been modified; please apply your changes to the latest version "
        "and try again"
    )
    message = f'Operation cannot be fulfilled on {kind.qualified} "{name}": {why}'
    return refuse(409, "Conflict", message, details_of(kind, name))


def other_uid(name: str, kind: str, wanted: str, found: str) -> Refusal:
    """A uid precondition that fails."""
    message = (
        f'Operation cannot be fulfilled on {kind} "{name}": the UID in the precondition '
        f"({wanted}) does not match the UID in record ({found}). The object might have been "
        "deleted and then recreated"
    )
    return refuse(409, "Conflict", message, {"name": name, "kind": kind})


def bad_request(message: str) -> Refusal:
    return refuse(400, "BadRequest", message)


def invalid(kind: str, group: str, name: str, field: str, why: str, reason: str = "") -> Refusal:
    """422 with one cause."""
    reason = reason or "FieldValueInvalid"
    shown = f"{kind}.{group}" if group else kind
    about = {"name": name, "group": group, "kind": kind}
    details = {
        **{key: value for key, value in about.items() if value},
        "causes": [{"reason": reason, "message": why, "field": field}],
    }
    return refuse(422, "Invalid", f'{shown} "{name}" is invalid: {field}: {why}', details)


def not_allowed() -> Refusal:
    message = "the server does not allow this method on the requested resource"
    return refuse(405, "MethodNotAllowed", message, {})


def unauthorised() -> Refusal:
    return refuse(401, "Unauthorized", "Unauthorized")


def forbidden(user: str, verb: str, kind: Kind, sub: str, namespace: str, name: str) -> Refusal:
    """403 with who may not do what, and where."""
    resource = kind.plural + (f"/{sub}" if sub else "")
    where = f'in the namespace "{namespace}"' if namespace else "at the cluster scope"
    named = f' "{name}"' if name else ""
    message = (
        f'{kind.qualified}{named} is forbidden: User "{user}" cannot {verb} resource '
        f'"{resource}" in API group "{kind.group}" {where}'
    )
    details = details_of(kind, name)
    return refuse(403, "Forbidden", message, details if name else {"kind": kind.plural})


def expired(message: str) -> Refusal:
    return refuse(410, "Expired", message)


def internal(message: str) -> Refusal:
    details = {"causes": [{"message": message}]}
    return refuse(500, "InternalError", f"Internal error occurred: {message}", details)
