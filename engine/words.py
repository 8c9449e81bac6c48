"""The engine's words: what a person on call reads at three in the morning."""

from __future__ import annotations

from engine.actions import Candidate
from engine.actions.rebalance import named_nodes
from engine.gains import Gain
from engine.observe import PoolObservation
from warehouse.actions import sentence
from warehouse.words import counted


def situation(seen: PoolObservation) -> str:
    """How the pool stands: who waits, what is held, what is on its way, the price."""
    s, f = seen.state, seen.features
    parts = [_queue(seen), f"{s.gpus_used} of {s.gpus_on} GPUs are held"]
    if s.nodes_provisioning:
        parts.append(f"{counted(s.nodes_provisioning, 'node')} booting")
    if s.nodes_empty:
        parts.append(counted(s.nodes_empty, "empty node"))
    if s.nodes_down:
        parts.append(f"{counted(s.nodes_down, 'node')} down")
    price = f"the price is ${s.price_usd_per_gpu_hour:.2f}"
    parts.append(f"{price}, {f['price_to_market_ratio']:.2f} of the market's")
    return "; ".join(parts) + "."


def _queue(seen: PoolObservation) -> str:
    s = seen.state
    if not s.queued_jobs:
        return "Nobody waits"
    minutes = s.oldest_wait_seconds / 60
    if s.queued_jobs == 1:
        return f"1 job waits for {counted(s.queued_gpus, 'GPU')}, for {minutes:.0f} min"
    return f"{s.queued_jobs} jobs wait for {s.queued_gpus} GPUs, the oldest for {minutes:.0f} min"


def what(candidate: Candidate) -> str:
    """The candidate in one line."""
    shown = {
        name: f"{value:.2f}" if isinstance(value, float) else value
        for name, value in candidate.parameters.items()
    }
    return sentence(candidate.action, candidate.pool, shown)


def short(candidate: Candidate) -> str:
    """The candidate in a few words, the pool being known."""
    match candidate.action:
        case "scale_up":
            return counted(candidate.parameters["nodes"], "more node")
        case "scale_down":
            return counted(candidate.parameters["nodes"], "fewer node")
        case "pre_warm":
            return f"{counted(candidate.parameters['nodes'], 'node')} ready ahead of time"
        case "rebalance":
            return f"emptying and releasing {', '.join(named_nodes(candidate.parameters))}"
        case "migrate_job":
            given = candidate.parameters
            return f"moving {given['job_id']} off {given['node_id']}"
        case "quarantine_node":
            return f"the quarantine of {candidate.parameters['node_id']}"
        case "repair_node":
            return f"the repair of {candidate.parameters['node_id']}"
        case "adjust_price":
            return f"a price of ${candidate.parameters['price_usd_per_gpu_hour']:.2f}"
    return "doing nothing"


def money(gain: Gain) -> str:
    """The gain with its interval: `$31/h [12, 55]`."""
    low, high = gain.low_usd_per_hour, gain.high_usd_per_hour
    return f"{_usd(gain.mean_usd_per_hour)}/h [{low:.0f}, {high:.0f}]"


def promise(candidate: Candidate, gain: Gain, horizon_seconds: int) -> str:
    """What the candidate is expected to bring, with what stands behind the figure."""
    hours = horizon_seconds / 3600
    text = f"{_capital(short(candidate))} should earn {money(gain)} over the next {hours:g} h"
    return f"{text}: {_delivered(gain)}, {_late(gain)}."


def _delivered(gain: Gain) -> str:
    return f"{_difference(gain.gpu_hours, 'GPU-hour')} delivered"


def _late(gain: Gain) -> str:
    return _difference(gain.late_jobs, "late start")


def _difference(amount: float, noun: str) -> str:
    count = round(abs(amount))
    if not count:
        return f"as many {noun}s"
    return counted(count, f"{'more' if amount > 0 else 'fewer'} {noun}")


def _usd(amount: float) -> str:
    return f"-${-amount:.0f}" if amount < -0.5 else f"${max(amount, 0):.0f}"


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
