"""Every kind of detector by its name."""

from collections.abc import Mapping

from obverse.detector.config import KindName
from obverse.detector.frame import FrameKind
from obverse.detector.frequency import FrequencyKind
from obverse.detector.kind import Kind
from obverse.detector.selfblend import SelfBlendKind
from obverse.detector.sync import SyncKind
from obverse.detector.temporal import TemporalKind

__all__ = ["DETECTORS"]

DETECTORS: Mapping[KindName, Kind] = {
    "frame": FrameKind(),
    "frequency": FrequencyKind(),
    "temporal": TemporalKind(),
    "selfblend": SelfBlendKind(),
    "sync": SyncKind(),
}
