"""One row per image: what the columns are called, and what stands in them."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from cifarlab.classifier import Classifier
from cifarlab.data.image_format import ImageFormat
from cifarlab.errors import InputError
from cifarlab.predicting.answers import Answer

# What would end a line, act on a terminal, or has no bytes in UTF-8.
_NOT_PLAIN = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")

Row = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Columns:
    """What a table of predictions holds.

    Attributes:
        model: says which model made a row; see ``model_id``.
        class_names: one for each class.
        top: how many of the likeliest classes have columns, 1 or more.
        probabilities: whether every class has a column.
    """

    model: str
    class_names: tuple[str, ...]
    top: int = 1
    probabilities: bool = False

    def __post_init__(self) -> None:
        if len(set(self.names)) != len(self.names):
            raise InputError(
                "two classes have the same name, so that their columns would too; "
                "leave out the probabilities, or give the model's classes names of their own"
            )

    @property
    def names(self) -> tuple[str, ...]:
        """The columns, in order."""
        numbers = range(2, min(self.top, len(self.class_names)) + 1)
        further = [name for n in numbers for name in (f"class_{n}", f"probability_{n}")]
        every = [f"p_{plain_text(name)}" for name in self.class_names if self.probabilities]
        return ("path", "class", "confidence", "sure", "error", "model", *further, *every)


def row_of(answer: Answer, columns: Columns, classifier: Classifier) -> Row:
    """Return a row: texts, floats, ``bool``, or ``None`` where there is nothing to say."""
    row: Row = dict.fromkeys(columns.names)
    row |= {"path": plain_text(answer.source.name), "model": columns.model}
    if answer.probabilities is None:
        return {**row, "error": plain_text(answer.error or "")}
    (best, confidence), *others = answer.top(columns.class_names, columns.top)
    row |= {
        "class": plain_text(best),
        "confidence": _number(confidence),
        "sure": classifier.sure(confidence),
    }
    for number, (name, probability) in enumerate(others, start=2):
        row |= {f"class_{number}": plain_text(name), f"probability_{number}": _number(probability)}
    if columns.probabilities:
        every = zip(columns.class_names, answer.probabilities, strict=True)
        row |= {f"p_{plain_text(name)}": _number(value) for name, value in every}
    return row


def model_id(classifier: Classifier, image_format: ImageFormat) -> str:
    """Return 12 hexadecimal digits that change with all that decides a model's answers.

    That is its weights, class names, temperature, threshold, test-time augmentation, and what
    images are brought to.
    """
    settings = (
        classifier.class_names,
        classifier.temperature,
        classifier.not_sure_below,
        classifier.tta,
        image_format,
    )
    digest = hashlib.sha256(repr(settings).encode(errors="surrogateescape"))
    for weights in classifier.model.get_weights():
        digest.update(repr(weights.shape).encode())
        digest.update(np.ascontiguousarray(weights).tobytes())
    return digest.hexdigest()[:12]


def plain_text(text: str) -> str:
    """Return ``text`` on one line and fit for UTF-8: as it is, or as a JSON string in quotes.

    Example:
        >>> plain_text("photos/cat.jpg"), plain_text("new\\nline.jpg")
        ('photos/cat.jpg', '"new\\\\nline.jpg"')
    """
    return json.dumps(text) if text.startswith('"') or _NOT_PLAIN.search(text) else text


def original_text(written: str) -> str:
    """Return the text that ``plain_text`` wrote, such as the path of a file as it is on disk.

    Raises:
        InputError: it begins with a quote and is no JSON string.

    Example:
        >>> original_text('"new\\\\nline.jpg"')
        'new\\nline.jpg'
    """
    if not written.startswith('"'):
        return written
    try:
        text = json.loads(written)
    except ValueError:
        text = None
    if not isinstance(text, str):
        raise InputError(f"{written!r}: not a text from a table of predictions; give its cell")
    return text


def check_columns(path: Any, found: Sequence[str], wanted: Columns) -> None:
    """Raise ``InputError`` unless the columns of the file at ``path`` are those wanted."""
    if tuple(found) != wanted.names:
        raise InputError(
            f"{path}: has other columns than would be written; give --top, --probabilities and "
            "the model as before, or write to another file"
        )


def check_model(path: Any, found: Any, wanted: Columns) -> None:
    """Raise ``InputError`` unless a row of the file at ``path`` was made by the same model."""
    if found != wanted.model:
        raise InputError(
            f"{path}: its rows are of model {str(found)[:20]!r}, these would be of "
            f"{wanted.model!r}; give the model and the resize mode as before, or write to "
            "another file"
        )


def _number(value: Any) -> float:
    # The shortest number that gives the float32 back.
    return float(str(np.float32(value)))
