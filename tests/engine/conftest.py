"""The small fleet with three hours of history, on a warehouse of its own."""

from __future__ import annotations

from datetime import timedelta

import pytest

from tests.engine.world import Played
from warehouse.store import Store


@pytest.fixture
def played(store: Store) -> Played:
    played = Played(store)
    played.start(timedelta(hours=3))
    return played
