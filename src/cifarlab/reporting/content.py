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
    """The saliency of one image.

    Attributes:
        index: of the image in the split.
        overlay: uint8, RGB, the image under its heat map, in its proportions.
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
        analysis: everything that was measured of them.
        images: uint8 ``[N, H, W, C]``, or ``None`` where only the predictions are known.
        counterparts: the training image of each near-duplicate in turn, uint8 ``[H, W, C]``.
        history: one row per epoch; empty where nothing was trained.
        chosen_epoch: whose weights were kept, from 1.
        validation_images: how many the temperature and the threshold were fitted on.
        duplicates_verified: whether pairs found in this dataset have been checked by eye, so that
            an accuracy without them means something. That is so for CIFAR-10 only.
        overlays: saliency of the mistakes with the highest loss.
        provenance: what a reader needs to reproduce it, as label and value.
        missing: what is missing, and why or how to get it.
    """

    title: str
    statement: str
    predictions: Predictions
    analysis: Analysis
    images: np.ndarray[Any, Any] | None = None
    counterparts: tuple[np.ndarray[Any, Any], ...] = ()
    history: Sequence[Mapping[str, float]] = ()
    chosen_epoch: int | None = None
    validation_images: int = 0
    duplicates_verified: bool = False
    overlays: tuple[SaliencyOverlay, ...] = ()
    provenance: tuple[tuple[str, str], ...] = ()
    missing: tuple[str, ...] = ()
