from __future__ import annotations

from warehouse.words import counted


def test_only_one_is_singular() -> None:
    assert [counted(count, "node") for count in (0, 1, 2)] == ["0 nodes", "1 node", "2 nodes"]
