"""Nothing behind the door is answered to somebody who may not have it."""

from __future__ import annotations

from datetime import timedelta

import pytest
from dash import Dash, Input, Output, html
from fastapi import FastAPI, WebSocket
from starlette.routing import Mount
from starlette.websockets import WebSocketDisconnect

from api.application import ROUTERS
from api.door import OPEN_PATHS
from tests.api.conftest import ORIGIN, Console, MakeConsole, sign_in
from warehouse import people, tokens
from warehouse.people import current_person

CALLBACK = {
    "output": "who.children",
    "outputs": {"id": "who", "property": "children"},
    "inputs": [{"id": "button", "property": "n_clicks", "value": 1}],
    "changedPropIds": ["button.n_clicks"],
    "parsedChangedPropsIds": ["button.n_clicks"],
    "state": [],
}


def add_dash(app: FastAPI) -> None:
    """Pages as the console has them: Dash, attached after the API."""
    dash = Dash("door", server=app, backend="fastapi", use_pages=False)
    dash.layout = html.Div([html.Button(id="button"), html.Div(id="who")])

    @dash.callback(Output("who", "children"), Input("button", "n_clicks"))
    def who(clicks: int) -> str:
        person = current_person.get()
        return f"{person.name} clicked" if person else "nobody clicked"

    @app.websocket("/socket")
    async def socket(websocket: WebSocket) -> None:
        await websocket.accept()
        person = current_person.get()
        await websocket.send_text(person.name if person else "nobody")
        await websocket.close()


@pytest.fixture
def with_pages(make_console: MakeConsole) -> Console:
    return make_console(before=add_dash)


def every_route(app: FastAPI) -> list[tuple[str, str]]:
    """Each method and path that the app answers at, with something put in for parameters."""
    found: set[tuple[str, str]] = set()
    routes = [route for router in ROUTERS for route in router.routes] + list(app.router.routes)
    for route in routes:
        path = getattr(route, "path", None)
        if path is None:
            continue
        path = path.replace("{package_name}/{fingerprinted_path:path}", "dash/x.js")
        path = path.replace("{path:path}", "/anything" if path == "{path:path}" else "anything")
        path = path.replace("{", "").replace("}", "")
        if isinstance(route, Mount):
            found.add(("GET", f"{path}/style.css"))
        for method in getattr(route, "methods", None) or ():
            found.add((method, path))
    return sorted(found)


def test_no_route_answers_somebody_who_is_not_signed_in(with_pages: Console) -> None:
    visitor = with_pages.visitor()
    routes = [(m, p) for m, p in every_route(with_pages.app) if p not in OPEN_PATHS]
    paths = {path for _, path in routes}
    assert len(routes) > 50
    assert {"/", "/anything", "/_dash-layout", "/_dash-update-component", "/metrics"} <= paths
    answered = {
        (method, path): response.status_code
        for method, path in routes
        if (response := visitor.request(method, path)).status_code != 401
    }
    assert answered == {}


def test_what_is_open_shows_nothing_of_the_fleet(console: Console) -> None:
    visitor = console.visitor()
    for path in sorted(OPEN_PATHS):
        text = visitor.get(path).text
        assert "pool" not in text
        assert "revenue" not in text


def test_an_open_path_is_open_only_as_it_is_written(with_pages: Console) -> None:
    visitor = with_pages.visitor()
    for path in ("//api/v1/jobs", "/healthz/../api/v1/me", "/sign-in/", "/healthz/", "/SIGN-IN"):
        assert visitor.get(ORIGIN + path).status_code == 401, path


def test_a_browser_is_led_to_the_sign_in_and_back(with_pages: Console) -> None:
    answer = with_pages.visitor().get("/jobs?state=queued&q=a b", headers={"accept": "text/html"})
    assert answer.status_code == 303
    assert answer.headers["location"] == "/sign-in?next=%2Fjobs%3Fstate%3Dqueued%26q%3Da%2520b"


def test_a_program_is_told_what_is_missing(console: Console) -> None:
    answer = console.visitor().get("/api/v1/jobs", headers={"accept": "text/html"})
    assert answer.status_code == 401
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["www-authenticate"].startswith("Bearer")
    assert answer.json()["title"] == "Not signed in"


def test_pages_and_callbacks_know_who_asks(with_pages: Console) -> None:
    browser = with_pages.browser("viewer", "ann")
    assert browser.get("/").status_code == 200
    answer = browser.post("/_dash-update-component", json=CALLBACK)
    assert answer.json()["response"]["who"]["children"] == "ann clicked"
    assert current_person.get() is None


FOREIGN: list[dict[str, str]] = [
    {"origin": "https://evil.example"},
    {"origin": "null"},
    {"origin": ""},
    {"origin": "http://localhost:81"},
    {"origin": "http://localhost.evil.example"},
    {"origin": ORIGIN, "sec-fetch-site": "cross-site"},
    {"origin": ORIGIN, "sec-fetch-site": "same-site"},
    {"origin": ORIGIN, "sec-fetch-site": "none"},
    {"origin": "https://evil.example", "sec-fetch-site": "same-origin"},
    {},
]
"""What a browser says of a request that no page of ours sent, and saying nothing."""


@pytest.mark.parametrize("path", ["/_dash-update-component", "/sign-out", "/api/v1/tokens"])
def test_what_another_site_sends_with_our_cookie_is_refused(with_pages: Console, path: str) -> None:
    browser = with_pages.browser("admin")
    del browser.headers["origin"]
    for headers in FOREIGN:
        answer = browser.post(path, json=CALLBACK, headers=headers)
        assert answer.status_code == 403, headers
        assert answer.json()["title"] == "Cross site request"
    assert browser.get("/api/v1/me").status_code == 200


def test_the_browsers_own_word_is_enough(with_pages: Console) -> None:
    browser = with_pages.browser()
    del browser.headers["origin"]
    ours = {"sec-fetch-site": "same-origin"}
    assert browser.post("/_dash-update-component", json=CALLBACK, headers=ours).status_code == 200


def test_a_program_needs_no_origin(console: Console) -> None:
    answer = console.program("operator").post("/api/v1/tokens", json={"label": "next"})
    assert answer.status_code == 201


def test_a_wrong_token_is_not_made_good_by_a_cookie(console: Console) -> None:
    browser = console.browser()
    wrong = {"authorization": "Bearer pht_0_0"}
    assert browser.get("/api/v1/me", headers=wrong).status_code == 401


def test_a_name_pointed_at_this_machine_is_not_answered(console: Console) -> None:
    browser = console.browser()
    for host in ("evil.example", "localhost.evil.example", "", "[::1", "10.0.0.7"):
        assert browser.get("/api/v1/me", headers={"host": host}).status_code == 421, host
        assert browser.get("/sign-in", headers={"host": host}).status_code == 421, host
        assert browser.get("/healthz", headers={"host": host}).status_code == 200, host


def test_a_name_of_this_machine_is_answered(console: Console) -> None:
    visitor = console.visitor()
    for host in ("localhost:8050", "127.0.0.1:8050", "[::1]:8050", "LOCALHOST"):
        assert visitor.get("/sign-in", headers={"host": host}).status_code == 200, host


def test_names_may_be_added_and_elsewhere_all_are_answered(make_console: MakeConsole) -> None:
    named = make_console(allowed_hosts=("gpu.example.org",))
    assert named.visitor().get("/sign-in", headers={"host": "gpu.example.org"}).status_code == 200
    anywhere = make_console(bind_host="0.0.0.0")
    assert anywhere.visitor().get("/sign-in", headers={"host": "10.0.0.7"}).status_code == 200
    strict = make_console(bind_host="0.0.0.0", allowed_hosts=("gpu.example.org",))
    assert strict.visitor().get("/sign-in", headers={"host": "10.0.0.7"}).status_code == 421


def test_a_viewer_changes_nothing(console: Console) -> None:
    viewer = console.program("viewer")
    changing = [(m, p) for m, p in every_route(console.app) if m in ("POST", "PUT", "PATCH")]
    changing += [(m, p) for m, p in every_route(console.app) if m == "DELETE"]
    # a question changes nothing, and in a frame the link counts and nobody's token
    own = ("/sign-out", "/password", "/api/v1/sql", "/embed/", "/slack/")
    allowed = {
        (method, path): answer.status_code
        for method, path in changing
        if path not in OPEN_PATHS and not path.startswith(own)
        if (answer := viewer.request(method, path, json={})).status_code != 403
    }
    assert allowed == {}


OPERATORS_MAY_SET = ("/kill-switch", "/fleet-speed")


def test_an_operator_administers_nothing(console: Console) -> None:
    operator = console.program("operator")
    for method, path in every_route(console.app):
        if "/admin/" in path and method != "GET" and not path.endswith(OPERATORS_MAY_SET):
            assert operator.request(method, path, json={}).status_code == 403, path
    assert operator.get("/api/v1/admin/users").status_code == 403
    assert operator.get("/api/v1/admin/audit").status_code == 403
    assert operator.get("/api/v1/admin/limits").status_code == 200


def test_a_session_ends_when_idle_and_when_old(console: Console) -> None:
    idle = console.browser()
    console.wall.turn(timedelta(minutes=119))
    assert idle.get("/api/v1/me").status_code == 200
    console.wall.turn(timedelta(minutes=119))
    assert idle.get("/api/v1/me").status_code == 200, "its last use was just before"
    console.wall.turn(timedelta(minutes=121))
    assert idle.get("/api/v1/me").status_code == 401
    busy = console.browser()
    for _ in range(11):
        console.wall.turn(timedelta(hours=1))
        assert busy.get("/api/v1/me").status_code == 200
    console.wall.turn(timedelta(minutes=61))
    assert busy.get("/api/v1/me").status_code == 401


def test_a_simulated_fleets_clock_ends_no_session(console: Console) -> None:
    browser = console.browser()
    console.clock.turn(timedelta(days=30))
    assert browser.get("/api/v1/me").status_code == 200


def test_a_cookie_that_was_changed_opens_nothing(console: Console) -> None:
    browser = console.browser()
    name = console.office.sessions.name
    cookie = browser.cookies[name]
    payload, _, signature = cookie.rpartition(".")
    forged = [payload[:-1] + ("A" if payload[-1] != "A" else "B") + "." + signature]
    forged += [payload + "." + signature[:-2], payload, "", "x", "." * 50]
    for each in forged:
        asker = console.visitor(cookies={name: each})
        assert asker.get("/api/v1/me").status_code == 401, each
    assert console.visitor(cookies={name: cookie}).get("/api/v1/me").status_code == 200


def test_the_cookie_is_kept_from_scripts_and_by_https_from_plain_http(
    make_console: MakeConsole,
) -> None:
    console = make_console()
    console.browser("operator", "ann")
    plain = console.visitor()
    plain.headers["origin"] = ORIGIN
    cookie = sign_in(plain, "ann").headers["set-cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=lax" in cookie
    assert "secure" not in cookie
    behind = make_console(is_behind_https=True)
    secret = behind.visitor(base_url="https://localhost")
    answer = sign_in(secret, "ann")
    assert "__host-" in answer.headers["set-cookie"].lower()
    assert "secure" in answer.headers["set-cookie"].lower()
    assert "strict-transport-security" in answer.headers


def test_somebody_switched_off_is_out_at_once(console: Console) -> None:
    browser, program = console.browser("operator", "ann"), console.program("operator", "ann")
    admin = console.program("admin")
    off = admin.patch("/api/v1/admin/users/ann", json={"is_active": False})
    assert off.status_code == 200
    assert browser.get("/api/v1/me").status_code == 401
    assert program.get("/api/v1/me").status_code == 401


def test_what_a_page_changes_is_seen_within_the_second(console: Console) -> None:
    program = console.program("operator", "ann")
    assert program.get("/api/v1/me").json()["role"] == "operator"
    people.set_role(console.store, "ann", "viewer", now=console.wall.now())
    console.office.register.forget()  # the second has passed
    assert program.get("/api/v1/me").json()["role"] == "viewer"


def test_a_token_is_dead_once_revoked_or_lapsed(console: Console) -> None:
    program = console.program("operator", "ann")
    (found,) = tokens.tokens(console.store)
    console.wall.turn(timedelta(days=89))
    assert program.get("/api/v1/me").status_code == 200
    console.wall.turn(timedelta(days=1))
    assert program.get("/api/v1/me").status_code == 401
    other = console.program("operator", "ann")
    (newest, _) = tokens.tokens(console.store)
    assert newest.token_id != found.token_id
    assert other.delete(f"/api/v1/tokens/{newest.token_id}").status_code == 200
    assert other.get("/api/v1/me").status_code == 401


def test_a_socket_opens_only_to_who_is_signed_in_and_from_our_pages(with_pages: Console) -> None:
    browser = with_pages.browser("viewer", "ann")
    with browser.websocket_connect("ws://localhost/socket", headers={"origin": ORIGIN}) as socket:
        assert socket.receive_text() == "ann"
    foreign = [
        (with_pages.visitor(), {"origin": ORIGIN}),
        (browser, {"origin": "https://evil.example"}),
        (browser, {"origin": ""}),
        (browser, {"origin": ORIGIN, "host": "evil.example"}),
    ]
    for asker, headers in foreign:
        with (
            pytest.raises(WebSocketDisconnect),
            asker.websocket_connect("ws://localhost/socket", headers=headers),
        ):
            pass


def test_every_answer_carries_the_security_headers(with_pages: Console) -> None:
    browser = with_pages.browser()
    answers = [
        with_pages.visitor().get("/api/v1/jobs"),
        with_pages.visitor().get("/sign-in"),
        browser.get("/"),
        browser.get("/api/v1/me"),
        browser.get("/api/v1/nothing"),
        browser.get("/me", headers={"host": "evil.example"}),
    ]
    for answer in answers:
        policy = answer.headers["content-security-policy"]
        assert "frame-ancestors 'none'" in policy
        assert "unsafe-eval" not in policy
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["referrer-policy"] == "same-origin"
        assert answer.headers["cache-control"] == "no-store"


def test_with_hashes_no_other_inline_script_runs(make_console: MakeConsole) -> None:
    console = make_console(script_hashes=lambda: ["'sha256-abc='"])
    policy = console.visitor().get("/sign-in").headers["content-security-policy"]
    assert "script-src 'self' 'sha256-abc='" in policy
    assert "script-src 'self' 'unsafe-inline'" not in policy
