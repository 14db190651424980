"""Networks by name: functions of the input shape and the number of classes.

To add one, write a file beside this one and name its function here.

May use the Keras of ``backend`` and errors.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from cifarlab.models.airnet import airnet
from cifarlab.models.baseline import baseline

MODELS: dict[str, Callable[..., Any]] = {
    "airnet": airnet,
    "baseline": baseline,
}
