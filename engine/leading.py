"""Leading: of several consoles on one fleet, one acts.

Whoever leads holds a lease that it renews; the others watch. It is asked at every tick and between
the steps of a deed, so that a console that lost it stops before its next step, and whoever has it
by then goes on from the rows.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from warehouse import leases
from warehouse.clock import Clock
from warehouse.leases import LEASE_SECONDS, own_name
from warehouse.store import Store, WarehouseError

__all__ = ["LEASE_SECONDS", "Alone", "CatalogueLease", "Leader", "Onlooker", "own_name"]


class Leader(Protocol):
    """Whether this console is the one that acts."""

    @property
    def trouble(self) -> str | None:
        """Why the lease could not be asked for the last time, in words; None where it could."""
        ...

    def leads(self) -> bool:
        """Whether it may act now; takes a free lease and renews its own where that is due.

        Where it can't be told, no: two that act are worse than none.
        """
        ...

    def holder(self) -> str | None:
        """Who leads, as last seen; None where nobody does."""
        ...

    def resign(self) -> None:
        """Let go of it, so that another need not wait until it has run out."""
        ...


class Alone:
    """Of the only console there is: it leads."""

    trouble: str | None = None

    def leads(self) -> bool:
        """Always."""
        return True

    def holder(self) -> str | None:
        """Itself, without a name."""
        return None

    def resign(self) -> None:
        """Nothing to let go of."""


@dataclass(frozen=True)
class CatalogueLease:
    """The lease in the catalogue that consoles share; satisfies `Leader`.

    `clock` is the machine's: a fleet's may stand still.
    """

    store: Store
    clock: Clock
    name: str = "engine"
    me: str = field(default_factory=own_name)
    seconds: float = LEASE_SECONDS
    trouble: str | None = None
    """A catalogue that can't be read is told by all that reads it."""

    def leads(self) -> bool:
        """Whether it holds the lease now; takes it where it is free, renews it where due."""
        return leases.is_held(self.store, self.name, self.me, self.clock, self.seconds)

    def taken(self, wait: Callable[[float], object] = time.sleep) -> bool:
        """Whether it could be had: one that was killed holds it until it has run out, and is
        waited for; one that is renewed meanwhile has a living holder, and is left to it."""
        found = leases.lease(self.store, self.name)
        while not self.leads():
            now = leases.lease(self.store, self.name)
            if found and now and (now.term, now.renewed_at) > (found.term, found.renewed_at):
                return False
            found = found or now
            wait(1.0)
        return True

    def holder(self) -> str | None:
        """Who holds it; None where nobody does, or it can't be read."""
        try:
            return leases.holder_of(self.store, self.name, now=self.clock.now())
        except WarehouseError:
            return None

    def resign(self) -> None:
        """Let go of it; where that can't be written it runs out by itself."""
        leases.let_go(self.store, self.name, self.me, self.clock)


@dataclass(frozen=True)
class Onlooker(CatalogueLease):
    """A console that never leads: the fleet of its warehouse is played by another."""

    def leads(self) -> bool:
        """Never."""
        return False
