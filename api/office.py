"""What every route of the API works with, and who asks."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request

from api.link_tokens import LinkSigner
from api.problems import Refused
from api.register import Register
from api.sessions import Sessions
from api.settings import ApiSettings, Readiness
from api.slack_messages import Messenger
from api.throttle import Throttle
from warehouse.analyst import Analyst
from warehouse.audit import AuditVia, record
from warehouse.clock import Clock
from warehouse.people import Passwords, Person, current_person
from warehouse.records import Role
from warehouse.store import Store


@dataclass(frozen=True)
class Office:
    """What every route of the API works with."""

    store: Store
    clock: Clock
    """The console's instant, a simulated fleet's where there is one: decisions, jobs, audit."""
    wall: Clock
    """The machine's clock: sessions, passwords, tokens."""
    settings: ApiSettings
    readiness: Readiness
    passwords: Passwords
    sessions: Sessions
    register: Register
    throttle: Throttle
    links: LinkSigner
    slack: Messenger
    analyst: Analyst | None = None
    """Who answers people's own questions; None where nobody does."""

    def note(
        self,
        actor: str,
        act: str,
        target: str,
        *,
        via: AuditVia,
        address: str | None,
        **detail: object,
    ) -> None:
        """Put an act on record, now."""
        at = self.clock.now()
        record(self.store, actor, act, target, via=via, at=at, address=address, detail=detail)


def office_of(request: Request) -> Office:
    """The office of the app that answers."""
    office: Office = request.app.state.office
    return office


def address_of(request: Request) -> str | None:
    """Where the request comes from."""
    return request.client.host if request.client else None


def _who_may(role: Role) -> Callable[[], Awaitable[Person]]:
    async def asker() -> Person:
        person = current_person.get()
        if person is None:
            raise Refused(401, "not signed in", "sign in, or send an API token")
        if not person.may(role):
            raise Refused(
                403, "not allowed", f"this needs the role {role} and {person.name} is {person.role}"
            )
        return person

    return asker


Here = Annotated[Office, Depends(office_of)]
Address = Annotated[str | None, Depends(address_of)]
Viewer = Annotated[Person, Depends(_who_may("viewer"))]
Operator = Annotated[Person, Depends(_who_may("operator"))]
Admin = Annotated[Person, Depends(_who_may("admin"))]
