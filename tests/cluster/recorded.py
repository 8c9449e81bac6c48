"""The recorded exchanges with a real API server, and how they are compared with the stand-in's."""

from __future__ import annotations

import http.client
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from tests.stand_in.server import TOKEN

VOLATILE = {
    *("uid", "resourceVersion", "creationTimestamp", "managedFields", "continue"),
    *("lastProbeTime", "lastTransitionTime", "lastHeartbeatTime", "deletionTimestamp"),
    *("startTime", "startedAt", "time", "timeAdded"),
}
"""What is another in each run."""
MOUNTED = {"volumes", "volumeMounts", "containerID"}
"""The mounts of a service account, which a controller of its own adds, and a running id."""
LOOSE_MESSAGE = re.compile(
    # the rest of these is a dump of Go structures, or Go's own words
    r"(Invalid value: \{|Invalid value: \"\{|pod updates may not change fields|"
    r"invalid continue token: continue key is not valid).*",
    re.DOTALL,
)


@dataclass
class Exchange:
    """One recorded exchange."""

    number: int
    note: str
    method: str
    path: str
    content_type: str | None
    request: Any
    status: int
    headers: dict[str, str]
    response: Any


def exchanges(folder: Path) -> list[Exchange]:
    """All of them, as they were recorded, but for slips of the recorder.

    It kept the Lease and the Node that it sent by reference and changed them afterwards: they stand
    in the transcript as they were at the end. What was sent is known from the answers.
    """
    said = json.loads((folder / "kubernetes" / "transcript.json").read_text())
    found = [Exchange(number, **one) for number, one in enumerate(said)]
    holders = {78: "a", 79: "a", 80: "a", 81: "b"}
    for number, holder in holders.items():
        sent = json.loads(json.dumps(found[number].request))
        sent["spec"]["holderIdentity"] = holder
        found[number].request = sent
    answered = json.loads(json.dumps(found[78].response))
    answered["spec"]["holderIdentity"] = "a"
    found[78].response = answered
    return found


class Names:
    """What the recorded server called a thing, and what this one calls it."""

    def __init__(self) -> None:
        self.ours: dict[str, str] = {}

    def learn(self, recorded: Any, answered: Any) -> None:
        """Match uids, versions and tokens; one that was the same there is the same here."""
        if isinstance(recorded, dict) and isinstance(answered, dict):
            for key in recorded.keys() & answered.keys():
                if key in ("uid", "resourceVersion", "continue"):
                    known = self.ours.setdefault(recorded[key], answered[key])
                    assert known == answered[key], f"{key} {recorded[key]} changed"
                else:
                    self.learn(recorded[key], answered[key])
        elif isinstance(recorded, list) and isinstance(answered, list):
            for theirs, mine in zip(recorded, answered, strict=False):
                self.learn(theirs, mine)

    def ours_in(self, value: Any) -> Any:
        """A recorded value in our names."""
        if isinstance(value, dict):
            return {key: self.ours_in(one) for key, one in value.items()}
        if isinstance(value, list):
            return [self.ours_in(one) for one in value]
        if isinstance(value, str):
            for theirs, mine in self.ours.items():
                if value == theirs or (len(theirs) > 12 and theirs in value):
                    value = value.replace(theirs, mine)
        return value


def ask(address: str, one: Exchange, path: str, body: Any) -> tuple[int, dict[str, str], Any]:
    """Send a recorded request; what came back, parsed."""
    headers = {} if "no credentials" in one.note else {"Authorization": f"Bearer {TOKEN}"}
    if "bad token" in one.note:
        headers["Authorization"] = "Bearer bad"
    if one.content_type:
        headers["Content-Type"] = one.content_type
    if one.note == "Table":
        headers["Accept"] = "application/json;as=Table;v=v1;g=meta.k8s.io"
    sent = body if isinstance(body, str) or body is None else json.dumps(body)
    connection = http.client.HTTPConnection(urlsplit(address).netloc, timeout=10)
    try:
        connection.request(one.method, path, sent, headers)
        answer = connection.getresponse()
        content = answer.read().decode()
        return answer.status, dict(answer.getheaders()), _parsed(content, "watch=true" in path)
    finally:
        connection.close()


def _parsed(content: str, is_watch: bool) -> Any:
    if is_watch:
        lines = [json.loads(line) for line in content.splitlines()]
        return [line for line in lines if line] or ""
    try:
        return json.loads(content)
    except ValueError:
        return content


def stable(value: Any) -> Any:
    """What of an answer is the same in each run."""
    if isinstance(value, dict):
        kept = {k: v for k, v in value.items() if k not in VOLATILE | MOUNTED}
        return {key: stable(one) for key, one in kept.items()}
    if isinstance(value, list):
        return [stable(one) for one in value]
    return LOOSE_MESSAGE.sub(r"\1", value) if isinstance(value, str) else value
