"""The verbal scale: each band by its edge, and the mirror image for pristine."""

import pytest

from obverse.audit.likelihood import support
from obverse.errors import ConfigError


@pytest.mark.parametrize(
    ("ratio", "words"),
    [
        (1.0, "no support for either"),
        (1.99, "no support for either"),
        (2.0, "weak support"),
        (10.0, "moderate support"),
        (99.9, "moderate support"),
        (100.0, "moderately strong support"),
        (1000.0, "strong support"),
        (1e4, "very strong support"),
        (1e6, "extremely strong support"),
    ],
)
def test_each_band_has_its_words(ratio: float, words: str) -> None:
    assert support(ratio).words == words
    assert support(1 / (ratio * (1 + 1e-12))).words == words
    if ratio >= 2:
        assert support(ratio).favours == "synthetic"
        assert support(1 / ratio / 1.001).favours == "pristine"
        assert "over the proposition" in support(ratio).sentence


@pytest.mark.parametrize("ratio", [0.0, -1.0, float("inf"), float("nan")])
def test_what_is_no_ratio_is_refused(ratio: float) -> None:
    with pytest.raises(ConfigError, match="positive"):
        support(ratio)
