"""A node replaced, or mended by the operator's command: `repair`, `process`, `machines`."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from engine.hands import CommandFailed, CommandRefused, CommandUnderWay
from engine.kubernetes import process
from engine.kubernetes.settings import HandsSettings
from tests.engine.kubernetes.cluster import POOL, Handled, new_id
from tests.engine.kubernetes.dying import carry_out_dying


def quarantined(handled: Handled, node_id: str) -> str:
    decision_id = new_id()
    handled.carry_out(decision_id, "quarantine_node", pool=POOL, node_id=node_id)
    return decision_id


def only_node(handled: Handled) -> str:
    (node,) = handled.stand_in.all("Node")
    return str(node["metadata"]["name"])


@pytest.fixture
def machine(request: pytest.FixtureRequest, handled: Handled) -> Handled:
    """A pool of one node that its machine API replaces."""
    if getattr(request, "param", "karpenter") == "karpenter":
        handled.stand_in.add_node_pool("gpu", replicas=1)
    else:
        handled.stand_in.add_machine_deployment("gpu", replicas=1)
    handled.stand_in.settle(4)
    return handled


@pytest.mark.parametrize("machine", ["karpenter", "cluster-api"], indirect=True)
def test_a_node_is_replaced_by_its_machine_api(machine: Handled) -> None:
    old = only_node(machine)
    quarantined(machine, old)
    answer = machine.carry_out(new_id(), "repair_node", pool="gpu", node_id=old)
    assert answer["way"] == "replace"
    assert answer["replaced_by"] == only_node(machine) != old
    assert "unschedulable" not in machine.node(only_node(machine))["spec"]
    deletes = [write for write in machine.writes() if write.startswith("DELETE")]
    assert len(deletes) == 1
    assert ("nodeclaims" in deletes[0]) or ("machines" in deletes[0])
    events = [event["reason"] for event in machine.stand_in.all("Event")]
    assert "PilothouseRepaired" in events


def test_a_replacement_ends_alike_wherever_the_process_dies(machine: Handled) -> None:
    old = only_node(machine)
    quarantined(machine, old)
    answer, _ = carry_out_dying(machine, new_id(), "repair_node", pool="gpu", node_id=old)
    assert answer["replaced_by"] == only_node(machine)
    deletes = [write for write in machine.writes() if write.startswith("DELETE")]
    assert 1 <= len(set(deletes)) == 1


def test_of_a_dynamic_pool_the_node_goes_and_comes_back_when_it_is_wanted(
    handled: Handled,
) -> None:
    handled.stand_in.add_node_pool("gpu", limits={"nvidia.com/gpu": "8"})
    handled.stand_in.add_job("train", gpus=8, checkpoints=False)
    handled.stand_in.settle(6)
    node = only_node(handled)
    quarantined(handled, node)
    error = handled.ending(new_id(), "repair_node", pool="gpu", node_id=node)
    assert "still runs" in str(error)
    handled.stand_in.drop("/apis/batch/v1/namespaces/default/jobs/train")
    for pod in handled.stand_in.all("Pod"):
        handled.stand_in.drop(f"/api/v1/namespaces/default/pods/{pod['metadata']['name']}")
    answer = handled.carry_out(new_id(), "repair_node", pool="gpu", node_id=node)
    assert answer["replaced_by"] is None
    assert handled.stand_in.all("Node") == []


def test_a_node_in_use_is_not_repaired(handled: Handled) -> None:
    handled.stand_in.add_node("gpu-a", pool=POOL)
    error = handled.ending(new_id(), "repair_node", pool=POOL, node_id="gpu-a")
    assert isinstance(error, CommandRefused)
    assert "quarantine it first" in str(error)


def test_without_a_way_to_mend_it_the_setting_is_named(handled: Handled) -> None:
    handled.stand_in.add_node("gpu-a", pool=POOL)
    quarantined(handled, "gpu-a")
    error = handled.ending(new_id(), "repair_node", pool=POOL, node_id="gpu-a")
    assert "PILOTHOUSE_KUBERNETES_REPAIR_COMMAND" in str(error)


# -- the operator's command ------------------------------------------------------------


def with_command(handled: Handled, program: str) -> Path:
    """Hands with a repair command; where it writes which node it mended."""
    script, mended = handled.folder / "mend.py", handled.folder / "mended"
    script.write_text(program)
    command = f"{sys.executable} {script} {mended} {{node}}"
    handled.settings = HandsSettings(repair_command=command)
    handled.start()
    handled.stand_in.add_node("gpu-a", pool=POOL)
    quarantined(handled, "gpu-a")
    return mended


WRITES = "import sys, pathlib; pathlib.Path(sys.argv[1]).open('a').write(sys.argv[2])"
FAILS = "import sys; print('no such board'); sys.exit(3)"


def until(handled: Handled, decision_id: str, ends: Callable[[], bool]) -> None:
    """Ask until the command has ended; it takes its own time."""
    for _ in range(20):
        with pytest.raises(CommandUnderWay):
            handled.hands.perform(decision_id, "repair_node", {"pool": POOL, "node_id": "gpu-a"})
        if _wait_for(ends):
            return
    raise AssertionError("the command did not end")


def _wait_for(ends: Callable[[], bool]) -> bool:
    for supervisor in list(process._started):
        supervisor.wait(timeout=30)
    return ends()


def test_a_command_mends_a_node_and_it_is_in_use_again(handled: Handled) -> None:
    mended = with_command(handled, WRITES)
    decision_id = new_id()
    until(handled, decision_id, mended.exists)
    handled.start()
    answer = handled.carry_out(decision_id, "repair_node", pool=POOL, node_id="gpu-a")
    assert answer["way"] == "command"
    assert answer["is_open"] is True
    assert mended.read_text() == "gpu-a"
    assert "unschedulable" not in handled.node("gpu-a")["spec"]
    assert handled.held() == {}


def test_a_command_that_fails_is_named_and_the_node_stays_cordoned(handled: Handled) -> None:
    with_command(handled, FAILS)
    decision_id = new_id()
    until(handled, decision_id, lambda: not process._started or True)
    error = handled.ending(decision_id, "repair_node", pool=POOL, node_id="gpu-a")
    assert isinstance(error, CommandFailed)
    assert str(error).startswith("command_failed")
    assert "ended with 3; it said: no such board" in str(error)
    assert handled.node("gpu-a")["spec"]["unschedulable"] is True
    assert [*handled.held()] == ["node/gpu-a"]
    assert handled.unaccounted() == []


def test_a_command_is_stopped_when_it_takes_too_long(tmp_path: Path) -> None:
    words = [sys.executable, "-c", "import threading; threading.Event().wait()"]
    process.start(tmp_path / "slow", words, 0.2)
    process.start(tmp_path / "slow", words, 0.2)
    assert len(process._started) == 1
    for supervisor in list(process._started):
        supervisor.wait(timeout=30)
    ending = process.ended(tmp_path / "slow")
    assert ending is not None
    assert ending["returncode"] is None


def test_a_command_that_names_no_node_is_refused_at_the_start() -> None:
    with pytest.raises(ValueError, match="names no"):
        HandsSettings(repair_command="/opt/reset-everything")
    assert HandsSettings(repair_command="a 'b {node}'").repair_words("n;x") == ["a", "b n;x"]
