"""Choosing: which of the candidates are proposed, at most one for each thing that is acted on.

A policy's own proposal goes before its neighbours, as far as the guards let it go: the policy was
judged over weeks, the planning model looks a few hours ahead, so that the model has a veto and not
the choice. In autonomous mode it holds back what it expects to lose clearly. Where people decide,
it holds back what is not worth their time: less than the least gain asked. Only where the rule's
proposals are put to people, the best of the neighbours goes first, as the rule is no one's trained
judgement. A second choice must be worth it on top of the first.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from engine.actions import Candidate, actions
from engine.actions.adjust_price import SMALLEST_STEP_RATIO
from engine.actions.rebalance import named_nodes, wanted_nodes
from engine.circumstances import Circumstances
from engine.gains import Gain, Planner
from engine.guards import Case, refusal
from engine.history import PoolPast
from engine.observe import PoolObservation
from engine.policies import MIGRATE, NOBODY
from engine.policies.rule import Proposal
from engine.shadow import Opinion
from warehouse.records import Refusal

MOST_DECISIONS = 3
"""of one pool and tick"""
CAPACITY = {"scale_up": 1, "pre_warm": 1, "scale_down": -1, "rebalance": -1}
"""The actions by which a policy's nodes are had, and their sign."""
OCCASIONAL = ("quarantine_node", "repair_node", "pre_warm", "rebalance", "migrate_job")
"""The actions that most ticks give no cause for, the most pressing first."""
MOST_OCCASIONAL = 6
"""candidates of those that are weighed in one pool and tick"""
HEALING = ("quarantine_node", "repair_node")
"""The actions by which a policy's wish to have suspect nodes healed is had."""


@dataclass(frozen=True)
class Weighed:
    """A candidate with its gain, and the guard that holds it back, where one does."""

    candidate: Candidate
    gain: Gain
    guard: str | None = None
    why_not: str | None = None
    is_own: bool = False
    """whether it is what the policy that steers would do, or on the way there"""


@dataclass(frozen=True)
class Scene:
    """A pool, its past, who steers it and how it is reckoned."""

    seen: PoolObservation
    past: PoolPast
    around: Circumstances
    planner: Planner
    steers: Opinion

    @property
    def steers_on(self) -> bool:
        """Whether somebody goes on steering nodes and price without being asked.

        Where people decide, what a proposal is worth is what is lost if nobody answers it.
        """
        modes = self.around.modes
        return all(
            modes[name] == "autonomous" for name in ("scale_up", "scale_down", "adjust_price")
        )

    def horizon_seconds(self, candidate: Candidate) -> int:
        """Over how long its gain is reckoned: the horizon of its kind of action."""
        return actions()[candidate.action].horizon_seconds(self.around.limits)

    def gains(self, candidates: Sequence[Candidate], given: Sequence[Candidate] = ()) -> list[Gain]:
        """The gain of each candidate over its own horizon, on top of those `given`."""
        found: dict[int, Gain] = {}
        for seconds in {self.horizon_seconds(one) for one in candidates}:
            places = [
                at for at, one in enumerate(candidates) if self.horizon_seconds(one) == seconds
            ]
            gains = self.planner.gains(
                self.seen,
                self.past,
                [candidates[at] for at in places],
                seconds,
                given=given,
                steers_on=self.steers_on,
            )
            found |= dict(zip(places, gains, strict=True))
        return [found[at] for at in range(len(candidates))]


def weighed(scene: Scene) -> list[Weighed]:
    """The candidates of every action that is not switched off, the best first."""
    seen, around, goal = scene.seen, scene.around, scene.steers.goal
    candidates = [
        candidate
        for name, action in actions().items()
        if name != "do_nothing" and around.modes[name] != "off"
        for candidate in action.candidates(seen, goal)
    ]
    candidates = _weighable(candidates)
    gains = scene.gains(candidates)
    found = []
    for candidate, gain in zip(candidates, gains, strict=True):
        guard, why_not = refusal(Case(candidate, seen), around) or (None, None)
        found.append(Weighed(candidate, gain, guard, why_not, is_toward(candidate, goal, seen)))
    return sorted(found, key=lambda one: -one.gain.mean_usd_per_hour)


def choices(scene: Scene, found: Sequence[Weighed]) -> list[Weighed]:
    """What is proposed, the best first; each with its gain on top of those before it."""
    targets = dict.fromkeys(one.candidate.target for one in found)
    best = (_chosen(scene, [one for one in found if one.candidate.target == t]) for t in targets)
    ranked = sorted(
        (one for one in best if one is not None), key=lambda one: -one.gain.mean_usd_per_hour
    )
    chosen = ranked[:1]
    for one in ranked[1:MOST_DECISIONS]:
        given = [other.candidate for other in chosen]
        (gain,) = scene.gains([one.candidate], given)
        on_top = replace(one, gain=gain)
        if is_wanted(on_top, scene.steers, scene.around):
            chosen.append(on_top)
    return chosen


def is_worth_it(gain: Gain, around: Circumstances) -> bool:
    """Whether it is worth it beyond the error of the estimate."""
    # The best of many noisy figures flatters itself: a standard error is taken off.
    least = around.limits.minimum_gain_usd_per_hour
    return gain.mean_usd_per_hour - gain.error_usd_per_hour >= least


def refusals(
    found: Sequence[Weighed], chosen: Sequence[Weighed], around: Circumstances
) -> list[Refusal]:
    """The best of each action that a guard held back though it was worth more than the choice."""
    bar = chosen[0].gain.mean_usd_per_hour if chosen else 0.0
    held: dict[str, Weighed] = {}
    for one in found:
        if one.guard and one.gain.mean_usd_per_hour > bar and is_worth_it(one.gain, around):
            held.setdefault(one.candidate.action, one)
    return [
        Refusal(
            action=one.candidate.action,
            target=one.candidate.target,
            parameters=one.candidate.parameters,
            guard=str(one.guard),
            detail=str(one.why_not),
            expected_gain_usd_per_hour=one.gain.mean_usd_per_hour,
            pool=one.candidate.pool,
            refused_at=around.now,
        )
        for one in held.values()
    ]


def is_toward(candidate: Candidate, goal: Proposal, seen: PoolObservation) -> bool:
    """Whether it is what the goal asks, or a part of it."""
    if candidate.action == "rebalance":
        how_fits = goal.consolidation == MIGRATE
        return how_fits and 0 < nodes_of(candidate) <= wanted_nodes(seen, goal)
    if candidate.action in CAPACITY:
        wanted = CAPACITY[candidate.action] * goal.nodes
        return 0 < nodes_of(candidate) <= wanted
    if candidate.action in HEALING:
        return goal.heal != NOBODY
    if candidate.action == "adjust_price":
        now = seen.features["price_usd_per_gpu_hour"]
        step = candidate.parameters["price_usd_per_gpu_hour"] - now
        wish = goal.price_usd_per_gpu_hour - now
        # As near as the tolerance: the goal itself is rounded.
        return bool(step * wish > 0 and abs(step) <= abs(wish) + SMALLEST_STEP_RATIO * now)
    return False


def nodes_of(candidate: Candidate) -> int:
    """How many nodes an action of `CAPACITY` adds or takes away."""
    given = candidate.parameters
    return len(named_nodes(given)) if candidate.action == "rebalance" else int(given["nodes"])


# -- within ----------------------------------------------------------------------------


def _weighable(candidates: Sequence[Candidate]) -> list[Candidate]:
    """Without the scale-ups that are proposed as a pre-warming too, which tells why; and of the
    occasional actions the most pressing, since each costs the planning model two dozen futures."""
    warmed = {one.parameters["nodes"] for one in candidates if one.action == "pre_warm"}
    usual = [
        one
        for one in candidates
        if one.action not in OCCASIONAL
        and not (one.action == "scale_up" and one.parameters["nodes"] in warmed)
    ]
    rare = [one for one in candidates if one.action in OCCASIONAL]
    rare.sort(key=lambda one: OCCASIONAL.index(one.action))
    return usual + rare[:MOST_OCCASIONAL]


def _chosen(scene: Scene, of_target: Sequence[Weighed]) -> Weighed | None:
    """What is proposed for one thing; None is to leave it."""
    free = [one for one in of_target if one.guard is None]
    now = scene.seen.features["price_usd_per_gpu_hour"]
    own = _own_first([one for one in free if is_preferred(one, scene.steers, scene.around)], now)
    if scene.steers.is_learned:
        # What its heads do not speak of (a forecast, a job's move), and the health of nodes, which
        # nobody leaves to a policy alone, is weighed as ever.
        free = [one for one in free if not _is_steered(one.candidate)]
    wanted = (one for one in [*own, *free] if is_wanted(one, scene.steers, scene.around))
    return next(wanted, None)


def _own_first(own: Sequence[Weighed], price_now: float) -> list[Weighed]:
    """Of one action what goes furthest; of releasing empty nodes and emptying others, both ways of
    having fewer, the one that is worth more."""
    furthest: dict[str, Weighed] = {}
    ranked = sorted(own, key=lambda one: -_reach(one.candidate, price_now))
    for one in ranked:
        furthest.setdefault(one.candidate.action, one)
    leaders = sorted(furthest.values(), key=lambda one: -one.gain.mean_usd_per_hour)
    return [*leaders, *(one for one in ranked if one not in leaders)]


def is_preferred(one: Weighed, steers: Opinion, around: Circumstances) -> bool:
    """Whether it goes before its neighbours, though they may look better to the model."""
    return one.is_own and (steers.is_learned or _is_autonomous(one.candidate, around))


def is_wanted(one: Weighed, steers: Opinion, around: Circumstances) -> bool:
    """Whether enough is expected of it."""
    if not is_preferred(one, steers, around):
        return is_worth_it(one.gain, around)
    if _is_autonomous(one.candidate, around):
        return one.gain.mean_usd_per_hour + one.gain.error_usd_per_hour >= 0.0
    return one.gain.mean_usd_per_hour >= around.limits.minimum_gain_usd_per_hour


def _is_autonomous(candidate: Candidate, around: Circumstances) -> bool:
    return around.modes.get(candidate.action) == "autonomous"


def _is_steered(candidate: Candidate) -> bool:
    return candidate.action in ("scale_up", "scale_down", "rebalance", "adjust_price")


def _reach(candidate: Candidate, price_now: float) -> float:
    """How far toward the goal it goes; of one target all have the same unit and direction."""
    if candidate.action in CAPACITY:
        return float(nodes_of(candidate))
    return abs(float(candidate.parameters.get("price_usd_per_gpu_hour", price_now)) - price_now)
