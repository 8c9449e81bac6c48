"""Where exports go: a folder and a real S3 server; whole or not at all, whatever happens."""

from __future__ import annotations

import json
import os
import resource
import shutil
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from pyarrow import fs
from pydantic import SecretStr

from tests.exporting import HandClock, exporter_to, make_metered_hour, meter
from tests.killed_export import STEPS
from warehouse import exports
from warehouse.errors import Refused
from warehouse.export_errors import ExportUnderWay, PlaceFailed, VersionTaken
from warehouse.export_files import sha256_of, write_data
from warehouse.export_kinds import FOCUS
from warehouse.export_making import AGAIN_AFTER, Exporter
from warehouse.export_places import LEFT_SECONDS, FolderPlace, S3Place
from warehouse.export_schedule import ScheduledExportFailed, export_due
from warehouse.export_terms import ExportTerms, terms_of
from warehouse.focus import Names
from warehouse.location import S3Access, s3_access
from warehouse.settings import Settings
from warehouse.store import Location, Store

DAY = datetime(2026, 11, 21, tzinfo=UTC)
PROJECT = Path(__file__).resolve().parents[2]
MOTO = PROJECT / ".venv" / "servers" / "bin" / "moto_server"
BUCKET = "finance"


# -- a folder ---------------------------------------------------------------------------


def _prepared(staging: Path, content: bytes = b"data") -> Path:
    made = staging / "version=1"
    made.mkdir()
    (made / "part-0.parquet").write_bytes(content)
    (made / "_manifest.json").write_text("{}")
    return made


def test_a_version_that_is_there_is_never_written_over(tmp_path: Path) -> None:
    place = FolderPlace(tmp_path)
    for content in (b"first", b"second"):
        with place.staging() as staging:
            prepared = _prepared(staging, content)
            if content == b"first":
                place.publish(prepared, "kind=focus/version=1")
                continue
            with pytest.raises(VersionTaken, match="ask again for the next version"):
                place.publish(prepared, "kind=focus/version=1")
    assert (tmp_path / "kind=focus/version=1/part-0.parquet").read_bytes() == b"first"
    assert place.versions("kind=focus") == [1]
    assert not list((tmp_path / ".partial").iterdir())


def test_what_an_old_kill_left_is_swept_and_what_another_is_at_stays(tmp_path: Path) -> None:
    old, young = tmp_path / ".partial" / "old", tmp_path / ".partial" / "young"
    old.mkdir(parents=True)
    young.mkdir()
    long_ago = young.stat().st_mtime - LEFT_SECONDS - 1
    os.utime(old, (long_ago, long_ago))
    with FolderPlace(tmp_path).staging():
        assert not old.exists()
        assert young.exists()


@contextmanager
def _no_file_larger_than(size_bytes: int) -> Iterator[None]:
    """As a full disk does, the system refuses what is beyond."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, ignored)


def test_a_disk_that_takes_no_more_leaves_nothing_behind(tmp_path: Path) -> None:
    hours = pl.DataFrame([make_metered_hour(job_id=f"job-{each}") for each in range(2000)])
    rows = FOCUS.rows(hours.with_columns(pl.lit(1).alias("version")), Names())
    place = FolderPlace(tmp_path / "exports")
    with (
        pytest.raises(PlaceFailed, match="raise the limit on the size of files"),
        place.staging() as staging,
        _no_file_larger_than(4096),
    ):
        write_data(staging / "part-0.parquet", FOCUS, [rows])
    assert not list((tmp_path / "exports").rglob("*.parquet"))
    assert not list((tmp_path / "exports" / ".partial").iterdir())


def test_a_kill_at_any_step_leaves_no_file_that_a_reader_would_take_for_whole(
    empty_home: Path, tmp_path: Path
) -> None:
    home, place = shutil.copytree(empty_home, tmp_path / "home"), tmp_path / "exports"
    store = Store(Location.embedded(home))
    meter(store, DAY, 24)
    store.close()
    found = "kind=focus/span=day/billing_period=2026-11/day=2026-11-21/version=1"
    for step in STEPS:
        killed = subprocess.run(
            [sys.executable, "-m", "tests.killed_export", str(home), str(place), step],
            cwd=PROJECT,
            timeout=60,
            check=False,
        )
        is_late = STEPS.index(step) >= STEPS.index("before_its_row")
        assert killed.returncode == -signal.SIGKILL, step
        read = list(place.glob("kind=*/**/*.parquet"))
        assert [str(each.relative_to(place)) for each in read] == (
            [f"{found}/part-0.parquet"] if is_late else []
        ), step
        if is_late:
            told = json.loads((place / found / "_manifest.json").read_text())
            assert told["sha256"] == sha256_of(place / found / "part-0.parquet")
    store = Store(Location.embedded(home))
    export_due(exporter_to(store, place))
    rows = exports.newest(store, str(place))
    assert [(row.kind, row.version) for row in rows] == [("focus", 1), ("usage", 1)]
    assert store.query("SELECT count(*) FROM exports").item() == 2
    assert len(json.loads((place / "_index.json").read_text())["exports"]) == 2
    store.close()


def test_of_two_who_export_at_once_one_waits(store: Store, tmp_path: Path) -> None:
    with exporter_to(store, tmp_path).alone():
        with pytest.raises(ExportUnderWay), exporter_to(store, tmp_path).alone():
            pass
        meter(store, DAY, 24)
        assert export_due(exporter_to(store, tmp_path)).row_count == 0
    assert export_due(exporter_to(store, tmp_path)).row_count == 2


# -- S3 ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def s3_url() -> Iterator[str]:
    """A real S3 server on loopback."""
    if not MOTO.exists():
        pytest.skip("the S3 server is not installed: `make test` brings it")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server = subprocess.Popen(
        [str(MOTO), "-H", "127.0.0.1", "-p", str(port)], stderr=subprocess.PIPE, text=True
    )
    assert server.stderr
    for line in server.stderr:
        if "Running on" in line:
            break
    yield f"http://127.0.0.1:{port}"
    server.terminate()
    server.stderr.close()
    server.wait(10)


@pytest.fixture
def s3(s3_url: str) -> S3Access:
    urllib.request.urlopen(
        urllib.request.Request(f"{s3_url}/moto-api/reset", method="POST"), timeout=10
    ).close()
    given: dict[str, Any] = {"s3_endpoint": s3_url, "s3_key_id": "key", "s3_secret": "secret"}
    access = s3_access(Settings(**given))
    _files(access).create_dir(BUCKET)
    return access


def _files(access: S3Access) -> fs.S3FileSystem:
    return fs.S3FileSystem(
        access_key="key",
        secret_key="secret",
        region="us-east-1",
        endpoint_override=access.endpoint,
        scheme="http",
        allow_bucket_creation=True,
    )


def _to(store: Store, access: S3Access, clock: HandClock, bucket: str = BUCKET) -> Exporter:
    return Exporter(store, ExportTerms(f"s3://{bucket}/costs", s3=access), clock)


def test_on_s3_a_day_and_its_correction_are_read_back_whole(store: Store, s3: S3Access) -> None:
    meter(store, DAY, 24)
    exporter = _to(store, s3, HandClock())
    export_due(exporter)
    meter(store, DAY, 1, version=2, reason="an event came late", rows=())
    assert export_due(exporter).row_count == 2
    (row, _) = exports.newest(store, "s3://finance/costs")
    assert (row.version, row.row_count) == (2, 23)
    assert exports.verify(exporter.place, row).is_intact
    with exports.opened(exporter.place, row) as opened:
        assert pl.read_parquet(opened.read()).height == 23
    listed = json.loads(exporter.place.read("_index.json"))["exports"]
    assert [each["version"] for each in listed] == [2, 2]
    assert exporter.place.versions(str(Path(str(row.path)).parents[1])) == [1, 2]


def test_on_s3_what_has_no_manifest_does_not_count(store: Store, s3: S3Access) -> None:
    """As after a kill between the data and its manifest."""
    meter(store, DAY, 24)
    path = "costs/kind=focus/span=day/billing_period=2026-11/day=2026-11-21/version=1"
    with _files(s3).open_output_stream(f"{BUCKET}/{path}/part-0.parquet") as stream:
        stream.write(b"left by a kill")
    exporter = _to(store, s3, HandClock())
    assert exporter.place.versions("kind=focus/span=day/billing_period=2026-11") == []
    export_due(exporter)
    (row, _) = exports.newest(store, exporter.place.url)
    assert row.version == 1
    assert exports.verify(exporter.place, row).is_intact


def test_an_s3_that_refuses_leaves_a_failure_and_the_next_try_writes(
    store: Store, s3: S3Access
) -> None:
    meter(store, DAY, 24)
    clock = HandClock()
    exporter = _to(store, s3, clock, "not-made-yet")
    with pytest.raises(ScheduledExportFailed, match="make the bucket"):
        export_due(exporter)
    _files(s3).create_dir("not-made-yet")
    clock.at += AGAIN_AFTER
    assert export_due(exporter).row_count == 2
    outcomes = store.query("SELECT outcome FROM exports ORDER BY rowid")["outcome"].to_list()
    assert outcomes == ["failed", "written", "written"]


def test_the_settings_say_where_exports_go_and_how_the_bucket_is_reached(tmp_path: Path) -> None:
    given: dict[str, Any] = {"home": tmp_path, "export_provider": "Acme"}
    here = terms_of(Settings(**given))
    assert (here.place, here.names.provider, here.s3) == (str(tmp_path / "exports"), "Acme", None)
    given |= {"export_place": "s3://finance/costs", "s3_key_id": "key"}
    with pytest.raises(Refused, match="go together"):
        terms_of(Settings(**given))
    there = terms_of(Settings(**given, s3_secret="secret"))
    assert there.s3
    assert isinstance(there.opened(), S3Place)
    assert terms_of(Settings(**given), str(tmp_path)).place == str(tmp_path)


def test_an_s3_that_is_gone_is_said_to_be(store: Store) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        nobody = f"127.0.0.1:{free.getsockname()[1]}"
    access = S3Access(
        endpoint=nobody, key_id="key", secret=SecretStr("secret"), url_style="path", use_ssl=False
    )
    place = S3Place("s3://finance/costs", access)
    with pytest.raises(PlaceFailed, match="see that it is reachable"):
        place.versions("kind=focus")
