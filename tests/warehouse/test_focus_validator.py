"""The exports against FOCUS's own validator, where it is installed: `make focus-validator`.

It exits 0 whatever it finds, so its report is read. What fails must be exactly what docs/exports.md
lists as its known defects: one more is a fault of ours, one less is a defect that was mended.
"""

from __future__ import annotations

import os
import re
import subprocess
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.exporting import exporter_to, make_metered_hour, meter
from warehouse.export_schedule import export_due
from warehouse.store import Store

PROJECT = Path(__file__).resolve().parents[2]
VENV = Path(os.environ.get("PILOTHOUSE_TEST_FOCUS_VENV", PROJECT / ".venv" / "focus"))
FAILED = re.compile(r"([A-Za-z]+-[A-Z]-\d{3}-[A-Z]): FAIL")
TOTAL = re.compile(r"Total: (\d+) \| Pass: (\d+) \| Fail: (\d+)")
LISTED = re.compile(r"^\| `([A-Za-z]+-[A-Z]-\d{3}-[A-Z])` \| (by default|all columns) \|", re.M)
DAY = datetime(2026, 11, 21, tzinfo=UTC)


@pytest.fixture
def exported(store: Store, tmp_path: Path) -> Path:
    """A day with every kind of row there is."""
    if not (VENV / "bin" / "focus-validator").exists():
        pytest.skip("FOCUS's validator is not installed: `make focus-validator` brings it")
    rows = (
        make_metered_hour(),
        make_metered_hour(job_id="spot", pricing="spot", allocated_gpu_hours=1 / 3, user_id=None),
        make_metered_hour(job_id="mig", pricing="committed", sharing="mig", used_gpu_hours=None),
        make_metered_hour(job_id="free", price_usd_per_gpu_hour=None, gpu_model=None, region=None),
        make_metered_hour(job_id="none", list_price_usd_per_gpu_hour=None, tenant="tenant-b"),
    )
    meter(store, DAY, 24, rows=rows)
    export_due(exporter_to(store, tmp_path / "exports"))
    (found,) = (tmp_path / "exports").glob("kind=focus/**/*.parquet")
    return found


def _listed() -> dict[str, str]:
    """The defects that the documentation lists, and when each shows."""
    return dict(LISTED.findall((PROJECT / "docs" / "exports.md").read_text()))


@pytest.mark.parametrize(
    ("flags", "passed"), [((), 136), (("--applicability-criteria", "ALL"), 359)]
)
def test_nothing_fails_but_the_known_defects(
    exported: Path, flags: tuple[str, ...], passed: int
) -> None:
    (packages,) = (VENV / "lib").glob("python3*/site-packages")
    report = subprocess.run(
        [
            str(VENV / "bin" / "focus-validator"),
            *("--validate-version", "1.2", "--block-download", "--data-file", str(exported)),
            *flags,
        ],
        cwd=packages,  # it looks for its rules from there
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    ).stdout
    expected = {rule for rule, when in _listed().items() if flags or when == "by default"}
    assert set(FAILED.findall(report)) == expected
    total = TOTAL.search(report)
    assert total, report
    assert (int(total[2]), int(total[3])) == (passed, len(expected))
