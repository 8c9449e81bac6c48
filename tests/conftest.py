"""What every test may ask for: a real warehouse in a temporary folder, and an instant."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.stand_in import StandIn, harness
from warehouse.store import Location, Store

NOON = datetime(2026, 11, 2, 12, tzinfo=UTC)


@pytest.fixture
def now() -> datetime:
    return NOON


@pytest.fixture(scope="session")
def empty_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A warehouse without a row: copying it is much faster than making all its tables again."""
    home = tmp_path_factory.mktemp("empty") / "home"
    Store(Location.embedded(home)).close()
    return home


@pytest.fixture
def store(empty_home: Path, tmp_path: Path) -> Iterator[Store]:
    opened = Store(Location.embedded(shutil.copytree(empty_home, tmp_path / "home")))
    yield opened
    opened.close()


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real traces and facts beside the project; the test is skipped without it."""
    folder = Path(__file__).resolve().parents[2] / "shared"
    if not folder.is_dir():
        pytest.skip("the folder ../shared with the real traces is not beside the project")
    return folder


@pytest.fixture
def stand_in(now: datetime) -> Iterator[StandIn]:
    """The tests' own Kubernetes API server: an empty cluster, a clock that ticks by hand."""
    with StandIn(now) as running:
        yield running


@pytest.fixture
def cluster_under_test(tmp_path: Path) -> Iterator[harness.Harness]:
    """The stand-in, or the real cluster of `make test KUBECONFIG=...`."""
    with harness.cluster_under_test(tmp_path) as running:
        yield running
