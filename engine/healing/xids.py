"""XID errors of NVIDIA's driver, by what they ask for.

Codes, descriptions and immediate actions are those of NVIDIA's Xid catalogue
(docs.nvidia.com/deploy/xid-errors/analyzing-xid-catalog.html, for Ampere and newer). The class is
ours: what the action means for a node that tenants share.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Class = Literal["application", "watch", "reset", "replace"]


@dataclass(frozen=True)
class Xid:
    """One code: what it says, what it asks for."""

    code: int
    words: str
    """What it says, in a line for whoever carries the pager"""
    kind: Class
    """`application`: the job's own doing, or what follows another error. `watch`: the GPU has
    helped itself. `reset`: it is of no use until reset. `replace`: it is gone, or won't mend."""
    action: str
    """The catalogue's immediate action"""


_ALL = (
    Xid(8, "GPU stopped processing", "application", "RESTART_APP"),
    Xid(11, "invalid push buffer stream", "application", "RESTART_APP"),
    Xid(13, "graphics engine exception", "application", "RESTART_APP"),
    Xid(25, "illegal push buffer stream", "application", "RESTART_APP"),
    Xid(31, "GPU memory page fault", "application", "RESTART_APP"),
    Xid(32, "corrupted push buffer stream", "application", "RESTART_APP"),
    Xid(43, "GPU stopped processing", "application", "IGNORE"),
    Xid(45, "clean-up after an earlier error", "application", "WORKFLOW_XID_45"),
    Xid(137, "illegal peer access over NVLink", "application", "IGNORE"),
    Xid(63, "memory row remapped", "watch", "IGNORE"),
    Xid(92, "many single-bit memory errors", "watch", "IGNORE"),
    Xid(94, "contained memory error", "watch", "RESTART_APP"),
    Xid(154, "GPU recovery action changed", "watch", "XID_154"),
    Xid(156, "resource retired", "watch", "RESET_GPU"),
    Xid(46, "GPU stopped processing", "reset", "RESET_GPU"),
    Xid(48, "double-bit memory error", "reset", "WORKFLOW_XID_48"),
    Xid(62, "micro-controller halted", "reset", "RESET_GPU"),
    Xid(74, "NVLink error", "reset", "WORKFLOW_NVLINK_ERR"),
    Xid(95, "uncontained memory error", "reset", "RESET_GPU"),
    Xid(109, "context switch timed out", "reset", "RESET_GPU"),
    Xid(110, "security fault", "reset", "RESET_GPU"),
    Xid(119, "GPU system processor timed out", "reset", "RESET_GPU"),
    Xid(120, "GPU system processor failed", "reset", "RESET_GPU"),
    Xid(136, "NVLink training failed", "reset", "RESET_GPU"),
    Xid(140, "memory error not recovered", "reset", "RESET_GPU"),
    Xid(143, "GPU did not initialise", "reset", "RESET_GPU"),
    *(Xid(code, "NVLink 5 error", "reset", "WORKFLOW_NVLINK5_ERR") for code in range(144, 151)),
    Xid(155, "NVLink error that software defines", "reset", "RESET_GPU"),
    Xid(158, "GPU fatal timeout", "reset", "RESET_GPU"),
    Xid(64, "memory row could not be remapped", "replace", "RESET_GPU"),
    Xid(79, "GPU fell off the bus", "replace", "RESTART_BM"),
    Xid(157, "resource could not be retired", "replace", "IGNORE"),
)

XIDS: dict[int, Xid] = {each.code: each for each in _ALL}
"""By code. The catalogue's action for 64 is a reset, for 79 a restart of the machine, for 157
nothing; all three come back on hardware that won't mend, so the node is not trusted meanwhile."""


def xid(code: int) -> Xid:
    """A code, known or not; an unknown one is watched."""
    return XIDS.get(code) or Xid(code, "not in the table", "watch", "CONTACT_SUPPORT")
