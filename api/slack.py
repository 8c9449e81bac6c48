"""/slack/interactions: what people press in Slack.

Slack signs what it sends: an HMAC over the raw body and an instant at most five minutes from
ours, compared in constant time. It is answered at once; the verdict is written after that, in a
thread. A payload that comes again is answered and does nothing, and could not: its ticket is gone.
"""

from __future__ import annotations

import logging
from typing import Any
from urllib.parse import parse_qs

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, Field, ValidationError
from slack_sdk.signature import Clock as SlackClock
from slack_sdk.signature import SignatureVerifier
from starlette.background import BackgroundTask

from api.office import Here, Office
from api.problems import Refused
from api.slack_blocks import APPROVE, REASON, REASON_BLOCK, REJECT
from api.slack_messages import NotTaken
from warehouse.approval_links import REASON_LENGTH_MAX
from warehouse.clock import Clock
from warehouse.decisions import DecisionError, approve, reject
from warehouse.people import may_decide
from warehouse.verdicts import Via

router = APIRouter(include_in_schema=False, max_body_size=262_144)

VIA: Via = "slack"
_log = logging.getLogger(__name__)


class _Wall(SlackClock):
    """The machine's clock, as Slack's verifier asks for it."""

    def __init__(self, wall: Clock) -> None:
        self._wall = wall

    def now(self) -> float:
        return self._wall.now().timestamp()


class _User(BaseModel):
    id: str = Field(max_length=64)


class _Button(BaseModel):
    action_id: str
    value: str = Field("", max_length=2000)


class _Pressed(BaseModel):
    """What of Slack's payload is looked at."""

    type: str
    user: _User
    actions: list[_Button] = Field(default_factory=list)
    response_url: str = ""
    state: dict[str, Any] = Field(default_factory=dict)


class _Asked(BaseModel):
    """What one of our buttons carries."""

    decision_id: str
    action_hash: str


@router.post("/slack/interactions")
async def interactions(request: Request, here: Here) -> Response:
    """Take what was pressed, say so, and then do it."""
    body = await request.body()
    if not _is_slack(here, body, request):
        detail = "this is not signed by Slack: set PILOTHOUSE_SLACK_SIGNING_SECRET to the app's"
        raise Refused(401, "not signed", detail, {"WWW-Authenticate": "Slack"})
    pressed = _pressed(body)
    if not here.slack.seen.is_new(request.headers["x-slack-signature"], here.wall.now()):
        return Response(status_code=200)
    ours = [each for each in pressed.actions if each.action_id in (APPROVE, REJECT)]
    if pressed.type != "block_actions" or len(ours) != 1:
        return Response(status_code=200)
    return Response(status_code=200, background=BackgroundTask(_work, here, pressed, ours[0]))


# -- how -------------------------------------------------------------------------------


def _is_slack(here: Office, body: bytes, request: Request) -> bool:
    secret = here.settings.slack.signing_secret
    if secret is None or not secret.get_secret_value().strip():
        return False
    verifier = SignatureVerifier(secret.get_secret_value(), _Wall(here.wall))
    try:
        return verifier.is_valid_request(body, dict(request.headers))
    except (ValueError, TypeError, OverflowError):  # an instant that is none, a body not of UTF-8
        return False


def _pressed(body: bytes) -> _Pressed:
    try:
        form = parse_qs(body.decode(), max_num_fields=16)
        return _Pressed.model_validate_json(form["payload"][0])
    except (ValueError, KeyError) as error:  # pydantic's is a ValueError too
        raise Refused(422, "invalid request", "this is no payload of Slack's") from error


def _work(here: Office, pressed: _Pressed, button: _Button) -> None:
    """Say what was pressed, and let the message tell what came of it. Never raises."""
    try:
        with here.slack.lock:
            refusal, decision_id = _decided(here, pressed, button)
            if refusal is not None:
                _whisper(here, pressed, refusal)
            if decision_id is not None:
                here.slack.told_at_button(decision_id, pressed.response_url)
    except (NotTaken, OSError) as error:
        _log.warning("Slack was not told what came of a button: %s", type(error).__name__)
    except Exception:
        _log.exception("what was pressed in Slack came to nothing")


def _decided(here: Office, pressed: _Pressed, button: _Button) -> tuple[str | None, str | None]:
    """Why nothing was decided, and the decision whose message is to be told anew."""
    name = here.settings.slack.users.get(pressed.user.id)
    if name is None:
        return (
            f"Slack's user {pressed.user.id} is nobody here: ask an admin to add "
            f"{pressed.user.id}=name to PILOTHOUSE_SLACK_USERS",
            None,
        )
    if not may_decide(here.store, name):
        return f"{name} may not decide: it needs the role operator", None
    try:
        asked = _Asked.model_validate_json(button.value)
    except ValidationError:
        return "this button is not one of this console's", None
    try:
        _say(here, asked, name, button.action_id == APPROVE, _reason(pressed))
    except DecisionError as error:
        return str(error), asked.decision_id
    return None, asked.decision_id


def _say(here: Office, asked: _Asked, name: str, is_yes: bool, reason: str | None) -> None:
    now = here.clock.now()
    if is_yes:
        approve(
            *(here.store, asked.decision_id),
            by=name,
            via=VIA,
            now=now,
            action_hash=asked.action_hash,
            reason=reason,
        )
    else:
        reject(here.store, asked.decision_id, by=name, via=VIA, reason=reason, now=now)


def _reason(pressed: _Pressed) -> str | None:
    values = pressed.state.get("values")
    block = values.get(REASON_BLOCK) if isinstance(values, dict) else None
    field = block.get(REASON) if isinstance(block, dict) else None
    text = field.get("value") if isinstance(field, dict) else None
    return text.strip()[:REASON_LENGTH_MAX] or None if isinstance(text, str) else None


def _whisper(here: Office, pressed: _Pressed, words: str) -> None:
    """Tell it to whoever pressed, and to nobody else."""
    text = f"{words[0].upper()}{words[1:]}."
    here.slack.wire.respond(
        pressed.response_url, text=text, response_type="ephemeral", replace_original=False
    )
