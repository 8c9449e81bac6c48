"""The gates before a challenger steers: what it must show, on data it never saw, in words.

`gates` answers the whole list in order, with nothing left out: evidence that is not there yet is a
gate that is not passed, and its sentence says what is missing and when it comes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from engine.learning.statistics import lower_bound, lower_sequence, won_ratio

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Bar:
    """How high each gate stands. Figures are from the design study, section 5, where not said."""

    fewest_weeks: int = 24
    """held-out pool-weeks"""
    level: float = 0.95
    """of the one-sided bound on the mean gain, and of the shadow's confidence sequence"""
    fewest_won_ratio: float = 0.80
    """of the held-out weeks"""
    worst_set_ratio: float = -0.005
    """least gain of any held-out set, over the rule's profit"""
    worst_stress_ratio: float = 0.0
    """least gain of any stress set"""
    most_envelope_hits_ratio: float = 0.25
    """share of decisions in which the envelope held the policy back"""
    fewest_shadow_days: int = 7
    worst_shadow_day_ratio: float = -0.12
    """the worst that a day may bring, over the rule's mean daily profit: what an adversary lost
    inside the envelope; the confidence sequence rests on it, and a worse day shuts the gate"""
    least_canary_ratio: float = 0.10
    """share of pools in the canary"""
    most_canary_ratio: float = 0.20
    fewest_canary_days: int = 3
    """a choice of ours: long enough to see each hour of the day three times"""
    most_late_excess_ratio: float = 0.005
    """late share of started jobs, above the rule's"""


class PairedWeeks(NamedTuple):
    """A set of pool-weeks, the same in both arrays, shape (n,)."""

    gains_usd: Floats
    """challenger's profit less the rule's, the same customers and luck"""
    rule_usd: Floats
    """the rule's profit"""

    @property
    def gain_ratio(self) -> float:
        """All gains over all of the rule's profit; a week that it lost in counts by its size."""
        return float(self.gains_usd.sum() / np.abs(self.rule_usd).sum())


@dataclass(frozen=True)
class Canary:
    """The challenger at work in a few pools."""

    pools: int
    """in the canary"""
    all_pools: int
    """of the fleet"""
    daily_gain_ratios: Floats
    """(days,): by the twin against the rule, over the rule's mean daily profit"""
    alarms: int = 0
    """that its pools raised"""


@dataclass(frozen=True)
class Evidence:
    """What is known of a challenger; what is not known yet is empty or None."""

    held_out: Mapping[str, PairedWeeks] = field(default_factory=dict)
    """by set: weeks that it was not trained on"""
    stress: Mapping[str, PairedWeeks] = field(default_factory=dict)
    """by setting: costs, elasticity, failures and cold starts pushed to their ends"""
    guardrail_breaks: int | None = None
    """proposals that broke one"""
    envelope_hit_ratio: float | None = None
    """share of decisions in which the envelope held it back"""
    shadow_daily_gain_ratios: Floats | None = None
    """(days,): the fleet's mean by the twin against the rule, over the rule's mean daily profit"""
    canary: Canary | None = None
    late_ratio: float | None = None
    """of started jobs, in the held-out weeks"""
    rule_late_ratio: float | None = None


class Gate(NamedTuple):
    """A gate and how the challenger stands before it; `_asdict()` is its row's entry."""

    name: str
    passed: bool
    value: float | None
    """None while it is not known"""
    threshold: float
    sentence: str


_AFTER_TRAINING = "it comes with the evaluation that follows training"


def gates(evidence: Evidence, bar: Bar | None = None) -> list[Gate]:
    """Every gate, in the order in which they are reached."""
    asked = bar or Bar()
    return [
        _weeks(evidence, asked),
        _mean_gain(evidence, asked),
        _weeks_won(evidence, asked),
        _worst_of(
            "worst_set", "held-out set", "held-out sets", evidence.held_out, asked.worst_set_ratio
        ),
        _worst_of(
            "stress_sets", "stress set", "stress sets", evidence.stress, asked.worst_stress_ratio
        ),
        _guardrails(evidence),
        _envelope(evidence, asked),
        _late_share(evidence, asked),
        _shadow_days(evidence, asked),
        _shadow_gain(evidence, asked),
        _canary(evidence, asked),
    ]


def may_be_promoted(found: list[Gate]) -> bool:
    """Whether all are passed; of an empty list, no."""
    return bool(found) and all(gate.passed for gate in found)


def as_rows(found: list[Gate]) -> list[dict[str, Any]]:
    """As `PolicyVersion.gates` keeps them."""
    return [gate._asdict() for gate in found]


# -- on data it never saw --------------------------------------------------------------


def _weeks(evidence: Evidence, bar: Bar) -> Gate:
    count, wanted = len(_all(evidence).gains_usd), bar.fewest_weeks
    passed = count >= wanted
    words = f"Judged on {count} held-out pool-weeks; at least {wanted} are wanted"
    more = "" if passed else f", so {wanted - count} more must be played in the evaluation"
    return Gate("held_out_weeks", passed, float(count), float(wanted), f"{words}{more}.")


def _mean_gain(evidence: Evidence, bar: Bar) -> Gate:
    every = _all(evidence)
    if not len(every.gains_usd):
        return _missing("held_out_gain", 0.0, "No held-out gain is known yet", _AFTER_TRAINING)
    low = lower_bound(every.gains_usd, np.abs(every.rule_usd), level=bar.level)
    sentence = (
        f"It earns {every.gain_ratio:+.2%} against the rule on held-out weeks, and at "
        f"{bar.level:.0%} at least {low:+.2%}; that must be above 0."
    )
    return Gate("held_out_gain", low > 0, low, 0.0, sentence)


def _weeks_won(evidence: Evidence, bar: Bar) -> Gate:
    gains, wanted = _all(evidence).gains_usd, bar.fewest_won_ratio
    if not len(gains):
        return _missing("weeks_won", wanted, "No week has been played yet", _AFTER_TRAINING)
    won = won_ratio(gains)
    sentence = (
        f"It beat the rule in {int((gains > 0).sum())} of {len(gains)} held-out weeks "
        f"({won:.0%}); at least {wanted:.0%} is wanted."
    )
    return Gate("weeks_won", won >= wanted, won, wanted, sentence)


def _worst_of(
    name: str, one: str, many: str, sets: Mapping[str, PairedWeeks], wanted: float
) -> Gate:
    ratios = {title: weeks.gain_ratio for title, weeks in sets.items() if len(weeks.gains_usd)}
    if not ratios or len(ratios) < len(sets):
        empty = ", ".join(title for title in sets if title not in ratios)
        lacks = f"Nothing is known of {empty}" if empty else f"No {one} has been played yet"
        return _missing(name, wanted, lacks, _AFTER_TRAINING)
    worst = min(ratios, key=lambda title: ratios[title])
    sentence = (
        f"Its worst of {len(ratios)} {many} is {worst} with {ratios[worst]:+.2%} against the "
        f"rule; none may be below {wanted:+.1%}."
    )
    return Gate(name, ratios[worst] >= wanted, ratios[worst], wanted, sentence)


def _late_share(evidence: Evidence, bar: Bar) -> Gate:
    late, rule, most = evidence.late_ratio, evidence.rule_late_ratio, bar.most_late_excess_ratio
    if late is None or rule is None:
        return _missing("late_share", most, "Its late jobs have not been counted", _AFTER_TRAINING)
    sentence = (
        f"{late:.2%} of its jobs started late, {rule:.2%} of the rule's; "
        f"at most {100 * most:.1f} points more are allowed."
    )
    return Gate("late_share", late - rule <= most, late - rule, most, sentence)


# -- inside its limits -----------------------------------------------------------------


def _guardrails(evidence: Evidence) -> Gate:
    breaks = evidence.guardrail_breaks
    if breaks is None:
        lacks = "Its proposals have not been held against the guardrails"
        return _missing("guardrails", 0.0, lacks, _AFTER_TRAINING)
    sentence = f"{_counted(breaks, 'proposal')} broke a guardrail; none may."
    return Gate("guardrails", breaks == 0, float(breaks), 0.0, sentence)


def _envelope(evidence: Evidence, bar: Bar) -> Gate:
    hits, most = evidence.envelope_hit_ratio, bar.most_envelope_hits_ratio
    if hits is None:
        lacks = "How often the envelope holds it back is not known"
        return _missing("envelope_hits", most, lacks, _AFTER_TRAINING)
    sentence = (
        f"The envelope around the rule held it back in {hits:.1%} of its decisions; "
        f"it must be under {most:.0%}."
    )
    return Gate("envelope_hits", hits < most, hits, most, sentence)


# -- on this fleet ---------------------------------------------------------------------


def _shadow_days(evidence: Evidence, bar: Bar) -> Gate:
    count, wanted = len(_shadow(evidence)), bar.fewest_shadow_days
    passed = count >= wanted
    words = f"It has run beside the champion for {_counted(count, 'day')} of at least {wanted}"
    more = "" if passed else f"; {_counted(wanted - count, 'more day')} of the fleet's clock to go"
    return Gate("shadow_days", passed, float(count), float(wanted), f"{words}{more}.")


def _shadow_gain(evidence: Evidence, bar: Bar) -> Gate:
    days, floor = _shadow(evidence), bar.worst_shadow_day_ratio
    if not len(days):
        lacks = "No day in shadow has been scored"
        return _missing("shadow_gain", 0.0, lacks, "the first comes after a day in shadow")
    if float(days.min()) < floor:
        sentence = (
            f"Its worst shadow day brought {days.min():+.1%} of the rule's usual daily profit; "
            f"none may be below {floor:+.0%}, and it starts anew as another version."
        )
        return Gate("shadow_gain", False, float(days.min()), floor, sentence)
    low = float(lower_sequence(days, floor=floor, level=bar.level)[-1])
    sentence = (
        f"In shadow it would have earned {days.mean():+.2%} a day against the rule over "
        f"{_counted(len(days), 'day')}; at {bar.level:.0%}, however often one looks, at least "
        f"{low:+.2%}, which must be above 0."
    )
    if low <= 0 < days.mean():
        sentence += " More days at this gain would show it."
    return Gate("shadow_gain", low > 0, low, 0.0, sentence)


def _canary(evidence: Evidence, bar: Bar) -> Gate:
    canary = evidence.canary
    if canary is None:
        lacks = "It has not steered a pool of this fleet yet"
        when = f"a canary of {bar.fewest_canary_days} days follows once the other gates are passed"
        return _missing("canary", 0.0, lacks, when)
    days = canary.daily_gain_ratios
    mean = float(days.mean()) if len(days) else None
    lacking = _canary_lacks(canary, mean, bar)
    where = f"It steers {canary.pools} of {_counted(canary.all_pools, 'pool')} for "
    how = "" if mean is None else f", at {mean:+.2%} against the rule"
    sentence = f"{where}{_counted(len(days), 'day')}{how}: {lacking or 'as wanted'}."
    return Gate("canary", not lacking, mean, 0.0, sentence)


def _canary_lacks(canary: Canary, mean: float | None, bar: Bar) -> str:
    """The first thing that is wrong with it, in words; empty where nothing is."""
    # In a fleet of a few pools one pool is more than the share, and the least there is.
    most = max(1, int(bar.most_canary_ratio * canary.all_pools))
    least = max(1, int(np.ceil(bar.least_canary_ratio * canary.all_pools - 1e-9)))
    to_go = bar.fewest_canary_days - len(canary.daily_gain_ratios)
    if not least <= canary.pools <= most:
        return f"it should be {least} to {most} pools"
    if canary.alarms:
        return f"{_counted(canary.alarms, 'alarm')} went off"
    if to_go > 0 or mean is None:
        return f"{_counted(to_go, 'more day')} of the fleet's clock to go"
    return "" if mean >= 0 else "it must not be below 0"


# -- small change ----------------------------------------------------------------------


def _all(evidence: Evidence) -> PairedWeeks:
    parts = list(evidence.held_out.values())
    return PairedWeeks(
        np.concatenate([part.gains_usd for part in parts] or [np.zeros(0)]),
        np.concatenate([part.rule_usd for part in parts] or [np.zeros(0)]),
    )


def _shadow(evidence: Evidence) -> Floats:
    days = evidence.shadow_daily_gain_ratios
    return np.zeros(0) if days is None else days


def _missing(name: str, threshold: float, lacks: str, when: str) -> Gate:
    return Gate(name, False, None, threshold, f"{lacks}; {when}.")


def _counted(count: int, noun: str) -> str:
    words = "no" if count == 0 else str(count)
    return f"{words} {noun}{'' if count == 1 else 's'}"
