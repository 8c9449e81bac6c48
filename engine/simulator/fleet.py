"""The simulated fleet: pools side by side on one clock, and the commands they have taken.

    fleet = SimulatedFleet(FleetSettings(seed=7, pools=default_pools(), started_at=...))
    fleet.advance_to(now)
    fleet.apply(ScaleUp("h100-us-east", 2), command_id="d-123")

Seed and command log decide everything: `replayed` builds the same fleet again after a restart.
"""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

import numpy as np
import numpy.typing as npt

from engine.simulator import orders
from engine.simulator.commands import (
    KIND_OF,
    Command,
    CommandResult,
    Done,
    LoggedCommand,
    Migrate,
    Repair,
    ScaleDown,
    ScaleUp,
    SetPrice,
    SetSpotShare,
)
from engine.simulator.errors import CommandError, NothingToDo, UnknownTarget, WrongState
from engine.simulator.layout import REPLY_WIDTH
from engine.simulator.live import LivePool
from engine.simulator.settings import FleetSettings, PoolSettings, micro_usd
from engine.simulator.trace import TraceWorkload, read_trace, trace_pool
from engine.simulator.workload import GeneratedWorkload, Workload


def trace_settings(settings: FleetSettings) -> FleetSettings:
    """`settings` with the one pool that suits its trace; TraceError where it can't be read."""
    assert settings.trace_path is not None
    workload = TraceWorkload(read_trace(settings.trace_path), settings.seed)
    return FleetSettings(
        settings.seed, (trace_pool(workload),), settings.started_at, settings.trace_path
    )


class SimulatedFleet:
    """Pools, a clock and a command log. All instants are aware datetimes in UTC."""

    def __init__(self, settings: FleetSettings) -> None:
        """A fleet at `settings.started_at`; without pools and with a trace, sized to the trace."""
        if settings.trace_path is not None and not settings.pools:
            settings = trace_settings(settings)
        self.settings = settings
        self.pools: dict[str, LivePool] = {}
        self.log: list[LoggedCommand] = []
        self._results: dict[str, CommandResult | CommandError] = {}
        for at, pool in enumerate(settings.pools):
            seed = settings.seed * 1000 + at
            self.pools[pool.name] = LivePool(pool, seed, self._workload(pool, seed))

    def _workload(self, pool: PoolSettings, seed: int) -> Workload:
        if self.settings.trace_path is not None:
            return TraceWorkload(read_trace(self.settings.trace_path), seed)
        start = self.settings.started_at.astimezone(UTC)
        seconds = start.weekday() * 86_400 + start.hour * 3600 + start.minute * 60 + start.second
        return GeneratedWorkload(pool, seed, seconds)

    # -- the clock -----------------------------------------------------------------

    @property
    def now_seconds(self) -> int:
        """Seconds since the fleet's start."""
        return max(pool.now for pool in self.pools.values())

    @property
    def now(self) -> datetime:
        """The fleet's instant."""
        return self.instant(self.now_seconds)

    def instant(self, seconds: int) -> datetime:
        """The instant so many seconds after the fleet's start."""
        return self.settings.started_at + timedelta(seconds=seconds)

    def seconds(self, instant: datetime) -> int:
        """Whole seconds from the fleet's start to `instant`, rounded down."""
        return int((instant - self.settings.started_at) // timedelta(seconds=1))

    def advance_to(self, instant: datetime | int) -> None:
        """Carries all pools to `instant` (or to so many seconds); ClockError into the past."""
        until = instant if isinstance(instant, int) else self.seconds(instant)
        for pool in self.pools.values():
            pool.advance_to(until)

    # -- the hands -----------------------------------------------------------------

    def apply(self, command: Command, command_id: str) -> CommandResult:
        """Carries `command` out now, once: a repeated id answers what the first said.

        Raises UnknownTarget, NothingToDo or WrongState; then nothing has changed.
        """
        if command_id not in self._results:
            self._results[command_id] = self._carry_out(command, command_id)
        result = self._results[command_id]
        if isinstance(result, CommandError):
            raise result
        return result

    def _carry_out(self, command: Command, command_id: str) -> CommandResult | CommandError:
        pool = self.pools.get(command.pool)
        if pool is None:
            return UnknownTarget(f"there is no pool {command.pool!r}: one of {list(self.pools)}")
        try:
            first, second = _arguments(pool, command)
        except CommandError as refusal:
            return refusal
        reply = pool.order(order_kind(pool.settings.owned_nodes, command, first), first, second)
        error = _error(command, int(reply[0]))
        if error is not None:
            return error
        self.log.append(LoggedCommand(command_id, pool.now, command))
        return _result(pool, command, command_id, reply)

    # -- the past ------------------------------------------------------------------

    def clone(self) -> "SimulatedFleet":
        """An independent copy: array copies, what never changes is shared."""
        twin = object.__new__(SimulatedFleet)
        twin.settings = self.settings
        twin.pools = {name: pool.clone() for name, pool in self.pools.items()}
        twin.log = list(self.log)
        twin._results = dict(self._results)
        return twin

    def obey(self, log: Iterable[LoggedCommand]) -> None:
        """Advances from command to command and carries each out at its own instant."""
        for entry in log:
            self.advance_to(max(entry.applied_seconds, self.now_seconds))
            if entry.command_id not in self._results:
                # In another past a command may find nothing to do; then it did nothing.
                self._results[entry.command_id] = self._carry_out(entry.command, entry.command_id)

    @classmethod
    def replayed(
        cls, settings: FleetSettings, log: Iterable[LoggedCommand], until: datetime
    ) -> "SimulatedFleet":
        """The fleet that took these commands, at `until`: how a console resumes."""
        fleet = cls(settings)
        fleet.obey(log)
        fleet.advance_to(until)
        return fleet

    def checksums(self) -> dict[str, str]:
        """A digest a pool of all that is discrete; equal states have equal digests."""
        return {name: pool.checksum() for name, pool in self.pools.items()}

    def metrics(self) -> dict[str, npt.NDArray[np.float64]]:
        """Each pool's metric vector since the start (a copy)."""
        return {name: pool.state.metrics[0].copy() for name, pool in self.pools.items()}


def node_name(settings: PoolSettings, at: int) -> str:
    """The name of node number `at` of a pool; leased ones say so."""
    word = "node" if at < settings.owned_nodes else "lease"
    return f"{settings.name}-{word}-{at:03d}"


def node_id(pool: LivePool, at: int) -> str:
    """The name of the pool's node number `at`."""
    return node_name(pool.settings, at)


def nodes_of_job(pool: LivePool, name: str) -> list[str]:
    """The nodes that the job holds, by name; UnknownTarget where the pool has no such job."""
    job = _job_index(pool, name) + 1
    places = np.flatnonzero((pool.state.gpus[0] == job).any(axis=1))
    return [node_id(pool, int(at)) for at in places]


def _node_index(pool: LivePool, name: str) -> int:
    tail = name.rpartition("-")[2]
    if tail.isdecimal() and int(tail) < pool.state.nodes.shape[1]:
        at = int(tail)
        if node_id(pool, at) == name:
            return at
    raise UnknownTarget(f"pool {pool.settings.name} has no node {name!r}: read the nodes again")


def _job_index(pool: LivePool, name: str) -> int:
    keys = pool.state.jobs[0, : pool.seen_jobs]["key"]
    key = pool.workload.key_of(name)
    # Keys ascend with the order of submission.
    at = int(np.searchsorted(keys, key))
    if key < 0 or at == len(keys) or keys[at] != key:
        raise UnknownTarget(f"pool {pool.settings.name} has no job {name!r}: read the jobs again")
    return at


def order_kind(owned_nodes: int, command: Command, first: int) -> int:
    """The order that a command comes to on its first argument: a lease that is to be repaired is
    handed back, as it is the landlord's to mend."""
    if isinstance(command, Repair) and first >= owned_nodes:
        return orders.RELEASE
    return KIND_OF[type(command)]


def _arguments(pool: LivePool, command: Command) -> tuple[int, int]:
    match command:
        case ScaleUp() | ScaleDown():
            if command.nodes < 1:
                raise NothingToDo(f"{command.nodes} nodes is nothing to do: ask for at least 1")
            return command.nodes, int(isinstance(command, ScaleDown) and command.drain)
        case SetPrice():
            if not 0 < command.price_usd_per_gpu_hour < 1e6:
                price = command.price_usd_per_gpu_hour
                raise WrongState(f"{price} USD per GPU-hour is no price: give one above 0")
            return micro_usd(command.price_usd_per_gpu_hour), 0
        case SetSpotShare():
            if not 0 <= command.share_ratio <= 1:
                raise WrongState(f"a share of {command.share_ratio} is none: give one of 0 to 1")
            return micro_usd(command.share_ratio), 0
        case Migrate():
            return _job_index(pool, command.job_id), 0
        case Done():
            return 0, 0
        case _:
            return _node_index(pool, command.node_id), 0


_NEXT = {
    "ScaleUp": "no node of the pool is off: wait for one or scale another pool",
    "ScaleDown": "no empty node may be stopped: wait for jobs to end, or ask to drain",
    "Release": "the node holds jobs: drain it first",
    "Repair": "the node holds jobs: drain it first",
    "Migrate": "no other node has room for the job: scale up first, or wait",
}
_STATES = {
    "Cancel": "the node is not provisioning: scale down or release it instead",
    "Release": "the node is not on: nothing needs to be released",
    "Cordon": "the node is not active: read its state again",
    "Uncordon": "the node is not cordoned: read its state again",
    "Drain": "the node is not on: read its state again",
    "Repair": "the node is not cordoned and empty: drain it first, and wait until it is empty",
    "Migrate": "the job is not running: read its state again",
}


def _error(command: Command, code: int) -> CommandError | None:
    name = type(command).__name__
    target = getattr(command, "node_id", None) or getattr(command, "job_id", command.pool)
    if code == orders.NOTHING:
        return NothingToDo(f"{name} on {target}: {_NEXT[name]}")
    if code == orders.WRONG_STATE:
        return WrongState(f"{name} on {target}: {_STATES[name]}")
    if code == orders.NO_TARGET:
        return UnknownTarget(f"{name} on {target}: there is no such target")
    return None


def _result(
    pool: LivePool, command: Command, command_id: str, reply: npt.NDArray[np.int64]
) -> CommandResult:
    count = int(reply[1])
    nodes: tuple[str, ...] = ()
    if isinstance(command, ScaleUp | ScaleDown | Migrate):
        targets = reply[2 : 2 + min(count, REPLY_WIDTH - 2)]
        nodes = tuple(node_id(pool, int(at)) for at in targets)
    elif not isinstance(command, SetPrice | SetSpotShare | Done):
        nodes = (command.node_id,)
    moved = KIND_OF[type(command)] in (orders.DRAIN, orders.MIGRATE)
    return CommandResult(
        command_id,
        command.pool,
        pool.now,
        nodes,
        moved_jobs=count if moved else 0,
        previous_price_usd_per_gpu_hour=count / 1e6 if isinstance(command, SetPrice) else None,
        previous_share_ratio=count / 1e6 if isinstance(command, SetSpotShare) else None,
    )
