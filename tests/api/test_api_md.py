"""docs/api.md: its lines, run in a shell against a console as they stand there."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.api.conftest import PASSWORD, Console
from tests.api.serving import serving
from tests.exporting import meter
from tests.makers import NOON, make_charge, make_decision, make_job_event, make_node
from warehouse.people import create_user
from warehouse.verdicts import propose

PAGE = Path(__file__).resolve().parents[2] / "docs" / "api.md"
BLOCK = re.compile(r"^```(sh|json)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
DAY = datetime(2026, 11, 1, tzinfo=UTC)


@pytest.mark.skipif(
    not (shutil.which("curl") and shutil.which("jq")), reason="curl and jq are not installed"
)
def test_every_line_of_the_page_answers_what_the_page_says(
    console: Console, tmp_path: Path
) -> None:
    scene(console)
    blocks = BLOCK.findall(PAGE.read_text())
    script = "\n".join(text for kind, text in blocks if kind == "sh")
    expected = "".join(text for kind, text in blocks if kind == "json")
    assert len(blocks) >= 10
    with serving(console.app) as address:
        ran = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", script],
            cwd=tmp_path,
            env={"PATH": os.environ["PATH"], "CONSOLE": address, "PASSWORD": PASSWORD},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    assert (ran.stdout, ran.stderr) == (expected, "")


def scene(console: Console) -> None:
    """What the page tells of: a pool, a job that was charged, a decision, a metered day."""
    store = console.store
    hour = timedelta(hours=1)
    create_user(
        store, console.office.passwords, "operator", "operator", now=NOON, password=PASSWORD
    )
    store.append(
        [
            make_node(gpu_count=8, gpus_used=4),
            make_job_event(event="submitted", happened_at=NOON - 2 * hour),
            make_job_event(event="started", happened_at=NOON - hour),
            make_charge(job_id="job-1", charge_usd=10.5, period_starts_at=NOON - hour),
        ]
    )
    propose(store, make_decision())
    meter(store, DAY, 24)
    console.wall.at = max(NOON, DAY + timedelta(days=2))
    console.office.register.forget()
