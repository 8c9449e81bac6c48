"""A job moved off a node: `migration`, `checkpoints`, `jobs`, `kueue`, `proposals`."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest

from cluster.errors import Invalid
from engine.hands import CommandFailed, CommandRefused, CommandStale
from engine.kubernetes.checkpoints import let_go
from engine.kubernetes.jobs import kept_off
from engine.kubernetes.marks import CHECKPOINT_URL, DECISION, KEPT_OFF, REQUESTED, SUSPENDED
from engine.kubernetes.settings import HandsSettings
from tests.engine.kubernetes.cluster import POOL, Handled, new_id
from tests.makers import make_cluster_job, make_decision

JOB = "/apis/batch/v1/namespaces/default/jobs/train"
MOVE: dict[str, Any] = {"pool": POOL, "job_id": "default/train", "node_id": "gpu-a"}
NOT_A = {"key": "kubernetes.io/hostname", "operator": "NotIn", "values": ["gpu-a"]}


def required(job: dict[str, Any]) -> list[dict[str, Any]]:
    affinity = job["spec"]["template"]["spec"]["affinity"]["nodeAffinity"]
    return affinity["requiredDuringSchedulingIgnoredDuringExecution"]["nodeSelectorTerms"]


def test_it_is_checkpointed_suspended_moved_and_resumed_call_by_call(handled: Handled) -> None:
    handled.placed("train", "gpu-a", "gpu-b")
    (pod,) = [p["metadata"]["name"] for p in handled.stand_in.all("Pod")]
    decision_id = new_id()
    answer = handled.carry_out(decision_id, "migrate_job", **MOVE)
    assert answer["node_ids"] == ["gpu-b"]
    assert answer["checkpointed_at"].startswith("2026-11-02T12:00")
    assert answer["applied_at"].startswith("2026-11-02T12:00")
    bodies = [body for method, _, body in handled.stand_in.requests if method == "PATCH"]
    assert handled.writes() == [
        f"PATCH {JOB}",
        f"PATCH /api/v1/namespaces/default/pods/{pod}",
        f"PATCH {JOB}",
        f"PATCH {JOB}",
        f"PATCH {JOB}",
        f"PATCH {JOB}",
    ]
    assert bodies[0]["metadata"]["annotations"] == {REQUESTED: decision_id, DECISION: decision_id}
    assert bodies[2]["spec"] == {"suspend": True}
    assert "affinity" in bodies[3]["spec"]["template"]["spec"]
    assert bodies[4]["spec"] == {"suspend": False}
    assert all("resourceVersion" in body["metadata"] for body in bodies[0::2])
    job = handled.job("train")
    assert required(job) == [{"matchExpressions": [NOT_A]}]
    assert job["metadata"]["annotations"][KEPT_OFF] == "gpu-a"
    assert handled.held() == {}


def test_the_job_bears_an_event_in_its_own_namespace(handled: Handled) -> None:
    handled.placed("train", "gpu-a", "gpu-b")
    handled.carry_out(new_id(), "migrate_job", **MOVE)
    (event,) = handled.stand_in.all("Event")
    assert event["reason"] == "PilothouseMigrated"
    assert event["involvedObject"]["kind"] == "Job"
    assert event["involvedObject"]["uid"] == handled.job("train")["metadata"]["uid"]


def test_an_affinity_is_only_added_to() -> None:
    zone = {"key": "zone", "operator": "In", "values": ["a"]}
    asked = {
        "podAntiAffinity": {"x": []},
        "nodeAffinity": {
            "preferredDuringSchedulingIgnoredDuringExecution": [{"weight": 1}],
            "requiredDuringSchedulingIgnoredDuringExecution": {
                "nodeSelectorTerms": [{"matchExpressions": [zone]}, {"matchFields": [zone]}]
            },
        },
    }
    made = kept_off(asked, "gpu-a")
    terms = made["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
    assert terms["nodeSelectorTerms"] == [
        {"matchExpressions": [zone, NOT_A]},
        {"matchFields": [zone], "matchExpressions": [NOT_A]},
    ]
    assert made["podAntiAffinity"] == asked["podAntiAffinity"]
    assert "preferredDuringSchedulingIgnoredDuringExecution" in made["nodeAffinity"]
    assert kept_off(made, "gpu-a") == made


def test_a_job_that_does_not_answer_is_not_moved_and_bears_no_mark(handled: Handled) -> None:
    handled.placed("train", "gpu-a", "gpu-b")
    handled.stand_in.faults.mute_checkpoints("train")
    before = handled.job("train")["spec"]
    error = handled.ending(new_id(), "migrate_job", seconds=20, **MOVE)
    assert isinstance(error, CommandRefused)
    assert str(error).startswith("checkpoint_unanswered")
    assert handled.job("train")["spec"] == before
    assert handled.held() == {}
    (pod,) = handled.stand_in.all("Pod")
    assert REQUESTED not in pod["metadata"].get("annotations", {})


def test_one_that_finds_no_room_elsewhere_goes_back_to_where_it_was(handled: Handled) -> None:
    handled.placed("train", "gpu-a", gpus=8)
    before = handled.job("train")["spec"]
    decision_id = new_id()
    error = handled.ending(decision_id, "migrate_job", seconds=20, **MOVE)
    assert isinstance(error, CommandFailed)
    assert str(error).startswith("deadline_passed")
    assert "taken back: job/default/train" in str(error)
    assert handled.job("train")["spec"] == before
    handled.stand_in.settle(5)
    assert handled.nodes_of_job("train") == {"gpu-a"}
    assert handled.held() == {}
    back = [row.step for row in handled.rows(decision_id) if row.phase == "reverted"]
    assert back == ["resume", "move", "suspend", "checkpoint"]


def test_a_job_of_a_queue_is_stopped_and_started_by_kueue(handled: Handled) -> None:
    handled.stand_in.add_queue("blue")
    handled.placed("train", "gpu-a", "gpu-b", queue="blue")
    handled.carry_out(new_id(), "migrate_job", **MOVE)
    assert handled.nodes_of_job("train") == {"gpu-b"}
    patched = [
        (path.rsplit("/", 2)[1], body.get("spec", {}))
        for method, path, body in handled.stand_in.requests
        if method == "PATCH"
    ]
    assert [s["active"] for kind, s in patched if kind == "workloads"] == [False, True]
    assert not [s for kind, s in patched if kind == "jobs" and "suspend" in s]
    assert handled.held() == {}


def test_a_hook_is_asked_where_the_job_names_one(handled: Handled) -> None:
    with hook() as (url, asked):
        handled.settings = HandsSettings(checkpoint_hosts="127.0.0.1")
        handled.start()
        handled.placed("train", "gpu-a", "gpu-b", annotations={CHECKPOINT_URL: url})
        decision_id = new_id()
        answer = handled.carry_out(decision_id, "migrate_job", **MOVE)
    assert asked == [{"request_id": decision_id}]
    assert answer["checkpointed_at"] == "2026-11-02T12:00:07Z"


def test_a_hook_elsewhere_than_in_the_jobs_namespace_is_not_called(handled: Handled) -> None:
    with hook() as (url, asked):
        handled.placed("train", "gpu-a", "gpu-b", annotations={CHECKPOINT_URL: url})
        handled.carry_out(new_id(), "migrate_job", **MOVE)
    assert asked == []


@contextmanager
def hook() -> Iterator[tuple[str, list[Any]]]:
    """A job's HTTP hook, and what it was asked."""
    asked: list[Any] = []

    class Hook(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            body = json.dumps({"checkpointed_at": "2026-11-02T12:00:07Z"}).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *said: Any) -> None:
            return None

    server = HTTPServer(("127.0.0.1", 0), Hook)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/checkpoint", asked
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


# -- somebody else's change ------------------------------------------------------------


@pytest.mark.parametrize("change", ["uid", "generation"])
def test_a_job_that_was_changed_since_it_was_proposed_is_stale(
    handled: Handled, change: str
) -> None:
    handled.placed("changed", "gpu-a", "gpu-b")
    decision_id, now = new_id(), handled.clock.now()
    meta = handled.job("changed")["metadata"]
    known = {"uid": meta["uid"], "generation": meta["generation"]}
    known[change] = {"uid": "another", "generation": 77}[change]
    seen = make_cluster_job(job_id="default/changed", measured_at=now, **known)
    proposed = make_decision(decision_id=decision_id, action="migrate_job", proposed_at=now)
    handled.store.append([seen, proposed])
    error = handled.ending(decision_id, "migrate_job", **{**MOVE, "job_id": "default/changed"})
    assert isinstance(error, CommandStale)
    assert handled.writes() == []


def test_a_job_that_left_the_node_is_stale(handled: Handled) -> None:
    handled.placed("train", "gpu-a", "gpu-b")
    error = handled.ending(new_id(), "migrate_job", **{**MOVE, "node_id": "gpu-b"})
    assert isinstance(error, CommandStale)
    assert "no pod on gpu-b" in str(error)


def test_somebody_who_resumes_the_job_meanwhile_has_it(handled: Handled) -> None:
    handled.placed("train", "gpu-a", "gpu-b", grace_seconds=30)
    decision_id = new_id()
    handled.begin(decision_id, "migrate_job", **MOVE)
    handled.stand_in.settle(3)
    assert "suspended" in handled.begin(decision_id, "migrate_job", **MOVE)
    marks = {"metadata": {"annotations": {SUSPENDED: None}}, "spec": {"suspend": False}}
    handled.api.patch(JOB, marks)
    error = handled.ending(decision_id, "migrate_job", **MOVE)
    assert isinstance(error, CommandStale)
    assert "somebody else resumed" in str(error)
    assert handled.job("train")["spec"]["suspend"] is False
    assert handled.held() == {}


def test_a_job_deleted_in_the_middle_ends_by_name(handled: Handled) -> None:
    handled.placed("train", "gpu-a", "gpu-b", grace_seconds=30)
    decision_id = new_id()
    handled.begin(decision_id, "migrate_job", **MOVE)
    handled.stand_in.settle(3)
    handled.begin(decision_id, "migrate_job", **MOVE)
    handled.stand_in.drop(JOB)
    error = handled.ending(decision_id, "migrate_job", **MOVE)
    assert isinstance(error, CommandRefused)
    assert str(error).startswith("target_gone")


def test_the_node_that_vanishes_in_the_middle_does_not_stop_the_move(handled: Handled) -> None:
    handled.placed("train", "gpu-a", "gpu-b")
    decision_id = new_id()
    handled.begin(decision_id, "migrate_job", **MOVE)
    handled.stand_in.settle(3)
    handled.begin(decision_id, "migrate_job", **MOVE)
    handled.stand_in.vanish_node("gpu-a")
    answer = handled.carry_out(decision_id, "migrate_job", **MOVE)
    assert answer["node_ids"] == ["gpu-b"]
    assert handled.held() == {}


def test_a_job_whose_node_selector_names_its_host_is_not_moved(handled: Handled) -> None:
    handled.stand_in.add_node("n1", pool=POOL)
    handled.stand_in.add_node("n2", pool=POOL)
    handled.stand_in.add_job("train", gpus=2, node="n1")
    handled.stand_in.settle(4)
    with pytest.raises(CommandRefused, match="pinned"):
        handled.carry_out(new_id(), "migrate_job", job_id="default/train", node_id="n1")
    assert handled.nodes_of_job("train") == {"n1"}
    assert handled.held() == {}


# -- tidying up, and taking back what does not end ----------------------------------------


def almost_moved(handled: Handled, decision_id: str) -> None:
    """A job that runs elsewhere, and bears our marks still."""
    handled.placed("train", "gpu-a", "gpu-b")
    for _ in range(60):
        steps = [row.step for row in handled.rows(decision_id)]
        if "verify" in steps and handled.nodes_of_job("train") == {"gpu-b"}:
            return
        handled.begin(decision_id, "migrate_job", **MOVE)
        handled.stand_in.settle(1)
    raise AssertionError(handled.tale(decision_id))


@pytest.mark.parametrize("status", [503, 422, 403])
def test_a_finished_move_stands_though_our_marks_can_not_be_taken_off(
    handled: Handled, status: int
) -> None:
    decision_id = new_id()
    almost_moved(handled, decision_id)
    handled.stand_in.faults.storm(status, 10_000, match="^PATCH")
    answer = handled.carry_out(decision_id, "migrate_job", 20, **MOVE)
    assert answer["node_ids"] == ["gpu-b"]
    (let_go,) = [r for r in handled.rows(decision_id) if (r.step, r.phase) == ("let_go", "done")]
    assert "our marks are still on job default/train" in let_go.answer["left"]
    assert handled.job("train")["spec"]["suspend"] is False
    assert handled.nodes_of_job("train") == {"gpu-b"}


def test_a_pod_that_vanishes_while_marks_are_taken_off_is_passed_over(handled: Handled) -> None:
    handled.placed("train", "gpu-a", "gpu-b")
    handled.stand_in.faults.mute_checkpoints("train")
    decision_id = new_id()
    handled.begin(decision_id, "migrate_job", **MOVE)
    handled.stand_in.faults.storm(404, 1, match="^PATCH .*/pods/")
    let_go(handled.api, "default/train", None, decision_id)
    assert handled.held() == {}


class Locked:
    """An API that lets no affinity be put back while pods still end."""

    def __init__(self, api: Any) -> None:
        self._api = api

    def __getattr__(self, name: str) -> Any:
        return getattr(self._api, name)

    def patch(self, path: str, body: dict[str, Any]) -> Any:
        template = (body.get("spec") or {}).get("template")
        if template is not None and template["spec"]["affinity"] is None:
            raise Invalid("field is immutable", status=422)
        return self._api.patch(path, body)


@pytest.mark.parametrize("is_locked", [False, True])
def test_a_job_whose_pod_never_ends_is_resumed_and_what_stays_is_said(
    handled: Handled, is_locked: bool
) -> None:
    handled.wrap = Locked if is_locked else handled.wrap
    handled.settings = HandsSettings(move_seconds=30, suspend_seconds=40)
    handled.start()
    handled.placed("train", "gpu-a", gpus=4, parallelism=2)
    handled.stand_in.add_node("gpu-b", pool=POOL, gpus=4)
    decision_id = new_id()
    for _ in range(60):
        if handled.nodes_of_job("train") == {"gpu-b", ""}:
            break
        handled.begin(decision_id, "migrate_job", **MOVE)
        handled.stand_in.settle(1)
    handled.stand_in.kill_node("gpu-b")  # its pods neither run nor end
    error = handled.ending(decision_id, "migrate_job", 5, **MOVE)
    assert isinstance(error, CommandFailed)
    assert "resume of job/default/train: not taken back within 40 s" in str(error)
    move = "move of job/default/train: not taken back within 40 s"
    assert (move in str(error)) is is_locked
    assert handled.job("train")["spec"]["suspend"] is False
    assert ("affinity" in handled.job("train")["spec"]["template"]["spec"]) is is_locked
    assert handled.held() == {}
