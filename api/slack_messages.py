"""Messages to Slack: one for each decision that waits, updated once it is settled by anyone.

The job runs on the console that does the chores. An app's message is changed where it stands;
an incoming webhook can't, so a decision settled elsewhere gets a line of its own after it.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

from slack_sdk import WebClient, WebhookClient
from slack_sdk.errors import SlackApiError

from api import embedded_pages, slack_blocks
from api.slack_blocks import Message
from api.slack_terms import SlackTerms
from warehouse.approvals import approvals, said_so_far
from warehouse.clock import Clock
from warehouse.decision_messages import posted, unsettled, untold
from warehouse.decisions import decision
from warehouse.records import DecisionMessage
from warehouse.store import Store
from warehouse.upkeep import Chore, Done

Phase = Literal["intended", "posted", "failed", "settled", "not_settled"]

EVERY_SECONDS = 5.0
TIMEOUT_SECONDS = 10
OK = 200
WINDOW = timedelta(minutes=5)
"""How far from now what Slack signs may be."""

# slack_sdk tells addresses, which are secrets of their own, to whoever listens at debug.
_quiet = logging.getLogger("pilothouse.slack")
_quiet.setLevel(logging.INFO)
_log = logging.getLogger(__name__)


class NotTaken(Exception):
    """Slack didn't take it."""


@dataclass(frozen=True)
class Place:
    """Where a message stands; None where Slack doesn't say."""

    channel: str | None
    message_ts: str | None


class Wire:
    """What goes out to Slack."""

    def __init__(self, terms: SlackTerms) -> None:
        self._terms = terms

    def post(self, message: Message) -> Place:
        """A new message.

        Raises:
            NotTaken, SlackApiError, OSError: it didn't come there.
        """
        if self._terms.is_app:
            told = self._app().chat_postMessage(channel=self._terms.channel, **message)
            return Place(told["channel"], told["ts"])
        assert self._terms.webhook_url is not None, "who can't post isn't asked to"
        self._hook(self._terms.webhook_url.get_secret_value(), **message)
        return Place(None, None)

    def update(self, place: Place, message: Message) -> None:
        """Change a message where it stands; what can't be changed is followed by a line.

        Raises:
            NotTaken, SlackApiError, OSError: it didn't come there.
        """
        if self._terms.is_app and place.channel and place.message_ts:
            self._app().chat_update(channel=place.channel, ts=place.message_ts, **message)
        else:
            self.post({"text": message["text"]})

    def respond(self, response_url: str, **body: Any) -> None:
        """Answer a button, where Slack itself takes answers and nowhere else.

        Raises:
            NotTaken, OSError: it didn't come there, or it isn't Slack's.
        """
        if not response_url.startswith(self._terms.response_prefixes):
            raise NotTaken("the address to answer at is not Slack's")
        self._hook(response_url, **body)

    def _hook(self, url: str, **body: Any) -> None:
        hook = WebhookClient(url, timeout=TIMEOUT_SECONDS, logger=_quiet)
        status = hook.send_dict(body).status_code
        if status != OK:
            raise NotTaken(f"Slack answered {status}")

    def _app(self) -> WebClient:
        assert self._terms.bot_token is not None, "who is no app isn't asked to"
        return WebClient(
            self._terms.bot_token.get_secret_value(),
            base_url=self._terms.api_url,
            timeout=TIMEOUT_SECONDS,
            logger=_quiet,
        )


class Seen:
    """The signatures of the last five minutes, so that none is worked on twice."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._until: dict[str, datetime] = {}

    def is_new(self, signature: str, now: datetime) -> bool:
        """Whether it comes for the first time; from now on it does not."""
        with self._lock:
            self._until = {each: until for each, until in self._until.items() if until > now}
            if signature in self._until:
                return False
            self._until[signature] = now + 2 * WINDOW
            return True


class Messenger:
    """Posts what waits and settles what does not. `clock` is the decisions' own."""

    def __init__(self, store: Store, clock: Clock, wall: Clock, terms: SlackTerms) -> None:
        self.store, self.clock, self.wall, self.terms = store, clock, wall, terms
        self.wire = Wire(terms)
        self.seen = Seen()
        self.lock = threading.Lock()
        """Held while one message is dealt with, so that it is settled by one of two."""

    def chores(self) -> Iterator[Chore]:
        """The job that posts and settles, where there is anywhere to post to."""
        if self.terms.can_post:
            yield Chore("slack", EVERY_SECONDS, self.run)

    def run(self) -> Done:
        """Look once at what is to be posted or settled."""
        count = 0
        for each in untold(self.store, now=self.clock.now()):
            self._note(each.decision_id, "intended")
            count += self._sent(each.decision_id, "posted", "failed")
        with self.lock:
            for message in unsettled(self.store, now=self.clock.now()):
                count += self._sent(message.decision_id, "settled", "not_settled")
        return Done(f"{count} messages to Slack" if count else "", count)

    def as_it_stands(self, decision_id: str) -> Message:
        """The message that tells of a decision now.

        Raises:
            NoSuchDecision: there is none of this id.
        """
        found = decision(self.store, decision_id, now=self.clock.now())
        if found.state != "waiting":
            return slack_blocks.settled(found, embedded_pages.outcome(found))
        said = said_so_far(found.action_hash, approvals(self.store, decision_id))
        return slack_blocks.asking(found, said)

    def told_at_button(self, decision_id: str, response_url: str) -> None:
        """Change the message in which a button was pressed; with the lock held.

        Raises:
            NotTaken, OSError: it didn't come there; where it is settled, `run` tries again.
        """
        message = self.as_it_stands(decision_id)
        self.wire.respond(response_url, replace_original=True, **message)
        now = self.clock.now()
        if decision_id in {each.decision_id for each in unsettled(self.store, now=now)}:
            self._note(decision_id, "settled")

    def _sent(self, decision_id: str, done: Phase, failed: Phase) -> bool:
        try:
            place = self._send(decision_id, is_new=done == "posted")
        except (NotTaken, SlackApiError, OSError) as error:
            _log.warning("Slack was not told of decision %s: %s", decision_id, _words(error))
            self._note(decision_id, failed, detail=_words(error))
            return False
        self._note(decision_id, done, place)
        return True

    def _send(self, decision_id: str, *, is_new: bool) -> Place:
        message = self.as_it_stands(decision_id)
        if is_new:
            return self.wire.post(message)
        stands = posted(self.store, decision_id)
        place = Place(stands.channel, stands.message_ts) if stands else Place(None, None)
        self.wire.update(place, message)
        return place

    def _note(
        self, decision_id: str, phase: Phase, place: Place | None = None, detail: str | None = None
    ) -> None:
        made = DecisionMessage(
            decision_id=decision_id,
            phase=phase,
            channel=place.channel if place else None,
            message_ts=place.message_ts if place else None,
            detail=detail,
            recorded_at=self.wall.now(),
        )
        self.store.append([made])


def _words(error: Exception) -> str:
    """What went wrong, without an address: Slack's are secrets."""
    if isinstance(error, SlackApiError):
        return f"Slack said {error.response.get('error', 'no')}"
    return (
        str(error)
        if isinstance(error, NotTaken)
        else f"Slack was not reached: {type(error).__name__}"
    )
