"""What can come of a question besides rows; each sentence says what to do next.

QuestionError
├── NotForAsking       the rules refuse it: it is no single SELECT, or reaches for what is withheld
├── WrongQuestion      DuckDB can't answer it as it is written
├── TooSlow            it took longer than a question may
├── TooMuchMemory      it needed more memory than a question may
├── TooWide            its answer has too many columns, or rows too large
├── TooManyQuestions   as many are being answered and wait as may
├── Cancelled          whoever asked took it back
├── Broken             the process that answered it ended by itself
├── NoSuchAnswer       the answer is not kept any more
└── NotForYou          the role does not reach
"""

from __future__ import annotations


class QuestionError(Exception):
    """A question got no rows; the sentence says what to do next."""

    hint: str = ""
    """What may help, where something is known."""


class NotForAsking(QuestionError):
    """The rules refuse it."""


class WrongQuestion(QuestionError):
    """DuckDB can't answer it as it is written; `str` is DuckDB's own text, with line and caret."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


class TooSlow(QuestionError):
    """It took longer than a question may."""

    hint = (
        "Ask for a shorter span, as in WHERE measured_at > fleet_now() - INTERVAL 1 DAY: days "
        "outside of it are then not read at all. Over long spans gpu_rollups is shorter than "
        "gpu_samples."
    )


class TooMuchMemory(QuestionError):
    """It needed more memory than a question may."""

    hint = (
        "Group or filter before joining, ask for fewer columns or a shorter span, and see that "
        "joins have a condition."
    )


class TooWide(QuestionError):
    """Its answer has too many columns, or rows too large."""

    hint = "Name the columns that you want, and shorten long texts with left(text, 100)."


class TooManyQuestions(QuestionError):
    """As many are being answered and wait as may."""


class Cancelled(QuestionError):
    """Whoever asked took it back."""


class Broken(QuestionError):
    """The process that answered it ended by itself."""

    hint = "Ask again; if it ends the same way, ask for less at once."


class NoSuchAnswer(QuestionError):
    """The answer is not kept any more."""


class NotForYou(QuestionError):
    """The role does not reach."""
