"""One holds the lease: it is taken once, renewed, let go of, and taken over when it has run out."""

from __future__ import annotations

import copy
import threading
from datetime import datetime, timedelta

from tests.makers import NOON
from warehouse import leases
from warehouse.records import Lease
from warehouse.store import Store

SECONDS = 30.0


def hold(store: Store, who: str, at: datetime = NOON) -> bool:
    return leases.hold(store, "engine", who, seconds=SECONDS, now=at)


def later(seconds: float) -> datetime:
    return NOON + timedelta(seconds=seconds)


def newest(store: Store) -> Lease:
    found = leases.lease(store, "engine")
    assert found
    return found


def test_who_comes_first_has_it_until_it_runs_out(store: Store) -> None:
    assert leases.lease(store, "engine") is None
    assert hold(store, "a")
    assert not hold(store, "b", later(29))
    assert leases.holder_of(store, "engine", now=later(29)) == "a"
    assert leases.holder_of(store, "engine", now=later(30)) is None
    assert hold(store, "b", later(30))
    assert not hold(store, "a", later(31))


def test_it_is_renewed_when_a_third_of_its_time_is_over_and_not_before(store: Store) -> None:
    assert hold(store, "a")
    assert hold(store, "a", later(9))
    assert newest(store).renewed_at == NOON
    assert hold(store, "a", later(10))
    assert (newest(store).renewed_at, newest(store).term) == (later(10), 1)
    assert not hold(store, "b", later(39))


def test_its_term_is_raised_whenever_the_holder_changes(store: Store) -> None:
    hold(store, "a")
    hold(store, "a", later(100))  # it had run out, and nobody took it
    assert newest(store).term == 1
    hold(store, "b", later(200))
    assert newest(store).term == 2


def test_what_is_let_go_of_is_free_at_once(store: Store) -> None:
    hold(store, "a")
    leases.resign(store, "engine", "b", now=later(1))
    assert not hold(store, "b", later(1))
    leases.resign(store, "engine", "a", now=later(2))
    assert hold(store, "b", later(2))


def another_console(store: Store) -> Store:
    """On the same catalogue, with transactions of its own."""
    other = copy.copy(store)
    other._local, other._write_lock = threading.local(), threading.RLock()
    return other


def test_of_two_consoles_that_take_it_at_once_exactly_one_has_it(store: Store) -> None:
    both = {"a": store, "b": another_console(store)}
    for round_number in range(6):
        at = later(100 * round_number)
        barrier, won = threading.Barrier(2), list[str]()

        def take(who: str, at: datetime = at, barrier: threading.Barrier = barrier) -> None:
            barrier.wait()
            if hold(both[who], who, at):
                won.append(who)  # noqa: B023

        threads = [threading.Thread(target=take, args=(who,)) for who in both]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert won == [newest(store).holder]
        assert newest(store).renewed_at == at
