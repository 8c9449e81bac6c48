"""Every error the simulator raises.

SimulatorError
├── NeverFits              a job of an exact replay that no state of its nodes could hold
├── TraceError             a trace file that can't be read: file, column and row in one line
├── ClockError             an instant before the fleet's own clock
└── CommandError           a command that changed nothing
    ├── UnknownTarget      no such pool, node or job: read the frames again
    ├── NothingToDo        nothing left to start, stop or move: wait, or ask for less
    └── WrongState         the target is in another state: the text says what is needed
"""


class SimulatorError(Exception):
    """The root: catch it to catch whatever the simulator raises on purpose."""


class NeverFits(SimulatorError):
    """A job needs more than its virtual cluster has; a strict queue would stand still behind it."""

    def __init__(self, job_id: str, vc: str, gpu_count: int) -> None:
        super().__init__(
            f"job {job_id} asks {gpu_count} GPUs, which virtual cluster {vc!r} can never offer: "
            f"leave the job out or give {vc!r} more nodes"
        )
        self.job_id = job_id


class TraceError(SimulatorError):
    """A trace that can't be read; the text names the file, the column and the row."""


class ClockError(SimulatorError):
    """The simulated clock only runs forward: clone the fleet earlier to look at another past."""


class CommandError(SimulatorError):
    """A command was refused and changed nothing."""


class UnknownTarget(CommandError):
    """No such pool, node or job."""


class NothingToDo(CommandError):
    """The command is well formed, but there is nothing it could act on now."""


class WrongState(CommandError):
    """The target is not in the state that the command needs."""
