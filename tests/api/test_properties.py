"""The whole API by its own document: whatever is sent, no fault of ours and no unsaid answer."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path

import pytest
import schemathesis
from argon2 import PasswordHasher
from hypothesis import HealthCheck, Phase, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from api.application import bare_app, create_api, openapi_document
from api.settings import ApiSettings
from tests.api.conftest import HandClock, Reasons
from tests.api.serving import serving
from tests.makers import NOON, make_decision, make_job_event, make_node, make_pool, make_pool_state
from warehouse.analyst import Analyst
from warehouse.analyst_question import Limits
from warehouse.analyst_source import Source
from warehouse.people import Passwords, create_user
from warehouse.store import Location, Store
from warehouse.tokens import issue_token
from warehouse.verdicts import propose

EXAMPLES = 5
"""Of each operation: with data that fits its document, and with data that doesn't."""

LIMITS = Limits(seconds=2.0, rows=10, memory_megabytes=256)

CHECKS = (
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
    response_headers_conformance,
)

schema = schemathesis.openapi.from_dict(openapi_document())


@schema.hook
def map_query(context: object, query: dict[str, object] | None) -> dict[str, object] | None:
    """An answer with fewer fields is meant to lack some: tests/api/test_answers.py has it."""
    return {name: value for name, value in query.items() if name != "fields"} if query else query


@dataclass
class Served:
    address: str
    token: str


@pytest.fixture(scope="module")
def served(empty_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """The API on loopback, with a row of most things."""
    home = shutil.copytree(empty_home, tmp_path_factory.mktemp("properties") / "home")
    location = Location.embedded(home)
    with ExitStack() as stack:
        store = stack.enter_context(closing(Store(location)))
        app, clock = bare_app(), HandClock()
        analyst = stack.enter_context(
            closing(Analyst(store, Source.of(location), home / "questions", clock, clock, LIMITS))
        )
        office = create_api(
            app,
            store=store,
            clock=clock,
            wall=clock,
            settings=ApiSettings(home=home),
            readiness=Reasons(),
            passwords=Passwords(PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)),
            analyst=analyst,
        )
        create_user(store, office.passwords, "root", "admin", now=NOON)
        store.append([make_pool(), make_pool_state(), make_node(), make_job_event()])
        propose(store, make_decision())
        token = issue_token(store, "root", "admin", "test", now=NOON).token
        yield Served(stack.enter_context(serving(app)), token)


@schema.parametrize()
@settings(
    max_examples=EXAMPLES,
    deadline=None,
    derandomize=True,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)
def test_any_request_is_answered_as_documented(case: schemathesis.Case, served: Served) -> None:
    headers = {"authorization": f"Bearer {served.token}"}
    case.call_and_validate(base_url=served.address, headers=headers, checks=CHECKS)
