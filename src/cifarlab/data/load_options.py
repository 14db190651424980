"""``LoadOptions``: how a dataset is read; recorded with a run, so that it can be read again."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from cifarlab.data.image_format import check_resize_mode
from cifarlab.errors import UsageError

AUTO = "auto"
CHANNELS: Mapping[str, int | None] = {AUTO: None, "grey": 1, "rgb": 3}
CLASS_FOLDERS = (AUTO, "first", "last")
# Smaller images have nothing to show; larger ones are another kind of work.
SMALLEST, LARGEST = 8, 256
# Those that do not decide what the images are or which split each is in; and ``photo_size``, for
# which the size is recorded that it led to.
NOT_RECORDED = ("offline", "progress", "known_classes", "photo_size")


@dataclass(frozen=True, kw_only=True)
class LoadOptions:
    """How to load a dataset.

    Attributes:
        image_size: height and width that every image is brought to: one number for both, a pair,
            or ``"auto"``: the images' own where all have the same, up to 64 on a side, else
            ``photo_size``.
        photo_size: height and width of images that are larger, or of several sizes.
        channels: ``"grey"``, ``"rgb"``, or ``"auto"``: grey where every image is grey.
        resize_mode: ``"squash"``, ``"crop"`` or ``"pad"``.
        bits: of the values in 16-bit files; ``None`` for as many as the largest value needs.
        validation_fraction: share of the training images that becomes the validation split where
            the source has none, above 0 and below 1.
        split_seed: the same seed gives the same splits.
        group_by: a regular expression; images in whose names its first group (or the whole, if it
            has none) matches the same text stay on one side of every split.
        skip_bad: leave out images that cannot be read instead of raising.
        class_folder: which folder names the class where folders are nested: ``"first"``,
            ``"last"``, or ``"auto"`` for the only possible one.
        follow_links: read what links out of a folder of images lead to.
        labels: a table, CSV, TSV, JSON (Lines) or Parquet, that names the class of each image file.
        image_column, label_column: its columns; ``None`` to guess.
        label_pattern: a regular expression whose first group finds the class in a file's name.
        offline: never use the network.
        progress: called with one line of text now and then.
        known_classes: those of the model that is to be measured on the images, if one is; then
            images of a single class are enough.

    Raises:
        UsageError: a value that is not possible.

    Example:
        >>> LoadOptions(image_size=64).size
        (64, 64)
    """

    image_size: int | tuple[int, int] | str = AUTO
    photo_size: int = 32
    channels: str = AUTO
    resize_mode: str = "squash"
    bits: int | None = None
    validation_fraction: float = 0.1
    split_seed: int = 0
    group_by: str | None = None
    skip_bad: bool = False
    class_folder: str = AUTO
    follow_links: bool = False
    labels: str | None = None
    image_column: str | None = None
    label_column: str | None = None
    label_pattern: str | None = None
    offline: bool = False
    progress: Callable[[str], None] | None = None
    known_classes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "image_size", _size(self.image_size))
        check_resize_mode(self.resize_mode)
        _check_choice("channels", self.channels, tuple(CHANNELS))
        _check_choice("class folder", self.class_folder, CLASS_FOLDERS)
        if self.bits is not None and not 8 <= self.bits <= 16:
            raise UsageError(f"bits {self.bits}: values of 16-bit files have 8 to 16 of them")
        if not 0.0 < self.validation_fraction < 1.0:
            raise UsageError(
                f"validation fraction {self.validation_fraction}: it must lie between 0 and 1; "
                "use 0.1"
            )
        if self.split_seed < 0:
            raise UsageError(f"split seed {self.split_seed}: it must be 0 or more")
        for name in ("group_by", "label_pattern"):
            _check_pattern(name.replace("_", " "), getattr(self, name))

    @property
    def size(self) -> tuple[int, int] | None:
        """Height and width, or ``None`` for those that the images have."""
        return None if isinstance(self.image_size, str) else self.image_size  # type: ignore[return-value]

    @property
    def measures(self) -> bool:
        """Whether a model is to be measured on the images; then none of them need be to train."""
        return bool(self.known_classes)

    @property
    def fewest_classes(self) -> int:
        """How many classes the images must have at least: one is enough to measure a model."""
        return 1 if self.measures else 2

    @property
    def recorded(self) -> dict[str, Any]:
        """Return what decides the images and their splits, as plain JSON values."""
        values = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        return {name: v for name, v in values.items() if name not in NOT_RECORDED}


def parse_size(text: str) -> int | tuple[int, int] | str:
    """Return the image size that ``text`` means: ``"64"``, ``"48x64"`` (height first), ``"auto"``.

    Raises:
        UsageError: it is none of these.

    Example:
        >>> parse_size("64"), parse_size("48x64")
        (64, (48, 64))
    """
    if text == AUTO:
        return text
    match = re.fullmatch(r"(\d+)(?:[xX×](\d+))?", text.strip())
    if match is None:
        raise UsageError(f"image size {text!r}: write 64, or 48x64 for height and width, or auto")
    height, width = int(match[1]), match[2]
    return height if width is None else (height, int(width))


def _size(value: Any) -> tuple[int, int] | str:
    if value == AUTO or value is None:
        return AUTO
    if isinstance(value, str):
        return _size(parse_size(value))
    sides = (value, value) if isinstance(value, int) else tuple(value)
    if len(sides) != 2 or not all(isinstance(s, int) and SMALLEST <= s <= LARGEST for s in sides):
        raise UsageError(
            f"image size {value!r}: height and width must be whole numbers from {SMALLEST} to "
            f"{LARGEST}"
        )
    return sides[0], sides[1]


def _check_choice(what: str, value: str, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise UsageError(f"{what} {value!r}: choose from {', '.join(choices)}")


def _check_pattern(what: str, pattern: str | None) -> None:
    if pattern is None:
        return
    try:
        re.compile(pattern)
    except re.error as error:
        raise UsageError(f"{what} {pattern!r}: not a regular expression ({error})") from None
