"""The small fleet of `ailing`, on a warehouse of its own."""

from __future__ import annotations

import pytest

from tests.engine.healing.ailing import Ailing
from warehouse.store import Store


@pytest.fixture
def ailing(store: Store) -> Ailing:
    made = Ailing(store)
    made.read("node-0", "node-1")
    return made
