"""Links to one decision: what they may say, for whom, and that once."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from argon2 import PasswordHasher

from tests.makers import NOON, make_decision
from warehouse.approval_links import (
    LinkIsOver,
    LinkNotGranted,
    NoSuchLink,
    decide_by_link,
    is_used_up,
    link,
    links,
    make_link,
    revoke_link,
    why_over,
)
from warehouse.audit import audit
from warehouse.controls import set_four_eyes
from warehouse.decisions import (
    ActionChanged,
    AlreadyDecided,
    Expired,
    ReasonNeeded,
    approve,
    decision,
    override,
    propose,
)
from warehouse.people import Passwords, create_user, deactivate, set_role
from warehouse.records import ApprovalLink, Verdict
from warehouse.store import Store

HOUR = timedelta(hours=1)
ID = "decision-1"


@pytest.fixture
def open_store(store: Store) -> Store:
    passwords = Passwords(PasswordHasher(time_cost=1, memory_cost=8, parallelism=1))
    for name, role in (("ann", "operator"), ("ben", "operator"), ("root", "admin")):
        create_user(store, passwords, name, role, now=NOON, password="correct horse battery")
    create_user(store, passwords, "vic", "viewer", now=NOON)
    propose(store, make_decision())
    return store


def made(store: Store, **changes: Any) -> ApprovalLink:
    given = {"right": "single_use", "made_by": "ann", "speaks_for": "ann", "validity": HOUR}
    return make_link(store, ID, **(given | {"now": NOON, "decided_at": NOON} | changes))


def said(store: Store, by: ApprovalLink, verdict: Any = "approve", **changes: Any) -> Any:
    given = {"reason": None, "now": NOON, "decided_at": NOON} | changes
    return decide_by_link(store, by.decision_id, by.link_id, verdict, **given)


def test_a_link_says_yes_once_and_for_its_user(open_store: Store) -> None:
    mine, other = made(open_store), made(open_store)
    verdict = said(open_store, mine)
    assert isinstance(verdict, Verdict)
    assert (verdict.decided_by, verdict.via, verdict.verdict) == ("ann", "link", "approve")
    assert is_used_up(open_store, mine)
    with pytest.raises(AlreadyDecided):
        said(open_store, mine)
    with pytest.raises(AlreadyDecided):
        said(open_store, other)
    assert not is_used_up(open_store, other)
    (used,) = audit(open_store, act="link").rows.iter_rows(named=True)
    assert (used["actor"], used["target"]) == ("ann", ID)
    assert mine.link_id in used["detail"]


def test_what_is_not_heard_uses_nothing_up(open_store: Store) -> None:
    mine = made(open_store)
    with pytest.raises(ReasonNeeded):
        said(open_store, mine, "reject")
    with pytest.raises(Expired):
        said(open_store, mine, decided_at=NOON + 3 * HOUR)
    assert not is_used_up(open_store, mine)
    assert said(open_store, mine, "reject", reason="too dear").verdict == "reject"


def test_of_many_at_once_one_is_heard(open_store: Store) -> None:
    mine = made(open_store)
    heard: list[Verdict] = []
    refused: list[Exception] = []

    def speak() -> None:
        try:
            heard.append(said(open_store, mine))
        except (AlreadyDecided, LinkIsOver) as error:
            refused.append(error)

    threads = [threading.Thread(target=speak) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(heard), len(refused)) == (1, 5)
    assert open_store.query("SELECT count(*) FROM verdicts").item() == 1


def test_a_link_that_is_over_says_so(open_store: Store) -> None:
    mine, taken_back = made(open_store), made(open_store)
    revoke_link(open_store, ID, taken_back.link_id, now=NOON)
    with pytest.raises(LinkIsOver, match="taken back"):
        said(open_store, taken_back)
    with pytest.raises(LinkIsOver, match="before"):
        revoke_link(open_store, ID, taken_back.link_id, now=NOON)
    with pytest.raises(LinkIsOver, match="expired"):
        said(open_store, mine, now=NOON + HOUR)
    with pytest.raises(NoSuchLink):
        link(open_store, "decision-2", mine.link_id)
    said(open_store, mine)
    with pytest.raises(LinkIsOver, match="used"):
        revoke_link(open_store, ID, mine.link_id, now=NOON)
    assert {each.is_active for each in links(open_store, ID)} == {True, False}


def test_a_link_can_do_no_more_than_its_user_may_now(open_store: Store) -> None:
    with pytest.raises(LinkNotGranted, match="vic may not"):
        made(open_store, made_by="root", speaks_for="vic")
    with pytest.raises(LinkNotGranted, match="nobody may not"):
        made(open_store, made_by="root", speaks_for="nobody")
    for_ben = made(open_store, made_by="root", speaks_for="ben")
    set_role(open_store, "ben", "viewer", now=NOON)
    with pytest.raises(LinkNotGranted, match="ben may not"):
        said(open_store, for_ben)
    mine = made(open_store, right="sign_in")
    assert mine.speaks_for is None
    with pytest.raises(LinkNotGranted, match="sign in"):
        said(open_store, mine)
    deactivate(open_store, "ann", now=NOON)
    assert "taken back" in (why_over(open_store, mine, now=NOON) or "")


@pytest.mark.parametrize("speak", [approve, override])
def test_four_eyes_count_the_user_whom_the_link_speaks_for(
    open_store: Store, speak: Callable[..., Any]
) -> None:
    set_four_eyes(open_store, "scale_up", True, by="root", reason=None, now=NOON, via="api")
    mine = made(open_store)
    assert not isinstance(said(open_store, mine), Verdict)
    assert is_used_up(open_store, mine)
    again = made(open_store)
    with pytest.raises(Exception, match="ann has said yes"):
        said(open_store, again)
    assert not is_used_up(open_store, again)
    with pytest.raises(LinkNotGranted, match="two people"):
        made(open_store, made_by="ann", speaks_for="ben")
    if speak is override:
        given = {"via": "api", "reason": "less", "now": NOON}
        edited = override(open_store, ID, {"nodes": 1}, by="ben", **given)
        with pytest.raises(ActionChanged):
            made(open_store, action_hash="0" * 64)
        to_the_edit = made(open_store, action_hash=edited.action_hash)
        both = said(open_store, to_the_edit)
        assert both.parameters == {"nodes": 1}
    else:
        both = said(open_store, made(open_store, made_by="ben", speaks_for="ben"))
    assert {both.first_yes_by, both.decided_by} == {"ann", "ben"}
    assert decision(open_store, ID, now=NOON).state == "approved"


def test_a_link_made_for_another_before_four_eyes_were_asked_for_is_refused(
    open_store: Store,
) -> None:
    for_ben = made(open_store, made_by="root", speaks_for="ben")
    set_four_eyes(open_store, "scale_up", True, by="root", reason=None, now=NOON, via="api")
    with pytest.raises(LinkNotGranted, match="let one be both"):
        said(open_store, for_ben)
