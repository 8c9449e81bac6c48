"""How Kubernetes says no, as errors named for the state.

ClusterError
├── NotConfigured       no cluster was given, or its kubeconfig can't be read
├── Unreachable         no answer, or the connection broke: ask again
├── Unavailable         an answer of 5xx: the API server is in trouble
├── Unauthorised        401: the credentials are not known
├── Forbidden           403: a right is missing
├── NotFound            404: the object, or (`is_unknown_kind`) its whole kind, is not there
├── Conflict            409: somebody else changed it, or it exists already
├── Expired             410: that version is compacted away: list again
├── Invalid             4xx else: the request can't be had; repeating it is in vain
└── TooManyRequests     429: later; `is_disruption_budget` where a PodDisruptionBudget says no
"""

from __future__ import annotations

from typing import Any


class ClusterError(Exception):
    """A request to the API server was not fulfilled.

    `status` is its HTTP status, 0 where there was no answer; `reason` and `causes` are those of the
    answer's Status object.
    """

    def __init__(
        self,
        message: str,
        *,
        status: int = 0,
        reason: str = "",
        causes: tuple[str, ...] = (),
        retry_after_seconds: float | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.reason = reason
        self.causes = causes
        self.retry_after_seconds = retry_after_seconds


class NotConfigured(ClusterError):
    """No cluster was given, or its kubeconfig can't be read."""


class Unreachable(ClusterError):
    """No answer, or the connection broke."""


class Unavailable(ClusterError):
    """The API server is in trouble."""


class Unauthorised(ClusterError):
    """The credentials are not known."""


class Forbidden(ClusterError):
    """A right is missing."""


class NotFound(ClusterError):
    """The object is not there."""

    @property
    def is_unknown_kind(self) -> bool:
        """Whether its whole group or kind is not served: the answer is then plain text."""
        return self.reason != "NotFound"


class Conflict(ClusterError):
    """Somebody else changed it, or it exists already."""

    @property
    def exists_already(self) -> bool:
        """Whether it was to be made and is there."""
        return self.reason == "AlreadyExists"


class Expired(ClusterError):
    """That version is compacted away: list again."""


class Invalid(ClusterError):
    """The request can't be had; repeating it is in vain."""


class TooManyRequests(ClusterError):
    """Later."""

    @property
    def is_disruption_budget(self) -> bool:
        """Whether a PodDisruptionBudget says no, rather than a busy server."""
        return "DisruptionBudget" in self.causes


_BY_STATUS: dict[int, type[ClusterError]] = {
    401: Unauthorised,
    403: Forbidden,
    404: NotFound,
    409: Conflict,
    410: Expired,
    429: TooManyRequests,
}


def error_of(
    status: int, body: Any, asked: str, retry_after_seconds: float | None = None
) -> ClusterError:
    """The error of an answer; `body` is its Status object, or text where it sent none."""
    said = body if isinstance(body, dict) else {}
    message = said.get("message") or (body if isinstance(body, str) else "") or "no word why"
    causes = tuple(
        str(cause.get("reason", "")) for cause in (said.get("details") or {}).get("causes") or ()
    )
    kind = _BY_STATUS.get(status, Unavailable if status >= 500 else Invalid)
    return kind(
        f"{asked}: {status} {message.strip()}",
        status=status,
        reason=str(said.get("reason", "")),
        causes=causes,
        retry_after_seconds=retry_after_seconds,
    )
