"""Values of a plan as they stand in YAML: each is refused in a sentence or comes back typed.

What they mean together is the plan's affair.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, get_args

from obverse.clip import Split
from obverse.errors import ConfigError
from obverse.generator.performance import PerformanceConfig
from obverse.media.video import EncodeConfig

__all__ = [
    "SEEDS",
    "SPLITS",
    "count_of",
    "read_controls",
    "read_encode",
    "read_names",
    "read_real",
    "read_shares",
    "read_whole",
    "require_count",
    "require_known",
    "require_seeds",
    "require_split",
]

SPLITS: tuple[Split, ...] = get_args(Split)
SEEDS = "a whole number from 0 to 2**63 - 1"


def read_names(what: str, names: object) -> tuple[str, ...]:
    """Return names out of a list.

    Raises:
        ConfigError: it is something else.
    """
    if not isinstance(names, list | tuple) or not all(isinstance(name, str) for name in names):
        shown = list(names) if isinstance(names, tuple) else names
        raise ConfigError(f"a plan's {what} are {shown!r}; give a list of names.")
    return tuple(names)


def read_controls(entries: object) -> tuple[PerformanceConfig, ...]:
    """Return performance settings out of a list of mappings.

    Raises:
        ConfigError: it is something else.
    """
    if not isinstance(entries, list | tuple):
        raise ConfigError(
            f"a plan's controls are {entries!r}; give a list of mappings, such as "
            "[{head_strength: 0.5}]."
        )
    return tuple(_one_control({} if entry is None else entry) for entry in entries)


def _one_control(values: object) -> PerformanceConfig:
    if not isinstance(values, Mapping):
        known = ", ".join(field.name for field in dataclasses.fields(PerformanceConfig))
        raise ConfigError(f"one of a plan's controls is {values!r}; give a mapping of {known}.")
    return PerformanceConfig.from_dict(values)


def read_shares(values: object) -> dict[Split, float]:
    """Return the splits' shares.

    Raises:
        ConfigError: it is something else.
    """
    if not isinstance(values, Mapping):
        raise ConfigError(
            f"a plan's split is {values!r}; give a mapping of {', '.join(SPLITS)} to shares, such "
            "as {train: 0.6, test: 0.4}."
        )
    return {name: read_real(f"the share of {name}", share) for name, share in values.items()}


def read_encode(values: object) -> EncodeConfig:
    """Return encoder settings out of a mapping; one thread unless it says otherwise.

    Raises:
        ConfigError: it is something else.
    """
    kinds = {field.name: field.type for field in dataclasses.fields(EncodeConfig)}
    if not isinstance(values, Mapping):
        raise ConfigError(
            f"a plan's encode is {values!r}; give a mapping of {', '.join(kinds)}, such as "
            "{crf: 18}."
        )
    unknown = sorted(set(map(str, values)) - set(kinds))
    if unknown:
        raise ConfigError(
            f"a plan's encode knows no {', '.join(unknown)}; it knows {', '.join(kinds)}."
        )
    for name, value in values.items():
        # Checked and not changed: 18 and 18.0 would give a clip two ids.
        if kinds[name] is int:
            read_whole(f"encode's {name}", value)
        elif kinds[name] is float:
            read_real(f"encode's {name}", value)
    settings: dict[str, Any] = {"threads": 1} | dict(values)
    return EncodeConfig(**settings)


def count_of(things: int | Sequence[object]) -> int:
    """Return how many things there are, of a number or of a list."""
    return things if isinstance(things, int) else len(things)


def _is_whole(value: object) -> bool:
    """Whether a value is a whole number; to Python, yes and no are."""
    return isinstance(value, int) and not isinstance(value, bool)


def read_whole(what: str, value: Any) -> int:
    """Return a whole number.

    Raises:
        ConfigError: it is something else.
    """
    if not _is_whole(value):
        raise ConfigError(f"{what} is {value!r}; it must be a whole number.")
    return int(value)


def read_real(what: str, value: Any) -> float:
    """Return a number.

    Raises:
        ConfigError: it is something else.
    """
    if not _is_whole(value) and not isinstance(value, float):
        raise ConfigError(f"{what} is {value!r}; it must be a number.")
    try:
        return float(value)
    except OverflowError:
        raise ConfigError(f"{what} is too large for any use; give a smaller number.") from None


def require_seeds(seeds: tuple[object, ...]) -> None:
    """Refuse what is no seed.

    Raises:
        ConfigError: one is none.
    """
    for seed in seeds:
        if not isinstance(seed, int) or isinstance(seed, bool) or not 0 <= seed < 1 << 63:
            raise ConfigError(
                f"a plan's identities have the seed {seed!r}; each seed must be {SEEDS}."
            )


def require_count(what: str, things: int | tuple[object, ...], most: int) -> None:
    """Refuse a number or list of things that is empty, too long, or names one twice.

    Raises:
        ConfigError: so it is.
    """
    if isinstance(things, bool) or not isinstance(things, int | tuple):
        raise ConfigError(
            f"a plan's {what} are {things!r}; give a whole number from 1 to {most}, or a list."
        )
    if not isinstance(things, int) and len(set(things)) != len(things):
        raise ConfigError(f"a plan names one of its {what} twice: {list(things)}; name each once.")
    if not 1 <= count_of(things) <= most:
        raise ConfigError(
            f"a plan asks for {count_of(things)} {what}; there are 1 to {most} to be had."
        )


def require_known(what: str, names: tuple[str, ...], known: tuple[str, ...]) -> None:
    """Refuse names that are unknown or there twice.

    Raises:
        ConfigError: so it is.
    """
    unknown = [name for name in names if name not in known]
    if unknown or not names or len(set(names)) != len(names):
        raise ConfigError(
            f"a plan's {what} are {list(names)}; choose from {', '.join(known)}, each once."
        )


def require_split(split: Mapping[Split, float]) -> None:
    """Refuse shares of unknown splits, or that are below 0 or all 0.

    Raises:
        ConfigError: so it is.
    """
    wrong = [name for name in split if name not in SPLITS]
    if (
        wrong
        or not split
        or any(not 0 <= share < 1e9 for share in split.values())
        or not sum(split.values())
    ):
        raise ConfigError(
            f"a plan's split is {dict(split)}; give shares to {', '.join(SPLITS)}, such as train: "
            "0.6."
        )
