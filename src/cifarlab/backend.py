"""Keras, on the one backend that cifarlab can train with: PyTorch.

Every module that needs Keras takes it from here, so that the choice of backend
is made, and checked, in one place::

    from cifarlab.backend import KerasModel, keras
"""

from __future__ import annotations

import os
import sys
from typing import TypeAlias

from cifarlab.errors import UsageError

REMEDY = "set KERAS_BACKEND=torch, or import cifarlab before keras"


def require_torch(active: str) -> None:
    """Raise ``UsageError`` unless ``active``, the name of Keras's backend, is ``"torch"``."""
    if active != "torch":
        raise UsageError(f"Keras runs on {active!r}; cifarlab needs its torch backend: {REMEDY}")


if "keras" not in sys.modules:
    # Checked before the import: that fails with another message where TensorFlow is missing.
    # KERAS_BACKEND overrules Keras's own configuration file.
    require_torch(os.environ.setdefault("KERAS_BACKEND", "torch"))

import keras  # noqa: E402

require_torch(keras.backend.backend())

# The type of every parameter and result that is a Keras model. Keras has no type information, so
# that mypy reads it as ``Any``; a person reads which of the two models is meant.
KerasModel: TypeAlias = keras.Model

__all__ = ["KerasModel", "keras"]
