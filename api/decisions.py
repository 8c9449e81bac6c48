"""/api/v1/decisions: what the engine proposes, and what people say to it.

An approval may be bound to exactly what was seen: send the decision's `action_hash` along, in
the body or as `If-Match`, and one that has changed meanwhile is refused with 412.

Where two people must agree the first yes is answered with 202 and what is missing. The second is
the same request by another person; to what the first has edited, with the `action_hash` that stands
in `approvals`.
"""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Header, Query, Response

from api import not_done
from api.office import Here, Office, Operator
from api.shapes import Paged, Rows, Sent, Shape, decoded, shape_of
from warehouse import controls
from warehouse import decisions as questions
from warehouse.approvals import NEEDED, approvals, said_so_far
from warehouse.decisions import DecisionState
from warehouse.people import Person
from warehouse.records import (
    ActionType,
    Decision,
    Execution,
    ExecutionStep,
    Outcome,
    UndoRequest,
    Verdict,
    Withdrawal,
)
from warehouse.schema import columns_of
from warehouse.steps import steps

router = APIRouter(prefix="/api/v1/decisions", tags=["decisions"])
router.include_router(not_done.router)  # before `/{decision_id}`, which its path fits too

State = Literal[questions.STATES]  # type: ignore[valid-type]

_JSON_COLUMNS = tuple(column.name for column in columns_of(DecisionState) if column.is_json)


def _sentences(record_class: type, prefix: str = "") -> dict[str, str]:
    return {prefix + column.name: column.description for column in columns_of(record_class)}


# A decision's state is joined from these records, and so are its sentences.
DecisionShape = shape_of(
    DecisionState,
    name="Decision",
    words={
        **_sentences(Verdict, "decided_"),
        **_sentences(Execution, "execution_"),
        **_sentences(Execution, "undo_"),
        **_sentences(Outcome, "outcome_"),
        **_sentences(Outcome),
        **_sentences(UndoRequest, "undo_"),
        **_sentences(Withdrawal),
        "decided_by": "Who decided.",
        "decided_at": "When.",
        "verdict_reason": "Why.",
        "execution_intended_at": "When carrying it out began.",
        "execution_ended_at": "When that ended.",
        "undo_requested_by": "Who asked for it to be undone.",
        "undo_requested_at": "When.",
        "undo_ended_at": "When undoing ended.",
        **_sentences(Decision),
    },
)


class Step(Shape):
    """Something that happened to a decision."""

    at: datetime
    """When."""
    what: str
    """What: proposed, approved, overridden, rejected, lapsed, intended, succeeded, …"""
    by: str
    """Who or what did it."""
    detail: str | None
    """The particulars in words."""


class SaidSoFar(Shape):
    """One action that people said yes to: the proposed one, or an edited one."""

    action_hash: str
    """Its hash: a second yes is to exactly this."""
    parameters: dict[str, Any]
    """What it would be done with."""
    approved_by: list[str]
    """Who said yes, the first first."""
    is_edited: bool
    """Whether it is not what was proposed."""
    reason: str | None
    """Why it was edited."""
    words: str
    """How far it is: `1 of 2: alice, with nodes = 3`."""


class DecisionHeard(DecisionShape):  # type: ignore[misc, valid-type]
    """A decision, and who said yes to it where two people must agree."""

    approvals: list[SaidSoFar]
    """What people said yes to so far; empty where one yes is enough."""
    approvals_needed: int
    """People who must say yes to the same: 1 or 2."""
    missing: str | None
    """What it waits for before it is decided; null where it is."""


StepTaken = shape_of(ExecutionStep, name="StepTaken")


class DecisionDetail(DecisionHeard):
    """A decision and all that happened to it."""

    timeline: list[Step]
    """What happened, in time order."""
    steps: list[StepTaken]  # type: ignore[valid-type]
    """Each step of a deed that takes several as it stands, with what it waits for."""


class Approval(Sent):
    """Yes, as it stands."""

    action_hash: str | None = None
    """The decision's `action_hash` as you saw it; if it has changed since, 412."""
    reason: str | None = None
    """Why, for the record."""


class Overriding(Sent):
    """Yes, with other parameters."""

    parameters: dict[str, float]
    """The action's own parameters, for example `{"nodes": 2}`."""
    reason: str
    """Why."""
    action_hash: str | None = None
    """The decision's `action_hash` as you saw it; if it has changed since, 412."""


class Reasoned(Sent):
    """What needs a reason and nothing else."""

    reason: str
    """Why."""


IfMatch = Annotated[
    str | None, Header(description="The decision's `action_hash` as you saw it, in quotes.")
]


@router.get("", response_model=Rows[DecisionShape])  # type: ignore[valid-type]
def decisions(
    here: Here,
    paged: Paged,
    state: Annotated[list[State] | None, Query(description="Only these states.")] = None,
    pool: Annotated[str | None, Query(description="Only this pool.")] = None,
    action: Annotated[ActionType | None, Query(description="Only this kind of action.")] = None,
    search: Annotated[str | None, Query(description="Part of the id, words or target.")] = None,
    newest_first: bool = True,
) -> dict[str, Any]:
    """The decisions as they stand now."""
    page = questions.decisions(
        here.store,
        now=here.clock.now(),
        states=state,
        pool=pool,
        action=action,
        search=search,
        newest_first=newest_first,
        offset=paged.position,
        limit=paged.limit,
    )
    return paged.rows(page, json_columns=_JSON_COLUMNS)


@router.get("/{decision_id}", response_model=DecisionDetail)
def decision(here: Here, decision_id: str, response: Response) -> dict[str, Any]:
    """One decision with its timeline; the `ETag` is its `action_hash`."""
    found = questions.decision(here.store, decision_id, now=here.clock.now())
    response.headers["etag"] = f'"{found.action_hash}"'
    happened = decoded(questions.timeline(here.store, decision_id))
    return {
        **_heard(here, found),
        "timeline": list(happened),
        "steps": [asdict(each) for each in steps(here.store, decision_id)],
    }


@router.post(
    "/{decision_id}/approve",
    response_model=DecisionHeard,
    responses={202: {"model": DecisionHeard, "description": "Another person must say yes."}},
)
def approve(
    here: Here,
    person: Operator,
    decision_id: str,
    response: Response,
    sent: Approval | None = None,
    if_match: IfMatch = None,
) -> dict[str, Any]:
    """Say yes to a decision as it stands. Of two who decide at once one gets 409; where two must
    agree the first gets 202."""
    said = sent or Approval()
    questions.approve(
        here.store,
        decision_id,
        by=person.name,
        via=_door(person),
        now=here.clock.now(),
        action_hash=_seen(said.action_hash, if_match),
        reason=said.reason,
    )
    return _answer_to_yes(here, decision_id, response)


@router.post(
    "/{decision_id}/override",
    response_model=DecisionHeard,
    responses={202: {"model": DecisionHeard, "description": "Another person must say yes."}},
)
def override(
    here: Here,
    person: Operator,
    decision_id: str,
    response: Response,
    sent: Overriding,
    if_match: IfMatch = None,
) -> dict[str, Any]:
    """Say yes with other parameters; what was proposed stays beside them in `parameters`."""
    questions.override(
        here.store,
        decision_id,
        sent.parameters,
        by=person.name,
        via=_door(person),
        reason=sent.reason,
        now=here.clock.now(),
        action_hash=_seen(sent.action_hash, if_match),
    )
    return _answer_to_yes(here, decision_id, response)


@router.post("/{decision_id}/reject", response_model=DecisionShape)
def reject(here: Here, person: Operator, decision_id: str, sent: Reasoned) -> dict[str, Any]:
    """Say no."""
    questions.reject(
        here.store,
        decision_id,
        by=person.name,
        via=_door(person),
        reason=sent.reason,
        now=here.clock.now(),
    )
    return _as_it_stands(here, decision_id)


@router.post("/{decision_id}/withdraw", response_model=DecisionShape)
def withdraw(here: Here, person: Operator, decision_id: str, sent: Reasoned) -> dict[str, Any]:
    """Take an approval back while it waits; 409 once carrying it out has begun."""
    questions.withdraw(
        here.store,
        decision_id,
        by=person.name,
        reason=sent.reason,
        now=here.clock.now(),
        via=_door(person),
    )
    return _as_it_stands(here, decision_id)


@router.post("/{decision_id}/undo", response_model=DecisionShape, status_code=202)
def undo(here: Here, person: Operator, decision_id: str, sent: Reasoned) -> dict[str, Any]:
    """Ask that what was carried out be taken back; the engine does it at its next tick."""
    questions.ask_undo(
        here.store,
        decision_id,
        by=person.name,
        reason=sent.reason,
        now=here.clock.now(),
        via=_door(person),
    )
    return _as_it_stands(here, decision_id)


def _door(person: Person) -> Literal["browser", "api"]:
    return "browser" if person.via == "browser" else "api"


def _seen(action_hash: str | None, if_match: str | None) -> str | None:
    if action_hash is not None or if_match in (None, "*"):
        return action_hash
    return str(if_match).removeprefix("W/").strip('"')


def _as_it_stands(here: Office, decision_id: str) -> dict[str, Any]:
    return asdict(questions.decision(here.store, decision_id, now=here.clock.now()))


def _answer_to_yes(here: Office, decision_id: str, response: Response) -> dict[str, Any]:
    heard = _heard(here, questions.decision(here.store, decision_id, now=here.clock.now()))
    response.status_code = 202 if heard["missing"] else 200
    return heard


def _heard(here: Office, found: DecisionState) -> dict[str, Any]:
    said = said_so_far(found.action_hash, approvals(here.store, found.decision_id))
    needed = NEEDED if controls.four_eyes(here.store).get(found.action) else 1
    missing = None
    if found.state == "waiting":
        missing = "another person's yes to the same action" if said else _PEOPLE[needed]
    return {
        **asdict(found),
        "approvals": [asdict(each) | {"words": each.words} for each in said],
        "approvals_needed": needed,
        "missing": missing,
    }


_PEOPLE = {1: "somebody's yes", NEEDED: "the yes of two people"}
