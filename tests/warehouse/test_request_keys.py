"""Whose key a request is, and what was answered to it."""

from __future__ import annotations

from datetime import timedelta

from tests.makers import NOON
from warehouse.records import RequestKey
from warehouse.request_keys import KEPT, claim, settle
from warehouse.store import Store


def test_the_first_row_has_the_key_until_it_lets_go(store: Store) -> None:
    ours = claim(store, "key", "print", now=NOON)
    store.append(
        [RequestKey(key_hash="key", claim_id="late", fingerprint="print", claimed_at=NOON)]
    )
    assert ours.is_ours
    assert not claim(store, "key", "print", now=NOON).is_ours
    settle(store, "late", 500, {}, None, now=NOON)
    settle(store, ours.claim_id, 500, {}, None, now=NOON)
    assert claim(store, "key", "print", now=NOON).is_ours


def test_an_answer_stays_with_its_key_for_a_day(store: Store) -> None:
    ours = claim(store, "key", "print", now=NOON)
    settle(store, ours.claim_id, 201, {"location": "/there"}, "{}", now=NOON)
    known = claim(store, "key", "other", now=NOON + timedelta(hours=23))
    assert known.answer is not None
    assert (known.answer.status, known.answer.headers) == (201, {"location": "/there"})
    assert (known.is_ours, known.fingerprint) == (False, "print")
    assert claim(store, "key", "other", now=NOON + KEPT).is_ours
