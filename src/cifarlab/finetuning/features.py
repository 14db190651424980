"""Features of all images of a split, computed once and kept in the cache."""

from __future__ import annotations

import contextlib
import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import torch

from cifarlab.backend import KerasModel
from cifarlab.data.cache import directory
from cifarlab.data.split import Split
from cifarlab.errors import ResourceError
from cifarlab.files import replacing
from cifarlab.lowering.model import lower
from cifarlab.lowering.predict import predict_logits
from cifarlab.lowering.prepared import prepare
from cifarlab.runtime.memory import keeping_freed_memory
from cifarlab.runtime.progress import SILENT, Progress

Array = np.ndarray[Any, Any]
# Images between two steps of the progress bar.
AT_ONCE = 256


def features(
    body: KerasModel,
    split: Split,
    device: torch.device,
    precision: torch.dtype,
    progress: Progress = SILENT,
) -> Array:
    """Return float32 ``[N, F]``: what ``body`` gives for each image, read from the cache if there.

    Args:
        body: from images ``[N, H, W, C]``, values from 0 to 255, to ``[N, F]``.
        precision: the dtype of matrix products.
    """
    path = directory() / "features" / f"{_key(body, split, precision)}.npy"
    try:
        kept = np.load(path)
    except (OSError, ValueError, EOFError):
        kept = None
    if kept is not None and len(kept) == len(split):
        return np.asarray(kept)
    computed = compute(body, split, device, precision, progress)
    _keep(path, computed)
    return computed


def compute(
    body: KerasModel,
    split: Split,
    device: torch.device,
    precision: torch.dtype,
    progress: Progress = SILENT,
) -> Array:
    """Return what ``features`` returns, without the cache."""
    prepared = prepare(lower(body, device))
    steps = -(-len(split) // AT_ONCE)
    progress.started("computing features", steps)
    parts = [np.empty((0, body.output_shape[-1]), np.float32)]
    with keeping_freed_memory():
        for first in range(0, len(split), AT_ONCE):
            images = torch.from_numpy(np.array(split.images[first : first + AT_ONCE]))
            parts.append(predict_logits(prepared, images, precision).cpu().numpy())
            progress.advanced()
    return np.concatenate(parts)


def _key(body: KerasModel, split: Split, precision: torch.dtype) -> str:
    """Return a name that depends on the network, its weights, the images and the precision."""
    digest = hashlib.sha256(json.dumps(body.get_config(), sort_keys=True, default=str).encode())
    for weight in body.get_weights():
        digest.update(np.ascontiguousarray(weight).data)
    for first in range(0, len(split), AT_ONCE):
        digest.update(np.ascontiguousarray(split.images[first : first + AT_ONCE]).data)
    digest.update(f"{split.images.shape} {precision}".encode())
    return digest.hexdigest()[:32]


def _keep(path: Path, values: Array) -> None:
    """Write the file; where the cache cannot be written, the features are computed each time."""
    with contextlib.suppress(OSError, ResourceError):
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as temporary:
            np.save(temporary, values)
