"""What a collector is, what it may say, and how it says that it couldn't.

A collector reads one source and yields rows; it writes nothing. The runner (`runner.py`)
decides when, for how long and how often it is tried, and stores what it yields.

    CollectorError
    ├── NotHere            there is nothing here to read; recorded as skipped, not as a failure
    ├── Unreachable        no answer, or the source is broken; tried again with back-off
    ├── RateLimited        asked too often; tried again when the source said
    ├── QuotaExhausted     today's allowance is spent; not asked again before it is renewed
    ├── Refused            the source says no to us; a person must change a setting
    ├── Malformed          the answer isn't what was agreed; nothing of it is stored
    └── EmptyAnswer        an answer without a row, which is never taken for "there are none"
    InvalidSetting         a setting can't be understood; the console doesn't start
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, ClassVar, Protocol, Self, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

SETTINGS_PREFIX = "PILOTHOUSE_"


class CollectorError(Exception):
    """A run brought no rows; the sentence says why and what to do next."""

    may_be_retried: ClassVar[bool] = False
    """Whether asking again within the same run may help."""


class NotHere(CollectorError):
    """There is nothing here to read, and that is no fault."""


class Unreachable(CollectorError):
    """No answer, or the source itself is broken."""

    may_be_retried = True


class RateLimited(CollectorError):
    """Asked too often.

    `retry_after_seconds` is what the source asked for; None where it said nothing.
    """

    may_be_retried = True

    def __init__(self, message: str, retry_after_seconds: float | None = None) -> None:
        super().__init__(message)
        self.retry_after_seconds = retry_after_seconds


class QuotaExhausted(CollectorError):
    """The allowance is spent; asking before `until` (UTC) would be in vain."""

    def __init__(self, message: str, until: datetime) -> None:
        super().__init__(message)
        self.until = until


class Refused(CollectorError):
    """The source says no to us: a key, an address or a request is wrong."""


class Malformed(CollectorError):
    """The answer isn't what was agreed.

    `field` names what is wrong in it, for example `offers[3].dph_total`.
    """

    def __init__(self, source: str, field: str, why: str) -> None:
        super().__init__(
            f"{source} answered what can't be read: {field}: {why}. Nothing of it was stored; "
            "if it stays so, the source has changed and its collector must follow"
        )
        self.field = field


class EmptyAnswer(CollectorError):
    """An answer without a row, which is never taken for "there are none"."""


class InvalidSetting(ValueError):
    """A setting can't be understood; the sentence names its environment variable."""


@dataclass(frozen=True)
class Absent:
    """A collector has nothing to do here, and why."""

    reason: str


@dataclass(frozen=True)
class Note:
    """A remark on a run that succeeded, yielded among its rows: a GPU lost, a search cut off."""

    text: str


Yielded = Any
"""A record, a pair of a record class and a frame of its columns, or a `Note`.

A `stored_at` may be left out of a frame; the runner stamps it on every row.
"""


class Source(Protocol):
    """What the runner needs of whatever yields rows; a simulated fleet has it too."""

    @property
    def name(self) -> str:
        """Its name in `collector_runs` and in the rows' `source`."""
        ...

    @property
    def every_seconds(self) -> float:
        """Real seconds from the start of one run to the next."""
        ...

    @property
    def time_limit_seconds(self) -> float:
        """Real seconds after which a run, its retries included, is given up."""
        ...

    def collect(self, now: datetime) -> Iterable[Yielded]:
        """The rows as they are at `now` (UTC).

        Raises:
            CollectorError: there are none to be had, and why.
        """
        ...


class CollectorSettings(BaseModel):
    """The knobs of one collector; each field is `PILOTHOUSE_<collector>_<field>`."""

    model_config = ConfigDict(frozen=True, extra="ignore", use_attribute_docstrings=True)


S = TypeVar("S", bound=BaseModel)


class Collector(ABC):
    """A source that is found by its module's place in this folder.

    The module is named as its collector is.
    """

    name: ClassVar[str]
    settings_class: ClassVar[type[CollectorSettings]]

    @property
    @abstractmethod
    def every_seconds(self) -> float:
        """Seconds from the start of one run to the next."""

    @property
    @abstractmethod
    def time_limit_seconds(self) -> float:
        """Seconds after which a run, its retries included, is given up."""

    @classmethod
    @abstractmethod
    def from_env(cls, environ: Mapping[str, str]) -> Self | Absent:
        """The collector as the environment sets it, or why there is nothing for it here.

        Raises:
            InvalidSetting: a setting can't be understood.
        """

    @abstractmethod
    def collect(self, now: datetime) -> Iterable[Yielded]:
        """The rows as they are at `now` (UTC)."""


def settings_from(environ: Mapping[str, str], collector: str, settings_class: type[S]) -> S:
    """A collector's settings, or those of whatever bears its name, out of the environment.

    Raises:
        InvalidSetting: one can't be understood.
    """
    given = {
        field: environ[variable]
        for field in settings_class.model_fields
        if environ.get(variable := variable_name(collector, field), "") != ""
    }
    try:
        return settings_class.model_validate(given)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        variable = variable_name(collector, str(first["loc"][0]))
        raise InvalidSetting(f"{variable} can't be used: {first['msg']}") from None


def variable_name(collector: str, field: str) -> str:
    """The environment variable of a collector's setting."""
    return f"{SETTINGS_PREFIX}{collector}_{field}".upper()
