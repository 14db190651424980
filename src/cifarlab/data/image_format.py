"""``ImageFormat``: what every image is brought to before a model sees it."""

from __future__ import annotations

from dataclasses import dataclass, replace

from cifarlab.errors import UsageError

RESIZE_MODES = ("squash", "crop", "pad")


@dataclass(frozen=True, kw_only=True)
class ImageFormat:
    """What every image is brought to before a model sees it; a model file carries it.

    Attributes:
        height, width: in pixels.
        channels: 3 for RGB, 1 for grey.
        resize_mode: ``"squash"`` stretches, ``"crop"`` cuts, ``"pad"`` adds black bars.
        bits: of the values in 16-bit files: a value of ``2 ** bits - 1`` is white.

    Example:
        >>> ImageFormat(height=28, width=28, channels=1).shape
        (28, 28, 1)
    """

    height: int = 32
    width: int = 32
    channels: int = 3
    resize_mode: str = "squash"
    bits: int = 16

    @property
    def shape(self) -> tuple[int, int, int]:
        """Height, width and channels."""
        return self.height, self.width, self.channels

    def resized_by(self, resize_mode: str | None) -> ImageFormat:
        """Return it with another resize mode; ``None`` keeps its own.

        Raises:
            UsageError: it is not one of ``RESIZE_MODES``.

        Example:
            >>> ImageFormat(resize_mode="pad").resized_by(None).resize_mode
            'pad'
        """
        if resize_mode is None:
            return self
        check_resize_mode(resize_mode)
        return replace(self, resize_mode=resize_mode)


def check_resize_mode(resize_mode: str) -> None:
    """Raise ``UsageError`` unless it is one of ``RESIZE_MODES``."""
    if resize_mode not in RESIZE_MODES:
        raise UsageError(f"resize mode {resize_mode!r}: choose one of {', '.join(RESIZE_MODES)}")
