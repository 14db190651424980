"""Many images are cut into batches of few sizes, smaller ones where images are large."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from cifarlab.backend import keras
from cifarlab.lowering.model import lower
from cifarlab.lowering.predict import pieces, predict_logits
from cifarlab.lowering.prepared import prepare
from cifarlab.models import MODELS
from cifarlab.models.airnet import airnet


@given(count=st.integers(0, 5000), power=st.integers(0, 11))
def test_pieces_cover_all_images_in_few_sizes(count: int, power: int) -> None:
    largest = 2**power
    parts = pieces(count, largest)
    assert [i for part in parts for i in range(part.start, part.stop)] == list(range(count))
    sizes = [part.stop - part.start for part in parts]
    assert sizes == sorted(sizes, reverse=True)
    assert set(sizes) <= {max(1, largest // 8**k) for k in range(5)}


@pytest.mark.parametrize(("side", "largest"), [(8, 64), (32, 64), (33, 32), (64, 16), (256, 1)])
def test_memory_does_not_grow_with_the_size_of_the_images(
    side: int, largest: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = keras.Sequential([keras.Input((side, side, 1)), keras.layers.GlobalMaxPooling2D()])
    lowered = lower(model)
    forward, seen = lowered.forward, []
    monkeypatch.setattr(lowered, "forward", lambda x: [seen.append(len(x)), forward(x)][1])
    predict_logits(lowered, torch.zeros(70, side, side, 1), torch.float32)
    assert max(seen) == largest
    assert sum(seen) == 70


@pytest.mark.parametrize("shape", [(8, 40, 1), (32, 64, 3), (48, 32, 1)], ids=str)
@pytest.mark.parametrize("name", sorted(MODELS))
def test_prepared_models_agree_with_keras_on_images_that_are_not_square(
    name: str, shape: tuple[int, int, int]
) -> None:
    few = {"widths": (4, 6, 8)} if MODELS[name] is airnet else {"filters": (4, 6)}
    model = MODELS[name](shape, 3, **few)
    lowered = lower(model)
    images = np.random.default_rng(0).integers(0, 256, (9, *shape), dtype=np.uint8)
    expected = model.predict(images.astype("float32"), verbose=0)
    given = torch.from_numpy(images)
    for computes in (lowered, prepare(lowered)):
        found = predict_logits(computes, given, torch.float32)
        np.testing.assert_allclose(found.numpy(), expected, atol=1e-5)
