"""The boxes of a manifest store (JUMBF, ISO 19566-5), as far as one manifest is taken out of it."""

from collections.abc import Iterator

from obverse.errors import ProvenanceError

__all__ = ["active_only"]

_HEAD = 8  # bytes: length and type
_LONG_HEAD = 16  # with a length of 64 bits
_SUPERBOX, _DESCRIPTION = b"jumb", b"jumd"


def _boxes(data: bytes, begin: int, end: int) -> Iterator[tuple[bytes, int, int, int]]:
    """Yield (type, begin, begin of the content, end) of the boxes that lie side by side."""
    while begin < end:
        if end - begin < _HEAD:
            raise ProvenanceError("a manifest store breaks off inside a box; get a whole one.")
        length, kind = int.from_bytes(data[begin : begin + 4], "big"), data[begin + 4 : begin + 8]
        inner = begin + _HEAD
        if length == 1:
            length = int.from_bytes(data[begin + 8 : begin + _LONG_HEAD], "big")
            inner = begin + _LONG_HEAD
        elif length == 0:  # up to the end
            length = end - begin
        if not inner <= begin + length <= end:
            raise ProvenanceError("a manifest store has a box longer than itself; get a whole one.")
        yield kind, begin, inner, begin + length
        begin += length


def active_only(store: bytes) -> bytes:
    """Return a manifest store that holds the active manifest alone: the last one of `store`.

    Raises:
        ProvenanceError: the bytes are no manifest store.
    """
    outer = next(_boxes(store, 0, len(store)), None)
    if outer is None or outer[0] != _SUPERBOX:
        raise ProvenanceError(f"these {len(store)} bytes are no manifest store; give a whole one.")
    inside = list(_boxes(store, outer[2], outer[3]))
    manifests = [box for box in inside if box[0] == _SUPERBOX]
    if not manifests or inside[0][0] != _DESCRIPTION:
        raise ProvenanceError("the manifest store holds no manifest; give a whole one.")
    content = b"".join(store[begin:end] for _, begin, _, end in (inside[0], manifests[-1]))
    return (_HEAD + len(content)).to_bytes(4, "big") + _SUPERBOX + content
