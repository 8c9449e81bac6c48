"""The learned policy: a network inside an envelope around the rule, with the operator's dial.

It is given the rule's own proposal with everything else, answers how far to go from it, and is
held within the envelope whatever it answers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from engine.learning.practice import reward_usd
from engine.policies import Floats, Integers, Policy
from engine.policies.envelope import (
    AROUND_THE_RULE,
    CAPACITY_CHOICES,
    Envelope,
    Flags,
    Mode,
    is_clipped,
    masks,
    to_proposals,
)
from engine.policies.inputs import INPUT_NAMES, Singles, inputs
from engine.policies.network import Network, WeightsError, likeliest
from engine.policies.registry import baseline

SHIPPED = Path(__file__).with_name("weights") / "shipped.npz"
"""The weights that come with the console."""
DIAL_WISHES: Mapping[str, tuple[float, float, float]] = {
    "balanced": (0.0, 0.0, 0.0),
    "profit": (0.0, 0.0, 0.0),
    "service": (1.0, 0.0, 0.0),
    "utilisation": (0.0, 1.0, 0.0),
    "reliability": (0.0, 0.0, 1.0),
}
"""How far each preset turns the wishes for service, utilisation and reliability. Profit already
pays for late starts, idle power and lost work, so that it is the balance that training starts
from; a preset adds its own wish in full."""


class Answer(NamedTuple):
    """What a learned policy says of R pools, with what it rests on."""

    proposals: Integers
    """(R, HEAD_COUNT)"""
    rule: Integers
    """(R, HEAD_COUNT): what the rule would do"""
    choices: Integers
    """(R, len(NetHead)): the place of each head's choice"""
    probabilities: Floats
    """(R, len(NetHead)): with which the network prefers it"""
    value_usd: Floats
    """(R,): the critic's estimate of what it will earn beyond the rule, discounted"""
    is_clipped: Flags
    """(R,): whether the envelope held it back"""
    inputs: Singles
    """(R, I): what the network read"""
    masks: list[Flags]
    """(R, size) a head: the choices that were open"""


@dataclass(frozen=True, eq=False)
class Learned:
    """A network with its rule, envelope and dial; satisfies the Policy protocol."""

    name: str
    network: Network
    rule: Policy
    envelope: Envelope = AROUND_THE_RULE
    """how far from the rule it may go"""
    dial: str = "balanced"
    """one of DIAL_WISHES"""

    @property
    def mode(self) -> Mode:
        """What the first heads count from: trainings differ in the number of their choices."""
        sizes: dict[int, Mode] = {len(of): mode for mode, of in CAPACITY_CHOICES.items()}
        return sizes[self.network.head_sizes[0]]

    def proposals(self, seen: Floats) -> Integers:
        """What to do, shape (R, HEAD_COUNT), for the raw figures (R, FEATURE_COUNT)."""
        rule = self.rule.proposals(seen)
        open_to = masks(seen, rule, self.envelope, self.mode)
        choices = self.network.greedy(self._inputs(seen, rule), open_to)
        return to_proposals(choices, rule, seen, self.envelope, self.mode)

    def explained(self, seen: Floats) -> Answer:
        """The same with all that is to be known of it; `seen` has shape (R, FEATURE_COUNT)."""
        rule = self.rule.proposals(seen)
        read = self._inputs(seen, rule)
        open_to = masks(seen, rule, self.envelope, self.mode)
        logs = self.network.log_probabilities(read, open_to)
        choices = likeliest(logs)
        chosen = [
            np.take_along_axis(head, choices[:, [at]], axis=1)[:, 0] for at, head in enumerate(logs)
        ]
        return Answer(
            to_proposals(choices, rule, seen, self.envelope, self.mode),
            rule,
            choices,
            np.exp(np.stack(chosen, axis=1).astype(np.float64)),
            self.network.values(read) * reward_usd(seen),
            is_clipped(choices, rule, seen, self.envelope, self.mode),
            read,
            open_to,
        )

    def _inputs(self, seen: Floats, rule: Integers) -> Singles:
        wishes = np.array(DIAL_WISHES[self.dial])[: self.network.input_count - len(INPUT_NAMES)]
        return inputs(seen, rule, np.tile(wishes, (len(seen), 1)))


def learned(
    path: Path | None = None,
    dial: str = "balanced",
    *,
    sha256: str | None = None,
    rule: Policy | None = None,
) -> Learned:
    """A learned policy from a file of weights; the shipped one without a path.

    Raises:
        WeightsError: the file is missing, is no weights file, is of other inputs or heads, or is
            not the one of this digest.
        ValueError: the dial has no such setting.
    """
    if dial not in DIAL_WISHES:
        raise ValueError(f"{dial!r} is not on the dial: use {', '.join(DIAL_WISHES)}")
    file = path or SHIPPED
    network = Network.load(file, sha256)
    _refuse_strange(file, network)
    name, steady = policy_id_of(network.sha256, file), rule or baseline("rule")
    return Learned(name, network, steady, envelope_of(network), dial)


def envelope_of(network: Network) -> Envelope:
    """How far from the rule it was trained to go, as its facts tell; else the usual envelope."""
    plan = network.facts.get("plan", {})
    return Envelope(
        plan.get("envelope_nodes", AROUND_THE_RULE.nodes),
        plan.get("envelope_price_levels", AROUND_THE_RULE.price_levels),
    )


def policy_id_of(sha256: str, path: Path) -> str:
    """The name and digest by which a version is known."""
    return f"{'shipped' if path == SHIPPED else 'learned'}-{sha256[:12]}"


def _refuse_strange(path: Path, network: Network) -> None:
    widest = len(INPUT_NAMES) + len(DIAL_WISHES["balanced"])
    fits = len(INPUT_NAMES) <= network.input_count <= widest
    if not fits or network.head_sizes[0] not in map(len, CAPACITY_CHOICES.values()):
        raise WeightsError(
            f"{path} reads {network.input_count} figures and answers {network.head_sizes} choices, "
            f"while this version has {len(INPUT_NAMES)} to {widest} figures: it is of another "
            "version of the console. Train anew with `python app.py train`."
        )
