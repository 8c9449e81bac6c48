"""Randomness by counter hash: a number in [0, 1) is a function of (seed, time, entity, salt).

There is no generator to carry along. Two fleets with one seed share every draw, whatever either
has done before, which is what makes a twin a fair judge (common random numbers).
The mixer is SplitMix64's finaliser (Steele, Lea and Flood, OOPSLA 2014).
"""

import numpy as np
import numpy.typing as npt

from engine.simulator.compiled import compiled

# One salt a question, so that no two questions ever share a draw.
SALT_FAILS = 1
SALT_DEGRADES = 2
SALT_BREAKS = 3
SALT_MOMENT = 4
SALT_HEALTH = 5
SALT_COLD_START = 6
SALT_MARKET = 7
SALT_COUNT = 8
SALT_OFFSET = 9
SALT_SIZE = 10
SALT_DURATION = 11
SALT_TENANT = 12
SALT_ACCEPTANCE = 13
SALT_LEVEL = 14
SALT_GPU = 15
SALT_DURATION_SECOND = 16

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_FIRST = np.uint64(0xBF58476D1CE4E5B9)
_SECOND = np.uint64(0x94D049BB133111EB)
_S30, _S27, _S31, _S11 = np.uint64(30), np.uint64(27), np.uint64(31), np.uint64(11)
_UNIT = 1.0 / (1 << 53)

Integers = npt.NDArray[np.integer] | int
Floats = npt.NDArray[np.float64]


@compiled
def _mixed(x: np.uint64) -> np.uint64:
    x = x + _GOLDEN
    x = (x ^ (x >> _S30)) * _FIRST
    x = (x ^ (x >> _S27)) * _SECOND
    return x ^ (x >> _S31)


@compiled
def uniform(seed: int, time: int, entity: int, salt: int) -> float:
    """One draw in [0, 1), for compiled callers."""
    x = _mixed(np.uint64(seed) ^ np.uint64(salt) * _GOLDEN)
    x = _mixed(x ^ np.uint64(time))
    x = _mixed(x ^ np.uint64(entity))
    return np.float64(x >> _S11) * _UNIT


@compiled
def stem(seed: int, time: int, salt: int) -> np.uint64:
    """What all entities of one question and instant share of `uniform`."""
    x = _mixed(np.uint64(seed) ^ np.uint64(salt) * _GOLDEN)
    return _mixed(x ^ np.uint64(time))


@compiled
def leaf(root: np.uint64, entity: int) -> float:
    """`uniform` of one entity, from its `stem`."""
    return np.float64(_mixed(root ^ np.uint64(entity)) >> _S11) * _UNIT


def _mixed_array(x: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    x = x + _GOLDEN
    x = (x ^ (x >> _S30)) * _FIRST
    x = (x ^ (x >> _S27)) * _SECOND
    return x ^ (x >> _S31)


def _unsigned(x: Integers) -> npt.NDArray[np.uint64]:
    # At least one axis: numpy warns of the wrap-around of scalars, and it is meant.
    return np.atleast_1d(np.asarray(x)).astype(np.int64).view(np.uint64)


def uniforms(seed: int, time: Integers, entity: Integers, salt: int) -> Floats:
    """The same draws as `uniform`, for arrays that broadcast; at least one axis."""
    x = _mixed_array(_unsigned(seed) ^ _unsigned(salt) * _GOLDEN)
    x = _mixed_array(x ^ _unsigned(time))
    x = _mixed_array(x ^ _unsigned(entity))
    return (x >> _S11).astype(np.float64) * _UNIT


def normals(seed: int, time: Integers, entity: Integers, salt: int) -> Floats:
    """Standard normal draws by Box and Muller's transform, shaped as `uniforms`."""
    radius = np.sqrt(-2.0 * np.log1p(-uniforms(seed, time, entity, salt)))
    angle: Floats = 2.0 * np.pi * uniforms(seed, time, entity, salt + 1000)
    return radius * np.cos(angle)
