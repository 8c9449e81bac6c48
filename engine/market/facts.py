"""What documentation says of providers and data sheets of GPUs: `facts.yaml`, checked.

InvalidFacts    the file does not fit its schema; the sentence says which entry and why
"""

from __future__ import annotations

import re
from datetime import date
from functools import cache
from pathlib import Path
from typing import Annotated, Any

import yaml  # type: ignore[import-untyped]  # it comes without types
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from warehouse.metric_catalogue import METRICS

FILE = Path(__file__).with_name("facts.yaml")
_MONTH_OR_DAY = re.compile(r"(\d{4})-(\d{2})(?:-(\d{2}))?")

Known = Annotated[float, Field(ge=0.0, allow_inf_nan=False)]


class InvalidFacts(ValueError):
    """The file does not fit its schema."""


class _Sourced(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    source: str
    """Where it is said, an https address."""
    read_on: str
    """The day or month it was read, `2026-11-23` or `2026-11`."""

    @field_validator("source")
    @classmethod
    def _leads_somewhere(cls, source: str) -> str:
        if not source.startswith("https://"):
            raise ValueError("must be an https address")
        return source

    @field_validator("read_on")
    @classmethod
    def _is_a_date(cls, read_on: str) -> str:
        parts = _MONTH_OR_DAY.fullmatch(read_on)
        if not parts:
            raise ValueError("must be a day or a month, 2026-11-23 or 2026-11")
        year, month, day = parts.groups()
        date(int(year), int(month), int(day or 1))
        return read_on


class Fact(_Sourced):
    """What a provider's documentation says."""

    provider: str
    metric: str
    """One of the catalogue's."""
    value: Known | None = None
    """In the metric's unit; None where it is not known."""
    words: str
    """What it says."""
    is_claim: bool = False
    """Whether the provider only claims it: then it has no value."""

    @field_validator("metric")
    @classmethod
    def _is_known(cls, metric: str) -> str:
        if metric not in METRICS:
            raise ValueError(f"there is no metric {metric}")
        return metric

    @model_validator(mode="after")
    def _claims_have_no_value(self) -> Fact:
        if self.is_claim and self.value is not None:
            raise ValueError("a claim has no value: it is not scored")
        return self


class GpuFact(_Sourced):
    """What a GPU's data sheet says."""

    model: str
    """As in the offers' `model`; a name without its memory stands for every size of it."""
    teraflops: Annotated[float, Field(gt=0.0)]
    """Dense BF16 TFLOP/s."""


class Facts(BaseModel):
    """The whole file."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    facts: tuple[Fact, ...] = ()
    gpus: tuple[GpuFact, ...] = ()

    @model_validator(mode="after")
    def _each_once(self) -> Facts:
        said = [(fact.provider, fact.metric) for fact in self.facts]
        twice = {
            f"{provider} {metric}"
            for provider, metric in said
            if said.count((provider, metric)) > 1
        }
        if twice:
            raise ValueError(f"said twice: {', '.join(sorted(twice))}")
        return self

    def of(self, provider: str) -> dict[str, Fact]:
        """What is said of a provider, by metric."""
        return {fact.metric: fact for fact in self.facts if fact.provider == provider}

    def teraflops(self, model: str) -> float | None:
        """Of a GPU model: by its whole name, else by the longest name that begins it."""
        fitting = [
            gpu for gpu in self.gpus if model == gpu.model or model.startswith(f"{gpu.model} ")
        ]
        return max(fitting, key=lambda gpu: len(gpu.model)).teraflops if fitting else None


def facts_of(text: str, name: str = FILE.name) -> Facts:
    """The facts in a YAML text.

    Raises:
        InvalidFacts: it is not YAML or does not fit the schema.
    """
    try:
        found: Any = yaml.safe_load(text)
        return Facts.model_validate(found)
    except yaml.YAMLError as error:
        raise InvalidFacts(f"{name} is not YAML ({error}): correct it or remove it") from error
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise InvalidFacts(f"{name}: {where}: {first['msg']}: correct this entry") from error


@cache
def facts() -> Facts:
    """What came with the console."""
    return facts_of(FILE.read_text(encoding="utf-8"))


def facts_with(path: Path) -> Facts:
    """What came with the console and, before it, what a file of the same shape says: our own terms
    (provider `us`), another competitor's, a correction.

    Raises:
        InvalidFacts: the file is there and can't be used.
    """
    if not path.is_file():
        return facts()
    given, known = facts_of(path.read_text(encoding="utf-8"), path.name), facts()
    said = {(fact.provider, fact.metric) for fact in given.facts}
    models = {gpu.model for gpu in given.gpus}
    return Facts(
        facts=given.facts + tuple(f for f in known.facts if (f.provider, f.metric) not in said),
        gpus=given.gpus + tuple(gpu for gpu in known.gpus if gpu.model not in models),
    )
