"""Leading: of several consoles on one fleet, one acts.

Whoever leads holds a lease that it renews; the others watch. It is asked at every tick and between
the steps of a deed, so that a console that lost it stops before its next step, and whoever has it
by then goes on from the rows.
"""

from __future__ import annotations

from typing import Protocol


class Leader(Protocol):
    """Whether this console is the one that acts."""

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

    def leads(self) -> bool:
        """Always."""
        return True

    def holder(self) -> str | None:
        """Itself, without a name."""
        return None

    def resign(self) -> None:
        """Nothing to let go of."""
