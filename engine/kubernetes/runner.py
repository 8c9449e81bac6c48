"""The runner: takes a command's steps one after the other, and takes them back where one fails.

It never sleeps. Where a step waits it raises CommandUnderWay, and the next call goes on from the
rows, in this console or in another. Between any two steps, forward and back, the gate is asked:
while the kill switch is on or the lease is elsewhere nothing moves at all, and the time it was
shut is no part of a deadline.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

from cluster.errors import (
    ClusterError,
    Conflict,
    Expired,
    Forbidden,
    NotFound,
    TooManyRequests,
    Unauthorised,
    Unavailable,
    Unreachable,
)
from engine.hands import CommandFailed, CommandRefused, CommandStale, CommandUnderWay
from engine.kubernetes.journal import BACK, END, GATE, Entry, Journal
from engine.kubernetes.steps import Away, Deed, Done, Left, Ran, Refused, Step, StepOver, Wait
from warehouse.clock import Clock

Gate = Callable[[], str | None]

PASSING = (Unreachable, Unavailable, Conflict, Expired, TooManyRequests, Unauthorised, Away)
"""What may be otherwise in a moment: asked again until the step's deadline."""
MISREAD = (LookupError, TypeError, ValueError, AttributeError)
"""What an answer that is not as expected leads to."""
OVER = ("done", "skipped", "failed", "left", "reverted")
GONE = "target_gone"
STALE = ("stale", "left_node")


class Runner:
    """Runs one command as far as it goes now."""

    def __init__(self, journal: Journal, deed: Deed, clock: Clock, gate: Gate) -> None:
        self._journal = journal
        self._deed = deed
        self._clock = clock
        self._gate = gate

    def run(self) -> dict[str, Any]:
        """The command's answer.

        Raises:
            CommandRefused, CommandStale, CommandUnderWay, CommandFailed: see `engine/hands.py`.
        """
        try:
            while self._journal.end is None:
                self._go_on()
        except CommandUnderWay:
            self._journal.flush()
            raise
        return self._ended()

    def _go_on(self) -> None:
        """The next thing, forward or back."""
        steps = self._deed.steps(self._ran())
        undone, following = self._to_take_back(steps), self._following(steps)
        if undone is not None:
            self._take_back(undone)
        elif self._failed(scope="") is not None:
            self._give_up(steps)
        elif following is not None:
            self._advance(following)
        else:
            self._finish()

    # -- what the rows say ---------------------------------------------------------

    def _ran(self) -> Ran:
        done = {key: entry for key, entry in self._journal.entries.items() if _is_done(entry)}
        answers = {key: entry.answer for key, entry in done.items()}
        founds = {key: entry.found for key, entry in done.items()}
        given_up = {
            str(entry.answer["scope"]): entry
            for entry in self._journal.entries.values()
            if _failure(entry) and entry.answer.get("scope")
        }
        failures = {scope: _failure(entry) or "" for scope, entry in given_up.items()}
        ends = {scope: str(entry.answer.get("end")) for scope, entry in given_up.items()}
        return Ran(answers, founds, failures, ends)

    def _failed(self, scope: str) -> Entry | None:
        for (name, _), entry in self._journal.entries.items():
            if name != END and _failure(entry) and entry.answer.get("scope", "") == scope:
                return entry
        return None

    def _following(self, steps: list[Step]) -> Step | None:
        """The first step that is not over, past the scopes that were given up."""
        for step in steps:
            entry = self._journal.entry(step.name, step.target)
            is_over = entry is not None and entry.phase in OVER
            if not is_over and not (step.scope and self._failed(step.scope)):
                return step
        return None

    def _to_take_back(self, steps: list[Step]) -> Step | None:
        """The last step that a failure after it, or its own, wants taken back."""
        everything = self._failed(scope="") is not None
        for step in reversed(steps):
            entry = self._journal.entry(step.name, step.target)
            if entry is None or not entry.is_begun or entry.phase in ("reverted", "left"):
                continue
            given_up = bool(step.scope) and self._failed(step.scope) is not None
            if step.changes and (given_up or (everything and not self._stands(step, steps))):
                return step
        return None

    def _stands(self, step: Step, steps: list[Step]) -> bool:
        """Whether it belongs to what was finished and is kept, whatever came after it."""
        if not (step.scope and step.stands) or self._failed(step.scope) is not None:
            return False
        entries = [self._journal.entry(s.name, s.target) for s in steps if s.scope == step.scope]
        return all(entry is not None and entry.phase in OVER for entry in entries)

    # -- forward -------------------------------------------------------------------

    def _advance(self, step: Step) -> None:
        """Take a step, or write down why not.

        Raises:
            CommandUnderWay: it waits.
        """
        self._pass_gate(step)
        try:
            found = self._begun(step)
            outcome: Done | Wait | None = step.take(found)
        except PASSING as error:
            outcome = Wait(str(error))
        except (StepOver, ClusterError, *MISREAD) as error:
            self._fail(step, _over(step, error))
            return
        if isinstance(outcome, Wait) and self._is_late(step):
            outcome = self._at_deadline(step, outcome.why)
        if isinstance(outcome, Wait):
            self._wait(step, outcome.why)
        elif isinstance(outcome, Done):
            # together with the next intent: until then it may be taken again, which is safe
            self._write(step, "done", answer=outcome.answer, with_next=True)

    def _begun(self, step: Step) -> dict[str, Any]:
        """What was there before the step, its intent written down."""
        entry = self._journal.entry(step.name, step.target)
        if entry is not None and entry.is_begun:
            if entry.last.answer.get(GATE):
                self._write(step, "intended", found=entry.found, detail="goes on")
            return entry.found
        found = step.look()
        self._write(step, "intended", found=found)
        return found

    def _is_late(self, step: Step) -> bool:
        entry = self._journal.entry(step.name, step.target)
        if entry is None:
            return False
        return self._clock.now() >= entry.since + timedelta(seconds=step.seconds)

    def _at_deadline(self, step: Step, why: str) -> Done | None:
        entry = self._journal.entry(step.name, step.target)
        try:
            return step.at_deadline(entry.found if entry else {}, why)
        except (StepOver, ClusterError, Away, *MISREAD) as error:
            self._fail(step, _over(step, error))
            return None

    def _fail(self, step: Step, over: StepOver) -> None:
        """Write down that a step failed; the very first that changed nothing leaves no row.

        Raises:
            CommandRefused, CommandFailed: there is nothing to take back.
        """
        if not self._journal.entries:
            raise _as_command_error(over.end, str(over), over.is_refusal)
        ending = {"end": over.end, "is_refusal": over.is_refusal, "scope": step.scope}
        self._write(step, "failed", answer=ending, detail=str(over))

    def _finish(self) -> None:
        """Write the command's answer down."""
        try:
            answer = self._deed.answer(self._ran())
        except StepOver as over:
            self._end(over.end, str(over), over.is_refusal)
            return
        answer.setdefault("applied_at", self._clock.now().isoformat())
        self._journal.write(END, self._journal.command_id, "done", self._clock.now(), answer=answer)

    # -- back ----------------------------------------------------------------------

    def _take_back(self, step: Step) -> None:
        """Take one step back, or write down why not.

        Raises:
            CommandUnderWay: it waits.
        """
        self._pass_gate(step)
        entry = self._journal.entry(step.name, step.target)
        assert entry is not None
        is_own = False
        try:
            outcome = step.take_back(entry.found, entry.answer)
            is_own = isinstance(outcome, Wait)
        except PASSING as error:
            outcome = Wait(str(error))
        except (StepOver, ClusterError, *MISREAD) as error:
            over = _over(step, error)
            if over.end == GONE:
                self._write(step, "reverted", detail=f"nothing is held any more: {over}")
                return
            outcome = Left(str(over))
        match outcome:
            case Wait(why) if is_own and self._is_late_back(step, entry):
                said = f"not taken back within {step.back_seconds:.0f} s: {why}"
                self._write(step, "left", detail=said)
            case Wait(why):
                self._wait(step, f"taking back: {why}", mark=BACK if is_own else None)
            case Left(why):
                self._write(step, "left", detail=why)
            case None:
                self._write(step, "reverted")

    def _is_late_back(self, step: Step, entry: Entry) -> bool:
        since = entry.back_since
        if since is None or step.back_seconds is None:
            return False
        return self._clock.now() >= since + timedelta(seconds=step.back_seconds)

    def _give_up(self, steps: list[Step]) -> None:
        """Everything that can be is taken back: the command has failed."""
        failed = self._failed(scope="")
        assert failed is not None
        rows = self._journal.entries.values()
        left = [f"{e.last.step} of {e.last.target}: {e.last.detail}" for e in rows if _is_left(e)]
        reverted = [e.last.target for e in rows if e.phase == "reverted"]
        stands = sorted({step.scope for step in steps if self._stands(step, steps)})
        parts = [_failure(failed) or ""]
        if reverted:
            parts.append(f"taken back: {', '.join(dict.fromkeys(reverted))}")
        parts += [f"not taken back: {'; '.join(left)}"] if left else []
        parts += [f"done before and left so: {', '.join(stands)}"] if stands else []
        is_refusal = bool(failed.answer.get("is_refusal")) and not left and not stands
        self._end(str(failed.answer.get("end", "failed")), "; ".join(parts), is_refusal)

    def _end(self, end: str, sentence: str, is_refusal: bool) -> None:
        self._journal.write(
            END,
            self._journal.command_id,
            "failed",
            self._clock.now(),
            answer={"end": end, "is_refusal": is_refusal},
            detail=sentence,
        )

    def _ended(self) -> dict[str, Any]:
        row = self._journal.end
        assert row is not None
        if row.phase == "done":
            return row.answer
        raise _as_command_error(
            str(row.answer.get("end")), row.detail or "", bool(row.answer.get("is_refusal"))
        )

    # -- waiting -------------------------------------------------------------------

    def _pass_gate(self, step: Step) -> None:
        """Go on only if nothing says no.

        Raises:
            CommandUnderWay: something does.
        """
        why = self._gate()
        if why is not None:
            if self._journal.entries:
                self._wait(step, why, mark=GATE)
            raise CommandUnderWay(why)

    def _wait(self, step: Step, why: str, *, mark: str | None = None) -> None:
        entry = self._journal.entry(step.name, step.target)
        is_written = (
            entry is not None and entry.last.phase == "waiting" and entry.last.detail == why
        )
        if self._journal.entries and not is_written:
            self._write(step, "waiting", detail=why, answer={mark: True} if mark else None)
        raise CommandUnderWay(f"{step.name} of {step.target}: {why}")

    def _write(self, step: Step, phase: Any, **more: Any) -> None:
        self._journal.write(step.name, step.target, phase, self._clock.now(), **more)


def _is_done(entry: Entry) -> bool:
    return any(row.phase == "done" for row in entry.rows)


def _is_left(entry: Entry) -> bool:
    return entry.phase == "left"


def _failure(entry: Entry) -> str | None:
    """Why a step failed, whether or not it was taken back since."""
    row = next((row for row in entry.rows if row.phase == "failed"), None)
    return None if row is None or row.step == END else row.detail or "it failed"


def _over(step: Step, error: Exception) -> StepOver:
    """Any end of a step as its named end."""
    if isinstance(error, StepOver):
        return error
    if isinstance(error, Forbidden) and " cannot " in str(error):  # else an admission's word
        return StepOver("right_missing", f"{step.name} of {step.target} lacks a right: {error}")
    if isinstance(error, NotFound):
        return Refused(GONE, f"{step.target} is gone: {error}")
    if isinstance(error, ClusterError):
        return StepOver("not_accepted", f"{step.name} of {step.target} can't be had: {error}")
    return StepOver("misread", f"{step.name} of {step.target} met what it can't read: {error!r}")


def _as_command_error(end: str, sentence: str, is_refusal: bool) -> CommandRefused | CommandFailed:
    if end in STALE and is_refusal:
        return CommandStale(sentence)
    said = f"{end}: {sentence}"
    return CommandRefused(said) if is_refusal else CommandFailed(said)
