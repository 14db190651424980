"""Keras, on the one backend that the engine can train: PyTorch.

Every module that needs Keras takes it from here, so that the choice of backend
is made, and checked, in one place::

    from cifarlab.backend import keras
"""

from __future__ import annotations

import os
import sys

from cifarlab.errors import UsageError

REMEDY = "set KERAS_BACKEND=torch, or import cifarlab before keras"


def require_torch(active: str) -> None:
    """Raise ``UsageError`` unless ``active`` (what Keras runs on) is ``"torch"``."""
    if active != "torch":
        raise UsageError(f"Keras runs on {active!r}; cifarlab needs its torch backend: {REMEDY}")


if "keras" not in sys.modules:
    # Checked before the import, which fails in its own way where TensorFlow is missing.
    # KERAS_BACKEND overrules Keras's own configuration file.
    require_torch(os.environ.setdefault("KERAS_BACKEND", "torch"))

import keras  # noqa: E402

require_torch(keras.backend.backend())

__all__ = ["keras"]
