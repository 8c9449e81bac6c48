"""The embedded decision: what its page says, who may answer by it, and what opens nothing.

Its parts are `embedded`, `embedded_pages` and `link_tokens`.
"""

from __future__ import annotations

import re
from datetime import timedelta
from html import unescape
from typing import Any

import httpx
import pytest
from pydantic import ValidationError
from starlette.testclient import TestClient

from api.link_tokens import LinkSigner, LinkTerms
from tests.api.conftest import ORIGIN, Console, MakeConsole, form_token
from tests.makers import NOON, make_decision
from warehouse.controls import set_four_eyes
from warehouse.decisions import DecisionState, approve, decision, propose
from warehouse.people import set_role
from warehouse.records import ApprovalLink
from warehouse.settings import Settings

ID = "decision-1"
LINKS = f"/api/v1/decisions/{ID}/links"
PORTAL = "https://portal.example.org"


@pytest.fixture
def waiting(make_console: MakeConsole) -> Console:
    console = make_console(embed_origins=(PORTAL, "http://localhost:3000"))
    propose(console.store, make_decision())
    propose(console.store, make_decision(decision_id="decision-2", target="pool/a100"))
    return console


def link_to(console: Console, name: str = "ann", right: str = "single_use", **more: Any) -> str:
    made = console.program("operator", name).post(LINKS, json={"right": right, **more})
    assert made.status_code == 201, made.text
    path: str = made.json()["path"]
    return path


def frame(console: Console) -> TestClient:
    """A browser that shows the page in a frame: it sends where forms come from, and no cookie."""
    visitor = console.visitor()
    visitor.headers.update({"origin": ORIGIN, "sec-fetch-site": "same-origin"})
    return visitor


def answer(
    console: Console, path: str, verdict: str = "approve", reason: str = "", **more: Any
) -> httpx.Response:
    visitor = frame(console)
    form = {"verdict": verdict, "reason": reason, "form_token": form_token(visitor.get(path))}
    return visitor.post(path, data=form | more)


def state(console: Console) -> DecisionState:
    return decision(console.store, ID, now=console.clock.now())


def test_the_page_says_what_on_what_why_for_how_much_and_until_when(waiting: Console) -> None:
    page = frame(waiting).get(link_to(waiting))
    words = unescape(re.sub(r"<[^>]+>", " ", page.text))
    made = make_decision()
    for part in (made.summary, made.target, made.reason, "Nodes 2", "$31.00/h", "$12.00 to $55.00"):
        assert part in " ".join(words.split()), part
    assert "2 Nov 2026, 14:00 UTC" in words
    assert "You answer as ann , once." in " ".join(words.split())
    assert page.headers["cache-control"] == "no-store"
    assert "set-cookie" not in page.headers
    assert "<script" not in page.text


def test_one_answers_without_a_cookie_and_once(waiting: Console) -> None:
    path = link_to(waiting)
    assert answer(waiting, path).status_code == 303
    assert (state(waiting).decided_by, state(waiting).decided_via) == ("ann", "link")
    assert "Decided by ann: approved" in frame(waiting).get(path).text
    token = waiting.office.links.form_token(path.split("link=")[1])
    again = frame(waiting).post(
        path, data={"verdict": "reject", "reason": "x", "form_token": token}
    )
    assert again.status_code == 409
    assert state(waiting).verdict == "approve"
    assert waiting.store.query("SELECT count(*) FROM verdicts").item() == 1


def test_a_no_needs_a_reason(waiting: Console) -> None:
    path = link_to(waiting)
    refused = answer(waiting, path, "reject")
    assert refused.status_code == 422
    assert "say why" in refused.text
    assert answer(waiting, path, "reject", "x" * 1001).status_code == 422
    assert answer(waiting, path, "reject", "<b>too dear</b>").status_code == 303
    page = frame(waiting).get(path).text
    assert "&lt;b&gt;too dear&lt;/b&gt;" in page
    assert "<b>too" not in page


def test_a_sign_in_link_shows_and_leads_but_decides_nothing(waiting: Console) -> None:
    path = link_to(waiting, right="sign_in")
    page = frame(waiting).get(path).text
    assert 'href="/decisions?search=decision-1" target="_blank"' in page
    assert "<form" not in page
    token = waiting.office.links.form_token(path.split("link=")[1])
    sent = frame(waiting).post(path, data={"verdict": "approve", "form_token": token})
    assert sent.status_code == 403
    assert state(waiting).state == "waiting"


def test_nobody_is_signed_in_in_a_frame(waiting: Console) -> None:
    path = link_to(waiting, right="sign_in")
    root = waiting.browser("admin")
    bare = root.get(f"/embed/decisions/{ID}")
    assert bare.status_code == 401
    assert make_decision().summary not in bare.text
    token = waiting.office.links.form_token(path.split("link=")[1])
    assert root.post(path, data={"verdict": "approve", "form_token": token}).status_code == 403
    assert state(waiting).state == "waiting"


def changed(path: str, where: int) -> str:
    return path[:where] + ("A" if path[where] != "A" else "B") + path[where + 1 :]


def test_what_is_forged_opens_nothing(waiting: Console) -> None:
    path = link_to(waiting)
    start = path.index("link=") + 5
    console = waiting.office
    other_key = LinkSigner(b"k" * 32)
    link = waiting.store.rows(ApprovalLink, "SELECT * FROM approval_links")[0]
    cookies = waiting.browser("admin").cookies
    session = cookies[console.sessions.cookie_name(is_secure=False)]
    forged = [
        f"/embed/decisions/{ID}",
        f"/embed/decisions/{ID}?link=",
        f"/embed/decisions/{ID}?link={'A' * 5000}",
        f"/embed/decisions/{ID}?link=%ff%00",
        f"{path}&link=x",
        changed(path, start + 4),
        changed(path, len(path) - 6),
        path.replace(ID, "decision-2"),
        path.replace(ID, "decision-1%27%20OR%201=1"),
        path.replace("/decisions/", "/anything/"),
        path.replace("/embed/decisions/", "/embed/../api/v1/decisions/"),
        f"/embed/decisions/{ID}?link={other_key.signed(link)}",
        f"/embed/decisions/{ID}?link={session}",
    ]
    for each in forged:
        for method in ("GET", "POST", "PUT", "DELETE"):
            told = frame(waiting).request(method, each)
            assert told.status_code == 401, each
            assert make_decision().summary not in told.text, each
    assert frame(waiting).get(path).status_code == 200
    assert state(waiting).state == "waiting"


def test_a_link_opens_its_page_and_nothing_else(waiting: Console) -> None:
    link = link_to(waiting).split("?")[1]
    for path in ("/", f"/api/v1/decisions/{ID}", f"/api/v1/decisions/{ID}/approve", "/metrics"):
        assert frame(waiting).get(f"{path}?{link}").status_code == 401, path
        assert frame(waiting).post(f"{path}?{link}").status_code == 401, path


def test_a_form_of_another_page_is_refused(waiting: Console) -> None:
    path = link_to(waiting)
    form = {"verdict": "approve", "form_token": form_token(frame(waiting).get(path))}
    evil = waiting.visitor()
    for headers in (
        {},
        {"origin": PORTAL},
        {"origin": "null"},
        {"origin": ORIGIN, "sec-fetch-site": "cross-site"},
    ):
        assert evil.post(path, data=form, headers=headers).status_code == 403
    stale = frame(waiting).post(path, data=form | {"form_token": "0" * 64})
    assert stale.status_code == 403
    assert "load the page again" in stale.text
    other = form_token(frame(waiting).get(link_to(waiting)))
    assert frame(waiting).post(path, data=form | {"form_token": other}).status_code == 403
    assert frame(waiting).post(path, data=form | {"form_token": "ö"}).status_code == 403
    assert state(waiting).state == "waiting"


def test_malformed_and_oversized_forms_are_refused(waiting: Console) -> None:
    path = link_to(waiting)
    assert answer(waiting, path, verdict="override").status_code == 422
    assert frame(waiting).post(path, content=b"\xff" * 100).status_code == 422
    assert frame(waiting).post(path, data={"reason": "x" * 2_000_000}).status_code == 413
    assert state(waiting).state == "waiting"


def test_it_is_said_plainly_why_nothing_can_be_decided(waiting: Console) -> None:
    short = link_to(waiting, validity_seconds=60)
    lasting = link_to(waiting, validity_seconds=86_400)
    taken_back = link_to(waiting, "ben")
    (mine,) = [
        each["link_id"] for each in waiting.program("operator", "ben").get(LINKS).json()["items"]
    ]
    waiting.program("operator", "ben").delete(f"{LINKS}/{mine}")
    told = frame(waiting).get(taken_back)
    assert (told.status_code, "was taken back" in told.text) == (410, True)
    waiting.wall.turn(timedelta(seconds=61))
    told = frame(waiting).get(short)
    assert (told.status_code, "has expired" in told.text) == (410, True)
    assert frame(waiting).post(short).status_code == 410
    waiting.clock.turn(timedelta(hours=3))
    assert "nobody decided in time" in frame(waiting).get(lasting).text


def test_four_eyes_hold_and_it_is_said_who_is_awaited(waiting: Console) -> None:
    given = {"by": "root", "reason": None, "now": NOON, "via": "api"}
    set_four_eyes(waiting.store, "scale_up", True, **given)
    path, again, other = link_to(waiting), link_to(waiting), link_to(waiting, "ben")
    assert answer(waiting, path).status_code == 303
    for mine in (path, again):
        page = frame(waiting).get(mine).text
        assert "ann has said yes. It waits for another person" in page
        assert "<form" not in page
    assert "1 of 2: ann" in frame(waiting).get(other).text
    assert answer(waiting, other).status_code == 303
    assert state(waiting).deciders == "ann and ben"


def test_who_lost_their_role_meanwhile_decides_nothing(waiting: Console) -> None:
    path = link_to(waiting)
    visitor = frame(waiting)
    form = {"verdict": "approve", "form_token": form_token(visitor.get(path))}
    set_role(waiting.store, "ann", "viewer", now=waiting.wall.now())
    assert visitor.post(path, data=form).status_code == 410
    assert state(waiting).state == "waiting"


def test_who_was_faster_is_named(waiting: Console) -> None:
    path = link_to(waiting)
    visitor = frame(waiting)
    form = {"verdict": "reject", "reason": "no", "form_token": form_token(visitor.get(path))}
    approve(waiting.store, ID, by="cleo", via="api", now=NOON)
    late = visitor.post(path, data=form)
    assert late.status_code == 409
    assert "Decided by cleo" in late.text


def test_only_this_page_may_be_framed_and_only_by_those_listed(
    waiting: Console, make_console: MakeConsole
) -> None:
    path = link_to(waiting)
    for each in (path, f"{path}x"):
        headers = frame(waiting).get(each).headers
        policy = headers["content-security-policy"]
        assert policy.endswith(f"frame-ancestors {PORTAL} http://localhost:3000")
        assert "script" not in policy
        assert "x-frame-options" not in headers
    for other in ("/sign-in", "/embed.css", "/decisions"):
        headers = frame(waiting).get(other).headers
        assert "frame-ancestors 'none'" in headers["content-security-policy"]
        assert headers["x-frame-options"] == "DENY"
    closed = make_console()
    headers = closed.visitor().get(path).headers
    assert headers["content-security-policy"].endswith("frame-ancestors 'none'")
    assert headers["x-frame-options"] == "DENY"


def test_a_signed_link_is_read_as_it_was_made() -> None:
    link = ApprovalLink(
        link_id="l",
        decision_id=ID,
        action_hash="h",
        right="sign_in",
        made_by="ann",
        is_active=True,
        expires_at=NOON,
        recorded_at=NOON,
    )
    signer = LinkSigner(b"k" * 32)
    terms = LinkTerms("l", ID, "h", "sign_in", int(NOON.timestamp()))
    assert signer.terms_of(signer.signed(link)) == terms
    assert LinkSigner(b"l" * 32).terms_of(signer.signed(link)) is None
    assert terms.is_over(NOON)
    assert not terms.is_over(NOON - timedelta(seconds=1))


@pytest.mark.parametrize(
    "listed",
    [
        "*",
        "portal.example.org",
        "https://a; script-src *",
        "https://a 'self'",
        "https://a\n",
        "data:",
    ],
)
def test_what_is_no_origin_does_not_come_into_the_policy(listed: str) -> None:
    with pytest.raises(ValidationError):
        Settings(embed_origins=listed)
    assert Settings(embed_origins="https://a.example, http://localhost:3000").embed_origins
