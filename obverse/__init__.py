"""obverse: talking heads that say they are minted, and detectors that can tell."""

from obverse.clip import Clip, Score
from obverse.errors import ObverseError

__all__ = ["Clip", "ObverseError", "Score", "__version__"]

__version__ = "0.1.0"
