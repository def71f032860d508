"""obverse: talking heads that say they are minted, and detectors that can tell."""

import os

from obverse.clip import Clip, Score
from obverse.errors import ObverseError

__all__ = ["Clip", "ObverseError", "Score", "__version__"]

__version__ = "0.1.0"

# ONNX Runtime reports its use to its maker unless it is told not to before it is imported. Whoever
# wants that sets the variable to 0.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
