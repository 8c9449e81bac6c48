"""The jobs of the house: put on record, never a stop for the others."""

from __future__ import annotations

from datetime import datetime

from warehouse.store import Store
from warehouse.upkeep import Chore, Done, Upkeep


class Still:
    """A clock that stands."""

    def __init__(self, at: datetime) -> None:
        self._at = at

    def now(self) -> datetime:
        return self._at


def test_what_a_chore_did_is_on_record(store: Store, now: datetime) -> None:
    Upkeep(store, Still(now)).run(Chore("rolling", 60.0, lambda: Done("3 rows rolled up", 3)))
    (run,) = store.query("SELECT * FROM upkeep_runs").to_dicts()
    assert (run["job"], run["outcome"], run["row_count"]) == ("rolling", "succeeded", 3)
    assert run["started_at"] == now


def test_a_chore_that_fails_is_on_record_with_its_error(store: Store, now: datetime) -> None:
    def act() -> Done:
        raise OSError("the disk is full")

    run = Upkeep(store, Still(now)).run(Chore("tidying", 60.0, act))
    assert run
    assert run.outcome == "failed"
    assert store.query("SELECT detail FROM upkeep_runs").item() == "OSError: the disk is full"


def test_a_console_that_does_not_lead_leaves_them_to_the_one_that_does(
    store: Store, now: datetime
) -> None:
    did: list[int] = []
    chore = Chore("rolling", 60.0, lambda: Done(str(did.append(1))))
    assert Upkeep(store, Still(now), leads=lambda: False).run(chore) is None
    assert not did


def test_a_chore_with_nothing_to_do_leaves_no_row(store: Store, now: datetime) -> None:
    Upkeep(store, Still(now)).run(Chore("rolling", 60.0, lambda: Done("nothing was over")))
    assert store.query("SELECT count(*) FROM upkeep_runs").item() == 0
