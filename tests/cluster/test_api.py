"""The wire when the server is in trouble: each trouble has its own error."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from cluster.api import Api
from cluster.errors import (
    ClusterError,
    Conflict,
    Expired,
    Forbidden,
    NotConfigured,
    TooManyRequests,
    Unauthorised,
    Unavailable,
    Unreachable,
)
from tests.stand_in import StandIn

NODES = "/api/v1/nodes"
REVIEWS = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"


def test_a_kubeconfig_that_is_not_there_is_no_cluster(tmp_path: Path) -> None:
    with pytest.raises(NotConfigured, match="no cluster can be reached"):
        Api.connect(tmp_path / "none")


def test_a_file_that_is_no_kubeconfig_is_no_cluster(tmp_path: Path) -> None:
    for text in ("", "a: b\n", "[1]", "{{"):
        path = tmp_path / "kubeconfig"
        path.write_text(text)
        with pytest.raises(NotConfigured):
            Api.connect(path)


def test_outside_a_pod_there_is_no_service_account(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    with pytest.raises(NotConfigured, match="service account"):
        Api.connect()


def test_an_unknown_context_is_named(stand_in: StandIn, tmp_path: Path) -> None:
    with pytest.raises(NotConfigured, match="elsewhere"):
        Api.connect(stand_in.kubeconfig(tmp_path), context="elsewhere")


def test_credentials_that_are_not_known_are_refused(stand_in: StandIn, tmp_path: Path) -> None:
    api = Api.connect(stand_in.kubeconfig(tmp_path, token="stale"))
    with pytest.raises(Unauthorised):
        api.get(NODES)
    api.close()


def test_a_missing_right_is_refused_and_can_be_asked_for(stand_in: StandIn) -> None:
    api = stand_in.api()
    stand_in.faults.forbid("patch", "nodes")
    stand_in.add_node("a")
    with pytest.raises(Forbidden, match='cannot patch resource "nodes"'):
        api.patch(f"{NODES}/a", {"spec": {"unschedulable": True}})
    for verb, allowed in (("patch", False), ("get", True)):
        wanted = {"spec": {"resourceAttributes": {"verb": verb, "resource": "nodes"}}}
        assert api.create(REVIEWS, wanted)["status"]["allowed"] is allowed


def test_a_server_that_is_gone_is_unreachable_until_it_is_back(stand_in: StandIn) -> None:
    api = stand_in.api()
    api.get(NODES)
    stand_in.faults.down()
    with pytest.raises(Unreachable):
        api.get(NODES)
    stand_in.faults.up()
    assert api.get(NODES)["items"] == []


@pytest.mark.parametrize(
    ("status", "kind"),
    [(409, Conflict), (429, TooManyRequests), (500, Unavailable), (503, Unavailable)],
)
def test_a_storm_passes(stand_in: StandIn, status: int, kind: type[ClusterError]) -> None:
    api = stand_in.api()
    stand_in.add_node("a")
    stand_in.faults.storm(status, 2, match="PATCH .*/nodes/a")
    for _ in range(2):
        with pytest.raises(kind) as refused:
            api.patch(f"{NODES}/a", {"spec": {"unschedulable": True}})
    assert refused.value.status == status
    assert refused.value.retry_after_seconds == (1.0 if status == 429 else None)
    assert api.patch(f"{NODES}/a", {"spec": {"unschedulable": True}})["spec"]["unschedulable"]


def test_an_answer_that_is_lost_may_have_been_carried_out(stand_in: StandIn) -> None:
    api = stand_in.api()
    stand_in.add_node("a")
    stand_in.faults.lose_answers(1, match="PATCH")
    with pytest.raises(Unreachable):
        api.patch(f"{NODES}/a", {"spec": {"unschedulable": True}})
    assert stand_in.get(f"{NODES}/a")["spec"]["unschedulable"]


def test_a_watch_that_is_cut_is_unreachable_and_goes_on_from_where_it_was(
    stand_in: StandIn,
) -> None:
    api = stand_in.api()
    version = api.get(NODES)["metadata"]["resourceVersion"]
    seen: list[str] = []
    first, cut = threading.Event(), threading.Event()

    def follow() -> None:
        try:
            for _, body in api.watch(NODES, version, 20):
                seen.append(body["metadata"]["resourceVersion"])
                first.set()
        except Unreachable:
            cut.set()

    follower = threading.Thread(target=follow)
    follower.start()
    stand_in.add_node("a")
    assert first.wait(10)
    stand_in.faults.cut_watches()
    assert cut.wait(10)
    follower.join(10)
    stand_in.add_node("b")
    _, body = next(api.watch(NODES, seen[-1], 1))
    assert body["metadata"]["name"] == "b"


def test_a_version_that_is_compacted_away_ends_a_watch_and_a_list(stand_in: StandIn) -> None:
    api = stand_in.api()
    stand_in.add_node("a")
    stand_in.add_node("b")
    pages = api.pages(NODES, page_size=1)
    version = next(pages)["metadata"]["resourceVersion"]
    stand_in.add_node("c")
    stand_in.faults.compact()
    with pytest.raises(Expired):
        next(pages)
    with pytest.raises(Expired):
        list(api.watch(NODES, version, 1))


def test_a_watch_that_runs_its_time_out_says_how_far_it_came(stand_in: StandIn) -> None:
    api = stand_in.api()
    version = api.get(NODES)["metadata"]["resourceVersion"]
    stand_in.add_namespace("elsewhere")
    told = list(api.watch(NODES, version, 3))
    assert [kind for kind, _ in told] == ["BOOKMARK"]
    assert int(told[0][1]["metadata"]["resourceVersion"]) > int(version)
