"""Moving a warehouse to PostgreSQL and S3 and back; `proving` says what does not come as it was."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest

from tests.makers import NOON, make_decision, make_gpu_sample
from tests.servers.places import *  # noqa: F403
from tests.servers.places import SharedPlace
from tests.servers.postgres import Postgres
from warehouse import leases, moving, proving
from warehouse.connecting import attach_beside, attached
from warehouse.errors import InUse, Refused, Unreadable
from warehouse.records import Decision, GpuSample, RollupMark, Ticket
from warehouse.rollups import roll_up
from warehouse.schema import TABLES
from warehouse.store import Location, Store

ROOT = Path(__file__).resolve().parents[2]
DAYS = 3


def fill(store: Store) -> None:
    """Days of samples, decisions with words, an open ticket, roll-ups, and rows that went again."""
    for day in range(DAYS):
        at = NOON + timedelta(days=day)
        store.append(
            make_gpu_sample(
                gpu_id=f"gpu-{n}", measured_at=at + timedelta(minutes=n), power_watts=300.1 + n / 7
            )
            for n in range(70)
        )
    store.append([make_decision(decision_id=f"d-{n}", reason=f"it's ü {n}") for n in range(3)])
    store.append([Ticket(decision_id=f"d-{n}", purpose="verdict") for n in range(2)])
    with store.transaction():
        store.take(Ticket(decision_id="d-0", purpose="verdict"))
    roll_up(store)


@pytest.fixture
def old(store: Store, tmp_path: Path) -> Location:
    """An embedded warehouse with rows, that nobody has open."""
    fill(store)
    store.close()
    return Location.embedded(tmp_path / "home")


def all_of(location: Location) -> dict[str, list[object]]:
    store = Store(location)
    found: dict[str, list[object]] = {
        "decisions": [*store.rows(Decision, "SELECT * FROM decisions ORDER BY rowid")],
        "tickets": [*store.rows(Ticket, "SELECT * FROM tickets ORDER BY rowid")],
        "samples": [
            *store.rows(GpuSample, "SELECT * FROM gpu_samples ORDER BY measured_at, gpu_id")
        ],
        "rollups": store.query("SELECT * FROM gpu_rollups ORDER BY ALL").rows(),
    }
    store.close()
    return found


def test_a_warehouse_that_was_moved_there_and_back_has_every_row_as_it_was(
    old: Location, bare_place: SharedPlace, tmp_path: Path
) -> None:
    before = (tmp_path / "home" / "catalogue.duckdb").read_bytes()
    done = moving.move(old, bare_place.location, now=NOON)
    assert done.rows > DAYS * 70
    assert "counts, sums and digests of every column are alike" in done.words
    assert (tmp_path / "home" / "catalogue.duckdb").read_bytes() == before
    assert all_of(bare_place.location) == all_of(old)
    back = Location.embedded(tmp_path / "back")
    moving.move(bare_place.location, back, now=NOON)
    assert all_of(back) == all_of(old)


def test_roll_ups_go_on_after_a_move_and_come_to_the_same(
    old: Location, bare_place: SharedPlace
) -> None:
    moving.move(old, bare_place.location, now=NOON)
    store = Store(bare_place.location)
    assert store.rows(RollupMark, "SELECT * FROM rollup_marks")[0].snapshot_id == 0
    before = store.query("SELECT * FROM gpu_rollups ORDER BY ALL").rows()
    roll_up(store)
    assert store.query("SELECT * FROM gpu_rollups ORDER BY ALL").rows() == before
    store.append([make_gpu_sample(gpu_id="gpu-0", measured_at=NOON + timedelta(days=DAYS))])
    assert roll_up(store) >= 0
    store.close()


MOVER = """
import sys
from tests.warehouse import test_moving
from warehouse import moving
copy, left = moving._copy, [int(sys.argv[1])]

def killed_after(connection, part):
    copy(connection, part)
    left[0] -= 1
    if not left[0]:
        import os, signal
        os.kill(os.getpid(), signal.SIGKILL)

moving._copy = killed_after
sys.exit(moving.main(sys.argv[2:]))
"""


def test_a_move_that_was_killed_is_opened_by_no_console_and_goes_on_where_it_stopped(
    old: Location, bare_place: SharedPlace, tmp_path: Path
) -> None:
    command = [sys.executable, "-W", "ignore", "-c", MOVER, "3", "--home", str(tmp_path / "home")]
    killed = subprocess.run(command, cwd=ROOT, env=environment(bare_place), capture_output=True)
    assert killed.returncode == -signal.SIGKILL
    with pytest.raises(Unreadable, match="has not come to its end"):
        Store(bare_place.location)
    done = moving.move(old, bare_place.location, now=NOON)
    assert 0 < done.rows_before < done.rows
    assert all_of(bare_place.location) == all_of(old)


def environment(place: SharedPlace) -> dict[str, str]:
    return {"PATH": "/usr/bin:/bin", "HOME": str(place.home), **place.variables}


def test_the_command_moves_and_says_so_and_tells_no_secret(
    old: Location, bare_place: SharedPlace, tmp_path: Path
) -> None:
    command = [sys.executable, "-W", "ignore", str(ROOT / "app.py"), "move-warehouse"]
    given = [*command, "--home", str(tmp_path / "home")]
    done = subprocess.run(given, env=environment(bare_place), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert re.search(r"\d+ rows of \d+ tables were moved; counts, sums and digests", done.stdout)
    assert bare_place.variables["PILOTHOUSE_S3_SECRET"] not in done.stdout + done.stderr
    again = subprocess.run(given, env=environment(bare_place), capture_output=True, text=True)
    assert again.returncode == 1
    assert "the target has rows of its own" in again.stderr
    nothing = subprocess.run(
        [*command, "--home", str(tmp_path / "nowhere")],
        env=environment(bare_place),
        capture_output=True,
        text=True,
    )
    assert "there is no warehouse in" in nothing.stderr


def test_what_is_open_in_a_console_is_not_moved(
    store: Store, shared_place: SharedPlace, tmp_path: Path
) -> None:
    with pytest.raises(InUse, match="another console has the warehouse"):
        moving.move(Location.embedded(tmp_path / "home"), shared_place.location, now=NOON)
    shared = Store(shared_place.location)
    leases.hold(shared, "house", "console-1", seconds=30, now=NOON)
    back = Location.embedded(tmp_path / "back")
    with pytest.raises(InUse, match="console-1 works on the warehouse"):
        moving.move(shared_place.location, back, now=NOON)
    shared.append([make_gpu_sample()])
    moving.move(shared_place.location, back, now=NOON + timedelta(minutes=1))
    shared.close()


def test_a_target_with_rows_or_with_parts_of_another_source_is_refused(
    old: Location, shared_place: SharedPlace, postgres: Postgres
) -> None:
    shared = Store(shared_place.location)
    shared.append([make_gpu_sample()])
    with pytest.raises(Refused, match="rows of its own, in gpu_samples"):
        moving.move(old, shared_place.location, now=NOON)
    shared.query("SELECT 1")
    with shared.transaction():
        cursor = shared._cursor()
        cursor.execute("CREATE TABLE moved_parts (table_name VARCHAR, day VARCHAR, origin VARCHAR)")
        cursor.execute("INSERT INTO moved_parts VALUES ('', '', 'another at 7')")
    with pytest.raises(Refused, match="has parts of another warehouse"):
        moving.move(old, shared_place.location, now=NOON)
    shared.close()


def test_what_did_not_come_as_it_was_is_named(old: Location, bare_place: SharedPlace) -> None:
    moving.move(old, bare_place.location, now=NOON)
    with closing(attached(bare_place.location)) as connection:
        attach_beside(connection, old, "old")
        for table in (TABLES[Ticket], TABLES[Decision], TABLES[GpuSample]):
            proving.prove(connection, table, "old")
        connection.execute("UPDATE tickets SET purpose = 'undo' WHERE decision_id = 'd-1'")
        with pytest.raises(proving.Differs, match=r"tickets did not come .* digests of purpose"):
            proving.prove(connection, TABLES[Ticket], "old")
        connection.execute("DELETE FROM gpu_samples WHERE gpu_id = 'gpu-3'")
        with pytest.raises(proving.Differs, match=r"gpu_samples did not come .* the rows were 210"):
            proving.prove(connection, TABLES[GpuSample], "old")
