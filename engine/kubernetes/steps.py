"""A step: one change to the cluster, or one wait, that is safe to repeat and can be taken back.

StepOver              it has come to an end that is not success; `end` is the end's name
└── Refused           it can't be had as things are
    └── Stale         somebody else changed what it is about
        └── LeftNode  a job is no longer where it was to be moved from
Away                  what it needs can't be asked just now; it is asked again until its deadline
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

Found = dict[str, Any]
Answer = dict[str, Any]


@dataclass(frozen=True)
class Done:
    """It is over; the answer is kept for later steps and for taking back."""

    answer: Answer = field(default_factory=dict)


@dataclass(frozen=True)
class Wait:
    """It is not over: ask again. The words are written down whenever they change."""

    why: str


@dataclass(frozen=True)
class Left:
    """It could not be taken back; the words say why."""

    why: str


class StepOver(Exception):
    """It has come to an end that is not success."""

    is_refusal: ClassVar[bool] = False

    def __init__(self, end: str, sentence: str) -> None:
        super().__init__(sentence)
        self.end = end


class Refused(StepOver):
    """It can't be had as things are."""

    is_refusal = True


class Stale(Refused):
    """Somebody else changed what it is about."""

    def __init__(self, sentence: str) -> None:
        super().__init__("stale", sentence)


class LeftNode(Stale):
    """A job is no longer where it was to be moved from."""

    def __init__(self, sentence: str) -> None:
        super().__init__(sentence)
        self.end = "left_node"


class Away(Exception):
    """What it needs can't be asked just now."""


@dataclass
class Step:
    """One step. Its name and target tell it from all others of the command."""

    name: ClassVar[str]
    changes: ClassVar[bool] = True
    """whether it changes anything, so that there is something to take back"""

    target: str
    """the object, as `node/<name>`, `job/<namespace>/<name>`, `pool/<pool>`"""
    seconds: float
    """its deadline, from when it began"""
    scope: str = field(default="", kw_only=True)
    """Where it has one, its failure ends the steps of that scope alone: they are taken back, and
    the command goes on."""
    stands: bool = field(default=False, kw_only=True)
    """Whether its scope, once it is finished, stands whatever comes after it: a moved job."""
    back_seconds: float | None = field(default=None, kw_only=True)
    """How long its taking back may wait for what it takes back, once that answers; without end
    where there is none."""

    def look(self) -> Found:
        """What is there before it, with all that taking it back needs.

        Raises:
            Stale, Refused: it is not as it was when it was proposed.
        """
        return {}

    def take(self, found: Found) -> Done | Wait:
        """Take it, or as much of it as can be had now; safe to repeat.

        Raises:
            StepOver: it is in vain.
        """
        raise NotImplementedError

    def take_back(self, found: Found, answer: Answer) -> Wait | Left | None:
        """Put things back as they were found, if they are still as it left them; safe to repeat."""
        return None

    def at_deadline(self, found: Found, why: str) -> Done:
        """What its deadline makes of it: mostly its end.

        Raises:
            StepOver: as above.
        """
        raise StepOver("deadline_passed", f"{self.name} of {self.target} took too long: {why}")


class Ran:
    """What the steps of a command answered so far: the later ones follow from it."""

    def __init__(
        self,
        answers: Mapping[tuple[str, str], Answer],
        founds: Mapping[tuple[str, str], Found],
        failures: Mapping[str, str],
        ends: Mapping[str, str],
    ) -> None:
        self._answers = answers
        self._founds = founds
        self.failures = failures
        """why a scope was given up, by its name"""
        self.ends = ends
        """the named end of each such scope"""

    def answer(self, step: str, target: str) -> Answer | None:
        """What a step answered; None while it is not done."""
        return self._answers.get((step, target))

    def found(self, step: str, target: str) -> Found | None:
        """What was there before a step that is done."""
        return self._founds.get((step, target))


class Deed:
    """A command as steps. Both methods are asked again after every step, and after a restart."""

    def steps(self, ran: Ran) -> list[Step]:
        """The steps, as far as they can be told from what ran; those that ran are among them."""
        raise NotImplementedError

    def answer(self, ran: Ran) -> Answer:
        """What the command answers once every step is over.

        Raises:
            StepOver: it has come to nothing.
        """
        raise NotImplementedError
