"""DeepSpeak v1.1 and v2: people before their webcams, with faces, lips and voices made anew."""

import dataclasses
import re
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath

from obverse.clip import Clip, Label, Split
from obverse.datasets.adapter import (
    ABSENT,
    UNLISTED,
    UNNAMED,
    About,
    Count,
    Findings,
    Place,
    clip_id,
    require_found,
)
from obverse.datasets.label_files import find_label_file, read_csv
from obverse.datasets.walk import films_below
from obverse.errors import InputError

__all__ = ["DEEPSPEAK_V1", "DEEPSPEAK_V2", "DeepSpeak"]

_SPLIT_FILE, _FAKE_FILE = "annotations-split-def.csv", "annotations-fake.csv"
_SPLITS: dict[str, Split] = {"train": "train", "val": "val", "test": "test"}
_REAL = re.compile(r"(?P<identity>\d+)-(?P<recording>\d+)")  # IDENTITY-RECORDING.mp4
_NO_VOICE = frozenset({"", "none", "real", "original", "nan"})  # of audio-config


@dataclasses.dataclass(frozen=True, slots=True)
class DeepSpeak:
    """Reads a release of DeepSpeak: its three tables, and the films of its unpacked archives."""

    name: str
    about: About

    def read(self, place: Place, findings: Findings) -> Iterator[Clip]:
        """Yield the recordings, then what was made of them."""
        root = place.root
        splits = _official(find_label_file(root, [_SPLIT_FILE], self.about.title))
        listed = find_label_file(root, [_FAKE_FILE], self.about.title)
        there: dict[str, str] = {}
        for path in films_below(root):
            there.setdefault(PurePosixPath(path).name, path)
        clips = self._clips(there, splits, listed, findings)
        return require_found(clips, place, self.about)

    def _clips(
        self, there: dict[str, str], splits: Mapping[str, Split], listed: Path, findings: Findings
    ) -> Iterator[Clip]:
        fakes = {_file_of(row): row for row in read_csv(listed, ("video-file", "engine"))}
        for name in sorted(there.keys() - fakes.keys()):
            match = _REAL.fullmatch(PurePosixPath(name).stem)
            if match is None:
                findings.note(UNNAMED if name.startswith(".") else UNLISTED, there[name])
                continue
            yield Clip(
                id=clip_id(self.name, name),
                path=there[name],
                dataset=self.name,
                label="pristine",
                sound="pristine",
                kind="camera",
                identity=f"deepspeak:{match['identity']}",
                split=splits.get(match["identity"]),
            )
        for name, row in sorted(fakes.items()):
            if name in there:
                yield self._fake(there[name], name, row, splits)
            else:
                findings.note(ABSENT, name)

    def _fake(
        self, path: str, name: str, row: Mapping[str, str], splits: Mapping[str, Split]
    ) -> Clip:
        target, source = row.get("identity-target", ""), row.get("identity-source", "")
        recording = row.get("recording-target", "")
        twin = f"{target}-{recording}.mp4" if target and recording else None
        return Clip(
            id=clip_id(self.name, name),
            path=path,
            dataset=self.name,
            label="synthetic",
            sound=_voice(row),
            kind="generated",
            method=row["engine"].lower(),
            identity=f"deepspeak:{target}" if target else None,
            donor=f"deepspeak:{source}" if source and source != target else None,
            split=splits.get(target),
            parents={} if twin is None else {"twin": clip_id(self.name, twin)},
            attributes={
                key: row[key]
                for key in ("kind", "audio-config", "gesture-type", "script-type")
                if row.get(key)
            },
        )


def _file_of(row: Mapping[str, str]) -> str:
    name = PurePosixPath(row["video-file"]).name
    return name if PurePosixPath(name).suffix else f"{name}.mp4"


def _voice(row: Mapping[str, str]) -> Label:
    """Return the sound's label: v2 names the voice's engine, v1 says whether it was generated."""
    generated = row.get("recording-target-ai-generated", "").lower() == "true"
    cloned = row.get("audio-config", "").lower() not in _NO_VOICE
    return "synthetic" if generated or cloned else "pristine"


def _official(path: Path) -> dict[str, Split]:
    splits: dict[str, Split] = {}
    for row in read_csv(path, ("identity", "split")):
        split = _SPLITS.get(row["split"].lower())
        if split is None:
            raise InputError(f"{path} puts {row['identity']} into {row['split']!r}; copy it anew.")
        splits[row["identity"]] = split
    return splits


_TERMS = "DeepSpeak licence: free for academic institutions, on request"
_LAYOUT = (
    "annotations-split-def.csv, annotations-fake.csv, and the films of the unpacked archives in "
    "any folders"
)
_OFFICIAL = "annotations-split-def.csv puts people into train or test; val is drawn from train"

DEEPSPEAK_V1 = DeepSpeak(
    name="deepspeak-v1",
    about=About(
        title="DeepSpeak v1.1",
        layout=_LAYOUT,
        official=("train", "test"),
        splits=_OFFICIAL,
        published=(
            Count(clips=6667, where={"label": "pristine"}),
            Count(clips=6796, where={"label": "synthetic"}),
        ),
        terms=_TERMS,
        reference="https://huggingface.co/datasets/faridlab/deepspeak_v1_1",
    ),
)
DEEPSPEAK_V2 = DeepSpeak(
    name="deepspeak-v2",
    about=About(
        title="DeepSpeak v2",
        layout=_LAYOUT,
        official=("train", "test"),
        splits=_OFFICIAL,
        published=(
            Count(clips=9376, where={"label": "pristine"}),
            Count(clips=7209, where={"label": "synthetic"}),
        ),
        terms=_TERMS,
        reference="https://huggingface.co/datasets/faridlab/deepspeak_v2",
    ),
)
