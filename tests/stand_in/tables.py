"""A list as a person's tool asks for it: `as=Table`."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from tests.stand_in.kinds import Kind
from tests.stand_in.objects import Kept

NODE_COLUMNS = (
    "Name",
    "Status",
    "Roles",
    "Age",
    "Version",
    "Internal-IP",
    "External-IP",
    "OS-Image",
    "Kernel-Version",
    "Container-Runtime",
)


def table(kind: Kind, meta: dict[str, Any], page: list[Kept], now: datetime) -> dict[str, Any]:
    """The page as rows of cells."""
    names = NODE_COLUMNS if kind.kind == "Node" else ("Name", "Age")
    columns = [
        {"name": name, "type": "string", "format": "name" if name == "Name" else "", "priority": 0}
        for name in names
    ]
    return {
        "kind": "Table",
        "apiVersion": "meta.k8s.io/v1",
        "metadata": meta,
        "columnDefinitions": columns,
        "rows": [_row(kept, now) for kept in page],
    }


def _row(kept: Kept, now: datetime) -> dict[str, Any]:
    body = kept.body
    meta = body["metadata"]
    born = datetime.fromisoformat(meta["creationTimestamp"])
    cells: list[Any] = [meta["name"], f"{int((now - born).total_seconds())}s"]
    if body["kind"] == "Node":
        cells = [meta["name"], _state(body), "<none>", cells[1], *(["<none>"] * 6)]
    shown = {
        "kind": "PartialObjectMetadata",
        "apiVersion": "meta.k8s.io/v1",
        "metadata": meta,
    }
    return {"cells": cells, "object": shown}


def _state(node: dict[str, Any]) -> str:
    conditions = node.get("status", {}).get("conditions") or ()
    ready = any(one["type"] == "Ready" and one["status"] == "True" for one in conditions)
    cordoned = ",SchedulingDisabled" if node["spec"].get("unschedulable") else ""
    return ("Ready" if ready else "NotReady") + cordoned
