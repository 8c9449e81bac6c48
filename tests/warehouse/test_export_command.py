"""Exports by hand: written, told in a table, refused with what to do, asked of a console."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any, ClassVar

import pytest

from tests.exporting import meter
from warehouse.export_command import main
from warehouse.store import Location, Store

DAY = datetime(2026, 11, 21, tzinfo=UTC)


@pytest.fixture
def home(store: Store, tmp_path: Path) -> Path:
    """A warehouse that nobody has open, with a day and some hours metered."""
    meter(store, DAY, 24 + 6)
    store.close()
    return tmp_path / "home"


def test_days_are_written_and_told_and_a_second_time_left_as_they_are(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = ["--from", "2026-11-21", "--home", str(home), "--to-place", str(tmp_path / "out")]
    assert main(asked) == 0
    told = capsys.readouterr().out
    assert "432.00" in told
    assert "2 written, 0 not, 2 asked for" in told
    assert (tmp_path / "out" / "_index.json").is_file()
    assert main(asked) == 0
    assert "unchanged" in capsys.readouterr().out
    assert len(list((tmp_path / "out").rglob("*.parquet"))) == 2


def test_days_that_are_not_metered_wait_and_the_exit_status_says_so(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = ["--from", "2026-11-21", "--to", "2027-01-01", "--kind", "focus", "--home", str(home)]
    assert main(asked) == 1
    told = capsys.readouterr().out
    assert "6 of 24 hours; hours are metered up to 2026-11-22 06:00" in told
    assert "1 written, 41 not, 42 asked for" in told


def test_a_warehouse_that_a_console_has_open_is_asked_by_its_api_and_that_is_said(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    held = Store(Location.embedded(home))
    try:
        status = main(["--from", "2026-11-21", "--home", str(home)])
    finally:
        held.close()
    assert status == 1
    assert "--url http://127.0.0.1:8050 and --token" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--from", "yesterday"], "is no day: write 2026-11-01"),
        (["--to", "2026-11-01"], "--from"),
    ],
)
def test_what_is_no_day_is_refused(
    words: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        main(words)
    assert said in capsys.readouterr().err


def test_days_in_the_wrong_order_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--from", "2026-11-21", "--to", "2026-11-01"]) == 1
    assert "give the earlier day first" in capsys.readouterr().err


# -- by a console -----------------------------------------------------------------------


class _Console(BaseHTTPRequestHandler):
    """Answers as a console does: a day that waits, one that is unchanged, one that is refused."""

    answers: tuple[tuple[int, dict[str, Any]], ...] = ()
    asked: ClassVar[list[tuple[str, dict[str, Any]]]] = []

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        status, told = self.answers[len(self.asked)]
        self.asked.append((self.headers["authorization"], body))
        self.send_response(status)
        self.end_headers()
        self.wfile.write(json.dumps(told).encode())

    def log_message(self, format: str, *args: Any) -> None:
        pass


@pytest.fixture
def console() -> Iterator[str]:
    _Console.asked = []
    with HTTPServer(("127.0.0.1", 0), _Console) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_a_console_is_asked_day_by_day(console: str, capsys: pytest.CaptureFixture[str]) -> None:
    waits = {"type": "urn:pilothouse:problem:not-metered", "detail": "6 of 24 hours"}
    _Console.answers = ((200, {"exports": [], "unchanged": ["2026-11-21"]}), (409, waits))
    asked = ["--from", "2026-11-21", "--to", "2026-11-22", "--kind", "usage"]
    assert main([*asked, "--url", console, "--token", "pht_secret"]) == 1
    told = capsys.readouterr().out
    assert "unchanged" in told
    assert "6 of 24 hours" in told
    assert [sent["from_day"] for _, sent in _Console.asked] == ["2026-11-21", "2026-11-22"]
    assert _Console.asked[0][0] == "Bearer pht_secret"


def test_a_console_that_refuses_is_believed(
    console: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    _Console.answers = ((403, {"type": "x", "detail": "this needs the role operator"}),)
    monkeypatch.setenv("PILOTHOUSE_TOKEN", "pht_viewer")
    assert main(["--from", "2026-11-21", "--url", console]) == 1
    assert "this needs the role operator" in capsys.readouterr().err
    assert main(["--from", "2026-11-21", "--url", "http://127.0.0.1:9"]) == 1
    assert "no console answers at" in capsys.readouterr().err
    monkeypatch.delenv("PILOTHOUSE_TOKEN")
    assert main(["--from", "2026-11-21", "--url", console]) == 1
    assert "an operator's API token" in " ".join(capsys.readouterr().err.split())
