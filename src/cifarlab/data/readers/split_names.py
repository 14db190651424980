"""Which split a folder or file name speaks of: train, validation or test, in any usual spelling."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TypeVar

T = TypeVar("T")

TRAIN, VALIDATION, TEST = "train", "validation", "test"

# Words that the field uses. "eval" and "holdout" mean the test split to some and the validation
# split to others; ``splits_of`` decides by what else is there.
WORDS = {
    "train": TRAIN,
    "trn": TRAIN,
    "training": TRAIN,
    "trainset": TRAIN,
    "trainingset": TRAIN,
    "valset": VALIDATION,
    "validationset": VALIDATION,
    "devset": VALIDATION,
    "testset": TEST,
    "val": VALIDATION,
    "valid": VALIDATION,
    "validate": VALIDATION,
    "validation": VALIDATION,
    "dev": VALIDATION,
    "test": TEST,
    "tst": TEST,
    "testing": TEST,
    # Lists of images.
    "trainval": TRAIN,
    "trainlist": TRAIN,
    "vallist": VALIDATION,
    "testlist": TEST,
    # The leaderboards of Kaggle's competitions; FER-2013's table has these words.
    "publictest": VALIDATION,
    "privatetest": TEST,
}
UNDECIDED = ("eval", "evaluation", "holdout")
# What follows a split's name in files and folders: images_train, train-set, train2017, Train (1).
_BOUNDARY = re.compile(r"[^a-z]+")
# Where a word ends in names such as trainLabels.
_CAMEL = re.compile(r"(?<=[a-z])(?=[A-Z])")
_HOLD_OUT = re.compile(r"hold[^a-z]?out")


def split_of(name: str) -> str | None:
    """Return the split that ``name`` speaks of, ``"undecided"``, or ``None`` for none or several.

    Example:
        >>> [split_of(name) for name in ("seg_train", "Testing", "train2017", "trainer", "dev")]
        ['train', 'test', 'train', None, 'validation']
    """
    if (whole := name.casefold()) in WORDS:
        return WORDS[whole]
    words = _BOUNDARY.split(_HOLD_OUT.sub("holdout", _CAMEL.sub(" ", name).casefold()))
    spoken = {WORDS[word] for word in words if word in WORDS}
    if not spoken and any(word in UNDECIDED for word in words):
        return "undecided"
    return spoken.pop() if len(spoken) == 1 else None


def splits_of(names: list[str]) -> dict[str, str]:
    """Return the split of each name that speaks of one.

    A name such as "eval" means the test split where no other name does, else validation.

    Example:
        >>> splits_of(["train", "eval"]), splits_of(["train", "test", "eval"])["eval"]
        ({'train': 'train', 'eval': 'test'}, 'validation')
    """
    spoken = {name: split for name in names if (split := split_of(name)) is not None}
    open_split = VALIDATION if TEST in spoken.values() else TEST
    return {name: open_split if s == "undecided" else s for name, s in spoken.items()}


def all_in_one(splits: Mapping[str, T], *, measuring: bool) -> dict[str, T]:
    """Return ``splits``; to measure a model, images of a single one are all that there are.

    Example:
        >>> all_in_one({"test": 5}, measuring=True), all_in_one({"test": 5}, measuring=False)
        ({'train': 5}, {'test': 5})
    """
    if measuring and len(splits) == 1:
        (alone,) = splits.values()
        return {TRAIN: alone}
    return dict(splits)
