"""Likelihood ratios in words, on the verbal scale of forensic practice.

The bands are those of the table of verbal equivalents in the "ENFSI guideline for evaluative
reporting in forensic science" (approved version 3.0, 8 March 2015): 1 supports neither proposition;
the support is weak from 2 to 10, moderate to 100, moderately strong to 1000, strong to 10 000, very
strong to 1 000 000, and extremely strong above. Inverse ratios support the other proposition. The
table does not say what lies between 1 and 2 (here: neither is supported), nor to which band a bound
belongs (here: the stronger one). The words tell how far the findings favour one proposition over
the other; they are no probability of either, which needs all else that is known of the case.
"""

import dataclasses
import math
from typing import Literal

from obverse.errors import ConfigError

__all__ = ["SCALE", "SCALE_SOURCE", "Support", "support"]

Favours = Literal["synthetic", "pristine", "neither"]

SCALE = (
    (1e6, "extremely strong support"),
    (1e4, "very strong support"),
    (1e3, "strong support"),
    (1e2, "moderately strong support"),
    (10.0, "moderate support"),
    (2.0, "weak support"),
)  # lowest ratio and its words
SCALE_SOURCE = "ENFSI guideline for evaluative reporting in forensic science, 2015"
NEITHER = "no support for either"


@dataclasses.dataclass(frozen=True, slots=True)
class Support:
    """What a likelihood ratio says in words."""

    words: str
    favours: Favours

    @property
    def sentence(self) -> str:
        """The words with what they are about."""
        if self.favours == "neither":
            return "the findings support neither proposition over the other"
        other = "pristine" if self.favours == "synthetic" else "synthetic"
        return (
            f"the findings give {self.words} to the proposition that the faces are "
            f"{self.favours} over the proposition that they are {other}"
        )


def support(ratio: float) -> Support:
    """Return a likelihood ratio, synthetic over pristine, in words.

    Raises:
        ConfigError: it is not a positive number.
    """
    if not ratio > 0 or math.isinf(ratio):
        raise ConfigError(f"a likelihood ratio is {ratio}; it must be positive and finite.")
    strength = max(ratio, 1 / ratio)
    favours: Favours = "synthetic" if ratio > 1 else "pristine"
    for least, words in SCALE:
        if strength >= least:
            return Support(words, favours)
    return Support(NEITHER, "neither")
