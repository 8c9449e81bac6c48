"""Kueue: a Workload for each Job of a queue, admission, and eviction by `spec.active`."""

from __future__ import annotations

from tests.stand_in.controllers.jobs import is_over
from tests.stand_in.controllers.parts import by_owner, is_true, owner_of, set_condition
from tests.stand_in.objects import Body, Objects, copied

QUEUE = "kueue.x-k8s.io/queue-name"
JOB_UID = "kueue.x-k8s.io/job-uid"


def tick(objects: Objects) -> None:
    """One pass over all Jobs of queues. A queue with `spec.stopPolicy` Hold admits none."""
    workloads = by_owner(objects.all("Workload"))
    for job in objects.all("Job"):
        queue = (job["metadata"].get("labels") or {}).get(QUEUE)
        if queue and "deletionTimestamp" not in job["metadata"]:
            mine = workloads.get(job["metadata"]["uid"], [])
            workload = mine[0] if mine else _make(objects, job, queue)
            _sync(objects, job, workload, queue)


def _make(objects: Objects, job: Body, queue: str) -> Body:
    meta = job["metadata"]
    body = {
        "kind": "Workload",
        "metadata": {
            "name": f"job-{meta['name']}-{meta['uid'][:5]}",
            "namespace": meta["namespace"],
            "labels": {JOB_UID: meta["uid"]},
            "ownerReferences": [owner_of(job)],
        },
        "spec": {
            "active": True,
            "queueName": queue,
            "podSets": [
                {
                    "name": "main",
                    "count": job["spec"]["parallelism"],
                    "template": copied(job["spec"]["template"]),
                }
            ],
        },
    }
    return objects.keep(objects.registry.named("Workload"), body)


def _sync(objects: Objects, job: Body, workload: Body, queue: str) -> None:
    """Bring admission, and with it the Job's suspension, to what is wanted."""
    if is_over(job):
        _say(objects, workload, [("Finished", "True", "JobFinished")])
        return
    admitted = is_true(workload, "Admitted")
    if not is_true(workload, "QuotaReserved"):
        _follow(objects, job, workload)
    if not workload["spec"]["active"]:
        if admitted:
            evicted = ("Evicted", "True", "Deactivated")
            _say(objects, workload, [("QuotaReserved", "False", "Pending"), evicted])
            _say(objects, workload, [("Admitted", "False", "NoReservation")])
        _suspend(objects, job, True)
    elif admitted:
        _suspend(objects, job, False)
    elif _may_enter(objects, job, queue):
        entered = [("QuotaReserved", "True", "QuotaReserved"), ("Admitted", "True", "Admitted")]
        if is_true(workload, "Evicted"):
            entered.append(("Evicted", "False", "QuotaReserved"))
        _say(objects, workload, entered)
        _suspend(objects, job, False)
    else:
        _suspend(objects, job, True)


def _follow(objects: Objects, job: Body, workload: Body) -> None:
    """A Workload that holds no quota follows what is changed in its Job's template."""
    meta, template = workload["metadata"], job["spec"]["template"]
    if workload["spec"]["podSets"][0]["template"] != template:
        objects.edit(
            "Workload",
            meta["name"],
            meta["namespace"],
            lambda body: body["spec"]["podSets"][0].update(template=copied(template)),
        )


def _may_enter(objects: Objects, job: Body, queue: str) -> bool:
    """Whether the queue is there and open, and no pod of the Job's last run is still active."""
    found = objects.one("LocalQueue", queue, job["metadata"]["namespace"])
    is_open = found is not None and found["spec"].get("stopPolicy", "None") == "None"
    return is_open and not job.get("status", {}).get("active")


def _suspend(objects: Objects, job: Body, wanted: bool) -> None:
    meta = job["metadata"]
    if job["spec"]["suspend"] != wanted:
        change = {"suspend": wanted}
        objects.edit(
            "Job", meta["name"], meta["namespace"], lambda body: body["spec"].update(change)
        )


def _say(objects: Objects, workload: Body, conditions: list[tuple[str, str, str]]) -> None:
    meta = workload["metadata"]

    def change(body: Body) -> None:
        for kind, status, reason in conditions:
            set_condition(body, kind, status, reason, "", objects.stamp())

    objects.edit("Workload", meta["name"], meta["namespace"], change)
