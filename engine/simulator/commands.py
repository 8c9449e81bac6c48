"""The hands: what may be done to the fleet, as typed commands, and what each answers.

A command is a frozen value. It goes to the fleet with an id and is carried out once: the same id
again answers what the first said. `as_dict` and `from_dict` carry commands through a log.
"""

from dataclasses import asdict, dataclass
from typing import Any

from engine.simulator import orders


@dataclass(frozen=True)
class ScaleUp:
    """Starts nodes: our own first, then leases. Fewer than asked where fewer are left."""

    pool: str
    nodes: int


@dataclass(frozen=True)
class ScaleDown:
    """Stops empty nodes, leases past their minimum bill first. Fewer where fewer are empty."""

    pool: str
    nodes: int
    drain: bool = False
    """also empty the least used nodes by migration; those that can't be emptied stay"""


@dataclass(frozen=True)
class Cancel:
    """Calls provisioning nodes off (undo of a scale-up); a lease still owes its minimum bill."""

    pool: str
    node_id: str


@dataclass(frozen=True)
class Release:
    """Stops one given empty node, whatever its bill."""

    pool: str
    node_id: str


@dataclass(frozen=True)
class SetPrice:
    """The price that jobs submitted from now on lock in."""

    pool: str
    price_usd_per_gpu_hour: float


@dataclass(frozen=True)
class SetSpotShare:
    """Share of idle GPUs, 0 to 1, that is sold as spot."""

    pool: str
    share_ratio: float


@dataclass(frozen=True)
class Cordon:
    """No new jobs on the node; those there run on."""

    pool: str
    node_id: str


@dataclass(frozen=True)
class Uncordon:
    """Opens a cordoned node again."""

    pool: str
    node_id: str


@dataclass(frozen=True)
class Drain:
    """Cordons the node and migrates what has room elsewhere."""

    pool: str
    node_id: str


@dataclass(frozen=True)
class Repair:
    """Takes a cordoned, empty node out of service and returns it sound."""

    pool: str
    node_id: str


@dataclass(frozen=True)
class Migrate:
    """Checkpoints a job and moves it to the best-fitting other node."""

    pool: str
    job_id: str


@dataclass(frozen=True)
class Done:
    """The end of what took several commands; it changes nothing."""

    pool: str


Command = (
    ScaleUp | ScaleDown | Cancel | Release | SetPrice | SetSpotShare
    | Cordon | Uncordon | Drain | Repair | Migrate | Done
)  # fmt: skip

KIND_OF: dict[type, int] = {
    ScaleUp: orders.SCALE_UP,
    ScaleDown: orders.SCALE_DOWN,
    Cancel: orders.CANCEL,
    Release: orders.RELEASE,
    SetPrice: orders.SET_PRICE,
    SetSpotShare: orders.SET_SPOT,
    Cordon: orders.CORDON,
    Uncordon: orders.UNCORDON,
    Drain: orders.DRAIN,
    Repair: orders.REPAIR,
    Migrate: orders.MIGRATE,
    Done: orders.NONE,
}
_BY_NAME = {command.__name__: command for command in KIND_OF}


@dataclass(frozen=True)
class CommandResult:
    """What a command has really done."""

    command_id: str
    pool: str
    applied_seconds: int
    """on the fleet's clock"""
    node_ids: tuple[str, ...] = ()
    """nodes started, stopped, or that a job was moved to"""
    moved_jobs: int = 0
    previous_price_usd_per_gpu_hour: float | None = None
    """of SetPrice: what undoing needs"""
    previous_share_ratio: float | None = None
    """of SetSpotShare: what undoing needs"""


@dataclass(frozen=True)
class LoggedCommand:
    """A command and when it came: with the seed, all that a fleet's past consists of."""

    command_id: str
    applied_seconds: int
    command: Command


def as_dict(command: Command) -> dict[str, Any]:
    """The command as plain values, its name under `command`."""
    return {"command": type(command).__name__, **asdict(command)}


def from_dict(values: dict[str, Any]) -> Command:
    """The inverse of `as_dict`; KeyError or TypeError where the values are no command."""
    rest = {name: value for name, value in values.items() if name != "command"}
    command: Command = _BY_NAME[values["command"]](**rest)
    return command
