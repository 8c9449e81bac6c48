"""The API as a whole: its document, its errors, its odd paths."""

from __future__ import annotations

import asyncio
import logging

import pytest
from dash import Dash, html
from fastapi import FastAPI, Request
from fastapi.responses import PlainTextResponse
from starlette.types import Message, Receive, Scope, Send

from api.application import openapi_document
from api.body_limit import BODY_BYTES_MAX, BodyLimit
from api.problems import STATUS_OF
from tests.api.conftest import ORIGIN, Console, MakeConsole
from warehouse import decision_errors, people, policies, tokens


def add_what_breaks(app: FastAPI) -> None:
    @app.get("/breaks")
    def breaks() -> None:
        raise RuntimeError("the password is swordfish")

    dash = Dash("application", server=app, backend="fastapi", use_pages=False)
    dash.layout = html.Div()


@pytest.fixture
def whole(make_console: MakeConsole) -> Console:
    return make_console(before=add_what_breaks)


def is_problem(answer, status: int) -> bool:
    body = answer.json()
    assert answer.headers["content-type"] == "application/problem+json"
    assert set(body) >= {"type", "title", "status", "detail", "instance"}
    return answer.status_code == body["status"] == status


def test_an_unknown_path_is_404_though_dash_answers_all_others(whole: Console) -> None:
    viewer, operator = whole.program("viewer"), whole.program("operator")
    assert viewer.get("/any/page").status_code == 200
    for path in ("/api/v1/nothing", "/api/v2/jobs", "/api/", "/api/v1/jobs/", "/api/v1/fleet"):
        assert is_problem(viewer.get(path), 404), path
        assert is_problem(operator.post(path), 404), path


def test_a_wrong_method_is_405_and_says_which_would_do(whole: Console) -> None:
    operator = whole.program("operator")
    answer = operator.get("/api/v1/decisions/x/approve")
    assert is_problem(answer, 405)
    assert answer.headers["allow"] == "POST"
    answer = operator.post("/api/v1/tokens/x")
    assert is_problem(answer, 405)
    assert answer.headers["allow"] == "DELETE"
    assert is_problem(operator.post("/any/page"), 405)


def test_what_is_sent_wrongly_is_422_and_says_where(whole: Console) -> None:
    admin = whole.program("admin")
    answer = admin.put("/api/v1/admin/kill-switch", json={"is_on": "perhaps"})
    assert is_problem(answer, 422)
    assert answer.json()["errors"][0]["location"] == "body.is_on"
    not_json = {"content": "{", "headers": {"content-type": "application/json"}}
    assert is_problem(admin.put("/api/v1/admin/kill-switch", **not_json), 422)


def test_a_fault_of_ours_keeps_its_particulars_in_the_log(
    whole: Console, caplog: pytest.LogCaptureFixture
) -> None:
    program = whole.program("viewer")
    patient = whole.visitor(raise_server_exceptions=False, headers=dict(program.headers))
    with caplog.at_level(logging.ERROR):
        answer = patient.get("/breaks")
    assert is_problem(answer, 500)
    assert "swordfish" not in answer.text
    assert answer.json()["reference"] in caplog.text
    assert "swordfish" in caplog.text
    assert "content-security-policy" in answer.headers


def test_every_error_of_the_warehouse_has_its_status() -> None:
    families = (
        decision_errors.DecisionError,
        people.PeopleError,
        policies.PolicyError,
        tokens.TokenError,
    )
    for family in families:
        for error_class in family.__subclasses__():
            assert error_class in STATUS_OF, error_class


def test_the_document_needs_no_warehouse_and_describes_every_field() -> None:
    document = openapi_document()
    assert document["openapi"].startswith("3.1")
    assert all(
        path.startswith(("/api/v1", "/healthz", "/readyz", "/metrics"))
        for path in document["paths"]
    )
    for path, operations in document["paths"].items():
        for operation in operations.values():
            assert operation["description"], path
            assert "application/problem+json" in operation["responses"]["401"]["content"]
            for parameter in operation.get("parameters", []):
                assert (
                    parameter["in"] == "path"
                    or parameter.get("description")
                    or (parameter["name"] in ("sort", "descending", "newest_first"))
                ), (path, parameter["name"])
    silent = [
        f"{name}.{field}"
        for name, schema in document["components"]["schemas"].items()
        for field, about in schema.get("properties", {}).items()
        if not about.get("description")
    ]
    assert silent == []


def test_every_reference_of_the_document_leads_somewhere() -> None:
    document = openapi_document()
    schemas = document["components"]["schemas"]

    def references(node: object) -> list[str]:
        if isinstance(node, dict):
            own = [node["$ref"]] if isinstance(node.get("$ref"), str) else []
            return own + [each for value in node.values() for each in references(value)]
        return (
            [each for value in node for each in references(value)] if isinstance(node, list) else []
        )

    found = set(references(document))
    assert len(found) > 20
    assert {reference.rsplit("/", 1)[1] for reference in found} <= set(schemas)


def test_the_documentation_page_asks_no_other_host(whole: Console) -> None:
    browser = whole.browser("viewer")
    page = browser.get("/api/docs")
    assert page.status_code == 200
    assert "//" not in page.text.replace("<!doctype", "")
    for path in ("swagger-ui.css", "swagger-ui-bundle.js", "start.js"):
        assert f'"/api/docs/{path}"' in page.text
        assert browser.get(f"/api/docs/{path}").status_code == 200
    assert is_problem(browser.get("/api/docs/secret.key"), 422)
    document = browser.get("/api/openapi.json").json()
    assert set(document["paths"]) == set(openapi_document()["paths"])


@pytest.mark.parametrize("path", ["/sign-in", "/api/v1/sign-in", "/sign-in/first"])
def test_a_stranger_sends_no_more_than_the_limit(whole: Console, path: str) -> None:
    """In chunks there is no Content-Length that would tell beforehand."""
    stranger, chunk = whole.visitor(headers={"origin": ORIGIN}), b"x" * (BODY_BYTES_MAX // 4)
    for content in (chunk * 5, (chunk for _ in range(5))):
        answer = stranger.post(path, content=content)
        assert is_problem(answer, 413)
        assert answer.headers["x-content-type-options"] == "nosniff"


def test_a_body_as_large_as_the_limit_is_read(whole: Console) -> None:
    stranger = whole.visitor(headers={"origin": ORIGIN})
    answer = stranger.post("/api/v1/sign-in", content=b"x" * BODY_BYTES_MAX)
    assert is_problem(answer, 422)


def test_what_dash_is_sent_is_limited_too(whole: Console) -> None:
    viewer = whole.program("viewer")
    answer = viewer.post("/_dash-update-component", content=b"x" * (BODY_BYTES_MAX + 1))
    assert is_problem(answer, 413)


async def reads_all(scope: Scope, receive: Receive, send: Send) -> None:
    body = await Request(scope, receive).body()
    await PlainTextResponse(body)(scope, receive, send)


@pytest.mark.parametrize(("chunks", "status", "taken"), [(2, 200, 2), (3, 413, 3), (9, 413, 3)])
def test_no_more_of_a_chunked_body_is_read_than_shows_that_it_is_too_large(
    chunks: int, status: int, taken: int
) -> None:
    left = [{"type": "http.request", "body": b"1234", "more_body": i > 0} for i in range(chunks)]
    sent: list[Message] = []

    async def receive() -> Message:
        return left.pop()

    async def send(message: Message) -> None:
        sent.append(message)

    scope = {"type": "http", "method": "POST", "path": "/x", "headers": []}
    asyncio.run(BodyLimit(reads_all, bytes_max=8)(scope, receive, send))
    assert sent[0]["status"] == status
    assert chunks - len(left) == taken
    assert status == 413 or sent[1]["body"] == b"12341234"
