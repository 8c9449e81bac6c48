"""A console's API on a real warehouse, with clocks turned by hand and cheap hashes."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path

import httpx
import pytest
from argon2 import PasswordHasher
from fastapi import FastAPI
from starlette.testclient import TestClient

from api.application import bare_app, bring_door_outside, create_api
from api.office import Office
from api.rate_limits import RateLimits
from api.settings import ApiSettings
from api.throttle import Throttle
from tests.makers import NOON
from warehouse.people import Passwords, create_user, has_admin, users
from warehouse.records import Role
from warehouse.store import Store
from warehouse.tokens import issue_token

ORIGIN = "http://localhost"
PASSWORD = "correct horse battery"


@dataclass
class HandClock:
    at: datetime = NOON

    def now(self) -> datetime:
        return self.at

    def turn(self, by: timedelta) -> None:
        self.at += by


@dataclass
class Reasons:
    """Stands for what app.py knows of the parts it started."""

    reasons: list[str] = field(default_factory=list)

    def reasons_not_ready(self) -> list[str]:
        return self.reasons


@dataclass
class Console:
    """The app, and what a test turns or looks at."""

    app: FastAPI
    office: Office
    store: Store
    clock: HandClock
    wall: HandClock
    readiness: Reasons
    seconds: list[float]
    """The clock of the throttle and of the rate limits."""
    _open: ExitStack

    def visitor(self, **options: object) -> TestClient:
        """Somebody not signed in, whose browser sends what browsers send."""
        options = {"base_url": ORIGIN, "follow_redirects": False} | options
        return self._open.enter_context(TestClient(self.app, **options))

    def program(self, role: Role = "operator", name: str | None = None) -> TestClient:
        """A program with a token of this role."""
        owner = name or f"the-{role}"
        if owner not in {user.user_name for user in users(self.store)}:
            create_user(self.store, self.office.passwords, owner, role, now=self.wall.now())
        token = issue_token(self.store, owner, role, "test", now=self.wall.now()).token
        self.office.register.forget()
        client = self.visitor()
        client.headers["authorization"] = f"Bearer {token}"
        return client

    def browser(self, role: Role = "operator", name: str | None = None) -> TestClient:
        """Somebody signed in by name and password."""
        owner = name or f"the-{role}"
        if owner not in {user.user_name for user in users(self.store)}:
            create_user(
                self.store,
                self.office.passwords,
                owner,
                role,
                now=self.wall.now(),
                password=PASSWORD,
            )
        client = self.visitor()
        client.headers["origin"] = ORIGIN
        assert sign_in(client, owner).status_code == 303
        return client


def sign_in(
    client: TestClient, user_name: str, password: str = PASSWORD, next_path: str = "/"
) -> httpx.Response:
    """Open the form, fill it in and send it, as a browser does."""
    page = client.get("/sign-in")
    form = {"user_name": user_name, "password": password, "next": next_path}
    return client.post(
        "/sign-in", data=form | {"form_token": form_token(page)}, headers={"origin": ORIGIN}
    )


def form_token(page: httpx.Response) -> str:
    found = re.search(r'name="form_token" value="([^"]*)"', page.text)
    assert found, page.text
    return found.group(1)


MakeConsole = Callable[..., Console]


@pytest.fixture
def make_console(store: Store, tmp_path: Path) -> Iterator[MakeConsole]:
    with ExitStack() as opened:

        def make(
            before: Callable[[FastAPI], object] = lambda app: None,
            is_first_run: bool = False,
            **settings: object,
        ) -> Console:
            app = bare_app()
            per_minute = int(str(settings.get("requests_per_minute", 0)))
            clock, wall, readiness, seconds = HandClock(), HandClock(), Reasons(), [0.0]
            office = create_api(
                app,
                store=store,
                clock=clock,
                wall=wall,
                settings=replace(ApiSettings(home=tmp_path / "home"), **settings),
                readiness=readiness,
                passwords=Passwords(PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)),
                throttle=Throttle(lambda: seconds[0]),
                rate_limits=RateLimits(per_minute, lambda: seconds[0]),
            )
            if not is_first_run and not has_admin(store):
                create_user(store, office.passwords, "root", "admin", now=NOON, password=PASSWORD)
            before(app)
            bring_door_outside(app)
            return Console(app, office, store, clock, wall, readiness, seconds, opened)

        yield make


@pytest.fixture
def console(make_console: MakeConsole) -> Console:
    return make_console()
