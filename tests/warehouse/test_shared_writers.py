"""Several processes write to one shared warehouse: nothing is lost, nothing comes twice, and what
may happen once happens once, however many are killed in the middle of a commit."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

from tests.servers.places import *  # noqa: F403
from tests.servers.places import SharedPlace
from tests.warehouse.test_moving import environment
from warehouse.records import Ticket
from warehouse.store import Store

ROOT = Path(__file__).resolve().parents[2]
OPENING = """
import sys
from contextlib import suppress
from tests.makers import make_decision, make_gpu_sample
from warehouse.errors import Conflict, TicketGone
from warehouse.records import Ticket
from warehouse.settings import Settings
from warehouse.store import Location, Store

store, me = Store(Location.of(Settings())), sys.argv[1]
print("open", flush=True)
sys.stdin.readline()
"""
WRITER = (
    OPENING
    + """
for batch in range(12):
    with store.transaction():
        store.append([make_decision(decision_id=f"{me}-{batch}")])
        store.append([make_gpu_sample(gpu_id=f"{me}-{batch}-{n}") for n in range(20)])
    print(f"wrote {me}-{batch}", flush=True)
for number in range(8):
    ticket = Ticket(decision_id=f"ticket-{number}", purpose="verdict")
    for _ in range(50):
        try:
            with store.transaction():
                store.take(ticket)
            print(f"tore {number}", flush=True)
        except Conflict:
            continue
        except TicketGone:
            pass
        break
"""
)
ENDLESS = (
    OPENING
    + """
for batch in range(1000):
    with store.transaction():
        store.append([make_decision(decision_id=f"{me}-{batch}")])
        store.append([make_gpu_sample(gpu_id=f"{me}-{batch}-{n}") for n in range(20)])
    print(f"wrote {me}-{batch}", flush=True)
"""
)
KILLS, SEED = 5, 20261123
TORN = """
    SELECT decision_id, count(gpu_id) AS gpus FROM decisions
    LEFT JOIN gpu_samples ON starts_with(gpu_id, decision_id || '-') GROUP BY 1
"""


def started(place: SharedPlace, program: str, name: str) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", program, name],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env=environment(place),
    )
    assert process.stdout
    assert process.stdout.readline() == "open\n"
    return process


def said(process: subprocess.Popen[str]) -> list[str]:
    """What it has said by its end; a line that its death cut off is none."""
    assert process.stdout
    lines = [line.strip() for line in process.stdout if line.endswith("\n")]
    process.wait()
    for pipe in (process.stdin, process.stdout):
        assert pipe
        pipe.close()
    return lines


def begin(process: subprocess.Popen[str]) -> None:
    assert process.stdin
    process.stdin.write("\n")
    process.stdin.flush()


def test_four_that_write_at_once_lose_nothing_and_each_ticket_is_torn_by_one(
    shared_place: SharedPlace,
) -> None:
    store = Store(shared_place.location)
    store.append([Ticket(decision_id=f"ticket-{n}", purpose="verdict") for n in range(8)])
    writers = [started(shared_place, WRITER, f"w{n}") for n in range(4)]
    for writer in writers:
        begin(writer)
    lines = [line for writer in writers for line in said(writer)]
    assert [writer.returncode for writer in writers] == [0, 0, 0, 0]
    written = {line.removeprefix("wrote ") for line in lines if line.startswith("wrote")}
    assert len(written) == 4 * 12
    found = store.query(TORN)
    assert set(found["decision_id"]) == written
    assert set(found["gpus"]) == {20}
    torn = Counter(line for line in lines if line.startswith("tore"))
    assert torn == {f"tore {n}": 1 for n in range(8)}
    assert store.query("SELECT count(*) FROM tickets").item() == 0
    store.close()


def test_a_process_killed_in_the_middle_of_a_commit_loses_and_tears_nothing(
    shared_place: SharedPlace,
) -> None:
    luck, acknowledged = random.Random(SEED), set[str]()
    beside = started(shared_place, ENDLESS, "beside")
    begin(beside)  # and another goes on meanwhile
    for round_number in range(KILLS):
        writer = started(shared_place, ENDLESS, f"k{round_number}")
        begin(writer)
        assert writer.stdout
        lines = [writer.stdout.readline().strip() for _ in range(luck.randrange(1, 4))]
        for _ in range(luck.randrange(300_000)):  # at a moment that no commit decides
            pass
        writer.send_signal(signal.SIGKILL)
        acknowledged |= {line.removeprefix("wrote ") for line in lines + said(writer)}
    beside.send_signal(signal.SIGKILL)
    acknowledged |= {line.removeprefix("wrote ") for line in said(beside)}
    store = Store(shared_place.location)
    found = store.query(TORN)
    assert acknowledged <= set(found["decision_id"])
    assert len(acknowledged) > KILLS
    assert set(found["gpus"]) == {20}, "a transaction was torn"
    assert found["decision_id"].is_unique().all()
    store.close()
