"""What a console has of the cluster that it steers: `side`."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.kubernetes.marks import DECISION
from engine.kubernetes.settings import HandsSettings
from engine.kubernetes.side import ClusterSide
from tests.engine.kubernetes.cluster import ClusterClock
from tests.stand_in import StandIn
from warehouse.money import price_in_force
from warehouse.records import ClusterRight
from warehouse.store import Store

RIGHTS = "SELECT * FROM cluster_rights WHERE checked_at = $at AND NOT is_allowed"


def test_it_says_what_may_be_done_leads_and_gives_back(
    stand_in: StandIn, warehouse: Store, tmp_path: Path
) -> None:
    pools = tmp_path / "pools.toml"
    pools.write_text("[pools.of-side]\nprice_usd_per_gpu_hour = 2.6\n")
    settings = HandsSettings(kubeconfig=stand_in.kubeconfig(tmp_path), pools_file=pools)
    stand_in.add_namespace("pilothouse")
    stand_in.add_node("gpu-a", annotations={DECISION: "of-nobody"})
    stand_in.faults.forbid("create", "pods/eviction")
    side = ClusterSide(warehouse, ClusterClock(stand_in), settings, tmp_path)
    try:
        side.begin(stand_in.now)
        side.look(stand_in.now)
        price = price_in_force(warehouse, "of-side", at=stand_in.now)
        assert price is not None
        assert price.price_usd_per_gpu_hour == pytest.approx(2.6)
        lacking = warehouse.rows(ClusterRight, RIGHTS, at=stand_in.now)
        assert [row.right for row in lacking] == ["create pods/eviction"]
        assert side.leader.holder() is not None
        left = "SELECT count(*) FROM execution_steps WHERE decision_id = 'of-nobody'"
        assert warehouse.query(left).item() == 1
        asked = len(stand_in.requests)
        side.look(stand_in.now)
        assert len(stand_in.requests) == asked
    finally:
        side.close()
    lease = "/apis/coordination.k8s.io/v1/namespaces/pilothouse/leases/pilothouse-engine"
    assert stand_in.get(lease)["spec"].get("holderIdentity", "") == ""
