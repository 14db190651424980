"""Networks that others have trained on millions of images, to start from where images are few.

A new one is a value in ``BACKBONES``. May use the Keras of ``backend``, files, extras and errors.
"""

from __future__ import annotations

from cifarlab.models.backbones.backbone import Backbone
from cifarlab.models.backbones.efficientnet_lite import LITE0, LITE1, LITE2

BACKBONES: dict[str, Backbone] = {value.name: value for value in (LITE0, LITE1, LITE2)}
