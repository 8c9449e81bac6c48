"""Tokens: found by their id, known by their hash, good for as long and as much as they say."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest

from tests.makers import NOON
from tests.warehouse.test_people import CHEAP, PASSWORD, make_user
from warehouse import people, tokens
from warehouse.people import Person, WeakPassword
from warehouse.store import Store
from warehouse.tokens import LinkIsUsed, NoSuchToken, TooMuch, holder, split_token


def who(store: Store, text: str, at=NOON) -> Person | None:
    parts = split_token(text)
    if parts is None:
        return None
    found = [each for each in tokens.tokens(store) if each.token_id == parts[0]]
    if not found:
        return None
    return holder(found[0], people.user(store, found[0].user_name), parts[1], at)


def test_a_token_speaks_for_its_owner_until_it_lapses(store: Store) -> None:
    make_user(store)
    made = tokens.issue_token(store, "ann", "operator", "ci", now=NOON)
    assert re.fullmatch(r"pht_[0-9a-f]{16}_[\w-]{43}", made.token)
    assert who(store, made.token) == Person("ann", "operator", "api")
    assert who(store, made.token, NOON + tokens.VALIDITY_DEFAULT) is None
    for wrong in (made.token[:-1], made.token + "x", made.token.replace("pht", "ph"), "pht__", ""):
        assert who(store, wrong) is None
    endless = tokens.issue_token(store, "ann", "viewer", "x", now=NOON, validity=None)
    assert who(store, endless.token, NOON + timedelta(days=5000)) is not None


def test_of_a_token_only_the_hash_is_kept(store: Store) -> None:
    make_user(store)
    made = tokens.issue_token(store, "ann", "viewer", "ci", now=NOON)
    secret = made.token.split("_", 2)[2]
    kept = str(store.query("SELECT * FROM api_tokens").to_dicts())
    assert secret not in kept
    assert made.record.secret_hash in kept


def test_a_token_may_do_at_most_what_its_owner_may(store: Store) -> None:
    make_user(store)
    with pytest.raises(TooMuch):
        tokens.issue_token(store, "ann", "admin", "ci", now=NOON)
    made = tokens.issue_token(store, "ann", "operator", "ci", now=NOON)
    people.set_role(store, "ann", "viewer", now=NOON)
    assert who(store, made.token).role == "viewer"
    people.set_role(store, "ann", "admin", now=NOON)
    assert who(store, made.token).role == "operator"


def test_a_revoked_token_stays_revoked_even_where_the_clock_stands_still(store: Store) -> None:
    make_user(store)
    made = tokens.issue_token(store, "ann", "viewer", "ci", now=NOON)
    tokens.revoke_token(store, made.record.token_id, now=NOON)
    assert who(store, made.token) is None
    assert [each.is_active for each in tokens.tokens(store)] == [False]
    with pytest.raises(NoSuchToken):
        tokens.revoke_token(store, "none", now=NOON)


def test_the_first_sign_in_works_once_and_for_the_newest_link(store: Store) -> None:
    old = tokens.first_sign_in(store, now=NOON)
    new = tokens.first_sign_in(store, now=NOON)
    assert not tokens.opens_first_time(store, old, now=NOON)
    assert tokens.opens_first_time(store, new, now=NOON)
    assert tokens.tokens(store) == []
    with pytest.raises(WeakPassword):
        tokens.use_first_sign_in(store, CHEAP, new, "short", now=NOON)
    for dead in (old, new[:-1], "", "first.", "."):
        with pytest.raises(LinkIsUsed):
            tokens.use_first_sign_in(store, CHEAP, dead, PASSWORD, now=NOON)
    admin = tokens.use_first_sign_in(store, CHEAP, new, PASSWORD, now=NOON)
    assert (admin.user_name, admin.role) == ("admin", "admin")
    with pytest.raises(LinkIsUsed):
        tokens.use_first_sign_in(store, CHEAP, new, PASSWORD, now=NOON)
    assert tokens.first_sign_in(store, now=NOON) is None
    with pytest.raises(NoSuchToken):
        tokens.revoke_token(store, new.split(".")[0], now=NOON)


def test_an_admin_that_lost_its_rank_is_made_one_again(store: Store) -> None:
    make_user(store, "admin", "viewer", password=None)
    people.deactivate(store, "admin", now=NOON)
    made = tokens.make_admin(store, CHEAP, PASSWORD, now=NOON)
    assert (made.role, made.is_active) == ("admin", True)
    assert people.has_admin(store)
