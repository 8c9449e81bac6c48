"""What is asked of ailing nodes: who is ill, how long it took, how long people were waited for."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from tests.makers import NOON, POOL, make_decision
from warehouse import healing
from warehouse.records import (
    Execution,
    NodeHealth,
    NodeIncident,
    Observation,
    Verdict,
)
from warehouse.store import Store


def at(minutes: float) -> datetime:
    return NOON + timedelta(minutes=minutes)


def piece(signal: str, weight_ratio: float, words: str) -> dict[str, Any]:
    return {
        "signal": signal, "value": 1, "weight_ratio": weight_ratio, "words": words,
        "at": NOON.isoformat(),
    }  # fmt: skip


def make_health(**changes: Any) -> NodeHealth:
    given: dict[str, Any] = {
        "node_id": "node-0",
        "pool": POOL,
        "health_ratio": 0.1,
        "is_suspect": True,
        "evidence": [piece("xid_79", 0.9, "1 XID 79 (GPU fell off the bus), GPU 3")],
        "judged_at": NOON,
    }
    return NodeHealth(**given | changes)


def make_step(phase: Any, minutes: float, name: str = "a", **changes: Any) -> NodeIncident:
    given: dict[str, Any] = {
        "incident_id": name,
        "node_id": "node-0",
        "pool": POOL,
        "phase": phase,
        "detail": "Node node-0: 1 XID 79 (GPU fell off the bus), GPU 3",
        "onset_at": at(-5),
        "happened_at": at(minutes),
    }
    return NodeIncident(**given | changes)


def asked(name: str, proposed: float, decided: float | None, begun: float | None, **word: Any):
    """A decision on `node-0`, the word spoken on it, and the beginning of its deed, in minutes."""
    rows: list[Any] = [
        make_decision(
            decision_id=name,
            action="repair_node",
            target="node/node-0",
            parameters={"node_id": "node-0"},
            proposed_at=at(proposed),
            expires_at=at(proposed + 60),
        )
    ]
    if decided is not None:
        given = {"verdict": "approve", "via": "browser", "decided_by": "mara", **word}
        rows.append(
            Verdict(
                decision_id=name, parameters={}, action_hash="-", decided_at=at(decided), **given
            )
        )
    if begun is not None:
        deed = {"kind": "do", "phase": "intended", "parameters": {}, "result": {}}
        rows.append(Execution(decision_id=name, happened_at=at(begun), **deed))
    return rows


def the_incident(store: Store, minutes: float = 60) -> healing.Incident:
    (found,) = healing.incidents(store, now=at(minutes))
    return found


def test_the_newest_judgement_counts_and_the_worst_comes_first(store: Store) -> None:
    store.append(
        [
            make_health(),
            make_health(node_id="node-1", health_ratio=0.4),
            make_health(is_suspect=False, health_ratio=0.9, judged_at=at(1)),
        ]
    )
    assert [row.node_id for row in healing.health_now(store)] == ["node-1", "node-0"]
    assert [row.node_id for row in healing.suspects(store)] == ["node-1"]
    assert healing.is_suspect(store, "node-1")
    assert not healing.is_suspect(store, "node-0")
    assert not healing.is_suspect(store, "node-9")


def test_a_headline_has_the_heaviest_signs_and_the_jobs_that_failed() -> None:
    evidence = [
        piece("hot", 0.1, "85 °C or more, GPU 1"),
        piece("job_failures", 0.0, "2 jobs failed on it"),
        piece("xid_48", 0.5, "1 XID 48 (double-bit memory error), GPU 3"),
        piece("ecc_uncorrected", 0.3, "2 uncorrected memory errors, GPU 3"),
        piece("row_remap_pending", 0.25, "a row remapping waits for a reset, GPU 3"),
    ]
    assert healing.headline(make_health(evidence=evidence)) == (
        "Node node-0: 1 XID 48 (double-bit memory error), GPU 3; "
        "2 uncorrected memory errors, GPU 3; a row remapping waits for a reset, GPU 3; "
        "2 jobs failed on it"
    )
    assert healing.headline(make_health(evidence=[])) == ("Node node-0: nothing speaks against it")


def test_an_incident_that_is_open_has_no_time_to_repair(store: Store) -> None:
    store.append([make_step("detected", 0), make_step("quarantined", 10, decision_id="q")])
    told = the_incident(store)
    assert told.is_open
    assert (told.phase, told.detect_seconds, told.repair_seconds) == ("quarantined", 300, None)
    assert told.decisions == ("q",)
    assert healing.as_dict(told)["steps"][1]["decision_id"] == "q"


def test_waits_for_people_are_taken_off(store: Store) -> None:
    told: list[tuple[list[Any], float]] = [
        (asked("a", 1, 11, 11), 10),
        (asked("b", 1, 11, 21), 20),  # and for its maintenance window
        (asked("c", 1, 11, 11, via="rule"), 0),
        (asked("d", 1, 11, None, verdict="lapse", via="rule"), 10),
        (asked("e", 1, 11, None, verdict="reject"), 10),
        (asked("f", 1, None, None), 39),  # nobody has spoken until the node came back
        (asked("g", 1, 11, 11) + asked("h", 6, 16, 16), 15),  # overlapping waits count once
        (asked("i", -30, -20, -20), 0),  # before it fell ill
    ]
    for n, (rows, _) in enumerate(told):
        name = {"name": str(n), "node_id": f"node-{n}"}
        moved = [
            replace(row, parameters={"node_id": f"node-{n}"}) if hasattr(row, "action") else row
            for row in rows
        ]
        store.append([make_step("detected", 0, **name), make_step("returned", 40, **name), *moved])
    found = {each.node_id: each for each in healing.incidents(store, now=at(60))}
    for n, (_, waited_minutes) in enumerate(told):
        one = found[f"node-{n}"]
        assert one.repair_seconds == 40 * 60
        assert (n, one.people_seconds) == (n, waited_minutes * 60)
        assert one.unattended_seconds == (40 - waited_minutes) * 60


def test_evidence_from_before_the_watch_tells_no_time_to_detect(store: Store) -> None:
    seen = Observation(
        observation_id="o", pool=POOL, features={}, snapshot_id=1, observed_at=at(-1)
    )
    store.append([make_step("detected", 0), seen])
    assert the_incident(store).detect_seconds is None


def test_medians_are_over_those_that_have_returned(store: Store) -> None:
    for n, phase in enumerate(("returned", "returned", "passed")):
        onset = {"name": str(n), "onset_at": at(n - 2), "node_id": f"node-{n}"}
        store.append([make_step("detected", n, **onset), make_step(phase, 10 * (n + 1), **onset)])
    found = healing.incidents(store, now=at(60))
    assert [each.node_id for each in found] == ["node-2", "node-1", "node-0"]
    times = healing.times(found)
    assert (times.count, times.detect_median_seconds) == (3, 120)
    assert times.repair_median_seconds == times.repair_mean_seconds == 14.5 * 60
    assert healing.times([]).repair_median_seconds is None


def test_old_incidents_are_left_out_unless_they_are_open(store: Store) -> None:
    store.append(
        [
            make_step("detected", 0),
            make_step("returned", 40),
            make_step("detected", 0, name="b", node_id="node-1"),
        ]
    )
    later = NOON + timedelta(days=40)
    assert [each.node_id for each in healing.incidents(store, now=later)] == ["node-1"]
    assert healing.incidents(store, now=later, node_id="node-0") == []
    assert len(healing.incidents(store, now=later, since=NOON)) == 2
