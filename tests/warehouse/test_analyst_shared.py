"""Questions to a shared warehouse: catalogue in PostgreSQL, data on S3."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

import pytest

from tests.makers import NOON
from tests.servers.places import *  # noqa: F403
from tests.servers.places import SharedPlace
from tests.servers.s3 import SECRET
from tests.warehouse.analyst_attacks import HASH, PROGRAM
from tests.warehouse.analyst_scene import MARA, fill
from warehouse.analyst import Analyst
from warehouse.analyst_brief import Brief
from warehouse.analyst_catalogue import Copies
from warehouse.analyst_question import Limits
from warehouse.analyst_rules import OPEN
from warehouse.analyst_source import Source
from warehouse.analyst_walls import landlock_version
from warehouse.clock import FleetClock, WallClock
from warehouse.records import GpuSample, PoolState
from warehouse.store import Store

ROOT = Path(__file__).resolve().parents[2]
CLOCK = FleetClock(NOON, speed=0.0)


def test_a_question_is_answered_from_postgresql_and_s3(
    shared_place: SharedPlace, tmp_path: Path
) -> None:
    store = Store(shared_place.location)
    fill(store)
    store.delete(GpuSample, "gpu_id = 'gpu-5'")
    source, limits = Source.of(shared_place.location), Limits(memory_megabytes=512)
    analyst = Analyst(store, source, tmp_path / "questions", CLOCK, WallClock(), limits)
    for sql in (
        "SELECT gpu_id, count(*) AS n, max(measured_at) FROM gpu_samples GROUP BY 1 ORDER BY 1",
        "SELECT pool, gpus_on, price_usd_per_gpu_hour, measured_at FROM pool_states ORDER BY ALL",
        "SELECT job_id, node_ids, event, detail, happened_at FROM job_events ORDER BY ALL",
    ):
        answer = analyst.ask(sql, MARA)
        assert analyst.answers.rows(answer).equals(store.query(sql)), sql
    analyst.close()
    assert store.rows(PoolState, "SELECT * FROM pool_states")
    store.close()


@pytest.mark.skipif(landlock_version() < 4, reason="this kernel can't bound the network")
def test_the_secret_reads_the_open_tables_and_tells_nothing_of_itself(
    shared_place: SharedPlace, tmp_path: Path
) -> None:
    store = Store(shared_place.location)
    fill(store)
    source = Source.of(shared_place.location)
    copies = Copies(store, source.data, tmp_path / "questions", WallClock())
    copy = copies.current()
    users = store.query("SELECT data_file FROM ducklake_list_files('warehouse', 'users')").item(
        0, 0
    )
    samples = f"{source.data}main/gpu_samples/**/*.parquet"
    attacks = [
        f"SELECT count(*) AS n FROM read_parquet('{samples}')",
        f"SELECT * FROM read_parquet('{users}')",
        f"SELECT * FROM glob('{source.data}**')",
        f"SELECT * FROM read_text('{source.data}../x')",
        "SELECT * FROM read_parquet('s3://another/x.parquet')",
        "SELECT * FROM read_parquet('http://127.0.0.1:1/x.parquet')",
        f"COPY (SELECT 1) TO '{source.data}main/users/x.parquet'",
        "SELECT * FROM duckdb_secrets()",
        "SELECT * FROM duckdb_secrets(redact = false)",
        "SELECT * FROM which_secret('s3://bucket/x', 's3')",
        "FROM duckdb_settings()",
        "FROM duckdb_logs()",
    ]
    brief = Brief(
        sql="", names=copy.names, catalogue=str(copy.file), data=source.data, folders=copy.folders,
        rows=100, memory_megabytes=512, seconds=20.0, statements=source.statements,
        readable=source.readable, ports=source.ports,
    )  # fmt: skip
    given = {
        "brief": asdict(brief), "walls": ["settings", "system"], "attacks": attacks,
        "extensions": source.extensions,
    }  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-I", "-c", PROGRAM, str(ROOT)],
        input=json.dumps(given).encode() + b"\n",
        capture_output=True, env={}, timeout=60, check=False,
    )  # fmt: skip
    stands, *told = [json.loads(line) for line in done.stdout.splitlines()]
    assert stands, done.stderr
    assert len(told) == len(attacks), done.stderr
    assert told[0] == ["answered", "{'n': [64]}"], "it reads what it may"
    assert [sql for sql, (outcome, _) in zip(attacks[1:7], told[1:7], strict=True)
            if outcome == "answered"] == []  # fmt: skip
    assert not any(SECRET in text or HASH in text for _, text in told)
    assert set(copy.names) >= OPEN
    copies.close()
    store.close()
