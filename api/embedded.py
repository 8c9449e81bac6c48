"""/embed/decisions/{id}: one decision as a small page for a frame, opened by a signed link.

Nobody is signed in there: a browser sends no cookies into another's frame, and would else lend
its user's rights to whoever frames the page. What a link may do stands in the link. GET changes
nothing, so that what looks at links before people do uses none up.
"""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import Annotated, Literal
from urllib.parse import parse_qs

from fastapi import APIRouter, Form, Query, Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse
from starlette.types import Scope

from api import embedded_pages as pages
from api.link_tokens import LENGTH_MAX, LinkTerms
from api.office import Here, Office
from api.problems import STATUS_OF
from warehouse import approval_links
from warehouse.approval_links import REASON_LENGTH_MAX, LinkError
from warehouse.approvals import approvals, said_so_far
from warehouse.decidable import decision_of, meant
from warehouse.decisions import ActionChanged, DecisionError, decision

router = APIRouter(include_in_schema=False, max_body_size=65_536)

PREFIX = "/embed/"

Link = Annotated[str, Query(max_length=LENGTH_MAX)]
Field = Annotated[str, Form()]

STALE_FORM = "this form was not made for this link: load the page again"


def is_embedded(path: str) -> bool:
    """Whether a path is one of the pages for frames."""
    return path.startswith(PREFIX)


def link_refusal(scope: Scope, office: Office) -> Response | None:
    """What the door says to who has no valid link to exactly this page; None where they have."""
    terms = _terms(scope, office)
    if terms is None or scope["path"] != f"{PREFIX}decisions/{terms.decision_id}":
        return HTMLResponse(pages.no_link_page(), 401)
    if terms.is_over(office.wall.now()):
        return HTMLResponse(pages.over_page("this link has expired: ask for another"), 410)
    return None


@router.get("/embed.css")
async def style() -> Response:
    """The style of these pages."""
    kept = {"cache-control": "public, max-age=300"}
    return Response(_style(), media_type="text/css", headers=kept)


@router.get("/embed/decisions/{decision_id}")
def show(here: Here, decision_id: str, link: Link) -> Response:
    """The decision as it stands, and what this link may say to it."""
    return _page(here, decision_id, link)


@router.post("/embed/decisions/{decision_id}")
def decide(
    request: Request,
    here: Here,
    decision_id: str,
    link: Link,
    verdict: Annotated[Literal["approve", "reject"], Form()],
    reason: Field = "",
    form_token: Field = "",
) -> Response:
    """Say yes or no by a link that carries that right, once."""
    terms = here.links.terms_of(link)
    if terms is None or not here.links.form_is_ours(link, form_token):
        return _page(here, decision_id, link, STALE_FORM, 403)
    if len(reason) > REASON_LENGTH_MAX:
        words = f"a reason has at most {REASON_LENGTH_MAX} characters: say it in fewer"
        return _page(here, decision_id, link, words, 422)
    try:
        approval_links.decide_by_link(
            here.store,
            decision_id,
            terms.link_id,
            verdict,
            reason=reason.strip() or None,
            now=here.wall.now(),
            decided_at=here.clock.now(),
        )
    except (LinkError, DecisionError) as error:
        return _page(here, decision_id, link, str(error), STATUS_OF[type(error)])
    # To the page again, so that loading it anew sends nothing again.
    return RedirectResponse(f"{request.url.path}?{request.url.query}", 303)


# -- how -------------------------------------------------------------------------------


def _terms(scope: Scope, office: Office) -> LinkTerms | None:
    try:
        query = parse_qs(scope.get("query_string", b"").decode("ascii"), max_num_fields=8)
    except ValueError:
        return None
    given = query.get("link", [])
    return office.links.terms_of(given[0]) if len(given) == 1 else None


def _page(
    here: Office, decision_id: str, text: str, error: str = "", status: int = 200
) -> Response:
    """The page as things stand now, after what went wrong with what was sent."""
    terms = here.links.terms_of(text)
    assert terms is not None, "the door lets nobody in without"
    try:
        link = approval_links.link(here.store, decision_id, terms.link_id)
        found = decision(here.store, decision_id, now=here.clock.now())
        parameters = meant(here.store, decision_of(here.store, decision_id), link.action_hash)
    except (LinkError, ActionChanged) as gone:
        return HTMLResponse(pages.over_page(str(gone)), 410)
    except DecisionError as gone:
        return HTMLResponse(pages.over_page(str(gone)), STATUS_OF[type(gone)])
    over = approval_links.why_over(here.store, link, now=here.wall.now())
    if over is not None:
        return HTMLResponse(pages.over_page(over), 410)
    said = said_so_far(found.action_hash, approvals(here.store, decision_id))
    is_used_up = approval_links.is_used_up(here.store, link)
    fate = pages.fate(found, link, said, is_used_up=is_used_up)
    answer = "" if fate else pages.way_in(decision_id)
    if not fate and link.speaks_for is not None:
        answer = pages.form(here.links.form_token(text), text, decision_id, link.speaks_for)
    body = pages.decision_page(
        found, parameters, said=said, fate=fate or "", answer=answer, error=error
    )
    return HTMLResponse(body, status)


@cache
def _style() -> bytes:
    return (files("api") / "static" / "embed.css").read_bytes()
