"""A kill -9 at any moment loses no acknowledged row and leaves a warehouse that opens."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
from pathlib import Path

from warehouse.store import Location, Store

WRITER = """
import sys
from dataclasses import replace
from pathlib import Path
from tests.makers import make_decision, make_gpu_sample
from warehouse.records import Ticket
from warehouse.store import Location, Store

store = Store(Location.embedded(Path(sys.argv[1])))
first = int(sys.argv[2])
print("open", flush=True)
for batch in range(first, first + 1000):
    name = f"decision-{batch}"
    with store.transaction():
        store.append([make_decision(decision_id=name), Ticket(decision_id=name, purpose="verdict")])
        store.append([make_gpu_sample(gpu_id=f"gpu-{batch}-{n}") for n in range(20)])
    print(batch, flush=True)
    if batch % 7 == 3:
        with store.transaction():
            store.take(Ticket(decision_id=name, purpose="verdict"))
        print(f"taken {batch}", flush=True)
"""

KILLS = 12
SEED = 20261102


def test_kills_at_random_moments_lose_nothing_that_was_acknowledged(tmp_path: Path) -> None:
    luck = random.Random(SEED)
    acknowledged: set[str] = set()
    taken: set[str] = set()
    for round_number in range(KILLS):
        for line in _write_until_killed(tmp_path, round_number * 1000, luck):
            (taken if line.startswith("taken") else acknowledged).add(line.split()[-1])
        _prove_nothing_lost(tmp_path, acknowledged, taken)
    assert len(acknowledged) > KILLS


def _write_until_killed(home: Path, first: int, luck: random.Random) -> list[str]:
    command = [sys.executable, "-c", WRITER, str(home), str(first)]
    root = Path(__file__).resolve().parents[2]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=root) as writer:
        assert writer.stdout
        assert writer.stdout.readline() == "open\n"
        lines: list[str] = []
        # Kill at a moment that no batch boundary decides: some batches in, then some spins more.
        for _ in range(luck.randrange(1, 6)):
            lines.append(writer.stdout.readline().strip())
        for _ in range(luck.randrange(200_000)):
            pass
        writer.send_signal(signal.SIGKILL)
        lines += [line.strip() for line in writer.stdout if line.endswith("\n")]
    return [line for line in lines if line]


def _prove_nothing_lost(home: Path, acknowledged: set[str], taken: set[str]) -> None:
    store = Store(Location.embedded(home))
    try:
        stored = store.query(
            """
            SELECT replace(decision_id, 'decision-', '') AS batch, count(gpu_id) AS gpus
            FROM decisions LEFT JOIN gpu_samples
                ON starts_with(gpu_id, replace(decision_id, 'decision-', 'gpu-') || '-')
            GROUP BY 1
            """
        )
        assert acknowledged <= set(stored["batch"])
        assert set(stored["gpus"]) == {20}, "a transaction was torn"
        tickets = {
            ticket.removeprefix("decision-")
            for ticket in store.query("SELECT decision_id FROM tickets")["decision_id"]
        }
        assert not tickets & taken, "a used ticket came back"
        assert (acknowledged - tickets) <= {b for b in stored["batch"] if int(b) % 7 == 3}
    finally:
        store.close()
