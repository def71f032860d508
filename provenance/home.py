"""Where obverse keeps what belongs to its user: the development identity and the registry."""

import os
from pathlib import Path

import platformdirs

from obverse.errors import ProvenanceError

__all__ = ["HOME_VARIABLE", "data_directory"]

HOME_VARIABLE = "OBVERSE_HOME"


def data_directory() -> Path:
    """Return the user's data directory, `$OBVERSE_HOME` or the platform's own, made if absent."""
    chosen = os.environ.get(HOME_VARIABLE)
    path = (
        Path(chosen).expanduser()
        if chosen
        else Path(platformdirs.user_data_dir("obverse", appauthor=False))
    )
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise ProvenanceError(
            f"the data directory {path} cannot be made ({error.strerror}); "
            f"set {HOME_VARIABLE} elsewhere."
        ) from error
    return path
