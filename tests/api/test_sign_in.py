"""Signing in and out, the first password, and what is said when it fails."""

from __future__ import annotations

from datetime import timedelta
from urllib.parse import parse_qs, urlsplit

import pytest
from argon2 import PasswordHasher

from api.origins import safe_path
from api.sessions import UnusableKey, secret_key
from tests.api.conftest import ORIGIN, PASSWORD, Console, MakeConsole, form_token, sign_in
from warehouse.audit import audit
from warehouse.people import Passwords, WeakPassword, create_user, set_password, user, users
from warehouse.tokens import first_sign_in, make_admin


def first_link(console: Console) -> str:
    """What the console prints at a first start."""
    token = first_sign_in(console.store, now=console.wall.now())
    return f"{ORIGIN}/sign-in?token={token}"


def acts(console: Console) -> list[str]:
    return audit(console.store, limit=100).rows["act"].to_list()


def choose_password(browser, link: str, password: str, repeated: str | None = None):
    page = browser.get(link)
    token = parse_qs(urlsplit(link).query)["token"][0]
    form = {"token": token, "password": password, "repeated": repeated or password}
    if page.status_code == 200:
        form["form_token"] = form_token(page)
    return browser.post("/sign-in/first", data=form, headers={"origin": ORIGIN})


# -- the first run ---------------------------------------------------------------------


def test_the_printed_link_lets_one_choose_a_password_once(make_console: MakeConsole) -> None:
    console = make_console(is_first_run=True)
    link = first_link(console)
    assert "printed a one-time link" in console.visitor().get("/sign-in").text
    browser = console.visitor()
    assert browser.get(link).status_code == 200
    assert browser.get(link).status_code == 200, "looking at it does not use it up"
    assert choose_password(browser, link, PASSWORD).headers["location"] == "/"
    assert browser.get("/api/v1/me").json() == {
        "user_name": "admin",
        "role": "admin",
        "via": "browser",
    }
    late = console.visitor()
    assert late.get(link).status_code == 410
    assert choose_password(late, link, "another long password").status_code in (403, 410)
    assert sign_in(console.visitor(), "admin").status_code == 303
    assert first_sign_in(console.store, now=console.wall.now()) is None
    assert sorted(acts(console)) == ["password.set", "session.start", "session.start"]


def test_a_link_that_was_not_used_is_replaced_at_the_next_start(make_console: MakeConsole) -> None:
    console = make_console(is_first_run=True)
    old, new = first_link(console), first_link(console)
    assert console.visitor().get(old).status_code == 410
    assert console.visitor().get(new).status_code == 200
    console.wall.turn(timedelta(hours=25))
    assert console.visitor().get(new).status_code == 410


def test_the_one_time_token_opens_nothing_else(make_console: MakeConsole) -> None:
    console = make_console(is_first_run=True)
    link = first_link(console)
    token = parse_qs(urlsplit(link).query)["token"][0]
    for bearer in (token, "pht_" + token.replace(".", "_")):
        headers = {"authorization": f"Bearer {bearer}"}
        assert console.visitor().get("/api/v1/me", headers=headers).status_code == 401


def test_a_password_that_will_not_do_leaves_the_link_good(make_console: MakeConsole) -> None:
    console = make_console(is_first_run=True)
    link = first_link(console)
    browser = console.visitor()
    assert "At least" in choose_password(browser, link, "short").text
    assert "not the same" in choose_password(browser, link, PASSWORD, PASSWORD + "!").text
    assert users(console.store) == []
    assert choose_password(browser, link, PASSWORD).status_code == 303


def test_a_password_set_before_the_start_opens_the_door_without_a_link(
    make_console: MakeConsole,
) -> None:
    console = make_console(is_first_run=True)
    with pytest.raises(WeakPassword):
        make_admin(console.store, console.office.passwords, "short", now=console.wall.now())
    make_admin(console.store, console.office.passwords, PASSWORD, now=console.wall.now())
    assert sign_in(console.visitor(), "admin").status_code == 303
    assert first_sign_in(console.store, now=console.wall.now()) is None


# -- by name and password --------------------------------------------------------------


def test_one_lands_where_one_wanted_to_go(console: Console) -> None:
    answer = sign_in(console.visitor(), "root", next_path="/jobs?state=queued")
    assert answer.headers["location"] == "/jobs?state=queued"


@pytest.mark.parametrize(
    "elsewhere",
    [
        "https://evil.example",
        "//evil.example",
        "/\\evil.example",
        "\\\\evil.example",
        "/\t/evil.example",
        "/\n/evil.example",
        " //evil.example",
        "javascript:alert(1)",
        "evil",
        "",
        "/sign-in?next=/sign-in",
        "///evil.example",
    ],
)
def test_nobody_is_led_elsewhere(elsewhere: str) -> None:
    assert safe_path(elsewhere) == "/"


def test_a_path_of_ours_is_kept() -> None:
    assert safe_path("/jobs?next=https://x.example#a") == "/jobs?next=https://x.example#a"


def test_a_sign_in_from_elsewhere_leads_to_the_front_page(console: Console) -> None:
    browser = console.visitor()
    answer = sign_in(browser, "root", next_path="//evil.example")
    assert answer.headers["location"] == "/"
    again = browser.get("/sign-in", params={"next": "//evil.example"})
    assert again.headers["location"] == "/"


def test_a_wrong_password_and_an_unknown_name_are_told_alike(console: Console) -> None:
    wrong = sign_in(console.visitor(), "root", "not the password")
    unknown = sign_in(console.visitor(), "nobody-here", "not the password")
    assert wrong.status_code == unknown.status_code == 401
    for answer, name in ((wrong, "root"), (unknown, "nobody-here")):
        assert "This name and password don&#x27;t belong together." in answer.text
        assert f'value="{name}"' in answer.text
        assert "set-cookie" not in answer.headers or "=." not in answer.headers["set-cookie"]
    targets = audit(console.store, act="session.refuse").rows["target"].to_list()
    assert set(targets) == {"root", "unknown name of 11 characters"}


def test_what_is_typed_is_never_markup(console: Console) -> None:
    answer = sign_in(console.visitor(), '"><script>alert(1)</script>', "not the password")
    assert "<script>" not in answer.text


def test_who_guesses_waits_ever_longer(console: Console) -> None:
    guesser = console.visitor()
    for _ in range(5):
        assert sign_in(guesser, "root", "a wrong password").status_code == 401
    held = sign_in(guesser, "root", PASSWORD)
    assert held.status_code == 429
    assert held.headers["retry-after"] == "2"
    assert "Too many tries: try again in 2 seconds." in held.text
    console.seconds[0] += 2.1
    assert sign_in(guesser, "root", "a wrong password").status_code == 401
    assert sign_in(guesser, "root", PASSWORD).headers["retry-after"] == "4"
    by_api = guesser.post("/api/v1/sign-in", json={"user_name": "root", "password": PASSWORD})
    assert by_api.status_code == 429
    assert by_api.headers["retry-after"] == "4"
    console.seconds[0] += 4.1
    assert sign_in(guesser, "root", PASSWORD).status_code == 303
    assert sign_in(console.visitor(), "root", "a wrong password").status_code == 401


def test_a_form_of_another_browser_is_refused(console: Console) -> None:
    theirs = form_token(console.visitor().get("/sign-in"))
    browser = console.visitor()
    form = {"user_name": "root", "password": PASSWORD, "form_token": theirs}
    answer = browser.post("/sign-in", data=form, headers={"origin": ORIGIN})
    assert answer.status_code == 403
    assert "try again" in answer.text
    no_page = {"user_name": "root", "password": PASSWORD}
    assert browser.post("/sign-in", data=no_page, headers={"origin": ORIGIN}).status_code == 403
    assert sign_in(browser, "root").status_code == 303


def test_a_form_sent_by_another_site_is_refused(console: Console) -> None:
    browser = console.visitor()
    form = {"user_name": "root", "password": PASSWORD}
    form["form_token"] = form_token(browser.get("/sign-in"))
    for headers in ({"origin": "https://evil.example"}, {}):
        assert browser.post("/sign-in", data=form, headers=headers).status_code == 403


def test_signing_in_always_begins_a_new_session(console: Console) -> None:
    browser = console.visitor()
    sign_in(browser, "root")
    first = browser.cookies[console.office.sessions.name]
    browser.post("/sign-out", headers={"origin": ORIGIN})
    sign_in(browser, "root")
    assert browser.cookies[console.office.sessions.name] != first


def test_a_large_form_is_refused(console: Console) -> None:
    answer = console.visitor().post(
        "/sign-in", data={"password": "x" * 100_000}, headers={"origin": ORIGIN}
    )
    assert answer.status_code == 413


# -- signing out -----------------------------------------------------------------------


def test_a_session_signed_out_is_over_for_who_copied_its_cookie(
    console: Console, make_console: MakeConsole
) -> None:
    browser = console.browser("viewer", "ann")
    thief = console.visitor(cookies=dict(browser.cookies))
    assert thief.get("/api/v1/me").status_code == 200
    assert "ann" in browser.get("/sign-out").text
    assert browser.post("/sign-out").headers["location"] == "/sign-in"
    assert browser.get("/api/v1/me").status_code == 401
    assert thief.get("/api/v1/me").status_code == 401
    restarted = make_console().visitor(cookies=dict(thief.cookies))
    assert restarted.get("/api/v1/me").status_code == 401


def test_a_session_outlives_a_restart(console: Console, make_console: MakeConsole) -> None:
    browser = console.browser("viewer", "ann")
    restarted = make_console().visitor(cookies=dict(browser.cookies))
    assert restarted.get("/api/v1/me").status_code == 200


# -- passwords -------------------------------------------------------------------------


def test_a_new_password_ends_the_other_sessions(console: Console) -> None:
    here, there = console.browser("viewer", "ann"), console.browser("viewer", "ann")
    form = {
        "old_password": PASSWORD,
        "password": "an even better one",
        "repeated": "an even better one",
        "form_token": form_token(here.get("/password")),
    }
    wrong = here.post("/password", data=form | {"old_password": "not the old password"})
    assert wrong.status_code == 401
    assert here.post("/password", data=form | {"repeated": "x"}).status_code == 422
    assert here.post("/password", data=form).status_code == 303
    assert here.get("/api/v1/me").status_code == 200
    assert there.get("/api/v1/me").status_code == 401
    assert sign_in(console.visitor(), "ann", PASSWORD).status_code == 401
    assert sign_in(console.visitor(), "ann", "an even better one").status_code == 303


def test_a_hash_of_an_older_cost_is_renewed_at_sign_in(console: Console) -> None:
    cheaper = Passwords(PasswordHasher(time_cost=1, memory_cost=16, parallelism=1))
    create_user(console.store, cheaper, "ann", "viewer", now=console.wall.now())
    set_password(console.store, cheaper, "ann", PASSWORD, now=console.wall.now())
    before = user(console.store, "ann").password_hash
    assert sign_in(console.visitor(), "ann").status_code == 303
    after = user(console.store, "ann").password_hash
    assert before != after
    assert "m=8," in after
    assert sign_in(console.visitor(), "ann").status_code == 303


# -- the key ---------------------------------------------------------------------------


def test_the_key_is_made_once_for_this_user_alone(tmp_path) -> None:
    key = secret_key(tmp_path)
    assert secret_key(tmp_path) == key
    assert (tmp_path / "secret.key").stat().st_mode & 0o777 == 0o600
    assert [path.name for path in tmp_path.iterdir()] == ["secret.key"]


def test_a_key_that_is_none_is_said_so(tmp_path) -> None:
    (tmp_path / "secret.key").write_bytes(b"short")
    with pytest.raises(UnusableKey, match="delete it"):
        secret_key(tmp_path)
    with pytest.raises(UnusableKey, match="No such file"):
        secret_key(tmp_path / "nowhere")
