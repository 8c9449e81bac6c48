"""The walls behind the rules: the DuckDB's settings, and what the operating system allows."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import NOON
from tests.warehouse.analyst_attacks import ENVIRONMENT, KEY, MARKS, PROGRAM, attacks
from tests.warehouse.analyst_scene import fill
from warehouse.analyst_brief import Brief
from warehouse.analyst_catalogue import Copies
from warehouse.analyst_walls import landlock_version
from warehouse.clock import WallClock
from warehouse.store import Store

ROOT = Path(__file__).resolve().parents[2]
LIMITED = """
import os, signal, sys, tempfile
sys.path.insert(0, sys.argv[1])
from warehouse import analyst_walls
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
file, _ = tempfile.mkstemp(dir="/dev/shm")
os.unlink(_)
analyst_walls._limit(2**28, 60)
try:
    bytearray(2**30)
except MemoryError:
    print("memory")
try:
    os.write(file, b"x")
except OSError:
    print("files")
"""
needs_landlock = pytest.mark.skipif(landlock_version() == 0, reason="this kernel has no Landlock")


@dataclass
class Besieged:
    """A home with secrets beside what may be read."""

    home: Path
    brief: Brief
    attacks: list[str]

    def told(self, walls: list[str], asked: list[str] | None = None) -> list[list[str]]:
        """What came of the attacks, past the rules, behind these walls.

        Past the rules DuckDB may be brought to abort; the attacks after it get another process.
        """
        asked, found = asked or self.attacks, list[list[str]]()
        while len(found) < len(asked):
            lines = self._run(walls, asked[len(found) :])
            assert json.loads(lines[0]) == ("system" in walls)
            found += [json.loads(line) for line in lines[1:]]
            if len(found) < len(asked):
                found.append(["ended", ""])
        return found

    def _run(self, walls: list[str], asked: list[str]) -> list[bytes]:
        given: dict[str, Any] = {"brief": asdict(self.brief), "walls": walls, "attacks": asked}
        done = subprocess.run(
            [sys.executable, "-I", "-c", PROGRAM, str(ROOT)],
            input=json.dumps(given).encode() + b"\n",
            capture_output=True,
            env={"PILOTHOUSE_TEST": ENVIRONMENT, "HOME": str(self.home)},
            timeout=60,
            check=False,
        )
        lines = done.stdout.splitlines()
        assert lines, done.stderr
        return lines

    def on_disk(self) -> dict[str, tuple[int, int]]:
        """Every file with its size and its time; of copies made none come on top."""
        return {
            str(path.relative_to(self.home)): (path.stat().st_size, path.stat().st_mtime_ns)
            for path in sorted(self.home.rglob("*"))
            if path.is_file()
        }


@pytest.fixture
def besieged(store: Store, tmp_path: Path) -> Iterator[Besieged]:
    home = tmp_path / "home"
    fill(store)
    (home / "secret.key").write_text(KEY)
    copies = Copies(store, f"{home}/parquet/", home / "questions", WallClock())
    copy = copies.current()
    allowed = f"{home}/parquet/main/gpu_samples/"
    (Path(allowed) / "link").symlink_to(home)
    withheld = next((home / "parquet" / "main" / "users").rglob("*.parquet"))
    brief = Brief(
        sql="", names=copy.names, catalogue=str(copy.file), data=f"{home}/parquet/",
        folders=copy.folders, rows=100, memory_megabytes=256, seconds=20.0,
        fleet_at=NOON.isoformat(),
    )  # fmt: skip
    yield Besieged(home, brief, attacks(home, allowed, str(withheld), copy.file))
    copies.close()


def leaks(asked: list[str], told: list[list[str]]) -> list[str]:
    """Attacks whose answer holds a mark."""
    return [
        sql
        for sql, (_, text) in zip(asked, told, strict=True)
        if any(mark in text for mark in MARKS)
    ]


def answered(besieged: Besieged, told: list[list[str]], *words: str) -> list[str]:
    """Attacks that hold one of the words and were answered with anything."""
    return [
        sql
        for sql, (outcome, text) in zip(besieged.attacks, told, strict=True)
        if outcome == "answered" and text != "{'file': []}" and any(word in sql for word in words)
    ]


def test_without_any_wall_the_attacks_succeed_so_that_this_test_can_fail(
    besieged: Besieged,
) -> None:
    reads = [sql for sql in besieged.attacks if sql.startswith("SELECT * FROM read_")]
    told = besieged.told([], reads)
    assert len(leaks(reads, told)) >= 5


def test_the_settings_alone_tell_nothing_past_the_rules(besieged: Besieged) -> None:
    told = besieged.told(["settings"])
    assert leaks(besieged.attacks, told) == []
    assert answered(besieged, told, "/etc/", "http", "s3://bucket/x.parquet", "secret.key") == []
    assert answered(besieged, told, "SET ", "INSERT", "DELETE", "UPDATE", "DROP", "LOAD") == []
    assert answered(besieged, told, "users", "api_tokens", "audit_events") == []
    assert not Path("/dev/shm/pilothouse-written.csv").exists()


@needs_landlock
def test_the_system_alone_tells_nothing_and_writes_nothing_past_the_rules(
    besieged: Besieged,
) -> None:
    before = besieged.on_disk()
    told = besieged.told(["system"])
    assert leaks(besieged.attacks, told) == []
    assert answered(besieged, told, "/etc/", "http", "secret.key", "COPY", "EXPORT") == []
    assert besieged.on_disk() == before
    assert not Path("/dev/shm/pilothouse-written.csv").exists()


@needs_landlock
def test_both_together_leave_no_file_changed_even_where_reading_is_allowed(
    besieged: Besieged,
) -> None:
    before = besieged.on_disk()
    told = besieged.told(["settings", "system"])
    assert leaks(besieged.attacks, told) == []
    assert answered(besieged, told, "COPY", "EXPORT", "ATTACH", "CREATE TABLE", "SET ") == []
    assert besieged.on_disk() == before


def test_the_limits_hold_where_the_kernel_has_no_landlock() -> None:
    done = subprocess.run(
        [sys.executable, "-c", LIMITED, str(ROOT)],
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    )
    assert done.stdout.split() == ["memory", "files"], done.stderr
