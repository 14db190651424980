"""Weights from a package of somebody else's: found without running its code, checked, read."""

from __future__ import annotations

import importlib.util
import io
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np

from cifarlab.errors import UnsafeError
from cifarlab.files import printable
from cifarlab.runtime.extras import install_command, require_extra

EXTRA = "backbones"


@dataclass(frozen=True, kw_only=True)
class PublishedWeights:
    """A file of PyTorch tensors in an installed package.

    Attributes:
        package: the Python package that holds it.
        path: of the file, inside the package.
        sha256: of its content, in hexadecimal.
    """

    package: str
    path: str
    sha256: str


def find_weights(weights: PublishedWeights) -> Path:
    """Return where the file is; the package is not imported.

    Raises:
        UsageError: the package is not installed.
    """
    require_extra(EXTRA, f"the backbone of {weights.package}", [weights.package])
    spec = importlib.util.find_spec(weights.package)
    places = [] if spec is None else list(spec.submodule_search_locations or [])
    return Path(places[0] if places else weights.package) / weights.path


def read_weights(weights: PublishedWeights) -> dict[str, np.ndarray[Any, Any]]:
    """Return the tensors of the file by name, in PyTorch's layouts.

    The content is compared with the published one before it is read, and nothing in it is executed.

    Raises:
        UsageError: the package is not installed.
        UnsafeError: the file is missing, or has another content.
    """
    import torch

    path = find_weights(weights)
    remedy = f"install it again: {install_command(EXTRA)}"
    try:
        content = path.read_bytes()
    except OSError as error:
        raise UnsafeError(f"{printable(str(path))}: {error.strerror}; {remedy}") from error
    found = sha256(content).hexdigest()
    if found != weights.sha256:
        raise UnsafeError(
            f"{printable(str(path))}: not the published file (SHA-256 {found[:12]}…, expected "
            f"{weights.sha256[:12]}…); {remedy}"
        )
    tensors = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    return {name: tensor.numpy() for name, tensor in tensors.items()}
