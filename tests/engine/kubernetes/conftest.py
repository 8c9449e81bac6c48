"""One warehouse for all: each test's decisions have ids of their own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.engine.kubernetes.cluster import Handled
from tests.stand_in import StandIn
from warehouse.store import Location, Store


@pytest.fixture(scope="session")
def warehouse(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    opened = Store(Location.embedded(tmp_path_factory.mktemp("hands") / "home"))
    yield opened
    opened.close()


@pytest.fixture
def handled(stand_in: StandIn, warehouse: Store, tmp_path: Path) -> Handled:
    return Handled(stand_in, warehouse, tmp_path)
