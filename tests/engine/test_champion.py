"""Who steers: the champion whose weights can be had, else the rule, and the canary beside it."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from engine.champion import canary_since, chosen_for_canary, roster
from engine.shipped import register_shipped
from tests.engine.crowned import GATES, challenge, crown, keep, make_network
from tests.makers import NOON, POOL, make_alarm, make_champion, make_pool, make_twin_check
from warehouse import controls, policies
from warehouse.records import Champion, PolicyAlarm
from warehouse.store import Store


def _alarms(store: Store) -> list[PolicyAlarm]:
    return store.rows(PolicyAlarm, "SELECT * FROM policy_alarms ORDER BY raised_at")


def test_the_rule_steers_where_nobody_was_ever_made_champion(store: Store, tmp_path: Path) -> None:
    found = roster(store, tmp_path, NOON)
    assert (found.champion_id, found.champion, found.everyone()) == ("rule", None, {})
    assert found.policy_id_of(POOL) == "rule"


def test_the_champion_is_loaded_with_the_dial_as_it_stands(store: Store, tmp_path: Path) -> None:
    crown(store, tmp_path, NOON)
    controls.set_dial(store, "service", by="ann", now=NOON)
    found = roster(store, tmp_path, NOON)
    assert found.policy_id_of(POOL) == "learned-1"
    assert found.champion is not None
    assert (found.champion.name, found.champion.dial) == ("learned-1", "service")


@pytest.mark.parametrize("harm", ["missing", "changed", "broken"])
def test_a_champion_without_its_weights_is_rolled_back_and_that_is_said_once(
    store: Store, tmp_path: Path, harm: str
) -> None:
    crown(store, tmp_path, NOON)
    assert roster(store, tmp_path, NOON).champion is not None
    file = tmp_path / "policies" / "learned-1.npz"
    if harm == "missing":
        file.unlink()
    elif harm == "changed":
        make_network(seed=5).save(file)
    else:
        file.write_bytes(b"no weights")
    for _ in range(2):
        assert roster(store, tmp_path, NOON).champion_id == "rule"
    (alarm,) = _alarms(store)
    assert (alarm.policy_id, alarm.trigger) == ("learned-1", "weights")
    assert "learned-1.npz" in alarm.detail
    assert alarm.detail.endswith("rule steers again.")
    newest = store.rows(Champion, "SELECT * FROM champions ORDER BY since_at DESC LIMIT 1")[0]
    assert (newest.policy_id, newest.set_by) == ("rule", "rule")


def test_the_champion_before_steers_where_its_weights_are_there(
    store: Store, tmp_path: Path
) -> None:
    crown(store, tmp_path, NOON)
    keep(store, tmp_path, NOON, "learned-2")
    store.append(
        [make_champion(policy_id="learned-2", previous_policy_id="learned-1", since_at=NOON)]
    )
    (tmp_path / "policies" / "learned-2.npz").unlink()
    assert roster(store, tmp_path, NOON).champion_id == "learned-1"


def test_while_a_twin_does_not_match_the_rule_steers_its_pool_alone(
    store: Store, tmp_path: Path
) -> None:
    crown(store, tmp_path, NOON)
    store.append([make_twin_check(is_valid=False, drift=9.0, detail="The twin is off.")])
    found = roster(store, tmp_path, NOON)
    assert found.policy_id_of(POOL) == "rule"
    assert found.policy_id_of("a100-eu-west") == "learned-1"
    later = make_twin_check(starts_at=NOON, ends_at=NOON + timedelta(hours=4))
    store.append([later])
    assert roster(store, tmp_path, NOON).policy_id_of(POOL) == "learned-1"


# -- the canary ------------------------------------------------------------------------


def _gates(**passed: bool) -> list[dict[str, object]]:
    return [gate | {"passed": passed.get(str(gate["name"]), True)} for gate in GATES]


def test_a_challenger_steers_a_few_pools_once_it_has_passed_all_else(
    store: Store, tmp_path: Path
) -> None:
    pools = [f"pool-{at}" for at in range(12)]
    store.append([make_pool(pool=name) for name in pools])
    crown(store, tmp_path, NOON)
    made = challenge(store, tmp_path, NOON, gates=_gates(shadow_gain=False, canary=False))
    assert roster(store, tmp_path, NOON).canary_pools == frozenset()
    assert canary_since(store, "learned-2") is None
    later = NOON + timedelta(days=8)
    store.append([replace(made, gates=_gates(canary=False), created_at=later)])
    found = roster(store, tmp_path, NOON)
    assert len(found.canary_pools) == 2
    steered = {found.policy_id_of(name) for name in found.canary_pools}
    assert steered == {"learned-2"}
    assert found.policy_id_of(next(p for p in pools if p not in found.canary_pools)) == "learned-1"
    assert canary_since(store, "learned-2") == later
    store.append([make_alarm(policy_id="learned-2", raised_at=later)])
    assert roster(store, tmp_path, NOON).canary_pools == frozenset()


def test_the_canary_is_the_same_whenever_one_asks_and_another_for_another_policy() -> None:
    pools = [f"pool-{at}" for at in range(40)]
    one = chosen_for_canary("learned-1", pools)
    assert one == chosen_for_canary("learned-1", list(reversed(pools)))
    assert len(one) == 4
    assert one != chosen_for_canary("learned-2", pools)
    assert len(chosen_for_canary("learned-1", pools[:1])) == 1


# -- what comes with the console -------------------------------------------------------


def test_shipped_weights_steer_a_fresh_warehouse(store: Store, tmp_path: Path) -> None:
    facts = {"figures": {"validation": {"gain_ratio": 0.03}}, "plan": {"decisions": 5}}
    network = replace(make_network(), facts=facts)
    network.save(tmp_path / "shipped.npz")
    for _ in range(2):  # a restart enters nothing twice
        policy_id = register_shipped(store, NOON, tmp_path / "shipped.npz")
    assert policy_id == f"shipped-{network.sha256[:12]}"
    assert policies.steering(store).policy_id == policy_id
    assert store.query("SELECT count(*) FROM champions").item() == 1
    version = policies.policy(store, policy_id)
    assert version.figures["gain_ratio"] == 0.03
    assert roster(store, tmp_path, NOON).champion is not None


def test_newer_shipped_weights_replace_the_older_but_no_one_who_was_promoted_here(
    store: Store, tmp_path: Path
) -> None:
    path = tmp_path / "shipped.npz"
    make_network(seed=1).save(path)
    first = register_shipped(store, NOON, path)
    make_network(seed=2).save(path)
    second = register_shipped(store, NOON, path)
    assert policies.steering(store).policy_id == second != first
    challenge(store, tmp_path, NOON)
    later = NOON + timedelta(days=1)
    store.append([make_champion(policy_id="learned-2", previous_policy_id=second, since_at=later)])
    make_network(seed=3).save(path)
    register_shipped(store, later, path)
    assert policies.steering(store).policy_id == "learned-2"


def test_after_a_rollback_to_the_rule_a_restart_crowns_nobody(store: Store, tmp_path: Path) -> None:
    make_network().save(tmp_path / "shipped.npz")
    register_shipped(store, NOON, tmp_path / "shipped.npz")
    policies.roll_back(store, by="ann", reason="no trust", now=NOON)
    register_shipped(store, NOON, tmp_path / "shipped.npz")
    assert policies.steering(store).policy_id == "rule"


def test_without_shipped_weights_the_rule_steers(store: Store, tmp_path: Path) -> None:
    assert register_shipped(store, NOON, tmp_path / "none.npz") is None
    assert policies.steering(store).policy_id == "rule"
