"""What must hold of every fleet that the loop has steered, whoever steered it."""

from __future__ import annotations

import polars as pl

from engine.guards import ROUNDING_RATIO
from engine.observe import observed
from tests.engine.world import NAME, Played
from warehouse import controls


def check_capacity_and_budgets(played: Played) -> None:
    """Actions and cost by the hour, cool-downs, and the least capacity."""
    limits = controls.limits(played.store)
    deeds = played.store.query(
        "SELECT d.target, e.happened_at, (e.result ->> 'added_cost_usd_per_hour')::DOUBLE AS added "
        "FROM executions e JOIN decisions d USING (decision_id) "
        "WHERE e.phase = 'intended' AND e.kind = 'do' ORDER BY e.happened_at"
    )
    by_hour = deeds.group_by_dynamic("happened_at", every="1h").agg(
        pl.len().alias("actions"), pl.col("added").sum()
    )
    assert by_hour["actions"].max() <= limits.max_actions_per_hour
    assert by_hour["added"].max() <= limits.added_cost_budget_usd_per_hour
    gaps = deeds.sort("target", "happened_at").select(
        pl.col("happened_at").diff().over("target").dt.total_seconds()
    )
    assert gaps.to_series().drop_nulls().min() >= limits.cooldown_seconds
    on = played.store.query("SELECT min(owned_nodes_on + leased_nodes_on) FROM pool_states").item()
    pool = played.world.fleet.pools[NAME].settings
    assert on + _most_down(played) >= limits.minimum_capacity_ratio * pool.owned_nodes


def _most_down(played: Played) -> int:
    """Failures take nodes too, and no guard forbids them."""
    return int(played.store.query("SELECT max(nodes_down) FROM pool_states").item())


def check_prices(played: Played) -> int:
    """The band and the step of every price; how many prices there were."""
    limits = controls.limits(played.store)
    prices = played.store.query(
        "SELECT p.price_usd_per_gpu_hour AS price, p.in_force_from_at, s.market_usd_per_gpu_hour "
        "AS market, lag(price) OVER (ORDER BY p.in_force_from_at) AS before "
        "FROM price_list p ASOF JOIN pool_states s ON p.in_force_from_at >= s.measured_at "
        "ORDER BY p.in_force_from_at"
    ).filter(pl.col("before").is_not_null())
    if prices.is_empty():
        return 0
    ratio = prices["price"] / prices["market"]
    assert ratio.max() <= limits.price_ceiling_ratio * (1 + ROUNDING_RATIO)
    assert ratio.min() >= limits.price_floor_ratio * (1 - ROUNDING_RATIO)
    # Undoing goes back as far as doing went, so that a step is a share of the higher price.
    higher = prices.select(pl.max_horizontal("price", "before")).to_series()
    step = (prices["price"] - prices["before"]).abs() / higher
    assert step.max() <= limits.price_step_ratio + ROUNDING_RATIO
    return prices.height


def check_nodes_out_of_use(played: Played) -> None:
    """Every cordoned node is one that a quarantine of ours took out of use."""
    seen = observed(played.store, played.now)[NAME]
    cordoned = {node.node_id for node in seen.nodes if node.state == "cordoned"}
    assert cordoned <= set(seen.facts.quarantined)


def check_moves(played: Played) -> None:
    """A job moves at the very instant of a deed that moves jobs, and no deed is half on record."""
    moved = played.store.query("SELECT happened_at FROM job_events WHERE event = 'migrated'")
    moving = played.store.query(
        "SELECT applied_at FROM fleet_commands WHERE command IN ('Drain', 'Migrate')"
    )
    assert set(moved["happened_at"]) <= set(moving["applied_at"])
    begun = played.store.query(
        "SELECT DISTINCT split_part(command_id, ':', 1) AS id FROM fleet_commands "
        "WHERE contains(command_id, ':') AND split_part(command_id, ':', 2) <> 'undo'"
    )
    ended = played.store.query(
        "SELECT decision_id FROM executions WHERE kind = 'do' AND phase IN ('succeeded', 'failed')"
    )
    assert set(begun["id"]) <= set(ended["decision_id"])
