"""The jobs of a cluster from pass to pass: how each stands, what happened to it, and its row."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

from collectors.kubernetes_cache import Change
from collectors.kubernetes_fleet import Counts, Places, PriceOf
from collectors.kubernetes_jobs import (
    Facts,
    Happening,
    Standing,
    facts_of,
    gone,
    happenings,
    standing_of,
)
from collectors.kubernetes_objects import gpus_of
from collectors.kubernetes_reading import JobSeen, PodSeen
from collectors.kubernetes_rows import SOURCE
from warehouse.records import ClusterJob, JobEvent

Changes = Mapping[str, Change]


class Work:
    """Every job's standing; told again where it changed."""

    def __init__(self, price_of: PriceOf) -> None:
        self.standings: dict[str, Standing] = {}
        self._price_of = price_of
        self._rows: dict[str, ClusterJob] = {}
        self._pods_of: dict[str, tuple[str, ...]] = {}
        self._counts: Counts = Counter()
        self._last_seen: dict[str, JobSeen] = {}

    def remember(self, standings: Iterable[Standing], rows: Iterable[ClusterJob]) -> None:
        """Take up where an earlier console left off."""
        self.standings = {each.job_id: each for each in standings}
        self._rows = {row.job_id: row for row in rows}

    def take_counts(self) -> Counts:
        """What was submitted, started, … since this was last asked, by pool and event."""
        taken, self._counts = self._counts, Counter()
        return taken

    def told(
        self,
        jobs: Mapping[str, JobSeen] | None,
        pods: Mapping[str, PodSeen],
        changes: tuple[Changes, Changes],
        places: Places,
        workload_of: Callable[[str], str | None],
        now: datetime,
        *,
        is_full: bool,
    ) -> Iterator[Any]:
        """Rows of `job_events` and `cluster_jobs` for what changed; of all jobs if `is_full`.

        `jobs` is None where Jobs may not be read: pods are then told by who owns them.
        """
        of_jobs, of_pods = changes
        self._index(of_pods)
        self._last_seen = {key: change.after for key, change in of_jobs.items() if change.is_gone}
        touched = set(of_jobs) | {
            pod.job_id for c in of_pods.values() for pod in (c.before, c.after) if pod
        }
        if is_full:
            touched |= self.standings.keys() | self._rows.keys()
            touched |= (jobs or {}).keys() | self._pods_of.keys()
        for job_id in sorted(touched):
            its_pods = [pods[key] for key in self._pods_of.get(job_id, ()) if key in pods]
            job = (jobs or {}).get(job_id)
            if job is None and jobs is not None:
                its_pods = [pod for pod in its_pods if pod.owner_kind != "Job"]
            yield from self._job_events(job_id, facts_of(job, its_pods), places, now)
            if jobs is not None:
                yield from self._job_row(job_id, job, its_pods, workload_of(job_id), now, is_full)

    # -- what happened -------------------------------------------------------------

    def _job_events(
        self, job_id: str, facts: Facts | None, places: Places, now: datetime
    ) -> Iterator[JobEvent]:
        last = self._last_seen.get(job_id)
        if facts is None and last is not None and (last.ending or job_id not in self.standings):
            yield from self._step(facts_of(last, ()), places, now)  # its last word
        if facts is not None:
            yield from self._step(facts, places, now)
        elif standing := self.standings.pop(job_id, None):
            yield from self._as_rows(standing, gone(standing, now))

    def _step(self, facts: Facts | None, places: Places, now: datetime) -> Iterator[JobEvent]:
        """One job from its old standing to its new one."""
        if facts is None:
            return
        old = self.standings.get(facts.job_id)
        happened = happenings(old, facts, now)
        last_pool = old.pool if old and old.uid == facts.uid else None
        pool = places.pool_of(facts.node_ids, facts.wants, last_pool)
        standing = standing_of(facts, old, pool, happened)
        self.standings[facts.job_id] = standing
        yield from self._as_rows(standing, happened)

    def _as_rows(self, standing: Standing, happened: Iterable[Happening]) -> Iterator[JobEvent]:
        for each in happened:
            is_new = each.event == "submitted"
            if each.is_counted:
                self._counts[standing.pool, each.event] += 1
            yield JobEvent(
                job_id=standing.job_id,
                tenant=standing.tenant,
                pool=standing.pool,
                event=each.event,
                gpu_count=standing.gpu_count,
                node_ids=list(each.node_ids),
                price_usd_per_gpu_hour=self._price_of(standing.pool) if is_new else None,
                detail=each.detail,
                source=SOURCE,
                happened_at=each.happened_at,
            )

    # -- as it is ------------------------------------------------------------------

    def _job_row(
        self,
        job_id: str,
        job: JobSeen | None,
        pods: list[PodSeen],
        workload: str | None,
        now: datetime,
        is_full: bool,
    ) -> Iterator[ClusterJob]:
        told = self._rows.get(job_id)
        if job is None:
            if told is not None:
                del self._rows[job_id]
                yield replace(told, is_gone=True, active_pods=0, measured_at=now)
            return
        row = _row(job, self.standings[job_id], pods, workload, now)
        if is_full or told is None or replace(told, measured_at=now) != row:
            self._rows[job_id] = row
            yield row

    def _index(self, changes: Changes) -> None:
        for key, change in changes.items():
            if (before := change.before) is not None:
                rest = tuple(k for k in self._pods_of.get(before.job_id, ()) if k != key)
                self._pods_of[before.job_id] = rest
            if not change.is_gone:
                held = self._pods_of.get(change.after.job_id, ())
                self._pods_of[change.after.job_id] = (*held, key)
        for change in changes.values():
            if not self._pods_of.get(change.after.job_id, True):
                del self._pods_of[change.after.job_id]


def _row(
    job: JobSeen, standing: Standing, pods: list[PodSeen], workload: str | None, now: datetime
) -> ClusterJob:
    return ClusterJob(
        job_id=job.key,
        uid=job.uid,
        tenant=job.tenant,
        queue=job.queue,
        workload=workload,
        pool=standing.pool,
        gpu_count=gpus_of(job.sevenths),
        active_pods=job.active_pods,
        is_suspended=job.is_suspended,
        state=standing.state,
        checkpoints=job.checkpoints,
        checkpointed_at=standing.checkpointed_at,
        is_do_not_disrupt=job.is_do_not_disrupt or any(pod.is_do_not_disrupt for pod in pods),
        generation=job.generation,
        is_gone=False,
        created_at=job.created_at,
        started_at=job.started_at,
        source=SOURCE,
        measured_at=now,
    )
