"""What every test may ask for: a real warehouse in a temporary folder, and an instant."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from warehouse.store import Location, Store

NOON = datetime(2026, 11, 2, 12, tzinfo=UTC)


@pytest.fixture
def now() -> datetime:
    return NOON


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = Store(Location.embedded(tmp_path / "home"))
    yield opened
    opened.close()


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real traces and facts beside the project; the test is skipped without it."""
    folder = Path(__file__).resolve().parents[2] / "shared"
    if not folder.is_dir():
        pytest.skip("the folder ../shared with the real traces is not beside the project")
    return folder
