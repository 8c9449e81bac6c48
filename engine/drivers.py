"""Drivers: what moved a learned policy away from the rule, in words.

By occlusion (Zeiler and Fergus, ECCV 2014): one input after the other is put back to what is usual,
and the effect is how much less the policy then prefers its choice to the rule's, in logits. An
effect above 0 spoke for the choice, one below 0 against it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from engine.policies import Floats, Head, Integers
from engine.policies.envelope import (
    CAPACITY_CHOICES,
    PRICE_CHOICES,
    SPOT_CHOICES,
    NetHead,
    price_levels,
)
from engine.policies.inputs import INPUT_NAMES, Singles
from engine.policies.learned import Answer, Learned

MOST_DRIVERS = 6
DIAL_NAMES = ("the wish for service", "the wish for utilisation", "the wish for reliability")
SMALLEST_EFFECT = 1e-3
"""in logits; less is nothing"""


class Reading(NamedTuple):
    """An input as people read it."""

    value: float
    text: str


def drivers(
    policy: Learned, answer: Answer, seen: Floats, row: int = 0, most: int = MOST_DRIVERS
) -> list[dict[str, Any]]:
    """The inputs with the largest effects, as `ShadowProposal.drivers` keeps them.

    `answer` is what the policy said of `seen` (R, FEATURE_COUNT), `row` the pool asked about.
    """
    read, usual = answer.inputs[row], usual_inputs(policy)
    groups = _groups(len(read))
    effects = _effects(policy, answer, seen, row, [places for _, places in groups], usual)
    order = np.argsort(-np.abs(effects))[:most]
    found = []
    for at in order[np.abs(effects[order]) >= SMALLEST_EFFECT]:
        name, places = groups[at]
        found.append(_driver(name, places, read, usual, float(effects[at])))
    return found


def usual_inputs(policy: Learned) -> Singles:
    """What the inputs were on average in training, (I,): the mean of the members' means."""
    means: Singles = np.mean([one.mean for one in policy.network.members], axis=0)
    return means


def _effects(
    policy: Learned,
    answer: Answer,
    seen: Floats,
    row: int,
    groups: list[tuple[int, ...]],
    usual: Singles,
) -> Floats:
    """How much each group of inputs speaks for the choice, shape (groups,)."""
    asked = np.tile(answer.inputs[row], (len(groups) + 1, 1))
    for at, places in enumerate(groups):
        asked[at + 1, places] = usual[list(places)]
    open_to = [np.tile(mask[row], (len(asked), 1)) for mask in answer.masks]
    logs = policy.network.log_probabilities(asked, open_to)
    choices, rule = answer.choices[row], rule_choices(policy, answer, seen, row)
    differs = choices != rule
    score = np.zeros(len(asked))
    for head, log in enumerate(logs):
        if differs[head]:
            score += log[:, choices[head]] - log[:, rule[head]]
        elif not differs.any():  # it agrees with the rule: what makes it so sure?
            score += log[:, choices[head]]
    effects: Floats = score[0] - score[1:]
    return effects


def rule_choices(policy: Learned, answer: Answer, seen: Floats, row: int) -> Integers:
    """The open choice of each head that comes nearest to what the rule does, (len(NetHead),)."""
    rule, mode = answer.rule[row], policy.mode
    nodes = CAPACITY_CHOICES[mode] - (0 if mode == "offset" else rule[Head.NODES])
    level = rule[Head.PRICE_LEVEL] - price_levels(seen[[row]])[0]
    away = {
        NetHead.CAPACITY: nodes,
        NetHead.PRICE: PRICE_CHOICES - (0 if mode == "offset" else level),
        NetHead.CONSOLIDATION: np.arange(3) - rule[Head.CONSOLIDATION],
        NetHead.HEAL: np.arange(3) - rule[Head.HEAL],
        NetHead.SPOT: SPOT_CHOICES - rule[Head.SPOT_PERCENT],
    }
    return np.array(
        [np.where(answer.masks[head][row], np.abs(away[head]), 10**6).argmin() for head in NetHead]
    )


# -- in words --------------------------------------------------------------------------


def _groups(inputs: int) -> list[tuple[str, tuple[int, ...]]]:
    """Inputs that say one thing together go together: name and places."""
    names = (*INPUT_NAMES, *DIAL_NAMES)[:inputs]
    groups: dict[str, tuple[int, ...]] = {}
    for place, name in enumerate(names):
        title = _TOGETHER.get(name, name)
        groups[title] = (*groups.get(title, ()), place)
    return list(groups.items())


def _driver(
    name: str, places: tuple[int, ...], read: Singles, usual: Singles, effect: float
) -> dict[str, Any]:
    now, then = _reading(name, read[list(places)]), _reading(name, usual[list(places)])
    title = name[:1].upper() + name[1:]
    against = "" if name in _CYCLES else f", usually {then.text}"
    return {
        "feature": name,
        "value": round(now.value, 4),
        "usual": round(then.value, 4),
        "effect": round(effect, 4),
        "words": f"{title}: {now.text}{against}",
    }


def _reading(name: str, scaled: Singles) -> Reading:
    value = float(scaled[0])
    if name in _CYCLES:
        turn = float(np.arctan2(scaled[0], scaled[1])) / (2 * np.pi) % 1.0
        value = turn * _CYCLES[name]
        return Reading(value, _hour(value) if name == "hour of the day" else _day(value))
    undo, text = _READ.get(name, _PLAIN)
    return Reading(undo(value), text(undo(value)))


Undo = Callable[[float], float]
Text = Callable[[float], str]


def _times(factor: float, shift: float = 0.0) -> Undo:
    return lambda x: factor * x + shift


def _share(of: str) -> Text:
    return lambda x: f"{x:.0%} of {of}"


def _moved(of: str) -> Text:
    return lambda x: f"{x:+.0%} {of}".rstrip()


def _yes(x: float) -> str:
    return "yes" if x > 0.5 else "no"


def _hour(x: float) -> str:
    return f"{int(x):02d}:{int(x % 1 * 60):02d} UTC"


def _day(x: float) -> str:
    return ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")[
        min(int(x), 6)
    ]


_PLAIN: tuple[Undo, Text] = (_times(1.0), lambda x: f"{x:.2f}")
_CYCLES = {"hour of the day": 24.0, "day of the week": 7.0}
_TOGETHER = {
    "hour of the day (sine)": "hour of the day",
    "hour of the day (cosine)": "hour of the day",
    "day of the week (sine)": "day of the week",
    "day of the week (cosine)": "day of the week",
    "the rule adds or releases": "the rule's nodes",
}
_NODES, _GPUS = _share("our own nodes"), _share("our own GPUs")
_MARKET, _HOURS = _share("the market's price"), lambda x: f"{x:.1f} h"
_MINUTES: Text = lambda x: f"{x:.0f} min"  # noqa: E731
_PERCENT: Text = lambda x: f"{x:.0%}"  # noqa: E731
_SAME = _times(1.0)

_READ: dict[str, tuple[Undo, Text]] = {
    "size of the pool": (lambda x: 16 * 4.0**x, lambda x: f"{x:.0f} nodes"),
    "GPUs a node": (lambda x: 8 * 2.0**x, lambda x: f"{x:.0f}"),
    "cost of an owned GPU": (_times(0.2), _MARKET),
    "cost of work": (_times(0.2), _MARKET),
    "cost of a lease": (_SAME, _MARKET),
    "cost of lateness": (_SAME, _MARKET),
    "minimum bill": (_SAME, _HOURS),
    "boot time": (_times(30), _MINUTES),
    "boot time of a lease": (_times(30), _MINUTES),
    "suspect nodes": (_times(0.2), _NODES),
    "worst health": (_times(-1.0, 1.0), _PERCENT),
    "utilisation": (_SAME, _PERCENT),
    "jobs queued": (_SAME, lambda x: f"{x:.2f} a node of our own"),
    "oldest wait": (_times(15), _MINUTES),
    "change of use in an hour": (_times(0.2), _moved("of our own GPUs")),
    "use against the day's": (_times(0.5), _moved("of our own GPUs")),
    "our price": (_times(0.2, 1.0), _MARKET),
    "price of the work under way": (_times(0.2, 1.0), _MARKET),
    "market's move in an hour": (_times(0.05), lambda x: f"{x:+.1%}"),
    "market against the day's": (_times(0.1), lambda x: f"{x:+.1%}"),
    "offers of the day": (_SAME, lambda x: f"{x:.2f} an hour and node of our own"),
    "share of offers taken": (_SAME, _PERCENT),
    "size of a job": (_SAME, lambda x: f"{x:.2f} nodes"),
    "doubt of the forecast": (_SAME, _share("the day's offers")),
    "the rule's nodes": (_times(0.2), _moved("of our own nodes")),
    "the rule's price": (_times(0.2, 1.0), _MARKET),
    "the rule's spot share": (_SAME, _PERCENT),
    **dict.fromkeys(DIAL_NAMES, (_SAME, _PERCENT)),
    **dict.fromkeys(
        (
            "leasable nodes", "owned nodes on", "leased nodes on", "nodes cordoned",
            "owned nodes booting", "leased nodes booting", "nodes down", "owned nodes off",
            "leases to be had", "owned nodes empty", "leased nodes empty",
            "leased nodes empty and past their minimum bill", "nodes nearly empty",
        ),
        (_SAME, _NODES),
    ),
    **dict.fromkeys(
        (
            "GPUs in use", "GPUs free", "GPUs queued", "largest job queued", "peak of the hour",
            "running under 30 minutes", "running under 2 hours", "running under 8 hours",
            "running longer",
        ),
        (_SAME, _GPUS),
    ),
    **dict.fromkeys(
        (
            "GPUs come in an hour", "GPUs come in a day", "GPUs gone in an hour",
            "GPUs gone in a day",
        ),
        (_times(1 / 3), _GPUS),
    ),
    **dict.fromkeys(
        (
            "offers of the quarter", "offers of the hour", "offers of 3 hours",
            "forecast for 30 minutes", "forecast for an hour", "forecast for 2 hours",
            "forecast for 6 hours",
        ),
        (_SAME, _moved("against the day's")),
    ),
    **dict.fromkeys(
        (
            "the rule drains", "the rule migrates", "the rule heals strictly",
            "the rule heals loosely",
        ),
        (_SAME, _yes),
    ),
}  # fmt: skip
"""By input: from the scaled figure to a plain one, and that one in words; see `inputs.py`."""
