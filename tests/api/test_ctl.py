"""`python app.py ctl`: the common verbs over a real connection, for people and for programs."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from api.ctl import main
from api.ctl_tables import details, table
from api.ctl_words import parser
from app import LABORATORY
from tests.api.conftest import Console
from tests.api.serving import serving
from tests.exporting import meter
from tests.makers import NOON, make_decision, make_job_event
from warehouse.decisions import decision
from warehouse.tokens import issue_token
from warehouse.verdicts import propose

DAY = datetime(2026, 11, 1, tzinfo=UTC)

Ctl = Callable[..., int]


@pytest.fixture
def ctl(console: Console, tmp_path: Path) -> Iterator[Ctl]:
    """`ctl` with an operator's token, against the console on loopback."""
    console.program("operator")
    token = issue_token(console.store, "the-operator", "operator", "ctl", now=NOON).token
    file = tmp_path / "token"
    file.write_text(f"{token}\n")
    console.office.register.forget()
    with serving(console.app) as address:
        yield lambda *words: main(["--url", address, "--token-file", str(file), *words])


def test_it_is_a_command_of_the_front_door() -> None:
    assert LABORATORY["ctl"] == "api.ctl"


def test_programs_get_json_and_people_tables(
    ctl: Ctl, console: Console, capsys: pytest.CaptureFixture[str]
) -> None:
    console.store.append([make_job_event(job_id="job-7", event="submitted", tenant="acme")])
    assert ctl("-o", "json", "jobs", "list", "--tenant", "acme") == 0
    assert [row["job_id"] for row in json.loads(capsys.readouterr().out)["items"]] == ["job-7"]
    assert ctl("jobs", "list") == 0
    shown = capsys.readouterr().out
    assert "job-7" in shown
    assert "queued" in shown
    assert ctl("jobs", "show", "job-7") == 0
    assert "submitted_at" in capsys.readouterr().out
    assert ctl("jobs", "list", "--state", "failed") == 0
    assert "There is none." in capsys.readouterr().out
    assert ctl("me") == ctl("prices") == 0


def test_a_decision_is_found_approved_and_taken_back(
    ctl: Ctl, console: Console, capsys: pytest.CaptureFixture[str]
) -> None:
    made = make_decision()
    propose(console.store, made)
    assert ctl("decisions", "list", "--state", "waiting") == 0
    assert made.decision_id in capsys.readouterr().out
    assert ctl("decisions", "approve", made.decision_id) == 1
    assert "--yes" in capsys.readouterr().err
    assert ctl("decisions", "approve", made.decision_id, "--yes", "--action-hash", "other") == 1
    assert "412" in capsys.readouterr().err
    assert ctl("decisions", "approve", made.decision_id, "--yes", "--reason", "fine") == 0
    state = decision(console.store, made.decision_id, now=NOON)
    assert (state.state, state.decided_by) == ("approved", "the-operator")
    assert ctl("decisions", "reject", made.decision_id, "--reason", "late") == 1
    assert "(409)" in capsys.readouterr().err
    assert ctl("decisions", "withdraw", made.decision_id, "--reason", "wrong pool") == 0
    assert decision(console.store, made.decision_id, now=NOON).state == "withdrawn"
    assert ctl("decisions", "show", made.decision_id) == 0


def test_an_export_is_made_and_downloaded_whole_or_not_at_all(
    ctl: Ctl, console: Console, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    meter(console.store, DAY, 24)
    console.wall.at = DAY + timedelta(days=2)
    assert ctl("export", "make", "--from", "2026-11-01", "--to", "2026-11-01") == 0
    assert ctl("export", "make", "--from", "2026-11-01", "--to", "2026-11-01") == 0
    assert "2026-11-01 still holds" in capsys.readouterr().out
    assert ctl("-o", "json", "export", "list") == 0
    (row,) = json.loads(capsys.readouterr().out)["items"]
    to = tmp_path / "november.parquet"
    assert ctl("export", "get", row["export_id"], "--to", str(to)) == 0
    assert hashlib.sha256(to.read_bytes()).hexdigest() == row["sha256"]
    assert ctl("export", "get", row["export_id"], "--to", str(to)) == 1
    assert "is there already" in capsys.readouterr().err
    assert ctl("export", "get", "../../etc/passwd", "--to", str(tmp_path / "x")) == 1
    assert list(tmp_path.glob("*.part")) == []


def test_what_goes_wrong_is_told_in_a_sentence(
    tmp_path: Path, console: Console, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "token"
    file.write_text("pht_0123_nonsense")
    asked = ["--token-file", str(file), "me"]
    assert main(["--url", "http://127.0.0.1:9", *asked]) == 1
    assert "does not answer" in capsys.readouterr().err
    assert main(["--url", "nonsense", *asked]) == 1
    assert "is no address" in capsys.readouterr().err
    with serving(console.app) as address:
        assert main(["--url", address, *asked]) == 1
    assert "(401)" in capsys.readouterr().err
    assert main(["--token-file", str(tmp_path / "none"), "me"]) == 1
    assert "can't be read" in capsys.readouterr().err
    file.write_text("")
    assert main(asked) == 1
    assert "a token is needed" in capsys.readouterr().err


def test_nonsense_on_the_command_line_is_2() -> None:
    with pytest.raises(SystemExit) as ended:
        parser().parse_args(["decisions", "reject", "d-1"])
    assert ended.value.code == 2


def test_what_looks_like_mark_up_is_shown_as_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    from rich.console import Console as Shown

    Shown().print(table([{"a": "[red]x"}], {"a": "head"}))
    Shown().print(details({"a": "[/b]", "b": None, "c": [1.5, True]}))
    shown = capsys.readouterr().out
    assert "[red]x" in shown
    assert "[/b]" in shown
    assert "1.50" in shown
