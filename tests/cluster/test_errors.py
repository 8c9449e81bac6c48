"""Each way in which Kubernetes says no has its own name."""

from __future__ import annotations

import pytest

from cluster import errors
from cluster.errors import error_of


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, errors.Invalid),
        (401, errors.Unauthorised),
        (403, errors.Forbidden),
        (404, errors.NotFound),
        (405, errors.Invalid),
        (409, errors.Conflict),
        (410, errors.Expired),
        (415, errors.Invalid),
        (422, errors.Invalid),
        (429, errors.TooManyRequests),
        (500, errors.Unavailable),
        (503, errors.Unavailable),
    ],
)
def test_a_status_has_its_error(status: int, kind: type[errors.ClusterError]) -> None:
    error = error_of(status, {"message": "why", "reason": "R"}, "GET /x")
    assert type(error) is kind
    assert (error.status, error.reason) == (status, "R")
    assert str(error) == f"GET /x: {status} why"


def test_a_budget_is_told_from_a_busy_server() -> None:
    causes = {"details": {"causes": [{"reason": "DisruptionBudget", "message": "m"}]}}
    refused = error_of(429, {"message": "no", **causes}, "POST eviction")
    busy = error_of(429, {"message": "later"}, "GET /x", retry_after_seconds=2.0)
    assert isinstance(refused, errors.TooManyRequests)
    assert isinstance(busy, errors.TooManyRequests)
    assert refused.is_disruption_budget
    assert not busy.is_disruption_budget
    assert busy.retry_after_seconds == 2.0


@pytest.mark.parametrize("body", ["404 page not found\n", {}, None, {"details": None}])
def test_an_answer_without_a_status_object_is_an_error_too(body: object) -> None:
    error = error_of(404, body, "GET /apis/no.such/v1")
    assert isinstance(error, errors.NotFound)
    assert error.is_unknown_kind
    assert error.causes == ()
    assert "404" in str(error)


def test_a_conflict_says_whether_it_exists_already() -> None:
    there = error_of(409, {"reason": "AlreadyExists"}, "POST /x")
    changed = error_of(409, {"reason": "Conflict"}, "PUT /x")
    assert isinstance(there, errors.Conflict)
    assert isinstance(changed, errors.Conflict)
    assert there.exists_already
    assert not changed.exists_already
