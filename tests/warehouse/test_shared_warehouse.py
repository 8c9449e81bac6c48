"""A warehouse shared by several: a real PostgreSQL, a real S3 server, and what may go wrong.

Where it may stand is of `location`, opening it of `connecting`, the sentences are of `causes`.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.makers import NOON, make_decision, make_gpu_sample
from tests.servers.places import *  # noqa: F403
from tests.servers.places import SharedPlace
from tests.servers.postgres import Postgres
from tests.servers.proxies import LineProxy, S3Proxy
from tests.servers.s3 import S3Server
from warehouse import decisions, leases
from warehouse.records import GpuSample, Ticket
from warehouse.store import (
    Conflict,
    InDoubt,
    NotStored,
    Refused,
    Store,
    TicketGone,
    Unreachable,
)

COUNT = "SELECT count(*) AS n FROM gpu_samples"
MANY = 40
"""Rows that go to a file of their own; a few are kept in the catalogue."""


def samples(name: str, count: int = 1) -> list[GpuSample]:
    return [make_gpu_sample(gpu_id=f"{name}-{n}") for n in range(count)]


def count(store: Store) -> int:
    return int(store.query(COUNT).item())


@pytest.fixture
def s3_proxy(s3_server: S3Server) -> Iterator[S3Proxy]:
    proxy = S3Proxy(s3_server.endpoint)
    yield proxy
    proxy.close()


@pytest.fixture
def line(postgres: Postgres) -> Iterator[LineProxy]:
    proxy = LineProxy(Path(postgres.host) / ".s.PGSQL.5432")
    yield proxy
    proxy.close()


@pytest.fixture
def shared_store(shared_place: SharedPlace) -> Iterator[Store]:
    store = Store(shared_place.location)
    yield store
    store.close()


def test_rows_of_two_that_share_it_are_seen_by_both_and_lie_on_s3(
    shared_place: SharedPlace, shared_store: Store, s3_server: S3Server
) -> None:
    other = Store(shared_place.location)
    shared_store.append(samples("a", MANY))
    other.append(samples("b", MANY))
    assert count(shared_store) == count(other) == 2 * MANY
    assert s3_server.objects(shared_place.data) >= 2
    before = other.snapshot_id()
    shared_store.append(samples("c"))
    assert other.query(f"{COUNT} AT (VERSION => {before})").item() == 2 * MANY
    assert other.has_snapshot(before)
    other.close()


def test_consoles_that_start_at_once_make_the_tables_once(bare_place: SharedPlace) -> None:
    opened, failed, start = list[Store](), list[BaseException](), threading.Barrier(3)

    def open_it() -> None:
        start.wait()
        try:
            opened.append(Store(bare_place.location))
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=open_it) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failed
    for store in opened:
        store.append(samples("a"))
    assert [count(store) for store in opened] == [3, 3, 3]
    versions = "SELECT count(*), count(DISTINCT table_name) FROM duckdb_tables()"
    assert len(set(opened[0].query(versions).row(0))) == 1
    assert opened[0].query("SELECT count(*) FROM tickets").item() == 0
    for store in opened:
        store.close()


def test_of_two_that_tear_a_ticket_the_later_one_meets_a_conflict_and_then_finds_it_gone(
    shared_place: SharedPlace, shared_store: Store
) -> None:
    ticket = Ticket(decision_id="d-1", purpose="verdict")
    shared_store.append([ticket])
    other = Store(shared_place.location)

    def both() -> None:
        with other.transaction():
            other.take(ticket)
            with shared_store.transaction():
                shared_store.take(ticket)

    with pytest.raises(Conflict):
        both()
    with pytest.raises(TicketGone), other.transaction():
        other.take(ticket)
    other.close()


def test_appends_of_both_at_once_never_conflict(
    shared_place: SharedPlace, shared_store: Store
) -> None:
    other = Store(shared_place.location)
    with other.transaction():
        other.append(samples("b", MANY))
        shared_store.append(samples("a", MANY))
        shared_store.append(samples("c"))
        other.append(samples("d"))
    assert count(other) == 2 * MANY + 2
    other.close()


def test_who_tears_another_ticket_at_the_same_time_is_in_nobodys_way(
    shared_place: SharedPlace, shared_store: Store
) -> None:
    names = [f"decision-{n}" for n in range(6)]
    for name in names:
        decisions.propose(shared_store, make_decision(decision_id=name, target=f"pool/{name}"))
    other, start = Store(shared_place.location), threading.Barrier(2)
    failed = list[BaseException]()

    def approve(store: Store, mine: list[str]) -> None:
        start.wait()
        try:
            for name in mine:
                decisions.approve(store, name, by="ada", via="api", now=NOON)
        except BaseException as error:
            failed.append(error)

    halves = ((shared_store, names[::2]), (other, names[1::2]))
    threads = [threading.Thread(target=approve, args=half) for half in halves]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failed
    assert shared_store.query("SELECT count(*) FROM verdicts").item() == len(names)
    with pytest.raises(decisions.AlreadyDecided, match="was decided before"):
        decisions.approve(other, names[0], by="bob", via="api", now=NOON)
    other.close()


# -- the catalogue gone -------------------------------------------------------------------


def test_a_catalogue_that_is_gone_is_said_and_goes_on_by_itself_once_it_is_back(
    shared_place: SharedPlace, shared_store: Store, postgres: Postgres
) -> None:
    shared_store.append(samples("a", MANY))
    in_thread = list[BaseException]()

    def ask_with_a_new_cursor() -> None:
        try:
            count(shared_store)
        except BaseException as error:
            in_thread.append(error)

    postgres.stop()
    try:
        with pytest.raises(Unreachable, match="goes on by itself once PostgreSQL is back"):
            count(shared_store)
        with pytest.raises(Unreachable, match="nothing was stored"):
            shared_store.append(samples("lost", MANY))
        with pytest.raises(Unreachable):
            leases.hold(shared_store, "engine", "a", seconds=30, now=samples("a")[0].measured_at)
        thread = threading.Thread(target=ask_with_a_new_cursor)
        thread.start()
        thread.join()
        assert isinstance(in_thread[0], Unreachable)
        with pytest.raises(Unreachable, match="start PostgreSQL"):
            Store(shared_place.location)
    finally:
        postgres.start()
    assert count(shared_store) == MANY
    shared_store.append(samples("b", MANY))
    assert count(shared_store) == 2 * MANY


def test_what_was_open_when_the_catalogue_went_is_not_stored(
    shared_store: Store, postgres: Postgres, shared_place: SharedPlace
) -> None:
    def cut_off_within() -> None:
        with shared_store.transaction():
            shared_store.append(samples("a", MANY))
            postgres.cut_off(shared_place.database)

    with pytest.raises((NotStored, Unreachable), match="nothing was stored"):
        cut_off_within()
    assert count(shared_store) == 0
    shared_store.append(samples("a", MANY))
    assert count(shared_store) == MANY


def is_commit(sent: bytes) -> bool:
    return b"COMMIT" in sent


def over(line: LineProxy, shared_place: SharedPlace) -> SharedPlace:
    way = f"host=127.0.0.1 port={line.port} sslmode=disable gssencmode=disable"
    words = re.sub(r"host=\S+", way, shared_place.catalogue)
    return shared_place.by(catalogue=words)


def test_a_commit_whose_answer_is_lost_is_looked_up_and_never_done_twice(
    shared_place: SharedPlace, line: LineProxy
) -> None:
    store = Store(over(line, shared_place).location)
    cuts = list[bytes]()

    def once(sent: bytes) -> bool:
        is_now = is_commit(sent) and not cuts
        if is_now:
            cuts.append(sent)
        return is_now

    line.cuts = once
    store.append(samples("a", MANY))  # its commit came to pass, though nobody said so
    assert cuts
    assert count(store) == MANY
    store.close()


def test_where_the_catalogue_stays_away_a_lost_commit_is_in_doubt_and_said_so(
    shared_place: SharedPlace, line: LineProxy
) -> None:
    store = Store(over(line, shared_place).location)

    def for_good(sent: bytes) -> bool:
        line.is_down = line.is_down or is_commit(sent)
        return line.is_down

    line.cuts = for_good
    with pytest.raises(InDoubt, match="look whether they are stored"):
        store.append(samples("a", MANY))
    line.cuts, line.is_down = lambda sent: False, False
    assert count(store) in (0, MANY)
    store.close()


# -- S3 refusing --------------------------------------------------------------------------


@pytest.mark.parametrize("status", [403, 503])
def test_data_that_are_refused_leave_nothing_half_stored_and_are_stored_later(
    shared_place: SharedPlace, s3_proxy: S3Proxy, status: int
) -> None:
    store = Store(shared_place.by(endpoint=s3_proxy.endpoint).location)

    def append_both() -> None:
        with store.transaction():
            store.append([Ticket(decision_id="d-1", purpose="verdict")])
            store.append(samples("a", MANY))

    with s3_proxy.refuses(status, "PUT", "POST"):
        with pytest.raises(NotStored, match=rf"{status}.*nothing was stored"):
            append_both()
        assert count(store) == 0
        assert store.rows(Ticket, "SELECT * FROM tickets") == []
    append_both()
    assert count(store) == MANY
    store.close()


def test_data_that_cannot_be_read_are_said_and_read_later(
    shared_place: SharedPlace, s3_proxy: S3Proxy
) -> None:
    store = Store(shared_place.by(endpoint=s3_proxy.endpoint).location)
    store.append(samples("a", MANY))
    sums = "SELECT sum(power_watts) AS watts FROM gpu_samples"
    with (
        s3_proxy.refuses(503),
        pytest.raises(Unreachable, match=r"503.*once the S3 server gives them"),
    ):
        store.query(sums)
    assert store.query(sums).item() > 0
    store.close()


# -- what is wrong at the start -----------------------------------------------------------

PASSWORD = "geheim-7Q"


def test_what_is_wrong_at_the_start_is_said_in_a_line_that_tells_no_secret(
    shared_place: SharedPlace, postgres: Postgres, s3_proxy: S3Proxy
) -> None:
    postgres.needs_password("keeper", PASSWORD)
    wrong = postgres.catalogue(shared_place.database, user="keeper", password=PASSWORD + "x")
    elsewhere = f"s3://nowhere-{shared_place.database.replace('_', '-')}/x"
    said = {
        r"refuses the password: set PILOTHOUSE_CATALOGUE_PASSWORD": {"catalogue": wrong},
        r"no such database": {"catalogue": postgres.catalogue("never_made")},
        r"have no bucket: make it": {"data": elsewhere},
        r"can't be reached.*PILOTHOUSE_S3_ENDPOINT": {"endpoint": "127.0.0.1:9"},
    }
    for words, changes in said.items():
        with pytest.raises((Refused, Unreachable), match=words) as caught:
            Store(shared_place.by(**changes).location)
        assert "\n" not in str(caught.value)
        assert PASSWORD not in str(caught.value)
    with (
        s3_proxy.refuses(403),
        pytest.raises(Refused, match=r"refused \(HTTP 403\): see that the key"),
    ):
        Store(shared_place.by(endpoint=s3_proxy.endpoint).location)
    postgres.run(f"GRANT ALL ON DATABASE {shared_place.database} TO keeper")
    for what in ("SCHEMA public", "ALL TABLES IN SCHEMA public"):
        postgres.run(f"GRANT ALL ON {what} TO keeper", shared_place.database)
    right = postgres.catalogue(shared_place.database, user="keeper", password=PASSWORD)
    Store(shared_place.by(catalogue=right).location).close()


def test_other_data_than_those_of_the_catalogue_are_refused(
    shared_place: SharedPlace, shared_store: Store, tmp_path: Path
) -> None:
    with pytest.raises(Refused, match="set PILOTHOUSE_DATA to where this catalogue's data are"):
        Store(shared_place.by(data=f"{shared_place.data}/elsewhere").location)


def test_a_folder_that_others_do_not_see_is_refused(
    bare_place: SharedPlace, tmp_path: Path
) -> None:
    folder = tmp_path / "common"
    place = bare_place.by(data=str(folder))
    first = Store(place.location)
    first.append(samples("a", MANY))
    second = Store(place.location)
    assert count(second) == MANY
    for store in (first, second):
        store.close()
    folder.rename(tmp_path / "of-another-host")
    with pytest.raises(Refused, match="must name a folder that all of them see"):
        Store(place.location)
