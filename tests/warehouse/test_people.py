"""People: the newest row of a name holds, passwords are checked in even time."""

from __future__ import annotations

from datetime import timedelta

import pytest
from argon2 import PasswordHasher

from tests.makers import NOON
from warehouse import people
from warehouse.people import (
    BadName,
    LastAdmin,
    NameTaken,
    NoSuchUser,
    Passwords,
    Person,
    WeakPassword,
    authenticate,
)
from warehouse.store import Store

PASSWORD = "correct horse battery"
CHEAP = Passwords(PasswordHasher(time_cost=1, memory_cost=8, parallelism=1))


def make_user(store: Store, name: str = "ann", role: str = "operator", **changes: object):
    values = {"password": PASSWORD, "now": NOON}
    return people.create_user(store, CHEAP, name, role, **(values | changes))


@pytest.mark.parametrize(
    ("role", "may"),
    [
        ("viewer", {"viewer"}),
        ("operator", {"viewer", "operator"}),
        ("admin", {"viewer", "operator", "admin"}),
    ],
)
def test_each_role_may_do_what_those_before_it_may(role: str, may: set[str]) -> None:
    person = Person("ann", role, "browser")
    assert {each for each in people.ROLES if person.may(each)} == may


def test_the_newest_row_holds_even_where_the_clock_stands_still(store: Store) -> None:
    make_user(store)
    make_user(store, "root", "admin")
    for role in ("viewer", "admin", "operator", "viewer"):
        people.set_role(store, "ann", role, now=NOON)
        assert people.user(store, "ann").role == role
    people.set_role(store, "ann", "admin", now=NOON - timedelta(days=1))
    assert people.user(store, "ann").role == "admin"
    assert [each.user_name for each in people.users(store)] == ["ann", "root"]


def test_only_the_right_password_of_somebody_active_is_right(store: Store) -> None:
    make_user(store)
    make_user(store, "root", "admin")
    make_user(store, "robot", password=None)
    assert authenticate(store, CHEAP, "ann", PASSWORD, now=NOON) == people.user(store, "ann")
    assert authenticate(store, CHEAP, "ann", PASSWORD + "!", now=NOON) is None
    assert authenticate(store, CHEAP, "ann", "", now=NOON) is None
    assert authenticate(store, CHEAP, "robot", "", now=NOON) is None
    assert authenticate(store, CHEAP, "robot", "the password of nobody", now=NOON) is None
    assert authenticate(store, CHEAP, "nobody", "the password of nobody", now=NOON) is None
    people.deactivate(store, "ann", now=NOON)
    assert authenticate(store, CHEAP, "ann", PASSWORD, now=NOON) is None


class CountingHasher(PasswordHasher):
    """Counts what takes the time."""

    def __init__(self) -> None:
        super().__init__(time_cost=1, memory_cost=8, parallelism=1)
        self.verified = 0

    def verify(self, *args: object) -> bool:
        self.verified += 1
        return super().verify(*args)


def test_whoever_it_is_one_hash_is_compared(store: Store) -> None:
    make_user(store)
    make_user(store, "gone")
    people.deactivate(store, "gone", now=NOON)
    hasher = CountingHasher()
    passwords = Passwords(hasher)
    for number, name in enumerate(("ann", "nobody", "gone"), start=1):
        authenticate(store, passwords, name, "wrong", now=NOON)
        assert hasher.verified == number


def test_passwords_are_kept_as_argon2id_and_each_with_its_own_salt() -> None:
    kept = {Passwords().hashed(PASSWORD) for _ in range(2)}
    assert len(kept) == 2
    assert all(each.startswith("$argon2id$") and PASSWORD not in each for each in kept)


def test_a_hash_that_is_none_matches_nothing() -> None:
    assert not CHEAP.match("not a hash", PASSWORD)


def test_a_new_password_ends_sessions_and_replaces_the_old_one(store: Store) -> None:
    before = make_user(store)
    after = people.set_password(store, CHEAP, "ann", "an even better one", now=NOON)
    assert after.session_epoch == before.session_epoch + 1
    assert authenticate(store, CHEAP, "ann", PASSWORD, now=NOON) is None
    assert authenticate(store, CHEAP, "ann", "an even better one", now=NOON) is not None
    assert people.end_sessions(store, "ann", now=NOON).session_epoch == before.session_epoch + 2


@pytest.mark.parametrize("password", ["short", "a" * 40, "ann-long-name", "ab" * 10, "x" * 300])
def test_a_password_that_is_easily_guessed_is_refused(password: str) -> None:
    with pytest.raises(WeakPassword):
        people.strong("ann-long-name", password)


def test_names_are_plain_and_taken_once(store: Store) -> None:
    make_user(store, "ann@example.org")
    with pytest.raises(NameTaken):
        make_user(store, "Ann@Example.org")
    for name in ("", "a b", "-ann", "ann\n", "a" * 65, "ann/../root", "änn"):
        with pytest.raises(BadName):
            make_user(store, name)
    with pytest.raises(NoSuchUser):
        people.set_role(store, "nobody", "admin", now=NOON)


def test_the_last_admin_can_not_be_lost(store: Store) -> None:
    make_user(store, "root", "admin")
    make_user(store, "robot", "admin", password=None)
    with pytest.raises(LastAdmin):
        people.deactivate(store, "root", now=NOON)
    with pytest.raises(LastAdmin):
        people.set_role(store, "root", "operator", now=NOON)
    make_user(store, "ann", "admin")
    people.deactivate(store, "root", now=NOON)
    assert people.has_admin(store)
    with pytest.raises(LastAdmin):
        people.deactivate(store, "ann", now=NOON)
    assert people.activate(store, "root", now=NOON).is_active
