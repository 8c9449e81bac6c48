"""The weights that come with the console: entered as a policy, and who steers a fresh warehouse."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from engine.champion import PROGRAM
from engine.policies.learned import SHIPPED, Learned, learned, policy_id_of
from engine.policies.network import WeightsError
from warehouse import policies
from warehouse.records import Champion, PolicyVersion, TrainingRun
from warehouse.store import Store


def register_shipped(store: Store, now: datetime, path: Path = SHIPPED) -> str | None:
    """Enter the weights that come with the console, and let them steer a fresh warehouse.

    Where an older shipped version steers, whose file this one replaces, the new one goes on. The
    answer is its id; None where no weights came, or none that can be used.
    """
    try:
        made = learned(path)
    except WeightsError:
        return None
    policy_id = policy_id_of(made.network.sha256, SHIPPED)
    with store.transaction():
        steering = policies.steering(store)
        if not _is_known(store, policy_id):
            store.append([_shipped_version(policy_id, made, path, now), *_its_training(path, now)])
        reason = _why_it_steers(store, steering, policy_id)
        if reason:
            store.append([_shipped_champion(policy_id, steering, reason, now)])
    return policy_id


def _is_known(store: Store, policy_id: str) -> bool:
    try:
        policies.policy(store, policy_id)
    except policies.NoSuchPolicy:
        return False
    return True


def _why_it_steers(store: Store, steering: policies.Steering, policy_id: str) -> str | None:
    if steering.since_at is None:
        return "It came with the console, and nobody has steered here before."
    if steering.policy_id in (policy_id, policies.RULE):
        return None
    if _is_known(store, steering.policy_id):
        version = policies.policy(store, steering.policy_id)
        return "It replaces the one that came before." if version.origin == "shipped" else None
    return None


def _shipped_champion(
    policy_id: str, steering: policies.Steering, reason: str, now: datetime
) -> Champion:
    since = now if steering.since_at is None else max(now, steering.since_at)
    return Champion(
        policy_id=policy_id,
        previous_policy_id=policies.RULE,
        set_by="initial" if steering.since_at is None else "console",
        reason=reason,
        since_at=since,
    )


def _shipped_version(policy_id: str, made: Learned, path: Path, now: datetime) -> PolicyVersion:
    facts = made.network.facts
    return PolicyVersion(
        policy_id=policy_id,
        kind="network",
        origin="shipped",
        weights_sha256=made.network.sha256,
        weights_file=str(path.relative_to(PROGRAM) if path.is_relative_to(PROGRAM) else path),
        settings=dict(facts.get("plan", {})) | {"command": facts.get("command", "")},
        gates=list(facts.get("gates", [])),
        figures=_figures(facts.get("figures", {})),
        created_at=now,
    )


def _its_training(path: Path, now: datetime) -> list[TrainingRun]:
    """How it learned, from the record that lies beside its weights; none where that is missing."""
    try:
        record = json.loads(path.with_suffix(".json").read_text("utf-8"))
        curve = [_point(one) for one in record["curve"] if "score" in one]
        return [
            TrainingRun(
                run_id=f"shipped-{record['sha256'][:12]}",
                purpose="shipped",
                seeds=list(record["plan"]["seeds"]),
                decisions=record["plan"]["decisions"] * len(record["plan"]["seeds"]),
                duration_seconds=record["seconds"],
                curve=curve,
                outcome="finished",
                detail=f"`{record['command']}`, {record['date']}, before it came here.",
                started_at=now,
            )
        ]
    except (OSError, ValueError, KeyError):
        return []  # the policy is what its weights are, with or without a record


def _point(record: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "seed": record["seed"],
        "decisions": int(record["decisions"]),
        "gain_ratio": round(record["score"], 5),
        "explained_variance": round(record["explained_variance"], 4),
        "approx_kl": round(record["kl"], 5),
    }


_WORDS = {"low": "gain_low_ratio", "high": "gain_high_ratio"}


def _figures(by_set: Mapping[str, Any]) -> dict[str, Any]:
    """Those of the first set by name, which pages list, and all of them by set."""
    first = next((figures for figures in by_set.values() if isinstance(figures, dict)), {})
    named = {str(_WORDS.get(str(name), name)): value for name, value in first.items()}
    return {**named, "by_set": dict(by_set)}
