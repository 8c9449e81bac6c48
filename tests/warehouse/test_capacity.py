"""GPUs delivered, healthy, reserved and in use."""

from __future__ import annotations

from tests.makers import NOON, make_gpu_sample, make_node
from warehouse import rollups
from warehouse.capacity import FIGURES, capacity
from warehouse.records import NodeHealth
from warehouse.store import Store


def test_each_figure_counts_what_its_name_says(store: Store) -> None:
    ill = NodeHealth(
        node_id="ill", pool="p", health_ratio=0.1, is_suspect=True, evidence=[], judged_at=NOON
    )
    store.append(
        [
            make_node(node_id="sound", pool="p", gpu_count=8, gpus_used=2),
            make_node(node_id="ill", pool="p", gpu_count=8, gpus_used=1),
            make_node(node_id="off", pool="p", state="off", gpu_count=8, gpus_used=0),
            make_node(node_id="coming", pool="p", state="provisioning", gpu_count=8, gpus_used=0),
            make_node(node_id="elsewhere", pool="q", gpu_count=4, gpus_used=4),
            ill,
            make_gpu_sample(gpu_id="a", node_id="sound", job_id="j", utilisation_ratio=0.9),
            make_gpu_sample(gpu_id="b", node_id="sound", job_id="j", utilisation_ratio=0.0),
            make_gpu_sample(gpu_id="c", node_id="ill", job_id=None, utilisation_ratio=0.5),
        ]
    )
    rollups.roll_up(store)
    p, q = capacity(store).to_dicts()
    assert [p[name] for name in FIGURES] == [24, 8, 3, 1]
    assert [q[name] for name in FIGURES] == [4, 4, 4, None]
    nodes = {row["node_id"]: row for row in capacity(store, "node", pool="p").to_dicts()}
    assert set(nodes) == {"sound", "ill", "off", "coming"}
    assert nodes["coming"]["gpus_delivered"] == 0
    assert (nodes["sound"]["gpus_in_use"], nodes["off"]["gpus_in_use"]) == (1, None)


def test_an_empty_warehouse_has_no_row(store: Store) -> None:
    assert capacity(store).is_empty()
    assert capacity(store, "node").is_empty()
