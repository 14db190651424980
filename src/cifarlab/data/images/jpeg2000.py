"""Look at the frame of a JPEG 2000 file before its decoder does."""

from __future__ import annotations

import struct

# The decoder takes 12 kB for every tile before it decodes the first.
MAX_TILES = 4_096

# SOC and SIZ; see ITU-T T.800, annex A.
_FRAME = b"\xff\x4f\xff\x51"
_SIZES = struct.Struct(">HH8IH")


def why_not(data: bytes) -> str | None:
    """Say why a file must not be decoded, or ``None``.

    Every place that looks like a frame is checked: which one counts is the decoder's choice.
    """
    at = data.find(_FRAME)
    while at >= 0:
        if len(data) >= at + 4 + _SIZES.size:
            reason = _check(*_SIZES.unpack_from(data, at + 4)[2:])
            if reason:
                return reason
        at = data.find(_FRAME, at + 1)
    return None


def _check(
    width: int, height: int, _x: int, _y: int, across: int, down: int, x: int, y: int, bands: int
) -> str | None:
    if bands > 4:
        return f"{bands} bands; at most 4 are read; save the three that matter as RGB"
    if across and down:
        tiles = -(-max(0, width - x) // across) * -(-max(0, height - y) // down)
        if tiles > MAX_TILES:
            return f"{tiles:,} tiles; at most {MAX_TILES:,} are decoded; save it without tiles"
    return None
