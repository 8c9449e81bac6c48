"""TwinError
└── NothingKnown   the rows do not cover the span
"""


class TwinError(Exception):
    """The twin can't answer; the sentence says what is lacking."""


class NothingKnown(TwinError):
    """The rows do not cover the span."""
