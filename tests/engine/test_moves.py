"""Moves between pools: towards idle GPUs, never from them, and only where it pays."""

import numpy as np
import pytest

from engine.policies import moves
from engine.simulator.features import FEATURE_COUNT, Feature


def seen(**changes: float) -> np.ndarray:
    """A pool of 10 owned nodes, three quarters busy, nobody waiting, at $2 a GPU-hour."""
    usual = {
        "owned_nodes": 10, "gpus_per_node": 8, "owned_active_nodes": 10,
        "used_gpus": 60, "free_gpus": 20, "running_under_2_hours_gpus": 60,
        "market_usd_per_gpu_hour": 2.0, "price_usd_per_gpu_hour": 2.0,
        "burst_usd_per_gpu_hour": 1.3, "sla_usd_per_gpu_hour": 2.0,
    }  # fmt: skip
    row = np.zeros(FEATURE_COUNT)
    for name, value in {**usual, **changes}.items():
        row[Feature[name.upper()]] = value
    return row


FULL = {
    "used_gpus": 80,
    "free_gpus": 0,
    "queued_gpus": 12,
    "queued_jobs": 3,
    "running_under_2_hours_gpus": 80,
}


def test_jobs_that_wait_go_where_gpus_idle():
    figures = np.stack([seen(**FULL), seen()])
    (move,) = moves.planned_moves(figures, np.array([0, 0]))
    assert (move.source, move.target, move.gpus) == (0, 1, 12)
    worth = moves.free_gpu_usd_per_hour(figures)
    assert move.gain_usd_per_hour == pytest.approx(12 * (max(worth[0], 2.0) - worth[1]))


def test_nothing_moves_where_nobody_waits():
    assert moves.planned_moves(np.stack([seen(), seen(free_gpus=80)]), np.array([0, 0])) == []


def test_nothing_moves_to_another_kind_of_gpu():
    assert moves.planned_moves(np.stack([seen(**FULL), seen()]), np.array([0, 1])) == []


def test_a_pool_about_to_run_short_itself_takes_nobody_in():
    crowd = {
        "forecast_30_minutes_jobs_per_hour": 90, "forecast_hour_jobs_per_hour": 90,
        "offered_day_jobs_per_hour": 90, "submitted_day_gpus_per_hour": 180,
        "submitted_day_jobs_per_hour": 60,
    }  # fmt: skip
    figures = np.stack([seen(**FULL), seen(**crowd)])
    assert moves.shortage_ratio(figures)[1] > 0.9
    assert moves.planned_moves(figures, np.array([0, 0])) == []


def test_no_more_moves_than_there_is_room_for():
    figures = np.stack([seen(**FULL), seen(**FULL), seen(free_gpus=15)])
    planned = moves.planned_moves(figures, np.zeros(3, np.int64))
    assert sum(move.gpus for move in planned) == 15
