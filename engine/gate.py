"""The gate: what the hands ask before each step of a deed that takes several.

Only what stops at once stops between steps: the kill switch, and the loss of the lease. The
breaker, freezes and windows keep deeds from being begun; one that is half done is brought to its
end, since a fleet left half way is worse than either.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from engine.leading import Alone, Leader
from warehouse import controls
from warehouse.store import Store


@dataclass(frozen=True)
class Gate:
    """Whether a further step may be taken; to be called before each."""

    store: Store
    leader: Leader = field(default_factory=Alone)

    def __call__(self) -> str | None:
        """Why no further step may be taken now, as the end of a sentence; None where it may."""
        switch = controls.kill_switch(self.store)
        if switch.is_on:
            why = f": {switch.reason}" if switch.reason else ""
            return f"the kill switch is on, set by {switch.set_by}{why}"
        if not self.leader.leads():
            return f"this console does not act: {self.leader.holder() or 'nobody'} leads"
        return None
