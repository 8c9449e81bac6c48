"""The interval that a figure's few draws give for the figure itself."""

from __future__ import annotations

from statistics import NormalDist

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

LEVEL = 0.8


def interval(draws: Floats, level: float = LEVEL) -> tuple[float, float, float]:
    """Mean, low and high of what another draw will be, at `level`, from n draws.

    What really happened is one draw more of the same kind, so the interval is the prediction
    interval of Student's t with n - 1 degrees of freedom, of half-width t s √(1 + 1/n) (Hahn and
    Meeker, Statistical Intervals, 1991, ch. 4).
    """
    mean, count = float(draws.mean()), len(draws)
    if count < 2:
        return mean, mean, mean
    reach = student_quantile(0.5 + level / 2, count - 1) * float(draws.std(ddof=1))
    reach *= float(np.sqrt(1 + 1 / count))
    return mean, mean - reach, mean + reach


def student_quantile(share: float, freedom: int) -> float:
    """Quantile of Student's t, to 1 % from 3 degrees of freedom on.

    Source: Abramowitz and Stegun, Handbook of Mathematical Functions, 26.7.5.
    """
    z = NormalDist().inv_cdf(share)
    terms = (
        (z**3 + z) / 4,
        (5 * z**5 + 16 * z**3 + 3 * z) / 96,
        (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384,
    )
    return z + sum(term / float(freedom ** (turn + 1)) for turn, term in enumerate(terms))
