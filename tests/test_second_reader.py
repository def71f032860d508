"""Every kind of file that leaves here is accepted by a second, independent reader, too."""

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import encypher_c2pa
import numpy as np
import numpy.typing as npt
import pytest
from authorities import time_stamp_authority

from obverse.clip import Clip
from obverse.generator.release import release, release_still
from obverse.media.still import write_still
from obverse.provenance.certificates import Issued
from obverse.provenance.home import HOME_VARIABLE
from obverse.provenance.identity import SigningIdentity
from obverse.provenance.verify import verify

SIZE = 256
STAMP_ROOT = Issued.authority("test time-stamp root", 3650, 1)
CLIP = Clip(
    id="3e" * 16, path="", label="synthetic", kind="generated", method="talk", seed=3,
    rights="synthetic", fps=25.0,
)  # fmt: skip
# The library cannot staple what an OCSP responder says; a conforming product has to.
NOT_YET = {"com.encypher.conformance.revocationInformationMissing"}


@pytest.fixture(autouse=True)
def _home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(HOME_VARIABLE, str(tmp_path / "home"))


def _frames(count: int = 20) -> Iterator[npt.NDArray[np.uint8]]:
    rng = np.random.default_rng(5)
    rows, columns = np.mgrid[0:SIZE, 0 : SIZE + 2 * count]
    waves = 90 + 60 * np.sin(rows / 17.0) * np.cos(columns / 23.0)
    wide = np.clip(waves + rng.normal(0, 9, waves.shape), 0, 255).astype(np.uint8)
    for index in range(count):
        view = wide[:, 2 * index : 2 * index + SIZE]
        yield np.ascontiguousarray(np.stack([view, view, 255 - view], -1))


def _theirs(path: Path, identity: SigningIdentity, *, strict: bool) -> Any:
    return encypher_c2pa.verify(
        str(path),
        trust_pem=identity.anchors.decode(),
        tsa_trust_pem=identity.time_stamp_anchors.decode() or None,
        no_default_trust=True,
        strict_conformance=strict,
        telemetry=False,
    )


def _accepted(path: Path, identity: SigningIdentity) -> None:
    """Both readers trust a file, and the rules of the conformance program find nothing else."""
    stamps = identity.time_stamp_anchors
    assert verify(path, identity.anchors, time_stamp_anchors=stamps).state == "trusted"
    theirs = _theirs(path, identity, strict=False)
    assert theirs["validation_state"] == "Trusted"
    assert theirs["validation_results"]["failure"] == []
    strict = _theirs(path, identity, strict=True)["validation_results"]["failure"]
    expected = NOT_YET if identity.time_stamp_url else NOT_YET | {
        "com.encypher.conformance.trustedTimeStampMissing"
    }  # fmt: skip
    assert {failure["code"] for failure in strict} == expected


def _identity(url: str | None) -> SigningIdentity:
    stamps = STAMP_ROOT.certificate_pem if url else b""
    return dataclasses.replace(
        SigningIdentity.default(), time_stamp_url=url, time_stamp_anchors=stamps
    )


def test_a_film_with_sound_and_inputs(tmp_path: Path) -> None:
    portrait = tmp_path / "portrait.png"
    write_still(portrait, next(_frames(1)))
    sound = (np.sin(np.arange(16000) / 20.0) / 2).astype(np.float32)
    with time_stamp_authority(STAMP_ROOT) as url:
        identity = _identity(url)
        release(
            _frames(), CLIP, tmp_path / "clip.mp4", audio=(sound, 16000), identity=identity,
            inputs={"portrait": portrait},
        )  # fmt: skip
    _accepted(tmp_path / "clip.mp4", identity)


def test_a_pristine_film_of_a_released_one(tmp_path: Path) -> None:
    identity = _identity(None)
    release(_frames(), CLIP, tmp_path / "source.mp4", identity=identity)
    camera = CLIP.replace(id="4e" * 16, label="pristine", kind="camera", method=None)
    release(
        _frames(), camera, tmp_path / "clip.mp4", identity=identity,
        inputs={"source": tmp_path / "source.mp4"},
    )  # fmt: skip
    _accepted(tmp_path / "clip.mp4", identity)


@pytest.mark.parametrize("suffix", ["png", "jpg", "webp"])
def test_a_still(tmp_path: Path, suffix: str) -> None:
    identity = _identity(None)
    rendered = CLIP.replace(label="pristine", kind="rendered", method=None)
    release_still(next(_frames(1)), rendered, tmp_path / f"face.{suffix}", identity=identity)
    _accepted(tmp_path / f"face.{suffix}", identity)
