"""Splits that share no identity, no voice and no source, drawn by hash.

Clips that have any of these in common hang together and go to one split. Which one depends only on
what hangs together and on the seed, not on the order or the number of the other clips.
"""

import hashlib
import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import Literal

from obverse.clip import Clip, Split
from obverse.errors import ConfigError

__all__ = ["DEFAULT_SHARES", "Tie", "assign_splits", "find_leaks"]

Tie = Literal["identity", "voice", "source"]

TIES: tuple[Tie, ...] = ("identity", "voice", "source")
SPLITS: tuple[Split, ...] = ("train", "val", "test")
DEFAULT_SHARES: Mapping[Split, float] = {"train": 0.6, "val": 0.2, "test": 0.2}


def _keys(clip: Clip, ties: Sequence[Tie]) -> Iterator[tuple[Tie, str]]:
    """Yield what ties a clip to others, such as ("voice", "rms")."""
    if "identity" in ties and clip.identity is not None:
        yield "identity", clip.identity
    if "voice" in ties and clip.speaker is not None:
        yield "voice", clip.speaker
    if "source" in ties:
        # A parent is a clip's id or a file's hash; a clip is the source of those that name it as
        # theirs.
        yield "source", clip.id
        for parent in clip.parents.values():
            yield "source", parent


def _components(clips: Sequence[Clip], ties: Sequence[Tie]) -> list[list[Clip]]:
    """Return the sets of clips that hang together, by union and find."""
    parent = list(range(len(clips)))

    def root(index: int) -> int:
        while parent[index] != index:
            parent[index] = parent[parent[index]]
            index = parent[index]
        return index

    first: dict[tuple[Tie, str], int] = {}
    for index, clip in enumerate(clips):
        for key in _keys(clip, ties):
            parent[root(index)] = root(first.setdefault(key, index))
    found: dict[int, list[Clip]] = {}
    for index, clip in enumerate(clips):
        found.setdefault(root(index), []).append(clip)
    return list(found.values())


def _uniform(component: Sequence[Clip], seed: int) -> float:
    """Return a number in [0, 1) that depends on the component's smallest name and the seed."""
    name = min(clip.identity if clip.identity is not None else clip.id for clip in component)
    digest = hashlib.sha256(f"{seed}:{name}".encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64


def assign_splits(
    clips: Sequence[Clip],
    shares: Mapping[Split, float] = DEFAULT_SHARES,
    *,
    seed: int = 0,
    ties: Sequence[Tie] = TIES,
) -> list[Clip]:
    """Return the clips, in their order, with their split set.

    Args:
        clips: the clips; splits they have already are overwritten.
        shares: the expected share of each split; they need not sum to 1.
        seed: another seed draws other splits.
        ties: what may not be shared across splits.

    Raises:
        ConfigError: the shares are not usable, or a split that has a share got no clip.
    """
    wrong = [str(name) for name in shares if name not in SPLITS]
    if (
        wrong
        or any(not 0 <= share < float("inf") for share in shares.values())
        or not sum(shares.values())
    ):
        raise ConfigError(
            f"the shares of the splits are {dict(shares)}; "
            f"give numbers of at least 0 to {', '.join(SPLITS)}."
        )
    total = sum(shares.values())
    names = [name for name in SPLITS if shares.get(name, 0) > 0]
    bounds = list(itertools.accumulate(shares[name] / total for name in names))
    chosen: dict[str, Split] = {}
    components = _components(clips, ties)
    for component in components:
        draw = _uniform(component, seed)
        split = next((n for n, bound in zip(names, bounds, strict=True) if draw < bound), names[-1])
        chosen.update({clip.id: split for clip in component})
    if clips and (empty := [name for name in names if name not in chosen.values()]):
        raise ConfigError(
            f"no clip falls into {empty[0]}: the {len(clips)} clips form {len(components)} groups "
            f"that share no {', '.join(ties)}; try another seed, fewer ties or more identities."
        )
    return [clip.replace(split=chosen[clip.id]) for clip in clips]


def find_leaks(clips: Sequence[Clip], ties: Sequence[Tie] = TIES) -> list[str]:
    """Return a sentence for each identity, voice or source in more than one split."""
    seen: dict[tuple[Tie, str], set[str]] = {}
    for clip in clips:
        if clip.split is not None:
            for key in _keys(clip, ties):
                seen.setdefault(key, set()).add(clip.split)
    return [
        f"{tie} {name} is in {' and '.join(sorted(splits))}"
        for (tie, name), splits in sorted(seen.items())
        if len(splits) > 1
    ]
