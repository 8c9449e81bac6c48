"""So many requests a minute a token, and each answer says what is left."""

from __future__ import annotations

import re

from api.rate_limits import BUCKETS_MAX, RateLimits
from tests.api.conftest import Console, MakeConsole


def left(answer) -> int:
    found = re.fullmatch(r'"token";r=(\d+);t=\d+', answer.headers["ratelimit"])
    assert found, answer.headers
    return int(found.group(1))


def test_every_answer_says_what_is_left_and_the_last_is_refused(make_console: MakeConsole) -> None:
    console = make_console(requests_per_minute=3)
    program = console.program("viewer")
    answers = [program.get("/api/v1/me") for _ in range(3)]
    assert [answer.status_code for answer in answers] == [200, 200, 200]
    assert [left(answer) for answer in answers] == [2, 1, 0]
    assert answers[0].headers["ratelimit-policy"] == '"token";q=3;w=60'
    refused = program.get("/api/v1/me")
    assert refused.status_code == 429
    assert refused.json()["type"] == "urn:pilothouse:problem:too-many-requests"
    assert refused.headers["retry-after"] == "20"
    assert "content-security-policy" in refused.headers
    console.seconds[0] += 20.0
    assert program.get("/api/v1/me").status_code == 200
    assert program.get("/api/v1/me").status_code == 429


def test_one_token_does_not_use_up_anothers(make_console: MakeConsole) -> None:
    console = make_console(requests_per_minute=2)
    first, second = console.program("viewer"), console.program("viewer")
    for _ in range(3):
        last = first.get("/api/v1/me")
    assert last.status_code == 429
    assert second.get("/api/v1/me").status_code == 200
    assert first.get("/healthz").status_code == 200, "probes are never counted"


def test_pages_are_not_counted_and_no_limit_says_nothing(make_console: MakeConsole) -> None:
    console = make_console(requests_per_minute=1)
    browser = console.browser("viewer")
    assert browser.get("/password").status_code == browser.get("/password").status_code == 200


def test_without_a_limit_nothing_is_said(console: Console) -> None:
    answer = console.program("viewer").get("/api/v1/me")
    assert "ratelimit" not in answer.headers


def test_a_bucket_fills_evenly_and_never_beyond_its_size() -> None:
    seconds = [1000.0]
    limits = RateLimits(60, lambda: seconds[0])
    assert sum(limits.count("a").is_within for _ in range(100)) == 60
    seconds[0] += 5.0
    assert sum(limits.count("a").is_within for _ in range(100)) == 5
    seconds[0] += 3600.0
    assert sum(limits.count("a").is_within for _ in range(100)) == 60


def test_no_more_buckets_are_kept_than_there_is_room_for() -> None:
    limits = RateLimits(1, lambda: 0.0)
    assert limits.count("first").is_within
    for number in range(BUCKETS_MAX):
        limits.count(f"other-{number}")
    assert limits.count("first").is_within, "it was let go"
    assert not limits.count(f"other-{BUCKETS_MAX - 1}").is_within
