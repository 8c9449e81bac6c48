"""The audit: who did what, the newest first, found by who, what and any word."""

from __future__ import annotations

from datetime import timedelta

import pytest

from tests.makers import NOON
from warehouse.audit import audit, record
from warehouse.store import Store


@pytest.fixture
def kept(store: Store) -> Store:
    acts = (
        ("ann", "session.start", "s-1", {}),
        ("ann", "decision.approve", "decision-7", {"reason": "The queue grows"}),
        ("bob", "session.start", "s-2", {}),
        ("bob", "sessions.other", "x", {}),
    )
    for minute, (actor, act, target, detail) in enumerate(acts):
        at = NOON + timedelta(minutes=minute)
        record(store, actor, act, target, via="browser", at=at, detail=detail, address="10.0.0.1")
    return store


def test_the_newest_comes_first_a_page_at_a_time(kept: Store) -> None:
    page = audit(kept, offset=1, limit=2)
    assert page.total == 4
    assert page.rows["target"].to_list() == ["s-2", "decision-7"]
    assert page.rows["happened_at"][0] == NOON + timedelta(minutes=2)


def test_it_is_found_by_who_by_act_and_by_the_acts_noun(kept: Store) -> None:
    assert audit(kept, actor="ann").total == 2
    assert audit(kept, act="decision.approve").total == 1
    assert audit(kept, act="session").total == 2
    assert audit(kept, actor="bob", act="session").rows["target"].to_list() == ["s-2"]


def test_a_word_is_looked_for_in_everything(kept: Store) -> None:
    assert audit(kept, search="QUEUE grows").rows["target"].to_list() == ["decision-7"]
    assert audit(kept, search="decision-7").total == 1
    assert audit(kept, search="").total == 4
    assert audit(kept, search="%").total == 0
