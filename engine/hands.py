"""The hands: what the engine asks of whatever can act on the fleet.

ActuatorError
├── CommandRefused    the fleet said no and nothing changed
├── CommandLost       it did not come to pass: ask again with the same id
└── CommandFailed     it went wrong; whether anything changed is not known
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol


class ActuatorError(Exception):
    """A command was not carried out."""


class CommandRefused(ActuatorError):
    """The fleet said no and nothing changed."""


class CommandLost(ActuatorError):
    """It did not come to pass: ask again with the same id."""


class CommandFailed(ActuatorError):
    """It went wrong; whether anything changed is not known."""


class Actuator(Protocol):
    """Whatever carries commands out, once for each id.

    Commands: `scale_up` and `scale_down` (pool, nodes), `set_price` (pool,
    price_usd_per_gpu_hour), `cancel_node` and `release_node` (pool, node_id).
    """

    def perform(
        self, command_id: str, command: str, arguments: Mapping[str, Any]
    ) -> dict[str, Any]:
        """Carry it out; an id that was carried out answers what it answered then.

        The answer says since when it holds, where that is known: `applied_at`, ISO 8601 in UTC.

        Raises:
            CommandRefused, CommandLost, CommandFailed: see the top of this module.
        """
        ...

    def answer_to(self, command_id: str) -> dict[str, Any] | None:
        """What a command answered, where it was carried out; asked after a crash."""
        ...


class NoHands:
    """Of a console that no fleet has been given to: it says so to every command."""

    def perform(
        self, command_id: str, command: str, arguments: Mapping[str, Any]
    ) -> dict[str, Any]:
        """Nothing.

        Raises:
            CommandRefused: always.
        """
        raise CommandRefused(f"no fleet takes {command}: this console only watches")

    def answer_to(self, command_id: str) -> dict[str, Any] | None:
        """None: nothing was ever carried out."""
        return None
