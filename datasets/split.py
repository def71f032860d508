"""Splits that share no identity, no voice and no source, drawn by hash.

Clips that have any of these in common hang together and go to one split. Which one depends only on
what hangs together and on the seed, not on the order or the number of the other clips.
`assign_splits` does so for clips in memory; a `Partition` for as many as a set has.
"""

import collections
import hashlib
import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Literal

from obverse.clip import Clip, Split
from obverse.errors import ConfigError

__all__ = ["DEFAULT_SHARES", "Partition", "Tie", "assign_splits", "find_leaks"]

Tie = Literal["identity", "voice", "source"]

TIES: tuple[Tie, ...] = ("identity", "voice", "source")
SPLITS: tuple[Split, ...] = ("train", "val", "test")
DEFAULT_SHARES: Mapping[Split, float] = {"train": 0.6, "val": 0.2, "test": 0.2}
_PERSON = "person "
_FILM = "film"  # the role of a recording that a clip was cut out of; others may be in it too
_LARGEST_GROUP = 0.7  # of all clips that one group may hold before it is cut


def _keys(clip: Clip, ties: Sequence[Tie]) -> Iterator[tuple[Tie, str]]:
    """Yield what ties a clip to others, such as ("voice", "rms")."""
    if "identity" in ties:
        for person in (clip.identity, clip.donor):
            if person is not None:
                yield "identity", person
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
    return _draw(min(c.identity if c.identity is not None else c.id for c in component), seed)


def _draw(name: str, seed: int) -> float:
    digest = hashlib.sha256(f"{seed}:{name}".encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64


def _bounds(shares: Mapping[Split, float]) -> list[tuple[Split, float]]:
    """Return the splits with the upper bound of each one's part of [0, 1].

    Raises:
        ConfigError: the shares are not usable.
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
    ends = itertools.accumulate(shares[name] / total for name in names)
    return list(zip(names, ends, strict=True))


def _choose(draw: float, bounds: Sequence[tuple[Split, float]]) -> Split:
    return next((name for name, bound in bounds if draw < bound), bounds[-1][0])


class Partition:
    """People in splits: told of all clips first, then asked for each one's split.

    What is held are names of people, not clips. A clip shows people (its identity, its donor), and
    is cut out of a film that may show others; one that names nobody is tied by the recordings it
    was made from. People who meet in a clip go to one split together. Where face swaps tie most of
    a set into one group, no split could be made of it: then (`cut`) everybody is drawn alone, and a
    clip whose people fall into two splits belongs to none.
    """

    def __init__(self, shares: Mapping[Split, float] = DEFAULT_SHARES, *, seed: int = 0) -> None:
        """Take the expected share of each split; another seed draws other splits.

        Raises:
            ConfigError: the shares are not usable.
        """
        self.cut = False  # whether people are drawn one by one
        self._bounds = _bounds(shares)
        self._seed = seed
        self._parent: dict[str, str] = {}
        self._clips: collections.Counter[str] = collections.Counter()
        self._name: dict[str, str] | None = None

    def add(self, clip: Clip) -> None:
        """Take note of a clip's people."""
        first, *others = _people(clip)
        self._clips[first] += 1
        root = self._root(first)
        for other in others:
            self._parent[self._root(other)] = root

    def close(self) -> None:
        """Settle the groups, once all clips were added."""
        sizes: collections.Counter[str] = collections.Counter()
        name: dict[str, str] = {}
        for person in self._parent:
            root = self._root(person)
            sizes[root] += self._clips[person]
            name[root] = min(name.get(root, person), person)
        largest = max(sizes.values(), default=0)
        # A group that is larger than any split should be leaves the others to crumbs.
        self.cut = len(self._parent) > 1 and largest > _LARGEST_GROUP * sum(sizes.values())
        self._name = name

    def split_of(self, clip: Clip) -> Split | None:
        """Return a clip's split; None where its people are in two."""
        assert self._name is not None, "close() comes first"
        found = set()
        people = _people(clip)
        if self.cut and people[0].startswith(_PERSON):
            names = [name for name in people if name.startswith(_PERSON)]
        else:
            names = [self._name[self._root(name)] for name in people]
        for name in names:
            found.add(_choose(_draw(name, self._seed), self._bounds))
        return found.pop() if len(found) == 1 else None

    def _root(self, person: str) -> str:
        parent = self._parent
        parent.setdefault(person, person)
        while parent[person] != person:
            parent[person] = parent[parent[person]]
            person = parent[person]
        return person


def _people(clip: Clip) -> list[str]:
    people = [_PERSON + name for name in (clip.identity, clip.donor) if name is not None]
    if people:
        films = [clip.parents[_FILM]] if _FILM in clip.parents else []
        return people + [f"recording {name}" for name in films]
    return [f"recording {name}" for name in (clip.id, *clip.parents.values())]


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
    bounds = _bounds(shares)
    chosen: dict[str, Split] = {}
    components = _components(clips, ties)
    for component in components:
        split = _choose(_uniform(component, seed), bounds)
        chosen.update({clip.id: split for clip in component})
    if clips and (empty := [name for name, _ in bounds if name not in chosen.values()]):
        raise ConfigError(
            f"no clip falls into {empty[0]}: the {len(clips)} clips form {len(components)} groups "
            f"that share no {', '.join(ties)}; try another seed, fewer ties or more identities."
        )
    return [clip.replace(split=chosen[clip.id]) for clip in clips]


def find_leaks(clips: Iterable[Clip], ties: Sequence[Tie] = TIES) -> list[str]:
    """Return a sentence for each identity, voice or source in more than one split."""
    bit = {split: 1 << number for number, split in enumerate(SPLITS)}
    seen: dict[Tie, dict[str, int]] = {tie: {} for tie in sorted(ties)}
    for clip in clips:
        if clip.split is not None:
            for tie, name in _keys(clip, ties):
                seen[tie][name] = seen[tie].get(name, 0) | bit[clip.split]
    return [
        f"{tie} {name} is in {' and '.join(sorted(s for s in SPLITS if splits & bit[s]))}"
        for tie, names in seen.items()
        for name, splits in sorted(names.items())
        if splits & (splits - 1)
    ]
