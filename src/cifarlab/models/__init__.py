"""Networks by name: functions of input shape and class count. A new one is added to ``MODELS``.

May use the Keras of ``backend`` and errors.
"""

from __future__ import annotations

from collections.abc import Callable

from cifarlab.backend import KerasModel
from cifarlab.models.airnet import airnet
from cifarlab.models.baseline import baseline

MODELS: dict[str, Callable[..., KerasModel]] = {
    "airnet": airnet,
    "baseline": baseline,
}
