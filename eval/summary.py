"""One detector's scores against the labels, with everything counted that has no score."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np

from obverse.clip import Clip, Judged, Score, Split
from obverse.errors import ConfigError
from obverse.eval.metrics import Interval, auc_interval, bootstrap_auc, eer

__all__ = ["Summary", "summarise"]

WIDE = 0.1  # of the AUC's interval, from which on a number alone would mislead
PEOPLE_FEW = 10  # below, an interval over people is itself unsure


@dataclasses.dataclass(frozen=True, slots=True)
class Summary:
    """What a detector did on some clips."""

    judged: Judged  # what makes a clip synthetic here: its picture, or its picture or sound
    synthetic: int  # clips with a score
    pristine: int
    missing: int  # clips without a face
    errors: int  # clips that could not be read
    identities: int  # among the clips with a score
    auc: Interval | None  # closed form; None unless both classes have scores
    auc_by_clip: Interval | None  # bootstrap
    auc_by_identity: Interval | None  # bootstrap; None also where a clip's identity is unknown
    eer: float | None

    @property
    def caution(self) -> str | None:
        """What a reader must know before believing the AUC; None where there is nothing."""
        if self.auc is None:
            return None
        if self.auc.high - self.auc.low > WIDE:
            return (
                f"{self.synthetic} synthetic and {self.pristine} pristine clips say little: the "
                f"AUC may lie anywhere from {self.auc.low:.2f} to {self.auc.high:.2f}, and the EER "
                "is as unsure."
            )
        if self.auc_by_identity is None:
            return "not every clip says who is on screen; clips of one person are alike."
        if self.identities < PEOPLE_FEW:
            return f"{self.identities} people are few: of others the AUC may be another."
        return None

    def to_json(self) -> dict[str, Any]:
        """Return it as plain values."""
        return {**dataclasses.asdict(self), "caution": self.caution}


def summarise(
    clips: Sequence[Clip],
    scores: Sequence[Score],
    *,
    split: Split | None = None,
    judged: Judged = "picture",
    seed: int = 0,
    samples: int = 2000,
) -> Summary:
    """Return how well scores tell the synthetic clips from the pristine ones.

    Args:
        clips: the clips with their labels.
        scores: of one detector, one a clip; clips without one are left out.
        split: only clips of this split.
        judged: what the detector judges; where that is sound too, a clip of true picture and
            synthetic sound is synthetic.
        seed: of the bootstrap.
        samples: of the bootstrap.

    Raises:
        ConfigError: the scores are of several detectors, or of none of the clips.
    """
    if len(detectors := sorted({score.detector for score in scores})) > 1:
        raise ConfigError(
            f"the scores are of {', '.join(detectors)}; summarise one detector at a time."
        )
    by_id = {clip.id: clip for clip in clips if split is None or clip.split == split}
    pairs = [(by_id[score.clip], score) for score in scores if score.clip in by_id]
    if not pairs:
        raise ConfigError(
            f"none of the {len(scores)} scores is of a clip of {split or 'the table'}."
        )
    ok = [(clip, score.score) for clip, score in pairs if score.score is not None]
    labels = np.array([clip.synthetic_in(judged) for clip, _ in ok], dtype=bool)
    values = np.array([score for _, score in ok], dtype=np.float64)
    identities = [clip.identity for clip, _ in ok]
    both = bool(labels.any() and not labels.all())
    known = both and None not in identities
    rng = np.random.default_rng(seed)
    return Summary(
        judged=judged,
        synthetic=int(labels.sum()),
        pristine=int((~labels).sum()),
        missing=sum(score.status == "missing" for _, score in pairs),
        errors=sum(score.status == "error" for _, score in pairs),
        identities=len(set(identities)),
        auc=auc_interval(labels, values) if both else None,
        auc_by_clip=bootstrap_auc(labels, values, rng=rng, samples=samples) if both else None,
        auc_by_identity=(
            bootstrap_auc(labels, values, rng=rng, groups=identities, samples=samples)
            if known
            else None
        ),
        eer=eer(labels, values) if both else None,
    )
