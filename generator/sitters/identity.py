"""Who a sitter is: shape weights drawn by seed, adults only.

A shape is MakeHuman's: macro targets blended by ancestry, sex presentation, age, muscle and weight,
plus two-way sliders of single features. Ages start at 25, where MakeHuman's adult targets begin;
child targets are not in the pack.
"""

import dataclasses
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

__all__ = [
    "ANCESTRIES",
    "MACROS",
    "OLDEST_YEARS",
    "YOUNGEST_YEARS",
    "Identity",
    "draw_identity",
    "macro_weights",
    "slider_deviation",
]

ANCESTRIES = ("african", "asian", "caucasian")
_SEXES = ("female", "male")
_AGES = ("young", "old")
_LEVELS = ("min", "average", "max")
YOUNGEST_YEARS = 25.0
OLDEST_YEARS = 90.0
# Order of the macro targets in the pack.
MACROS: tuple[str, ...] = tuple(
    f"{ancestry}-{sex}-{age}" for ancestry in ANCESTRIES for sex in _SEXES for age in _AGES
) + tuple(
    f"universal-{sex}-{age}-{muscle}muscle-{weight}weight"
    for sex in _SEXES
    for age in _AGES
    for muscle in _LEVELS
    for weight in _LEVELS
)

# Standard deviation of a slider, by the start of its name; the first that fits counts. 1 is the
# target's full throw.
_DEVIATIONS: tuple[tuple[str, float], ...] = (
    ("head-age", 0.0),
    ("head-trans", 0.0),
    ("head-angle", 0.12),
    ("head-fat", 0.22),
    ("head-scale", 0.12),
    ("head-back", 0.12),
    ("head-", 0.18),
    ("forehead-nubian", 0.12),
    ("forehead-", 0.2),
    ("eyebrows-", 0.25),
    ("eye-trans", 0.18),
    ("eye-push", 0.15),
    ("eye-bag", 0.25),
    ("eye-scale", 0.18),
    ("eye-epicanthus", 0.2),
    ("eye-", 0.22),
    ("nose-trans", 0.12),
    ("nose-compression", 0.15),
    ("nose-scale", 0.2),
    ("nose-", 0.24),
    ("mouth-trans", 0.1),
    ("mouth-scale", 0.18),
    ("mouth-dimples", 0.2),
    ("mouth-", 0.2),
    ("ear-shape", 0.0),
    ("ear-trans", 0.1),
    ("ear-wing", 0.2),
    ("ear-", 0.2),
    ("chin-cleft", 0.25),
    ("chin-", 0.2),
    ("cheek-", 0.25),
    ("neck-trans", 0.0),
    ("neck-double", 0.15),
    ("neck-", 0.1),
    ("asym-", 0.16),
)


def slider_deviation(name: str) -> float:
    """Return the standard deviation of a slider by its name, without the side's prefix."""
    return next((deviation for start, deviation in _DEVIATIONS if name.startswith(start)), 0.0)


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class Identity:
    """The shape of one adult, as weights of the pack's targets."""

    years: float  # 25 to 90
    masculinity: float  # 0 female targets, 1 male targets
    ancestry: tuple[float, float, float]  # shares of ANCESTRIES, sum 1
    muscle: float  # 0 to 1
    weight: float  # 0 to 1
    macros: npt.NDArray[np.float32]  # [len(MACROS)]
    sliders: npt.NDArray[
        np.float32
    ]  # [S] signed; a negative weight uses the slider's negative target


def _three_levels(value: float) -> dict[str, float]:
    low, high = max(0.0, 1 - 2 * value), max(0.0, 2 * value - 1)
    return {"min": low, "average": 1 - low - high, "max": high}


def macro_weights(
    years: float, masculinity: float, ancestry: Sequence[float], muscle: float, weight: float
) -> npt.NDArray[np.float32]:
    """Return the weight of each target in MACROS, multilinear as MakeHuman blends them."""
    old = np.clip((years - YOUNGEST_YEARS) / (OLDEST_YEARS - YOUNGEST_YEARS), 0, 1)
    sexes = {"female": 1 - masculinity, "male": masculinity}
    ages = {"young": 1 - old, "old": old}
    muscles, weights = _three_levels(muscle), _three_levels(weight)
    shares = dict(zip(ANCESTRIES, ancestry, strict=True))
    values = [shares[r] * sexes[s] * ages[a] for r in ANCESTRIES for s in _SEXES for a in _AGES]
    values += [
        sexes[s] * ages[a] * muscles[m] * weights[w]
        for s in _SEXES
        for a in _AGES
        for m in _LEVELS
        for w in _LEVELS
    ]
    return np.asarray(values, np.float32)


def draw_identity(rng: np.random.Generator, slider_names: Sequence[str]) -> Identity:
    """Draw an adult.

    `slider_names` are the pack's: a two-sided slider has two entries, `l-NAME` and `r-NAME`.
    """
    masculine = bool(rng.random() < 0.5)
    masculinity = float(np.clip(rng.beta(8, 1.3) if masculine else rng.beta(1.3, 8), 0, 1))
    years = float(YOUNGEST_YEARS + 50 * rng.beta(1.15, 1.9))
    shares = rng.dirichlet([0.25, 0.25, 0.25])
    muscle = float(np.clip(rng.normal(0.55 if masculine else 0.45, 0.12), 0.2, 0.85))
    weight = float(np.clip(rng.normal(0.5, 0.14), 0.2, 0.9))
    ancestry = (float(shares[0]), float(shares[1]), float(shares[2]))
    drawn: dict[str, float] = {}
    sliders = np.zeros(len(slider_names), np.float32)
    for index, name in enumerate(slider_names):
        stem = name[2:] if name[:2] in ("l-", "r-") else name
        deviation = slider_deviation(stem)
        if stem not in drawn:  # both sides of a face are nearly alike
            drawn[stem] = float(np.clip(rng.normal(0, 1), -2.2, 2.2))
        side = float(np.clip(rng.normal(0, 0.18), -0.4, 0.4)) if stem != name else 0.0
        sliders[index] = deviation * (drawn[stem] + side)
    macros = macro_weights(years, masculinity, ancestry, muscle, weight)
    return Identity(years, masculinity, ancestry, muscle, weight, macros, sliders)
