"""Why a decision can't be made this way; each sentence says what to do next.

DecisionError
├── NoSuchDecision      no decision has this id
├── TargetBusy          another decision on this target is still open
├── AlreadyDecided      somebody was faster, or there is nothing to decide: read it again
├── AlreadyApproved     whoever asks has said yes to exactly this: another person must
├── SecondPersonNeeded  two people must say yes, and whoever asks is none
├── Expired             it can't be decided any more: wait for the next one
├── NotYetExpired       people may still decide it
├── ActionChanged       what was seen is not what would be done: read it again
├── NotUndoable         it was not carried out, or can't be taken back
├── NotWithdrawable     it is not approved, or carrying it out has begun
└── ReasonNeeded        say why
"""

from __future__ import annotations


class DecisionError(Exception):
    """A decision can't be made this way; the sentence says what to do next."""


class NoSuchDecision(DecisionError):
    """No decision has this id."""


class TargetBusy(DecisionError):
    """Another decision on this target is still open."""


class AlreadyDecided(DecisionError):
    """Somebody was faster, or there is nothing to decide."""


class AlreadyApproved(DecisionError):
    """Whoever asks has said yes to exactly this."""


class SecondPersonNeeded(DecisionError):
    """Two people must say yes, and whoever asks is none."""


class Expired(DecisionError):
    """It can't be decided any more."""


class NotYetExpired(DecisionError):
    """People may still decide it."""


class ActionChanged(DecisionError):
    """What was seen is not what would be done."""


class NotUndoable(DecisionError):
    """It was not carried out, or can't be taken back."""


class NotWithdrawable(DecisionError):
    """It is not approved, or carrying it out has begun."""


class ReasonNeeded(DecisionError):
    """Say why."""
