"""Slack: what goes out, once; what comes in, and from whom it is believed.

Its parts are `slack`, `slack_messages`, `slack_blocks` and `slack_terms`.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import httpx
import pytest
from pydantic import SecretStr, ValidationError

from api.slack_messages import Messenger
from api.slack_terms import SlackTerms, users_of
from tests.api.conftest import Console, MakeConsole
from tests.api.slack_server import SECRET, Slack, pressed, signed, slack_server
from tests.api.test_embedded_browser import served
from tests.makers import NOON, make_decision
from warehouse.controls import set_four_eyes
from warehouse.decisions import DecisionState, approve, decision, propose
from warehouse.people import create_user, set_role
from warehouse.settings import Settings

ID = "decision-1"
PATH = "/slack/interactions"


@pytest.fixture
def slack() -> Iterator[Slack]:
    with slack_server() as running:
        yield running


def app_terms(slack: Slack, **changes: Any) -> SlackTerms:
    given = {
        "bot_token": SecretStr("xoxb-secret"),
        "channel": "C1",
        "signing_secret": SecretStr(SECRET),
        "users": users_of("U1=ann, U2=ben,U3=vic"),
        "api_url": f"{slack.address}/api/",
        "response_prefixes": (f"{slack.address}/actions/",),
    }
    return SlackTerms(**(given | changes))


@pytest.fixture
def console(make_console: MakeConsole, slack: Slack) -> Console:
    made = make_console(slack=app_terms(slack))
    for name, role in (("ann", "operator"), ("ben", "operator"), ("vic", "viewer")):
        create_user(made.store, made.office.passwords, name, role, now=NOON)
    propose(made.store, make_decision())
    return made


def button(console: Console, which: str = "approve") -> dict[str, Any]:
    blocks = console.office.slack.as_it_stands(ID)["blocks"]
    elements = next(each for each in blocks if each["type"] == "actions")["elements"]
    return next(each for each in elements if each["action_id"].endswith(which))


def press(
    console: Console, slack: Slack, which: str = "approve", user: str = "U1", reason: str = ""
) -> httpx.Response:
    body = pressed(button(console, which), f"{slack.address}/actions/1", user, reason)
    return send(console, body)


def send(console: Console, body: bytes, **headers: str) -> httpx.Response:
    given = signed(body, console.wall.now().timestamp()) | headers
    return console.visitor().post(PATH, content=body, headers=given)


def state(console: Console) -> DecisionState:
    return decision(console.store, ID, now=console.clock.now())


def whispered(slack: Slack) -> str:
    last = slack.at("/actions/1")[-1]
    assert last["response_type"] == "ephemeral"
    assert last["replace_original"] is False
    return str(last["text"])


def test_each_waiting_decision_is_posted_once_also_after_a_restart(
    console: Console, slack: Slack
) -> None:
    office = console.office
    (chore,) = office.slack.chores()
    assert chore.act().row_count == 1
    assert chore.act().row_count == 0
    again = Messenger(console.store, console.clock, console.wall, office.settings.slack)
    assert again.run().row_count == 0
    (posted,) = slack.at("/api/chat.postMessage")
    text = json.dumps(posted)
    for part in ("Switch on 2 nodes", "12 jobs wait", "$31.00/h", "Approve", "Reject", "C1"):
        assert part in text, part
    assert "xoxb" not in text
    assert "xoxb" not in console.store.query("FROM decision_messages").write_json()
    assert list(Messenger(console.store, console.clock, console.wall, SlackTerms()).chores()) == []


def test_what_slack_refuses_is_tried_again_a_few_times(
    console: Console, slack: Slack, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    slack.status = 500
    for _ in range(7):
        assert console.office.slack.run().row_count == 0
    assert len(slack.told) == 5
    slack.status = 200
    propose(console.store, make_decision(decision_id="decision-2", target="pool/other"))
    assert console.office.slack.run().row_count == 1
    assert "xoxb-secret" not in caplog.text


def test_the_message_is_updated_when_it_is_settled_elsewhere(
    console: Console, slack: Slack
) -> None:
    messenger = console.office.slack
    messenger.run()
    approve(console.store, ID, by="cleo", via="browser", now=NOON)
    assert messenger.run().row_count == 1
    assert messenger.run().row_count == 0
    (updated,) = slack.at("/api/chat.update")
    assert updated["ts"] == "1.0"
    assert "Decided by cleo: approved" in updated["text"]
    assert "pilothouse_approve" not in json.dumps(updated)


def test_an_expired_one_says_so_by_a_webhook_in_a_line_of_its_own(
    make_console: MakeConsole, slack: Slack
) -> None:
    hook = SlackTerms(webhook_url=SecretStr(f"{slack.address}/services/T/B/secret"))
    console = make_console(slack=hook)
    propose(console.store, make_decision(summary="<!channel> & more"))
    console.office.slack.run()
    console.clock.turn(timedelta(hours=3))
    console.office.slack.run()
    asked, told = slack.at("/services/T/B/secret")
    assert "&lt;!channel&gt; &amp; more" in json.dumps(asked)
    assert "<!channel>" not in json.dumps([asked, told])
    assert "has expired" in told["text"]
    assert "secret" not in console.store.query("FROM decision_messages").write_json()


def test_a_press_decides_and_its_message_says_so(console: Console, slack: Slack) -> None:
    console.office.slack.run()
    answer = press(console, slack)
    assert (answer.status_code, answer.content) == (200, b"")
    assert (state(console).decided_by, state(console).decided_via) == ("ann", "slack")
    (told,) = slack.at("/actions/1")
    assert told["replace_original"] is True
    assert "Decided by ann" in told["text"]
    assert console.office.slack.run().row_count == 0


def test_a_no_needs_the_reason_of_the_field(console: Console, slack: Slack) -> None:
    press(console, slack, "reject")
    assert "say why" in slack.at("/actions/1")[0]["text"]
    assert state(console).state == "waiting"
    console.wall.turn(timedelta(seconds=1))
    press(console, slack, "reject", reason="too dear")
    assert (state(console).state, state(console).verdict_reason) == ("rejected", "too dear")


def test_who_is_not_named_or_may_not_is_told_so(console: Console, slack: Slack) -> None:
    press(console, slack, user="U9")
    assert "U9=name" in whispered(slack)
    press(console, slack, user="U3")
    assert "vic may not decide" in whispered(slack).lower()
    set_role(console.store, "ann", "viewer", now=NOON)
    press(console, slack)
    assert "ann may not decide" in whispered(slack).lower()
    assert state(console).state == "waiting"


def test_four_eyes_expiry_and_the_hash_hold(console: Console, slack: Slack) -> None:
    set_four_eyes(console.store, "scale_up", True, by="root", reason=None, now=NOON, via="api")
    press(console, slack)
    assert state(console).state == "waiting"
    assert "1 of 2: ann" in json.dumps(slack.at("/actions/1")[-1])
    console.wall.turn(timedelta(seconds=1))
    press(console, slack)
    assert "ann has said yes" in slack.at("/actions/1")[-2]["text"].lower()
    changed = button(console) | {
        "value": json.dumps({"decision_id": ID, "action_hash": "0" * 64}),
    }
    send(console, pressed(changed, f"{slack.address}/actions/1", "U2"))
    assert "is not what would be done" in slack.at("/actions/1")[-2]["text"]
    mine = pressed(button(console), f"{slack.address}/actions/1", "U2")
    console.clock.turn(timedelta(hours=3))
    send(console, mine)
    assert "expired" in slack.at("/actions/1")[-2]["text"]
    assert state(console).verdict is None
    console.clock.turn(timedelta(hours=-3))
    console.wall.turn(timedelta(seconds=1))
    send(console, mine)
    assert state(console).deciders == "ann and ben"


def test_a_replayed_payload_has_no_second_effect(console: Console, slack: Slack) -> None:
    body = pressed(button(console), f"{slack.address}/actions/1")
    headers = signed(body, console.wall.now().timestamp())
    for _ in range(3):
        assert console.visitor().post(PATH, content=body, headers=headers).status_code == 200
    assert len(slack.told) == 1
    console.wall.turn(timedelta(seconds=2))
    send(console, body)
    assert console.store.query("SELECT count(*) FROM verdicts").item() == 1


def test_only_what_slack_signed_within_five_minutes_is_believed(
    console: Console, slack: Slack
) -> None:
    body = pressed(button(console), f"{slack.address}/actions/1")
    now = console.wall.now().timestamp()
    right = signed(body, now)
    bare = {"content-type": right["content-type"]}
    forged = [
        bare,
        signed(body, now, secret="another"),
        signed(body, now - 301),
        signed(body, now + 301),
        signed(body + b"&x=1", now),
        right | {"x-slack-request-timestamp": "soon"},
        right | {"x-slack-request-timestamp": "9" * 400},
        right | {"x-slack-signature": ""},
        right | {"x-slack-signature": right["x-slack-signature"].replace("v0=", "v1=")},
        bare | {"x-slack-signature": right["x-slack-signature"]},
    ]
    for headers in forged:
        answer = console.visitor().post(PATH, content=body, headers=headers)
        assert answer.status_code == 401, headers
        assert answer.json()["title"] == "Not signed"
    assert console.browser("admin").post(PATH, content=body, headers=bare).status_code == 401
    assert console.program("admin").post(PATH, content=body, headers=bare).status_code == 401
    assert state(console).state == "waiting"
    assert slack.told == []
    late = signed(body, now - 299)
    assert console.visitor().post(PATH, content=body, headers=late).status_code == 200
    assert state(console).state == "approved"


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 422),
        (b"payload=", 422),
        (b"payload={", 422),
        (b"payload=[]", 422),
        (b"payload=%7B%22type%22%3A1%7D", 422),
        (b"\xff\xfe", 401),
        (b"payload=%7B%22type%22%3A%22view%22%2C%22user%22%3A%7B%22id%22%3A%22U1%22%7D%7D", 200),
        (b"a=1&" * 40, 422),
        (b"payload=" + b"x" * 2_000_000, 413),
    ],
)
def test_malformed_and_oversized_payloads_do_nothing(
    console: Console, slack: Slack, body: bytes, status: int
) -> None:
    assert send(console, body).status_code == status
    assert state(console).state == "waiting"


def test_a_button_of_somebody_else_s_decides_nothing(console: Console, slack: Slack) -> None:
    for value in ("", "{}", '{"decision_id": "x\' OR 1=1", "action_hash": "0"}'):
        made = button(console) | {"value": value}
        assert send(console, pressed(made, f"{slack.address}/actions/1")).status_code == 200
    assert state(console).state == "waiting"


def test_an_answer_goes_nowhere_but_to_slack(console: Console, slack: Slack) -> None:
    for where in ("/elsewhere", "/api/v1/"):
        body = pressed(button(console), f"{slack.address}{where}", "U9")
        assert send(console, body).status_code == 200
    assert slack.told == []


def test_slack_is_answered_before_the_work_is_done(console: Console, slack: Slack) -> None:
    slack.lets_go.clear()
    body = pressed(button(console), f"{slack.address}/actions/1")
    headers = signed(body, console.wall.now().timestamp()) | {"host": "localhost"}
    with served(console) as address:
        answer = httpx.post(f"{address}{PATH}", content=body, headers=headers, timeout=3)
        assert answer.status_code == 200
        assert slack.told == []  # it is still being told, and the answer is here
        slack.lets_go.set()
    assert "Decided by ann" in slack.told[0][1]["text"]


def test_nothing_is_believed_without_a_secret(make_console: MakeConsole, slack: Slack) -> None:
    for secret in (None, SecretStr(""), SecretStr(" ")):
        console = make_console(slack=app_terms(slack, signing_secret=secret))
        body = b"payload=%7B%7D"
        headers = signed(body, NOON.timestamp(), secret=secret.get_secret_value() if secret else "")
        answer = console.visitor().post(PATH, content=body, headers=headers)
        assert answer.status_code == 401
        assert "PILOTHOUSE_SLACK_SIGNING_SECRET" in answer.json()["detail"]


def test_the_settings_name_people_and_hide_secrets() -> None:
    given = Settings(slack_users="U1=ann , U2=ben@example.org", slack_bot_token="xoxb-secret")
    terms = SlackTerms.of(given)
    assert terms.users == {"U1": "ann", "U2": "ben@example.org"}
    assert "xoxb-secret" not in repr(terms)
    for wrong in ("ann", "U1=", "U1=ann=bob", "u1=ann; U2=bob"):
        with pytest.raises(ValidationError):
            Settings(slack_users=wrong)
