"""Arguments of Keras's ``fit`` that ``train`` knows under another name, or leaves to ``fit``."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Mapping

from cifarlab.errors import UsageError
from cifarlab.files import printable

FIT = "train with cifarlab.fit(model, x, y, ...), which takes it"
# What to write instead of each.
INSTEAD: Mapping[str, str] = {
    "x": "give data=(x, y)",
    "y": "give data=(x, y)",
    "class_weight": 'write class_weights={label: weight} or class_weights="balanced"',
    "sample_weight": FIT,
    "validation_split": "write load=LoadOptions(validation_fraction=...) for a name or a path, or "
    'give data={"train": (x, y), "validation": (x, y)}',
    "validation_data": 'give data={"train": (x, y), "validation": (x, y)}',
    "shuffle": "leave it out: every epoch has an order of its own, which the seed decides",
    "verbose": "leave it out: train prints nothing unless progress=... is given",
    "initial_epoch": "go on with a run by cifarlab.resume(directory)",
    "steps_per_epoch": FIT,
    "validation_steps": FIT,
    "validation_batch_size": FIT,
    "validation_freq": FIT,
}


def refuse_arguments(given: Collection[str], known: Collection[str]) -> None:
    """Raise ``UsageError`` for the first of the names ``given``, with what to write instead.

    Args:
        known: the names that ``train`` takes.
    """
    for name in given:
        if name in INSTEAD:
            raise UsageError(f"train takes no {name}: {INSTEAD[name]}")
        close = difflib.get_close_matches(name, known, n=1)
        nearest = f"did you mean {close[0]}?" if close else f"choose from {', '.join(known)}"
        raise UsageError(f"train takes no {printable(name)}: {nearest}")
