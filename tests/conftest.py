from pathlib import Path

import pytest

from obverse.faces.landmarks import FaceReader
from obverse.generator.portrait import Portrait, make_portrait
from obverse.generator.sitters.sitter import Sitter


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
    return make_portrait(Sitter.from_seed(3).still(512), "0" * 64, reader=face_reader)
