"""The stand-in answers like a real API server: all recorded exchanges, in their order.

Where another controller had its hand in between, its part is played by a tick, and where the
recorder did something that it did not write down, that is done here too (`STAGE`).
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from cluster.api import STRATEGIC, Api
from tests.cluster.recorded import Exchange, Names, ask, exchanges, stable
from tests.stand_in import StandIn

RECORDED = 96
BY_PARTS = {
    0: "the version that is built in",
    2: "the server's own address",
    3: "a real server has more groups",
    4: "a real server has more kinds in the group",
    39: "the nodes that were there before",
    40: "the nodes that were there before",
    43: "how often controllers wrote meanwhile",
    45: "objects as controllers left them",
    46: "objects as controllers left them",
    47: "what the bookmark's empty object holds",
    93: "pods of a Deployment that is being collected",
    95: "columns that a person reads",
}
"""Exchanges of which only those parts are compared that a client relies on, and what differs."""
NODES = "/api/v1/nodes"


class Stage:
    """What the recorder did off the record."""

    def __init__(self, stand_in: StandIn, names: Names) -> None:
        self._stand_in = stand_in
        self._api: Api = stand_in.api()
        self._names = names

    def before(self, number: int) -> None:
        """Whatever happened before an exchange."""
        happened = self._by_number().get(number)
        if happened:
            happened()

    def _by_number(self) -> dict[int, Callable[[], None]]:
        tick = self._stand_in.tick
        return {
            16: lambda: tick(0.1),
            20: lambda: tick(0.1),
            28: lambda: self._annotate("k"),
            45: self._second_node,
            46: self._second_node_again,
            53: lambda: self._stand_in.settle(3, 0.1),
            56: lambda: self._stand_in.drop(
                "/apis/policy/v1/namespaces/default/poddisruptionbudgets/tw"
            ),
            61: lambda: tick(3),
            65: lambda: tick(0.1),
            69: lambda: tick(0.1),
            71: lambda: self._stand_in.settle(3, 0.1),
            75: lambda: self._stand_in.settle(3, 1.0),
        }

    def _annotate(self, key: str) -> None:
        self._api.patch(f"{NODES}/t1", {"metadata": {"annotations": {key: "1"}}})

    def _second_node(self) -> None:
        self._names.ours["410"] = str(self._stand_in.objects.version)
        self._api.create(NODES, {"metadata": {"name": "t2"}})
        self._stand_in.tick(0.1)
        self._api.patch(f"{NODES}/t2", {"metadata": {"labels": {"a": "b"}}}, STRATEGIC)
        self._api.delete(f"{NODES}/t2")

    def _second_node_again(self) -> None:
        self._api.create(NODES, {"metadata": {"name": "t2"}})
        self._api.patch(f"{NODES}/t2", {"metadata": {"labels": {"a": "b"}}}, STRATEGIC)
        self._api.patch(f"{NODES}/t2", {"metadata": {"labels": {"a": None}}})
        self._api.delete(f"{NODES}/t2")


@pytest.fixture(scope="module")
def replayed(shared: Path) -> Any:
    """Every exchange with what the stand-in answered: (exchange, status, headers, body, names)."""
    names, found = Names(), []
    with StandIn(datetime(2026, 11, 23, 10, 23, 1, tzinfo=UTC)) as stand_in:
        for name in ("gpu-1", "gpu-2"):
            stand_in.add_node(name, zone="us-east-1a")
        stage = Stage(stand_in, names)
        for one in exchanges(shared):
            stage.before(one.number)
            path = _path(one, names)
            status, headers, body = ask(stand_in.address, one, path, names.ours_in(one.request))
            if status == one.status and one.number not in BY_PARTS:
                names.learn(one.response, body)
            elif one.number == 39:
                names.ours[one.response["metadata"]["continue"]] = body["metadata"]["continue"]
            found.append((one, status, headers, body))
    return names, found


def _path(one: Exchange, names: Names) -> str:
    path = one.path.replace("timeoutSeconds=1", "timeoutSeconds=0.2")
    path = path.replace("timeoutSeconds=2", "timeoutSeconds=0.2")
    for theirs in ("410", one.path.rpartition("continue=")[2]):
        if theirs in names.ours:
            path = path.replace(f"={theirs}", f"={names.ours[theirs]}")
    return path


def test_the_stand_in_answers_like_the_recorded_server(replayed: Any) -> None:
    names, found = replayed
    assert len(found) == RECORDED, "a new transcript: look at what it adds"
    for one, status, headers, body in found:
        said = f"{one.number} {one.method} {one.path} ({one.note})"
        assert status == one.status, f"{said}: {body}"
        expected_type = one.headers["Content-Type"]
        assert headers["Content-Type"] == expected_type, said
        assert headers.get("Warning") == one.headers.get("Warning"), said
        if one.number not in BY_PARTS:
            recorded, answered = stable(names.ours_in(one.response)), stable(body)
            assert _lean(answered) == _lean(recorded), said
    whole = RECORDED - len(BY_PARTS)
    assert whole == 84, "so many are compared whole, the other 12 by the parts below"


def _lean(value: Any) -> Any:
    """Without annotations that the node controller writes when it comes round."""
    if isinstance(value, dict):
        kept = {k: v for k, v in value.items() if k != "node.alpha.kubernetes.io/ttl"}
        return {k: _lean(v) for k, v in kept.items() if not (k == "annotations" and not _lean(v))}
    return [_lean(one) for one in value] if isinstance(value, list) else value


def test_discovery_says_what_is_served_and_nothing_that_a_real_server_does_not(
    replayed: Any,
) -> None:
    _, found = replayed
    recorded = {number: found[number][0].response for number in (0, 2, 3, 4)}
    answered = {number: found[number][3] for number in (0, 2, 3, 4)}
    for key in ("major", "minor", "gitVersion", "platform"):
        assert answered[0][key] == recorded[0][key]
    assert answered[2]["versions"] == recorded[2]["versions"]
    known = {group["name"] for group in recorded[3]["groups"]}
    served = {group["name"] for group in answered[3]["groups"]}
    assert served <= known
    assert {"batch", "apps", "policy", "karpenter.sh", "kueue.x-k8s.io"} <= served
    jobs = {one["name"]: one for one in recorded[4]["resources"]}
    for one in answered[4]["resources"]:
        alike = ("kind", "namespaced", "singularName", "verbs")
        assert all(one[key] == jobs[one["name"]][key] for key in alike)


def test_pages_and_tables_name_the_same_nodes_and_how_many_are_left(replayed: Any) -> None:
    _, found = replayed
    for number in (39, 40, 95):
        one, _, _, body = found[number]
        mine, theirs = body["metadata"], one.response["metadata"]
        assert mine["remainingItemCount"] == theirs["remainingItemCount"]
        assert bool(mine.get("continue")) == bool(theirs.get("continue"))
    for number in (39, 40):
        one, _, _, body = found[number]
        assert _names(body) == _names(one.response)
        assert "kind" not in body["items"][0]
    one, _, _, body = found[95]
    columns = [column["name"] for column in body["columnDefinitions"]]
    assert columns == [column["name"] for column in one.response["columnDefinitions"]]
    assert body["rows"][0]["cells"][:3] == one.response["rows"][0]["cells"][:3]
    assert body["rows"][0]["object"]["kind"] == "PartialObjectMetadata"


def _names(page: dict[str, Any]) -> list[str]:
    return [item["metadata"]["name"] for item in page["items"]]


def test_watches_tell_the_same_in_the_same_order(replayed: Any) -> None:
    _, found = replayed
    for number in (45, 46, 47):
        one, _, _, body = found[number]
        told = [(event["type"], _labels(event)) for event in body]
        assert told == [(event["type"], _labels(event)) for event in one.response], number
    marks = [event for event in found[47][3] if event["type"] == "BOOKMARK"]
    assert marks[0]["object"]["metadata"]["annotations"] == {"k8s.io/initial-events-end": "true"}
    old = [event["type"] for event in found[43][3]]
    assert old[0] == "ADDED"
    assert set(old[1:]) == {"MODIFIED"}


def _labels(event: dict[str, Any]) -> Any:
    return event["object"]["metadata"].get("labels")


def test_deleting_a_collection_answers_what_it_deletes(replayed: Any) -> None:
    one, _, _, body = replayed[1][93]
    assert body["kind"] == one.response["kind"]
    assert body["items"]
    assert {item["metadata"]["labels"]["app"] for item in body["items"]} == {"tw"}
