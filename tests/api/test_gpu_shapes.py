"""A node's GPUs as programs read them: whole, cut up and shared."""

from __future__ import annotations

import pytest

from tests.api.conftest import Console, MakeConsole
from tests.makers import make_gpu_sample, make_gpu_share, make_node
from warehouse.store import Store

GPUS = "/api/v1/fleet/nodes/node-0/gpus"


@pytest.fixture
def console(store: Store, make_console: MakeConsole) -> Console:
    cut = {"slot": 1, "sharing": "mig", "job_id": None, "utilisation_ratio": None}
    part = {"parent_gpu_id": "gpu-1", "mig_profile": "3g.40gb", **cut}
    store.append([make_node(), make_gpu_sample(), make_gpu_sample(gpu_id="gpu-1", **cut)])
    store.append([make_gpu_sample(gpu_id="mig-a", **part), make_gpu_sample(gpu_id="mig-b", **part)])
    held = {"gpu_id": "mig-a", "sharing": "mig", "share_ratio": 3 / 14}
    store.append([make_gpu_share(pod=f"pod-{n}", **held) for n in range(2)])
    return make_console()


def test_a_nodes_gpus_come_with_their_instances_and_holders(console: Console) -> None:
    answer = console.program("viewer").get(GPUS).json()
    assert answer["total"] == 2  # instances are within theirs
    whole, cut = answer["items"]
    assert (whole["slot"], whole["instances"], whole["holders"]) == (0, [], [])
    assert [each["gpu_id"] for each in cut["instances"]] == ["mig-a", "mig-b"]
    assert cut["instances"][0]["utilisation_ratio"] is None
    assert [each["pod"] for each in cut["holders"]] == ["pod-0", "pod-1"]
    assert cut["holders"][0]["share_ratio"] == pytest.approx(3 / 14)
    assert cut["sharing"] == "mig"


def test_the_list_is_paged_and_a_node_that_nobody_saw_is_refused(console: Console) -> None:
    viewer = console.program("viewer")
    page = viewer.get(GPUS, params={"offset": 1, "limit": 1}).json()
    assert ([each["gpu_id"] for each in page["items"]], page["total"]) == (["gpu-1"], 2)
    missing = viewer.get("/api/v1/fleet/nodes/none/gpus")
    assert (missing.status_code, missing.json()["title"]) == (404, "No such node")
