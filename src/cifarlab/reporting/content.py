"""What a report shows, gathered before anything is drawn or written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from cifarlab.evaluation.analysis import Analysis
from cifarlab.predictions import Predictions


@dataclass(frozen=True, eq=False, kw_only=True)
class SaliencyOverlay:
    """Where the model looked at one image.

    Attributes:
        index: of the image in the split.
        overlay: uint8 ``[S, S, 3]``, the image with the heat over it.
    """

    index: int
    overlay: np.ndarray[Any, Any]


@dataclass(frozen=True, eq=False, kw_only=True)
class Content:
    """Everything on the page.

    Attributes:
        title: what the page is about, such as ``"baseline on cifar10"``.
        statement: how the numbers came about, in a sentence or two.
        predictions: for the N images of the split that is reported on.
        analysis: what was found in them.
        images: uint8 ``[N, H, W, 3]``, or ``None`` where only the predictions are known.
        like: for each near-duplicate its counterpart, uint8 ``[H, W, 3]``, in their order.
        history: a row an epoch; empty where nothing was trained.
        chosen_epoch: whose weights were kept, from 1.
        looks: saliency of the top losses.
        provenance: what a reader needs to do it again, as label and value.
        missing: what is not there, and why or how to get it.
    """

    title: str
    statement: str
    predictions: Predictions
    analysis: Analysis
    images: np.ndarray[Any, Any] | None = None
    like: tuple[np.ndarray[Any, Any], ...] = ()
    history: Sequence[Mapping[str, float]] = ()
    chosen_epoch: int | None = None
    overlays: tuple[SaliencyOverlay, ...] = ()
    provenance: tuple[tuple[str, str], ...] = ()
    missing: tuple[str, ...] = ()
