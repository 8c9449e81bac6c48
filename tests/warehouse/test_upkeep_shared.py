"""The jobs of the house on a shared warehouse: PostgreSQL, S3, two consoles at once."""

from __future__ import annotations

import threading
from datetime import datetime, timedelta

from tests.makers import NOON, make_gpu_sample
from tests.servers.places import *  # noqa: F403
from tests.servers.places import SharedPlace
from warehouse import fleet, rollups, tidying
from warehouse.keeping import days_kept
from warehouse.records import Ticket
from warehouse.store import Store
from warehouse.upkeep import Upkeep


class Still:
    """A clock that stands."""

    def now(self) -> datetime:
        return NOON


def test_two_consoles_do_all_jobs_at_once_and_each_period_is_rolled_up_once(
    shared_place: SharedPlace,
) -> None:
    stores = [Store(shared_place.location) for _ in range(2)]
    for turn in range(6):
        stores[turn % 2].append(
            [
                make_gpu_sample(gpu_id=f"gpu-{n}", measured_at=NOON + timedelta(minutes=20 * turn))
                for n in range(12)
            ]
        )
        stores[0].append([Ticket(decision_id=str(turn), purpose="verdict")])
    start = threading.Barrier(2)
    failed: list[str] = []

    def keep_house(store: Store) -> None:
        start.wait()
        for chore in tidying.house_chores(store, Still(), days_kept(sample_days=3)):
            run = Upkeep(store, Still()).run(chore)
            if run and run.outcome == "failed":
                failed.append(f"{run.job}: {run.detail}")

    threads = [threading.Thread(target=keep_house, args=[store]) for store in stores]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failed
    rollups.roll_up(stores[1])
    counts = stores[0].query(
        """
        SELECT period_seconds, count(*) AS rows,
            count(DISTINCT (gpu_id, starts_at)) AS once, sum(sample_count)::BIGINT AS readings
        FROM gpu_rollups GROUP BY 1 ORDER BY 1
        """
    )
    assert counts.rows() == [(60, 60, 60, 60), (300, 60, 60, 60), (3600, 12, 12, 36)]
    assert fleet.gpu_map(stores[1]).height == 12
    assert stores[1].query("SELECT count(*) FROM tickets").item() == 6
    assert rollups.roll_up(stores[0]) == 0
    for store in stores:
        store.close()
