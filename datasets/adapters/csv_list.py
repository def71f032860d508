"""Any set that is listed in a CSV file, a row a clip, its columns named as `Clip`'s fields."""

import dataclasses
from collections.abc import Iterator, Mapping
from pathlib import Path

from obverse.clip import Clip, Label
from obverse.datasets.adapter import ABSENT, About, Findings, Place, clip_id, require_found
from obverse.datasets.label_files import read_csv
from obverse.errors import ConfigError, InputError

__all__ = ["CsvList"]

_WORDS: dict[str, Label] = {
    "pristine": "pristine",
    "real": "pristine",
    "synthetic": "synthetic",
    "fake": "synthetic",
}
_TEXTS = ("dataset", "method", "identity", "donor", "speaker", "split", "mask_path", "rights")
_NUMBERS = ("frames", "width", "height")
_SEGMENTS = ("fake_segments", "sound_segments")
_ATTRIBUTE = "attribute."
_KNOWN = ("path", "label", "sound", "twin", "fps", *_TEXTS, *_NUMBERS, *_SEGMENTS)


_ABOUT = About(
    title="a CSV file",
    layout="a header with path and label, and a row a clip",
    official=(),
    splits="the file's column split, if it has one",
    terms="yours to know",
    reference="",
    notes=(
        "Columns: path, label (pristine or real, synthetic or fake) and, as far as known, "
        f"{', '.join(name for name in _KNOWN if name not in ('path', 'label'))}, and "
        f"{_ATTRIBUTE}NAME. Segments are seconds, such as 0.5-1.25;3-4. `twin` is the path of "
        "the pristine clip.",
    ),
)


@dataclasses.dataclass(frozen=True, slots=True)
class CsvList:
    """Reads a CSV file of clips; paths in it start at its folder."""

    about: About = _ABOUT

    def read(self, place: Place, findings: Findings) -> Iterator[Clip]:
        """Yield the listed clips that are there."""
        if not place.root.is_file():
            raise InputError(f"{place.root} is no file; name a CSV file with a row a clip.")
        return require_found(_clips(place.root, findings), place, self.about)


def _clips(listed: Path, findings: Findings) -> Iterator[Clip]:
    for number, row in enumerate(read_csv(listed, ("path", "label")), start=2):
        unknown = [name for name in row if name not in _KNOWN and not name.startswith(_ATTRIBUTE)]
        if unknown:
            raise InputError(
                f"{listed} has the column {unknown[0]}; it may have {', '.join(_KNOWN)} and "
                f"{_ATTRIBUTE}NAME."
            )
        path = row["path"]
        if not (listed.parent / path).exists():
            findings.note(ABSENT, path)
            continue
        try:
            yield _clip(row)
        except (ConfigError, ValueError) as error:
            raise InputError(f"line {number} of {listed} cannot be used: {error}") from error


def _clip(row: Mapping[str, str]) -> Clip:
    label = _label(row["label"])
    texts = {name: row[name] for name in _TEXTS if row.get(name)}
    twin = row.get("twin")
    return Clip(
        id=clip_id("csv", row["path"]),
        path=row["path"],
        label=label,
        sound=_label(row["sound"]) if row.get("sound") else None,
        kind="generated" if label == "synthetic" else "camera",
        fps=float(row["fps"]) if row.get("fps") else 25.0,
        parents={"twin": clip_id("csv", twin)} if twin else {},
        attributes={
            name.removeprefix(_ATTRIBUTE): value
            for name, value in row.items()
            if name.startswith(_ATTRIBUTE) and value
        },
        **texts,  # type: ignore[arg-type]
        **{name: int(row[name]) for name in _NUMBERS if row.get(name)},  # type: ignore[arg-type]
        **{name: _segments(row[name]) for name in _SEGMENTS if row.get(name)},  # type: ignore[arg-type]
    )


def _label(word: str) -> Label:
    if word.lower() not in _WORDS:
        raise ConfigError(
            f"{word!r} is no label; write pristine or real, synthetic or fake (0 and 1 mean "
            "opposite things in different sets)."
        )
    return _WORDS[word.lower()]


def _segments(text: str) -> tuple[tuple[float, float], ...]:
    pairs = (piece.split("-") for piece in text.split(";") if piece.strip())
    return tuple((float(start), float(end)) for start, end in pairs)
