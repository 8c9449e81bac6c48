"""XID errors of the NVIDIA driver, as Events and conditions of a node report them.

The forms read are those of the driver's own log line, which node-problem-detector passes on, of
the reasons that EKS's node monitoring agent gives, and of DCGM's exporters. Whatever else has the
letters XID in it is no evidence.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from collectors.kubernetes_machines import NodeSeen
from collectors.kubernetes_objects import Nonsense, instant
from collectors.kubernetes_reading import EventSeen
from warehouse.records import GpuEvent

_FORMS = (
    # NVRM: Xid (PCI:0000:3b:00): 79, pid=1234, GPU has fallen off the bus.
    re.compile(r"\bXid \((?:PCI:)?[0-9A-Fa-f:.]+\): (?P<code>\d{1,3})\b"),
    # DCGM_FI_DEV_XID_ERRORS 79; dcgm: XID error 79; XID 79 detected on GPU-…
    re.compile(r"\bDCGM_FI_DEV_XID_ERRORS[ =:]+(?P<code>\d{1,3})\b"),
    re.compile(r"\bX[Ii][Dd] (?:error )?(?P<code>\d{1,3})\b"),
)
_REASON = re.compile(r"(?:Nvidia|NVIDIA)?X[Ii][Dd](?P<code>\d{1,3})(?:Error|Warning)?")
_GPU_ID = re.compile(r"\bGPU-[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b")


def xid_of(reason: str, message: str) -> int | None:
    """The number of the XID that a report is of; None where it is of none."""
    for form in _FORMS:
        if found := form.search(message):
            return int(found["code"]) or None
    found = _REASON.fullmatch(reason)
    return int(found["code"]) or None if found else None


def of_event(event: EventSeen, pool: str | None, source: str) -> GpuEvent | None:
    """What an Event about a node says of an XID; None where it says nothing of one."""
    if event.kind != "Node" or (code := xid_of(event.reason, event.message)) is None:
        return None
    return _row(event.object_name, pool, code, event.message, event.happened_at, source)


def of_condition(
    node: NodeSeen, condition: Mapping[str, Any], now: datetime, source: str
) -> GpuEvent | None:
    """What a condition of a node that is not as it should be says of an XID."""
    message = str(condition.get("message") or "")
    code = xid_of(str(condition.get("reason") or ""), message)
    if code is None or condition.get("status") == "Unknown":
        return None
    try:
        since = instant(condition.get("since"))
    except Nonsense:
        since = None
    return _row(node.key, node.pool, code, message, since or now, source)


def _row(
    node_id: str, pool: str | None, code: int, message: str, happened_at: datetime, source: str
) -> GpuEvent:
    gpu = _GPU_ID.search(message)
    return GpuEvent(
        node_id=node_id,
        gpu_id=gpu[0] if gpu else None,
        pool=pool,
        kind="xid",
        code=code,
        detail=message or f"XID {code}",
        source=source,
        happened_at=happened_at,
    )
