"""/api/v1/decisions/{id}/links: signed links to one decision, for other tools' frames."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Annotated, Any
from urllib.parse import quote

from fastapi import APIRouter, Depends, Request
from pydantic import Field

from api.office import Address, Here, Operator
from api.problems import Refused
from api.repeats import tells_a_secret
from api.shapes import Paged, Rows, Sent, shape_of
from warehouse import approval_links
from warehouse.approval_links import (
    VALIDITY_SECONDS_DEFAULT,
    VALIDITY_SECONDS_MAX,
    VALIDITY_SECONDS_MIN,
    NoSuchLink,
    Right,
)
from warehouse.people import Person
from warehouse.records import ApprovalLink

router = APIRouter(prefix="/api/v1/decisions/{decision_id}/links", tags=["decisions"])

LinkShape = shape_of(ApprovalLink)


class NewLink(Sent):
    """A link to be."""

    right: Right = "sign_in"
    """`sign_in`: it shows the decision and leads to the console. `single_use`: it carries one
    verdict of the user it speaks for."""
    speaks_for: str | None = None
    """Of a single-use link: whose verdict it carries; yours where left out. Others' need an
    admin, and where two people must agree each makes their own."""
    validity_seconds: Annotated[int, Field(ge=VALIDITY_SECONDS_MIN, le=VALIDITY_SECONDS_MAX)] = (
        VALIDITY_SECONDS_DEFAULT
    )
    """For how long it opens, by the machine's clock."""
    action_hash: str | None = None
    """The hash of what a yes by it is to, where somebody has edited the action; as proposed
    without it."""


class IssuedLink(LinkShape):  # type: ignore[misc, valid-type]
    """A link as it is told to whoever made it, this once."""

    path: str
    """The page's path and query, to be put behind the console's address."""
    url: str
    """The page, by the name that the console was asked by. Whoever has it has its right."""


@router.post("", response_model=IssuedLink, status_code=201, dependencies=[Depends(tells_a_secret)])
def make_link(
    request: Request,
    here: Here,
    person: Operator,
    address: Address,
    decision_id: str,
    sent: NewLink | None = None,
) -> dict[str, Any]:
    """Make a link to a decision that waits; it is shown this once."""
    asked = sent or NewLink()
    speaks_for = asked.speaks_for or person.name
    if speaks_for != person.name and not person.may("admin"):
        raise Refused(403, "not allowed", "a link that speaks for somebody else needs an admin")
    made = approval_links.make_link(
        here.store,
        decision_id,
        right=asked.right,
        made_by=person.name,
        speaks_for=speaks_for,
        validity=timedelta(seconds=asked.validity_seconds),
        now=here.wall.now(),
        decided_at=here.clock.now(),
        action_hash=asked.action_hash,
    )
    particulars = {"link_id": made.link_id, "right": made.right, "speaks_for": made.speaks_for}
    here.note(
        person.name, "link.create", decision_id, via=person.via, address=address, **particulars
    )
    path = f"/embed/decisions/{quote(decision_id, safe='')}?link={here.links.signed(made)}"
    scheme = "https" if here.settings.is_behind_https else request.url.scheme
    return {**_shown(made), "path": path, "url": f"{scheme}://{request.url.netloc}{path}"}


@router.get("", response_model=Rows[LinkShape])  # type: ignore[valid-type]
def list_links(here: Here, person: Operator, decision_id: str, paged: Paged) -> dict[str, Any]:
    """The links to a decision that you made or that speak for you; to an admin all."""
    found = approval_links.links(here.store, decision_id)
    return paged.rows_of_records([each for each in found if _is_theirs(each, person)], LinkShape)


@router.delete("/{link_id}", response_model=LinkShape)
def revoke_link(
    here: Here, person: Operator, address: Address, decision_id: str, link_id: str
) -> dict[str, Any]:
    """Make a link useless, at once; 410 where it was used before."""
    if not _is_theirs(approval_links.link(here.store, decision_id, link_id), person):
        raise NoSuchLink(f"you have no link {link_id}: read the list again")
    now: datetime = here.wall.now()
    revoked = approval_links.revoke_link(here.store, decision_id, link_id, now=now)
    here.note(
        person.name, "link.revoke", decision_id, via=person.via, address=address, link_id=link_id
    )
    return _shown(revoked)


def _is_theirs(found: ApprovalLink, person: Person) -> bool:
    return person.may("admin") or person.name in (found.made_by, found.speaks_for)


def _shown(found: ApprovalLink) -> dict[str, Any]:
    return {name: getattr(found, name) for name in LinkShape.model_fields}
