"""Bootstrap: intervals of metrics from samples of clips, or of groups of clips, drawn anew."""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import numpy.typing as npt

from obverse.errors import ConfigError
from obverse.eval.counted import Counted

__all__ = ["SAMPLES", "Draws", "bootstrap", "percentile_bounds", "require_level"]

Floats = npt.NDArray[np.float64]

SAMPLES = 2000
_CELLS = 1_000_000  # of a matrix of counts that is drawn at a time
_CACHED = 50_000  # of one that is measured at a time: it and what is made of it stay in a cache


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class Draws:
    """Which clips are drawn together, and within what.

    A group is drawn whole. Groups are drawn within strata: those of pristine clips alone, of
    synthetic clips alone, and of both, so that no sample lacks a class.
    """

    group_of: npt.NDArray[np.intp]  # [N] of the clips
    strata: tuple[npt.NDArray[np.intp], ...]  # the groups of each stratum

    @classmethod
    def of(cls, truth: npt.NDArray[np.bool_], groups: Sequence[object] | None = None) -> "Draws":
        """Prepare to draw clips, or groups where each clip's is named.

        Raises:
            ConfigError: there is not one group a clip.
        """
        if groups is None:
            group_of = np.arange(len(truth))
        elif len(groups) != len(truth):
            raise ConfigError(
                f"there are {len(groups)} groups for {len(truth)} clips; give one a clip."
            )
        else:
            codes: dict[object, int] = {}
            group_of = np.array([codes.setdefault(name, len(codes)) for name in groups], np.intp)
        count = int(group_of.max()) + 1
        synthetic = np.bincount(group_of, weights=truth, minlength=count) > 0
        pristine = np.bincount(group_of, weights=~truth, minlength=count) > 0
        kinds = synthetic + 2 * pristine
        members = (np.flatnonzero(kinds == kind) for kind in (1, 2, 3))
        return cls(group_of, tuple(each for each in members if len(each)))

    @property
    def groups(self) -> int:
        """How many there are."""
        return sum(map(len, self.strata))

    def counts(self, rng: np.random.Generator, samples: int) -> Iterator[Floats]:
        """Yield matrices `[B, N]` that say how often each clip is drawn, `samples` rows in all."""
        rows = max(1, _CELLS // len(self.group_of))
        for start in range(0, samples, rows):
            size = min(rows, samples - start)
            drawn = np.zeros((size, self.groups))
            for members in self.strata:
                picked = rng.integers(0, len(members), (size, len(members)))
                picked += len(members) * np.arange(size)[:, None]
                times = np.bincount(picked.ravel(), minlength=size * len(members))
                drawn[:, members] = times.reshape(size, len(members))
            step = max(1, _CACHED // len(self.group_of))
            for first in range(0, size, step):
                yield drawn[first : first + step, self.group_of]


def bootstrap(
    metrics: Mapping[str, Counted], draws: Draws, *, rng: np.random.Generator, samples: int
) -> dict[str, Floats]:
    """Return the values of metrics in `samples` samples, the same samples for all of them.

    Raises:
        ConfigError: no sample is to be drawn.
    """
    if samples < 1:
        raise ConfigError(f"a bootstrap of {samples} samples is not possible; draw at least 1.")
    found: dict[str, list[Floats]] = {name: [] for name in metrics}
    for counts in draws.counts(rng, samples):
        for name, metric in metrics.items():
            found[name].append(metric(counts))
    return {name: np.concatenate(values) for name, values in found.items()}


def percentile_bounds(values: Floats, level: float) -> tuple[float, float]:
    """Return the bounds of the middle `level` of bootstrapped values."""
    require_level(level)
    low, high = np.quantile(values, [0.5 - level / 2, 0.5 + level / 2])
    return float(low), float(high)


def require_level(level: float) -> None:
    """Refuse a confidence that is none.

    Raises:
        ConfigError: it does not lie between 0 and 1.
    """
    if not 0 < level < 1:
        raise ConfigError(
            f"the confidence level is {level}; it must lie between 0 and 1, such as 0.95."
        )
