"""Reconciling at the start: what in the cluster bears our mark, and no decision holds any more.

A decision that is under way goes on by itself. A node that is quarantined stays so. Whatever else
is marked by a decision that has ended is given back: a node opened, a job resumed with its affinity
as it was found. A quarantined node that somebody else opened loses our mark, so that it does not
pass for ours once they cordon it again. What a decision unknown here has marked is left alone, and
said.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from cluster.api import Api, Body
from cluster.errors import ClusterError, NotFound
from engine.kubernetes import kueue
from engine.kubernetes.checkpoints import let_go
from engine.kubernetes.jobs import REQUIRED, not_suspended, resume
from engine.kubernetes.journal import Journal
from engine.kubernetes.marks import DECISION, SUSPENDED
from engine.kubernetes.nodes import uncordon, unmark_open
from engine.kubernetes.objects import annotations_of, is_cordoned, job_path, meta, name_of
from engine.kubernetes.steps import Left
from warehouse.store import Store

OPEN = ("waiting", "approved", "carrying_out", "undoing")
"""States of a decision that goes on by itself."""
HOLDING = ("carried_out", "measured", "undo_failed")
"""States in which a quarantine still holds its node."""
_STATE = "SELECT action, state FROM decision_states WHERE decision_id = $decision_id"


@dataclass(frozen=True)
class Marked:
    """An object that bears a decision's mark."""

    kind: Literal["node", "job", "workload"]
    body: Body
    decision_id: str

    @property
    def target(self) -> str:
        """As the target of a step."""
        return f"{self.kind}/{name_of(self.body)}"

    @property
    def is_closed(self) -> bool:
        """Whether it is a node that takes no new pods."""
        return self.kind == "node" and is_cordoned(self.body)


def reconcile(store: Store, api: Api, now: datetime) -> list[str]:
    """Give back what no decision holds any more; a sentence and a row for each such thing.

    Raises:
        ClusterError: the cluster can't be read.
    """
    said: list[str] = []
    for marked in _marked(api):
        action, state = _stands(store, marked.decision_id)
        is_quarantined = action == "quarantine_node" and state in HOLDING
        if state in OPEN or (is_quarantined and marked.is_closed):
            continue
        journal = Journal(store, marked.decision_id)
        why = _given_back(api, marked, journal) if state else "no decision of that id is known here"
        detail = (
            f"{marked.target} bears the mark of decision {marked.decision_id}, "
            f"which is {state or 'unknown'}: "
            + (f"it is left as it is: {why}" if why else "it was given back")
        )
        journal.write("reconcile", marked.target, "left" if why else "reverted", now, detail=detail)
        said.append(detail)
    return said


def _marked(api: Api) -> Iterator[Marked]:
    for page in api.pages("/api/v1/nodes"):
        for node in page["items"]:
            if DECISION in annotations_of(node):
                yield Marked("node", node, annotations_of(node)[DECISION])
    for page in api.pages("/apis/batch/v1/jobs"):
        for job in page["items"]:
            whose = annotations_of(job).get(SUSPENDED) or annotations_of(job).get(DECISION)
            if whose:
                yield Marked("job", job, whose)
    yield from _marked_workloads(api)


def _marked_workloads(api: Api) -> Iterator[Marked]:
    """Those whose Job bears no mark any more."""
    for version in kueue.VERSIONS:
        try:
            pages = list(api.pages(f"/apis/{kueue.GROUP}/{version}/workloads"))
        except NotFound:
            continue
        for workload in (each for page in pages for each in page["items"]):
            if DECISION in annotations_of(workload):
                yield Marked("workload", workload, annotations_of(workload)[DECISION])
        return


def _stands(store: Store, decision_id: str) -> tuple[str | None, str | None]:
    found = store.query(_STATE, decision_id=decision_id)
    return found.row(0) if found.height else (None, None)


def _given_back(api: Api, marked: Marked, journal: Journal) -> str | None:
    """Give it back; why it can't be, None where it was."""
    try:
        left: Left | None = None
        if marked.kind == "node" and not marked.is_closed:
            unmark_open(api, marked.body)  # as it was listed: somebody may cordon it just now
        elif marked.kind == "node":
            left = uncordon(api, meta(marked.body)["name"], marked.decision_id, None)
        elif marked.kind == "job":
            left = _job_back(api, marked, journal)
        else:
            kueue.activate(api, _workload_path(api, marked.body), marked.decision_id)
    except NotFound:
        return None
    except ClusterError as error:
        return str(error)
    return left.why if left else None


def _workload_path(api: Api, workload: Body) -> str:
    version = str(workload.get("apiVersion", f"{kueue.GROUP}/{kueue.VERSIONS[0]}"))
    where = meta(workload)
    return f"/apis/{version}/namespaces/{where['namespace']}/workloads/{where['name']}"


def _job_back(api: Api, marked: Marked, journal: Journal) -> Left | None:
    """Its affinity as it was found, if it is suspended by us and was not moved; then resumed."""
    job, decision_id = marked.body, marked.decision_id
    job_id = name_of(job)
    path = job_path(job_id)
    if annotations_of(job).get(SUSPENDED) == decision_id:
        moved = journal.entry("move", marked.target)
        if moved is not None and moved.is_begun and not not_suspended(job):
            job = _as_found(api, path, moved.found.get("affinity"))
        suspended = journal.entry("suspend", marked.target)
        workload = suspended.found.get("workload") if suspended else kueue.workload_path(api, job)
        left = resume(api, job, workload, decision_id)
        if left is not None:
            return left
    let_go(api, job_id, None, decision_id)
    return None


def _as_found(api: Api, path: str, affinity: dict[str, Any] | None) -> Body:
    """Of an affinity, only what rules nodes out was ever changed by us."""
    node_affinity = (affinity or {}).get("nodeAffinity") or {}
    required = {REQUIRED: node_affinity.get(REQUIRED)}
    wanted: Any = None if affinity is None else {"nodeAffinity": required}
    return api.patch(path, {"spec": {"template": {"spec": {"affinity": wanted}}}})
