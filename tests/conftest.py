from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from obverse.clip import Clip, Split
from obverse.datasets.table import write_clips
from obverse.faces.landmarks import Face, FaceReader
from obverse.faces.pose import canonical_face
from obverse.generator.portrait import Portrait, make_portrait
from obverse.generator.sitters.sitter import Sitter
from obverse.media.video import VideoWriter
from obverse.weights import sha256_file

# The detector's tests use small films of smooth colours whose faces are told to the reader, not
# found. The synthetic twin of each has faint stripes.
FILM_PX = 96
FILM_FRAMES = 6
FILM_SPLITS: tuple[Split, ...] = ("train", "train", "train", "val", "test", "test")


@pytest.fixture(scope="session")
def shared() -> Path:
    """Return the folder of test inputs beside the checkout; tests that need it skip without."""
    folder = Path(__file__).resolve().parents[2] / "shared"
    if not (folder / "portraits").is_dir():
        pytest.skip("no ../shared beside this checkout")
    return folder


@pytest.fixture(scope="session")
def face_reader() -> FaceReader:
    return FaceReader()


@pytest.fixture(scope="session")
def sitter_portrait(face_reader: FaceReader) -> Portrait:
    sitter = next(
        sitter
        for sitter in map(Sitter.from_seed, range(100))
        if sitter.attributes["glasses"] == "no" and sitter.attributes["hair_style"] == "short"
    )
    return make_portrait(sitter.still(512), "0" * 64, reader=face_reader)


class _SameFace(FaceReader):
    """Sees one face in the middle of every picture, and none in a black one."""

    def __init__(self, threads: int = 1) -> None:
        del threads

    def survey(self, image: npt.NDArray[np.uint8], search_px: int = 640) -> list[Face]:
        """Return the face, whatever is in the picture."""
        del search_px
        if image.max() < 30:
            return []
        mesh = canonical_face().vertices * (FILM_PX / 4) + (FILM_PX / 2, FILM_PX / 2, 0)
        landmarks = np.concatenate([mesh, np.tile(mesh[:1], (10, 1))]).astype(np.float32)
        box = np.concatenate([mesh[:, :2].min(axis=0), mesh[:, :2].max(axis=0)]).astype(np.float32)
        return [Face(box, 0.9, landmarks, 0.99, np.zeros(52, np.float32))]

    def read(self, image: npt.NDArray[np.uint8], *, drawn: bool = False) -> list[Face]:
        """Return the same."""
        del drawn
        return self.survey(image)


def _write_film(path: Path, rng: np.random.Generator, striped: bool) -> None:
    y, x = np.mgrid[:FILM_PX, :FILM_PX] / FILM_PX
    colour, wave = rng.uniform(60, 190, 3), rng.uniform(1, 4, 2)
    still = colour + 30 * np.sin(6 * (wave[0] * x + wave[1] * y))[..., None]
    if striped:  # what a poor generator might leave
        still += 25 * np.sign(np.sin(np.arange(FILM_PX) * np.pi / 4))[None, :, None]
    with VideoWriter(path, FILM_PX, FILM_PX, 25) as writer:
        for _ in range(FILM_FRAMES):
            frame = np.clip(still + rng.normal(0, 4, still.shape), 30, 255)
            writer.write(frame.astype(np.uint8))


def _make_films(folder: Path) -> list[Clip]:
    """Write two films an identity, pristine and synthetic twins, and return their clips."""
    rng = np.random.default_rng(0)
    clips = []
    for person, split in enumerate(FILM_SPLITS):
        for label in ("pristine", "synthetic"):
            name = f"{label}{person}"
            path = folder / f"{name}.mp4"
            _write_film(path, rng, striped=label == "synthetic")
            synthetic = label == "synthetic"
            clips.append(
                Clip(
                    id=name,
                    path=path.name,
                    sha256=sha256_file(path),
                    label="synthetic" if synthetic else "pristine",
                    kind="generated" if synthetic else "rendered",
                    method="stripes" if synthetic else None,
                    parents={"twin": f"pristine{person}"} if synthetic else {},
                    identity=f"p{person}",
                    split=split,
                    frames=FILM_FRAMES,
                    width=FILM_PX,
                    height=FILM_PX,
                )
            )
    return clips


@pytest.fixture(scope="session")
def film_table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the table of twelve films; a black and a damaged one join the test split."""
    folder = tmp_path_factory.mktemp("films")
    clips = _make_films(folder)
    with VideoWriter(folder / "black.mp4", FILM_PX, FILM_PX, 25) as writer:
        for _ in range(FILM_FRAMES):
            writer.write(np.zeros((FILM_PX, FILM_PX, 3), np.uint8))
    (folder / "damaged.mp4").write_bytes(b"not a film at all" * 50)
    for name in ("black", "damaged"):
        clips.append(
            Clip(id=name, path=f"{name}.mp4", label="pristine", kind="camera", split="test")
        )
    write_clips(folder / "clips.parquet", clips)
    return folder / "clips.parquet"


@pytest.fixture
def same_face(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the detector see one face in every picture that is not black."""
    monkeypatch.setattr("obverse.detector.crop_store.open_reader", _SameFace)
    monkeypatch.setattr("obverse.detector.score.open_reader", _SameFace)
