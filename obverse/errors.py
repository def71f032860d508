"""The one tree of errors.

A message is one sentence: what is wrong, the value, what is allowed, and the fix. The command line
prints it and exits 2; nothing else in the package turns an error into a value.
"""

__all__ = [
    "AuditError",
    "ConfigError",
    "FaceError",
    "InputError",
    "MarkError",
    "ObverseError",
    "OutputExistsError",
    "ProvenanceError",
    "ReleaseError",
    "RightsError",
    "StreamError",
    "WeightsError",
]


class ObverseError(Exception):
    """Anything obverse can explain to its user."""


class InputError(ObverseError):
    """A file cannot be read: absent, empty, damaged, or of a kind that is not understood."""


class FaceError(InputError):
    """A picture holds no face that can be used: none, too small, or turned too far away."""


class ConfigError(ObverseError):
    """A setting has a value that is not allowed."""


class OutputExistsError(ObverseError):
    """The output is there already and nobody said that it may be overwritten."""


class RightsError(ObverseError):
    """A portrait came without a statement of the rights under which it may be used."""


class MarkError(ObverseError):
    """A watermark cannot be embedded, or did not come back after embedding."""


class ProvenanceError(ObverseError):
    """A manifest cannot be made, signed, stored or verified."""


class AuditError(ObverseError):
    """An audit cannot be made, written or read."""


class ReleaseError(ObverseError):
    """A clip failed one of release's checks; nothing was written."""


class StreamError(ObverseError):
    """A stream was used after its end, or has come to a standstill."""


class WeightsError(ObverseError):
    """Weights are absent, or are not the bytes that their card describes."""
