"""The tuples of a cluster's objects as rows of the `cluster_…` tables."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Any, cast

import polars as pl

from collectors.kubernetes_machines import ClaimSeen, NodeSeen, WorkloadSeen
from collectors.kubernetes_objects import gpus_of
from collectors.kubernetes_reading import BudgetSeen, EventSeen, PodSeen
from warehouse.records import (
    ClusterEvent,
    ClusterNode,
    ClusterPod,
    ClusterWorkload,
    DisruptionBudget,
)
from warehouse.schema import columns_of

SOURCE = "kubernetes"
CHUNK = 2_000
"""Rows of one table that are packed into a frame as soon as there are so many."""


def packed(rows: Iterable[Any]) -> Iterator[Any]:
    """Rows as they are, but many of one table as frames, which take a tenth of the memory."""
    waiting: dict[type, list[Any]] = {}
    framed: set[type] = set()
    for row in rows:
        group = waiting.setdefault(type(row), [])
        group.append(row)
        if len(group) >= CHUNK:
            framed.add(type(row))
            yield type(row), _frame(type(row), group)
            group.clear()
    for record_class, group in waiting.items():
        if record_class in framed and group:  # not before those that came earlier
            yield record_class, _frame(record_class, group)
        else:
            yield from group


def _frame(record_class: type, rows: list[Any]) -> pl.DataFrame:
    return pl.DataFrame(
        [
            pl.Series(
                column.name,
                [_held(getattr(row, column.name), column.is_json) for row in rows],
                dtype=column.dtype,
            )
            for column in columns_of(record_class)
        ]
    )


def _held(value: Any, is_json: bool) -> Any:
    as_text = is_json and value is not None
    return json.dumps(value, sort_keys=True, default=str) if as_text else value


def node_row(node: NodeSeen, claim: str | None, is_gone: bool, now: datetime) -> ClusterNode:
    """A node; `claim` is Karpenter's NodeClaim of it."""
    return ClusterNode(
        node_id=node.key,
        uid=node.uid,
        pool=node.pool,
        provider_id=node.provider_id,
        instance_type=node.instance_type,
        gpu_model=node.gpu_model,
        gpu_count=node.gpu_count,
        gpu_memory_bytes=node.gpu_memory_bytes,
        mig_config=node.mig_config,
        capacity_type=cast(Any, node.capacity_type),
        region=node.region,
        zone=node.zone,
        is_ready=node.is_ready,
        is_unschedulable=node.is_unschedulable,
        heartbeat_at=node.heartbeat_at,
        conditions=[dict(each) for each in node.conditions],
        taints=[dict(each) for each in node.taints],
        node_claim=claim,
        machine=node.machine,
        is_do_not_disrupt=node.is_do_not_disrupt,
        resource_version=node.resource_version,
        is_gone=is_gone,
        created_at=node.created_at,
        source=SOURCE,
        measured_at=now,
    )


def told_of_node(node: NodeSeen) -> NodeSeen:
    """What makes a row of a node news: not every heartbeat, which each of them has twelve times
    an hour, but one an hour."""
    beat = node.heartbeat_at
    hour = beat.replace(minute=0, second=0, microsecond=0) if beat else None
    return node._replace(heartbeat_at=hour, resource_version="")


def pod_row(pod: PodSeen, is_gone: bool, now: datetime) -> ClusterPod:
    """A pod."""
    return ClusterPod(
        pod_id=pod.key,
        uid=pod.uid,
        job_id=pod.job_id,
        owner_kind=pod.owner_kind,
        tenant=pod.tenant,
        queue=pod.queue,
        node_id=pod.node_id,
        gpu_count=gpus_of(pod.sevenths),
        phase=pod.phase,
        is_terminating=pod.is_terminating,
        is_do_not_disrupt=pod.is_do_not_disrupt,
        priority=pod.priority,
        is_gone=is_gone,
        created_at=pod.created_at,
        source=SOURCE,
        measured_at=now,
    )


def event_row(event: EventSeen) -> ClusterEvent:
    """An Event."""
    return ClusterEvent(
        uid=event.key,
        kind=event.kind,
        namespace=event.namespace,
        object_name=event.object_name,
        reason=event.reason,
        message=event.message,
        is_warning=event.is_warning,
        count=event.times,
        source=SOURCE,
        happened_at=event.happened_at,
    )


def budget_row(budget: BudgetSeen, is_gone: bool, now: datetime) -> DisruptionBudget:
    """A PodDisruptionBudget."""
    return DisruptionBudget(
        budget_id=budget.key,
        selector=dict(budget.selector),
        disruptions_allowed=budget.disruptions_allowed,
        healthy_pods=budget.healthy_pods,
        desired_healthy_pods=budget.desired_healthy_pods,
        is_gone=is_gone,
        source=SOURCE,
        measured_at=now,
    )


def workload_row(workload: WorkloadSeen, is_gone: bool, now: datetime) -> ClusterWorkload:
    """A Kueue Workload."""
    return ClusterWorkload(
        workload_id=workload.key,
        kind="workload",
        queue=workload.queue,
        subject=workload.subject,
        is_active=workload.is_active,
        is_admitted=workload.is_admitted,
        priority=workload.priority,
        is_gone=is_gone,
        source=SOURCE,
        measured_at=now,
    )


def claim_row(claim: ClaimSeen, is_gone: bool, now: datetime) -> ClusterWorkload:
    """A NodeClaim."""
    return ClusterWorkload(
        workload_id=claim.key,
        kind="node_claim",
        pool=claim.group,
        subject=claim.node_id,
        is_active=claim.is_active,
        is_admitted=claim.is_ready,
        is_gone=is_gone,
        source=SOURCE,
        measured_at=now,
    )
