"""The learned policy at work: an ensemble of small actor-critics in plain numpy.

`Network` answers the probabilities of each head's choices and the expected gain. It is trained in
`engine/learning/ppo.py`; what it reads is `inputs.py`, what its choices mean is `envelope.py`.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple
from zipfile import BadZipFile

import numpy as np
import numpy.typing as npt

from engine.policies import Integers
from engine.policies.inputs import INPUT_NAMES, LARGEST_INPUT, Singles, inputs

__all__ = [
    "INPUT_NAMES", "LARGEST_INPUT", "Layer", "Member", "Network", "WeightsError",
    "drawn", "inputs", "likeliest",
]  # fmt: skip

Flags = npt.NDArray[np.bool_]


class WeightsError(ValueError):
    """A weights file that cannot be used; the words say what to do."""


class Layer(NamedTuple):
    """One affine layer, `x @ weight + bias`."""

    weight: Singles
    """(in, out)"""
    bias: Singles
    """(out,)"""


class Member(NamedTuple):
    """One trained actor-critic; inputs are read as (x - mean) / deviation."""

    mean: Singles
    """(I,)"""
    deviation: Singles
    """(I,)"""
    actor: tuple[Layer, ...]
    """inputs to hidden to hidden to the logits of all heads, one after the other"""
    critic: tuple[Layer, ...]
    """inputs to hidden to hidden to the value, (hidden, 1)"""


class _Stack(NamedTuple):
    """One half of all members: the first layers side by side, the later ones (M, in, out)."""

    first: Layer
    second: Layer
    last: Layer


@dataclass(frozen=True)
class Network:
    """An ensemble whose members agree by mean log-probability and mean value."""

    head_sizes: tuple[int, ...]
    """choices of each head"""
    members: tuple[Member, ...]
    facts: dict[str, Any] = field(default_factory=dict)
    """how it came to be, fit for JSON: command, date, figures"""

    @property
    def input_count(self) -> int:
        """Inputs it reads."""
        return len(self.members[0].mean)

    def log_probabilities(self, obs: Singles, masks: Sequence[Flags]) -> list[Singles]:
        """Log-probability of each choice, a head (R, size) each; -inf where `masks` is False.

        `obs` has shape (R, I), `masks` a head (R, size) each with at least one True a row.
        """
        logits, heads, start = self._answers(self._actors, obs), [], 0
        for mask, size in zip(masks, self.head_sizes, strict=True):
            head = np.where(mask, logits[:, :, start : start + size], np.float32(-np.inf))
            heads.append(_log_softmax(_log_softmax(head).mean(axis=0)))
            start += size
        return heads

    def values(self, obs: Singles) -> Singles:
        """Expected return, shape (R,), in the units of the training reward."""
        means: Singles = self._answers(self._critics, obs)[:, :, 0].mean(axis=0)
        return means

    def greedy(self, obs: Singles, masks: Sequence[Flags]) -> Integers:
        """The likeliest choice of each head, shape (R, H)."""
        return likeliest(self.log_probabilities(obs, masks))

    def sampled(self, obs: Singles, masks: Sequence[Flags], rng: np.random.Generator) -> Integers:
        """A draw of each head, shape (R, H)."""
        return drawn(self.log_probabilities(obs, masks), rng)

    @cached_property
    def sha256(self) -> str:
        """The digest of the file that `save` writes."""
        return hashlib.sha256(self._packed).hexdigest()

    def save(self, path: Path) -> str:
        """Write the file, all of it or nothing; the answer is its digest."""
        draft = path.with_name(path.name + ".part")
        draft.write_bytes(self._packed)
        draft.replace(path)
        return self.sha256

    @classmethod
    def load(cls, path: Path, sha256: str | None = None) -> Network:
        """Read a file that `save` wrote; WeightsError where it is not that, or not `sha256`."""
        packed = _read(path)
        found = hashlib.sha256(packed).hexdigest()
        if sha256 is not None and found != sha256:
            raise WeightsError(
                f"{path} is not the weights that were asked for: its SHA-256 is {found}, not "
                f"{sha256}. Restore the file, or choose another policy version."
            )
        try:
            return _unpacked(packed)
        except (BadZipFile, KeyError, ValueError, OSError, EOFError) as error:
            raise WeightsError(
                f"{path} is no usable weights file ({error}). Restore it, or train anew with "
                "`python app.py train`."
            ) from error

    @cached_property
    def _packed(self) -> bytes:
        arrays: dict[str, Any] = {"mean": np.stack([m.mean for m in self.members])}
        arrays["deviation"] = np.stack([m.deviation for m in self.members])
        for half in ("actor", "critic"):
            for place in range(3):
                layers: list[Layer] = [getattr(m, half)[place] for m in self.members]
                arrays[f"{half}_{place}_weight"] = np.stack([layer.weight for layer in layers])
                arrays[f"{half}_{place}_bias"] = np.stack([layer.bias for layer in layers])
        sizes, facts = np.array(self.head_sizes), np.array(json.dumps(self.facts, sort_keys=True))
        buffer = io.BytesIO()
        np.savez(buffer, allow_pickle=False, head_sizes=sizes, facts=facts, **arrays)
        return buffer.getvalue()

    @cached_property
    def _actors(self) -> _Stack:
        return _stacked([m.actor for m in self.members], self.members)

    @cached_property
    def _critics(self) -> _Stack:
        return _stacked([m.critic for m in self.members], self.members)

    def _answers(self, stack: _Stack, obs: Singles) -> Singles:
        """The last layer's answers of each member, (M, R, out)."""
        if obs.ndim != 2 or obs.shape[1] != self.input_count:
            raise ValueError(
                f"the network reads (R, {self.input_count}) inputs and was given {obs.shape}; the "
                "weights belong to other inputs: train anew with `python app.py train`"
            )
        wide = np.asarray(obs, np.float32) @ stack.first.weight
        wide += stack.first.bias
        np.tanh(wide, out=wide)
        by_member = wide.reshape(len(obs), len(self.members), -1).swapaxes(0, 1)
        hidden: Singles = np.matmul(by_member, stack.second.weight)
        hidden += stack.second.bias[:, None]
        np.tanh(hidden, out=hidden)
        answers: Singles = hidden @ stack.last.weight + stack.last.bias[:, None]
        return answers


def likeliest(log_probabilities: Sequence[Singles]) -> Integers:
    """The likeliest choice of each head, shape (R, H)."""
    return np.stack([head.argmax(axis=1) for head in log_probabilities], axis=1)


def drawn(log_probabilities: Sequence[Singles], rng: np.random.Generator) -> Integers:
    """A draw of each head, shape (R, H), by the Gumbel-max trick: -inf is never drawn."""
    noisy = [head + rng.gumbel(size=head.shape).astype(np.float32) for head in log_probabilities]
    return likeliest(noisy)


def _log_softmax(logits: Singles) -> Singles:
    shifted: Singles = logits - logits.max(axis=-1, keepdims=True)
    result: Singles = shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
    return result


def _stacked(halves: Sequence[tuple[Layer, ...]], members: Sequence[Member]) -> _Stack:
    first = [_folded(half[0], m.mean, m.deviation) for half, m in zip(halves, members, strict=True)]
    weights, biases = zip(*first, strict=True)
    second, last = (
        Layer(np.stack([h[n].weight for h in halves]), np.stack([h[n].bias for h in halves]))
        for n in (1, 2)
    )
    return _Stack(Layer(np.hstack(weights), np.hstack(biases)), second, last)


def _folded(layer: Layer, mean: Singles, deviation: Singles) -> Layer:
    """The layer that reads inputs as they come: the scaling becomes part of its weights."""
    weight = layer.weight / deviation.astype(np.float64)[:, None]
    bias = layer.bias - mean.astype(np.float64) @ weight
    return Layer(weight.astype(np.float32), bias.astype(np.float32))


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise WeightsError(
            f"the weights {path} cannot be read ({error}). Restore the file, or train anew with "
            "`python app.py train`."
        ) from error


def _unpacked(packed: bytes) -> Network:
    with np.load(io.BytesIO(packed), allow_pickle=False) as file:
        arrays = {name: file[name] for name in file.files}
    sizes = tuple(int(size) for size in arrays["head_sizes"])
    members = tuple(_member(arrays, m) for m in range(len(arrays["mean"])))
    if not members or any(m.actor[2].bias.shape != (sum(sizes),) for m in members):
        raise ValueError("the heads do not fit the last layer")
    return Network(sizes, members, json.loads(str(arrays["facts"])))


def _member(arrays: dict[str, npt.NDArray[Any]], place: int) -> Member:
    def single(name: str) -> Singles:
        array: Singles = arrays[name][place].astype(np.float32)
        if not np.isfinite(array).all():
            raise ValueError(f"{name} holds figures that are not finite")
        return array

    def half(name: str) -> tuple[Layer, ...]:
        names = [f"{name}_{place}" for place in range(3)]
        return tuple(Layer(single(f"{n}_weight"), single(f"{n}_bias")) for n in names)

    return Member(single("mean"), single("deviation"), half("actor"), half("critic"))
