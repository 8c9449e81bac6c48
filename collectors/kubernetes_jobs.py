"""What jobs do, and what happened to them between two passes, as `job_events`.

A job is a Job, or the pods of whatever else owns them: a Deployment, a StatefulSet, a custom
resource. Instants are the objects' own where they tell them.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Literal, NamedTuple

from collectors.kubernetes_objects import Wants, gpus_of
from collectors.kubernetes_reading import JobSeen, PodSeen
from warehouse.records import JobEventKind

State = Literal["waiting", "running", "finished", "failed"]
_A_MOMENT = timedelta(microseconds=1)


class Standing(NamedTuple):
    """A job as it stands."""

    job_id: str
    uid: str
    tenant: str
    pool: str
    gpu_count: int
    state: State
    node_ids: tuple[str, ...]
    """Nodes it holds; of a job that waits those it held last."""
    has_started: bool
    is_queued: bool
    """Whether it waits for GPUs, rather than for a person to resume it."""
    queued_at: datetime
    checkpointed_at: datetime | None
    told_until_at: datetime
    """Its latest event: none later in the story may be dated before it."""


class Facts(NamedTuple):
    """What a job's objects say just now, before it is compared with how it stood."""

    job_id: str
    uid: str
    tenant: str
    gpu_count: int
    state: State
    node_ids: tuple[str, ...]
    done_on: frozenset[str]
    """Nodes on which a pod of it has succeeded."""
    is_suspended: bool
    suspended_at: datetime | None
    is_queued: bool
    created_at: datetime
    began_at: datetime | None
    """When it first ran, as far as is known."""
    newest_start_at: datetime | None
    """When the last of the pods that run now began."""
    ended_at: datetime | None
    why: str | None
    checkpointed_at: datetime | None
    disruption: str | None
    wants: Wants


class Happening(NamedTuple):
    """Something that happened to a job."""

    event: JobEventKind
    node_ids: tuple[str, ...]
    detail: str | None
    happened_at: datetime
    is_counted: bool = True
    """Whether it counts among what its pool started, finished, …"""


def facts_of(job: JobSeen | None, pods: Sequence[PodSeen]) -> Facts | None:
    """What a Job, or pods without one, say; None where there is neither."""
    if job is not None:
        return _facts_of_job(job, pods)
    return _facts_of_pods(pods) if pods else None


def _facts_of_job(job: JobSeen, pods: Sequence[PodSeen]) -> Facts:
    running = [pod for pod in pods if pod.is_running]
    is_up = bool(running or job.ready_pods) and not job.is_to_be_suspended
    state: State = "running" if is_up else "waiting"
    first = min((pod.started_at for pod in running if pod.started_at), default=None)
    return Facts(
        job_id=job.key,
        uid=job.uid,
        tenant=job.tenant,
        gpu_count=gpus_of(job.sevenths),
        state=_ended(job.ending) or state,
        is_suspended=job.is_suspended or job.is_to_be_suspended,
        suspended_at=job.suspended_at,
        is_queued=job.queue is not None or not job.is_to_be_suspended,
        created_at=job.created_at,
        began_at=first or job.started_at,
        ended_at=job.ended_at,
        why=job.why,
        checkpointed_at=_newest([job.checkpointed_at, *(pod.checkpointed_at for pod in pods)]),
        wants=job.wants,
        **_of_pods(pods, running),  # type: ignore[arg-type]
    )


def _facts_of_pods(pods: Sequence[PodSeen]) -> Facts:
    running, first = [pod for pod in pods if pod.is_running], min(pods, key=lambda p: p.created_at)
    phases = {pod.phase for pod in pods}
    state: State = "running" if running else "waiting"
    if phases <= {"Succeeded", "Failed"}:
        state = "failed" if "Failed" in phases else "finished"
    # Nothing tells when pods without a Job ended, nor that they were one job before.
    return Facts(
        job_id=first.job_id,
        uid=first.job_id,
        tenant=first.tenant,
        gpu_count=gpus_of(sum(p.sevenths for p in pods if p.phase not in ("Succeeded", "Failed"))),
        state=state,
        is_suspended=False,
        suspended_at=None,
        is_queued=True,
        created_at=first.created_at,
        began_at=min((pod.started_at for pod in pods if pod.started_at), default=None),
        ended_at=None,
        why=None,
        checkpointed_at=_newest([pod.checkpointed_at for pod in pods]),
        wants=first.wants,
        **_of_pods(pods, running),  # type: ignore[arg-type]
    )


def _of_pods(pods: Sequence[PodSeen], running: Sequence[PodSeen]) -> dict[str, object]:
    return {
        "node_ids": tuple(sorted({pod.node_id for pod in running if pod.node_id})),
        "done_on": frozenset(p.node_id for p in pods if p.phase == "Succeeded" and p.node_id),
        "newest_start_at": _newest([pod.started_at for pod in running]),
        "disruption": next((pod.disruption for pod in pods if pod.disruption), None),
    }


def standing_of(
    facts: Facts, old: Standing | None, pool: str, happened: Sequence[Happening]
) -> Standing:
    """How a job stands by now, given how it stood, the pool it is in and what happened since."""
    if old is not None and old.uid != facts.uid:
        old = None
    queued_at = old.queued_at if old else facts.created_at
    return Standing(
        job_id=facts.job_id,
        uid=facts.uid,
        tenant=facts.tenant,
        pool=pool,
        gpu_count=facts.gpu_count or (old.gpu_count if old else 0),
        state=facts.state,
        node_ids=facts.node_ids or (old.node_ids if old else ()),
        has_started=bool(old and old.has_started) or _has_run(facts),
        is_queued=facts.state == "waiting" and facts.is_queued,
        queued_at=max(
            (h.happened_at for h in happened if h.event == "preempted"), default=queued_at
        ),
        checkpointed_at=facts.checkpointed_at,
        told_until_at=max(
            (h.happened_at for h in happened), default=old.told_until_at if old else queued_at
        ),
    )


def happenings(old: Standing | None, facts: Facts, now: datetime) -> list[Happening]:
    """What happened to a job since it stood as it did, in the order in which it did."""
    if old is not None and old.uid != facts.uid:  # its name was given to another
        return [*gone(old, now), *happenings(None, facts, now)]
    found = [] if old else [Happening("submitted", (), None, facts.created_at)]
    if facts.state == "running":
        found += _while_it_runs(old, facts, now)
    elif facts.state == "waiting":
        if old is not None and old.state == "running":
            found.append(_preempted(facts, now))
    elif old is None or old.state != facts.state:
        found += _at_its_end(old, facts, now)
    told = _in_turn(found, old.told_until_at if old else facts.created_at)
    return _with_checkpoint(told, old, facts)


def _in_turn(found: Sequence[Happening], since: datetime) -> list[Happening]:
    """The same, none dated before what came earlier: instants of the objects are whole seconds,
    and some are our own clock's."""
    told = []
    for each in found:
        since = max(since, each.happened_at)
        told.append(each._replace(happened_at=since))
    return told


def _with_checkpoint(found: list[Happening], old: Standing | None, facts: Facts) -> list[Happening]:
    """The same with the job's latest checkpoint, if it is new.

    It is told as of before whatever ended the run that it is of, so that a job which waits does
    not seem to run.
    """
    at = facts.checkpointed_at
    if at is None or (old is not None and old.checkpointed_at == at):
        return found
    if facts.state == "running":
        return [*found, Happening("checkpointed", facts.node_ids, None, at)]
    ended_at = found[-1].happened_at if found else old.told_until_at if old else at
    return [Happening("checkpointed", (), None, min(at, ended_at - _A_MOMENT)), *found]


def gone(old: Standing, now: datetime) -> list[Happening]:
    """What it means that a job is there no more: it left, unless it had ended."""
    if old.state in ("finished", "failed"):
        return []
    ran = "deleted while it ran" if old.state == "running" else "deleted while it waited"
    return [Happening("left", (), ran, max(now, old.told_until_at))]


def _while_it_runs(old: Standing | None, facts: Facts, now: datetime) -> list[Happening]:
    began_at, nodes = facts.began_at or now, facts.node_ids
    if old is None or not old.has_started:
        return [Happening("started", nodes, None, began_at)]
    if old.state != "running":
        if old.node_ids and set(old.node_ids) != set(nodes):
            return [_migrated(old, facts, now)]
        return [Happening("started", nodes, "resumed", facts.newest_start_at or now)]
    came, left = set(nodes) - set(old.node_ids), set(old.node_ids) - set(nodes) - facts.done_on
    if came and left:
        return [_migrated(old, facts, now)]
    if came and len(nodes) > len(old.node_ids):
        more = "more of its pods run"
        return [Happening("started", nodes, more, facts.newest_start_at or now, is_counted=False)]
    return []


def _migrated(old: Standing, facts: Facts, now: datetime) -> Happening:
    moved = f"from {', '.join(old.node_ids)} to {', '.join(facts.node_ids)}"
    return Happening("migrated", facts.node_ids, moved, facts.newest_start_at or now)


def _preempted(facts: Facts, now: datetime) -> Happening:
    why = facts.disruption or ("suspended" if facts.is_suspended else "its pods are gone")
    return Happening("preempted", (), why, facts.suspended_at or now)


def _at_its_end(old: Standing | None, facts: Facts, now: datetime) -> list[Happening]:
    found = []
    if (old is None or not old.has_started) and _has_run(facts):
        found.append(Happening("started", facts.node_ids, None, facts.began_at or now))
    event: JobEventKind = "finished" if facts.state == "finished" else "failed"
    return [*found, Happening(event, (), facts.why, facts.ended_at or now)]


def _has_run(facts: Facts) -> bool:
    has_ended = facts.state in ("finished", "failed")
    return facts.state == "running" or (has_ended and facts.began_at is not None)


def _ended(ending: str | None) -> State | None:
    return "finished" if ending == "finished" else "failed" if ending == "failed" else None


def _newest(instants: Sequence[datetime | None]) -> datetime | None:
    return max((each for each in instants if each), default=None)
