"""The hands: what the engine asks of whatever can act on the fleet.

ActuatorError
├── CommandRefused    the fleet said no and nothing changed
│   └── CommandStale  somebody else changed the target since it was proposed
├── CommandUnderWay   some of its steps are taken, others wait: ask again with the same id
├── CommandLost       it did not come to pass: ask again with the same id
└── CommandFailed     it went wrong; the sentence says what was taken back and what was not
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol


class ActuatorError(Exception):
    """A command was not carried out."""


class CommandRefused(ActuatorError):
    """The fleet said no and nothing changed."""


class CommandStale(CommandRefused):
    """Somebody else changed the target since it was proposed; nothing changed."""


class CommandUnderWay(ActuatorError):
    """Some of its steps are taken, others wait: ask again with the same id."""


class CommandLost(ActuatorError):
    """It did not come to pass: ask again with the same id."""


class CommandFailed(ActuatorError):
    """It went wrong; the sentence says what was taken back and what was not."""


class Actuator(Protocol):
    """Whatever carries commands out, once for each id.

    Commands, each with `pool`:
    - `scale_up`, `scale_down` and `pre_warm` (nodes)
    - `set_price` (price_usd_per_gpu_hour)
    - `migrate_job` (job_id, node_id): off that node
    - `rebalance` (node_ids: list): empty them by migration, then release them
    - `quarantine_node`, `return_node` and `repair_node` (node_id): out of use; back as it is; sound
    - `cancel_node` and `release_node` (node_id): undoing a scale-up
    - `cool_down` (nodes, node_ids: list, as pre-warming answered): undoing a pre-warm
    """

    def perform(
        self, command_id: str, command: str, arguments: Mapping[str, Any]
    ) -> dict[str, Any]:
        """Carry it out; an id that was carried out answers what it answered then.

        The answer says since when it holds, where that is known: `applied_at`, ISO 8601 in UTC.

        Raises:
            CommandRefused, CommandStale, CommandUnderWay, CommandLost, CommandFailed: see the top
                of this module.
        """
        ...

    def has_begun(self, command_id: str) -> bool:
        """Whether it took a step of the command and has not ended it; it is then gone on with
        rather than weighed again."""
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

    def has_begun(self, command_id: str) -> bool:
        """Never."""
        return False

    def answer_to(self, command_id: str) -> dict[str, Any] | None:
        """None: nothing was ever carried out."""
        return None
