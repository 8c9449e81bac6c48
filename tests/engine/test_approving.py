"""Approval in depth in the loop: four eyes, maintenance windows, the breaker of quarantines."""

from __future__ import annotations

from datetime import timedelta

from tests.engine.deciding import MINUTE, RecordingHands, approve, follow_up, proposed, state
from tests.engine.world import NAME, Played
from warehouse import controls, decisions
from warehouse.records import NodeHealth, Refusal


def four_eyes(played: Played) -> None:
    controls.set_four_eyes(
        played.store, "adjust_price", True, by="root", reason="costly", now=played.now
    )


def say_yes(played: Played, who: str) -> None:
    decisions.approve(played.store, "decision-1", by=who, via="browser", now=played.now)


def guard_of(played: Played) -> str:
    sql = "SELECT * FROM refusals WHERE decision_id NOT NULL"
    (refusal,) = played.store.rows(Refusal, sql)
    return refusal.guard


def test_it_is_carried_out_once_two_people_said_yes(played: Played) -> None:
    four_eyes(played)
    proposed(played)
    say_yes(played, "alice")
    follow_up(played)
    assert state(played) == "waiting"
    say_yes(played, "bob")
    follow_up(played)
    assert state(played) == "carried_out"


def test_in_autonomous_mode_too_the_rule_is_no_pair_of_eyes(played: Played) -> None:
    four_eyes(played)
    proposed(played, mode="autonomous")
    controls.set_mode(
        played.store, "adjust_price", "autonomous", by="root", reason=None, now=played.now
    )
    follow_up(played)
    assert state(played) == "waiting"
    say_yes(played, "alice")
    follow_up(played)
    assert state(played) == "waiting"
    assert played.store.query("SELECT * FROM collector_runs").is_empty()


def test_what_one_person_approved_is_refused_once_two_are_asked_for(played: Played) -> None:
    proposed(played)
    say_yes(played, "alice")
    four_eyes(played)
    follow_up(played)
    assert (state(played), guard_of(played)) == ("refused", "two_people_approved")


def test_outside_its_window_it_waits_past_its_usual_time_and_is_done_inside(
    played: Played,
) -> None:
    opens_at = played.now + timedelta(hours=3)
    window = {
        "actions": ["adjust_price"],
        "weekdays": [f"{opens_at:%a}".lower()],
        "starts": f"{opens_at:%H:%M}",
        "ends": f"{opens_at + timedelta(hours=1):%H:%M}",
        "time_zone": "UTC",
    }
    controls.set_limit(
        played.store, "maintenance_windows", [window], by="root", reason=None, now=played.now
    )
    proposed(played)
    approve(played)
    for _ in range(2):
        follow_up(played)
        assert state(played) == "approved"
        played.forward(80 * MINUTE)  # longer than an approval holds otherwise
    played.forward(20 * MINUTE)
    follow_up(played)
    assert state(played) == "carried_out"


def ill_nodes(played: Played, how_many: int) -> list[str]:
    """Nodes that are on, and judged too ill to be given jobs."""
    sql = "SELECT node_id FROM node_states WHERE state = 'active' GROUP BY 1 ORDER BY 1 LIMIT $n"
    found: list[str] = played.store.query(sql, n=how_many)["node_id"].to_list()
    played.store.append(
        [
            NodeHealth(
                node_id=node_id, pool=NAME, health_ratio=0.2, is_suspect=True, evidence=[],
                onset_at=played.now, judged_at=played.now,
            )
            for node_id in found
        ]
    )  # fmt: skip
    return found


def set_limit(played: Played, name: str, value: float) -> None:
    controls.set_limit(played.store, name, value, by="root", reason=None, now=played.now)


def test_too_many_quarantines_open_the_breaker_and_the_next_waits(played: Played) -> None:
    for name, value in (
        ("breaker_quarantines", 2),
        ("max_disrupted_ratio", 1.0),
        ("minimum_capacity_ratio", 0.0),
        ("cooldown_seconds", 0),
    ):
        set_limit(played, name, value)
    hands, nodes = RecordingHands(), ill_nodes(played, 3)
    for node_id in nodes:
        proposed(
            played,
            decision_id=node_id,
            action="quarantine_node",
            target=f"node/{node_id}",
            parameters={"node_id": node_id},
        )
        approve(played, node_id)
    for _ in range(3):
        follow_up(played, hands=hands)
        played.forward(MINUTE)
    assert sorted(state(played, node_id) for node_id in nodes) == [
        "approved",
        "carried_out",
        "carried_out",
    ]
    assert controls.breaker(played.store).reason == "2 nodes quarantined within 60 min"
    controls.close_breaker(played.store, by="root", reason="two bad racks", now=played.now)
    follow_up(played, hands=hands)
    assert {state(played, node_id) for node_id in nodes} == {"carried_out"}
    assert not controls.breaker(played.store).is_open
