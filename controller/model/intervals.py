"""The interval of a share that was counted: exact, for any number of trials. Pure."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from math import exp, lgamma, log, log1p

_STEPS = 60
"""Halvings of [0, 1]: finer than a float can tell."""


@lru_cache(maxsize=256)
def clopper_pearson(hits: int, trials: int, confidence: float = 0.95) -> tuple[float, float]:
    """Return the interval of a share (0–1) of which `hits` of `trials` were counted; (0, 1) without any trial.

    It holds the true share with at least that confidence, whatever it is: its ends are the shares at which so few, or
    so many, hits come with a probability of half the rest. C. J. Clopper and E. S. Pearson, The use of confidence or
    fiducial limits illustrated in the case of the binomial, Biometrika 26 (1934), 404–413.

    Raises:
        ValueError: more hits than trials, or fewer than none.
    """
    if not 0 <= hits <= trials:
        raise ValueError(f"{hits} hits of {trials} trials cannot be")
    half = (1 - confidence) / 2
    low = 0.0 if hits == 0 else _share(lambda share: at_least(hits, trials, share) > half)
    high = 1.0 if hits == trials else _share(lambda share: at_least(hits + 1, trials, share) > 1 - half)
    return low, high


def at_least(hits: int, trials: int, share: float) -> float:
    """Return the probability of at least so many hits, each of `trials` being one with a probability of `share`.

    That is the regularised incomplete beta function I_share(hits, trials - hits + 1): Abramowitz and Stegun, Handbook
    of Mathematical Functions (1964), 26.5.24.
    """
    if hits <= 0:
        return 1.0
    if share <= 0.0 or hits > trials:
        return 0.0
    return 1.0 if share >= 1.0 else _incomplete_beta(share, float(hits), float(trials - hits + 1))


def _share(beyond: Callable[[float], bool]) -> float:
    """Return the share from which on something holds, to the last digit."""
    low, high = 0.0, 1.0
    for _ in range(_STEPS):
        middle = (low + high) / 2
        low, high = (low, middle) if beyond(middle) else (middle, high)
    return (low + high) / 2


def _incomplete_beta(x: float, a: float, b: float) -> float:
    """Return I_x(a, b); its continued fraction converges fast on one side of (a + 1) / (a + b + 2)."""
    front = exp(lgamma(a + b) - lgamma(a) - lgamma(b) + a * log(x) + b * log1p(-x))
    if x < (a + 1) / (a + b + 2):
        return front * _continued(x, a, b) / a
    return 1 - front * _continued(1 - x, b, a) / b


def _continued(x: float, a: float, b: float) -> float:
    """Return the continued fraction of the incomplete beta function (Abramowitz and Stegun, 26.5.8).

    By Lentz's method: W. J. Lentz, Applied Optics 15 (1976), 668–671, as amended by Thompson and Barnett,
    J. Comput. Phys. 64 (1986), 490–509.
    """
    tiny = 1e-300
    numerator, denominator = 1.0, 1 / _not_zero(1 - (a + b) * x / (a + 1), tiny)
    value = denominator
    for m in range(1, 10_000):
        for term in (
            m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m)),
            -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1)),
        ):
            denominator = 1 / _not_zero(1 + term * denominator, tiny)
            numerator = _not_zero(1 + term / numerator, tiny)
            value *= denominator * numerator
        if abs(denominator * numerator - 1) < 1e-15:
            break
    return value


def _not_zero(value: float, tiny: float) -> float:
    return tiny if abs(value) < tiny else value
