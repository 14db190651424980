"""A step's gradients do not depend on how the batch is cut up, and follow the recipe's loss."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from cifarlab.backend import keras
from cifarlab.errors import InputError
from cifarlab.recipes.parts import SGD, CrossEntropy, Mixup
from cifarlab.recipes.recipe import Recipe
from cifarlab.runtime.randomness import generator
from cifarlab.training.batch import Batch, batches
from cifarlab.training.beginning import LoopOptions, start
from cifarlab.training.resize import resized
from cifarlab.training.state import TrainState
from cifarlab.training.step import mean_loss, train_step
from support import one_line
from tiny import CLASSES, SIDE, tiny_recipe, tiny_split

COUNT = 30
OPTIONS = LoopOptions(device=torch.device("cpu"), precision=torch.float32, seed=0)


def model() -> Any:
    """Without batch normalisation, and with a penalty."""
    keras.utils.set_random_seed(3)
    layers = keras.layers
    return keras.Sequential(
        [
            keras.Input((SIDE, SIDE, 3)),
            layers.Rescaling(1 / 255),
            layers.Conv2D(4, 3, activation="relu", kernel_regularizer="l2"),
            layers.GlobalMaxPooling2D(),
            layers.Dense(len(CLASSES), activation="softmax"),
        ]
    )


def recipe(**changes: Any) -> Recipe:
    return tiny_recipe(**({"optimizers": (SGD(lr=0.1),), "augment": ()} | changes))


def batch() -> Batch:
    split = tiny_split(COUNT, 0)
    images = torch.from_numpy(split.images).permute(0, 3, 1, 2)
    return Batch(
        images=images, targets=torch.from_numpy(split.labels), index=torch.arange(COUNT), classes=3
    )


def stepped(
    of: Recipe, class_weights: torch.Tensor | None = None
) -> tuple[TrainState, torch.Tensor]:
    state = start(model(), of, OPTIONS)
    draws = generator(0, "augment", 0, 0)
    loss = train_step(state, batch(), of, torch.float32, draws, class_weights)
    return state, loss


def weights(state: TrainState) -> list[torch.Tensor]:
    return [b.tensor.detach() for b in state.lowered.bindings]


WEIGHTS = torch.tensor([0.5, 1.0, 4.0])


@pytest.mark.parametrize("class_weights", [None, WEIGHTS], ids=["plain", "weighted"])
@pytest.mark.parametrize("reduction", ["mean", "sum"])
@pytest.mark.parametrize("size", [1, 7, 15, 100])
def test_micro_batches_add_up_to_the_step(
    reduction: str, size: int, class_weights: torch.Tensor | None
) -> None:
    loss = CrossEntropy(label_smoothing=0.1, reduction=reduction)
    # A sum of 30 losses takes steps 30 times as long.
    rate = 0.1 if reduction == "mean" else 0.1 / COUNT
    whole, expected = stepped(
        recipe(loss=CrossEntropy(label_smoothing=0.1), optimizers=(SGD(lr=0.1),)), class_weights
    )
    parts, found = stepped(
        recipe(loss=loss, optimizers=(SGD(lr=rate),), micro_batch=size), class_weights
    )
    assert float(found) == pytest.approx(float(expected), rel=1e-5)
    assert parts.totals.means() == pytest.approx(whole.totals.means(), rel=1e-5)
    for one, other in zip(weights(parts), weights(whole), strict=True):
        assert torch.allclose(one, other, atol=1e-6)


def test_class_weights_do_what_class_weight_does_in_keras() -> None:
    theirs = model()
    theirs.compile(
        keras.optimizers.SGD(0.1, momentum=0.9, nesterov=True),
        loss=keras.losses.CategoricalCrossentropy(label_smoothing=0.1),
    )
    given = batch()
    images = given.images.permute(0, 2, 3, 1).numpy().astype("float32")
    loss = theirs.train_on_batch(
        images, given.shares.numpy(), class_weight=dict(enumerate(WEIGHTS.tolist()))
    )
    ours, found = stepped(recipe(loss=CrossEntropy(label_smoothing=0.1)), WEIGHTS)
    assert float(found) == pytest.approx(float(loss), rel=1e-5)
    ours.lowered.write_back()
    for one, other in zip(ours.lowered.bindings, theirs.weights, strict=True):
        np.testing.assert_allclose(one.variable.numpy(), other.numpy(), atol=1e-6)


def test_mixed_images_count_by_their_share_of_each_class() -> None:
    logits = torch.tensor([[2.0, 0.0], [0.0, 1.0]])
    targets = torch.tensor([[0.25, 0.75], [1.0, 0.0]])
    losses = -(targets * logits.log_softmax(1)).sum(1)
    expected = (losses[0] * (0.25 * 1 + 0.75 * 3) + losses[1] * 1) / 2
    found = mean_loss(logits, targets, 0.0, torch.tensor([1.0, 3.0]))
    assert float(found) == pytest.approx(float(expected))


def test_weights_of_one_change_no_gradient() -> None:
    plain, ones = stepped(recipe()), stepped(recipe(), torch.ones(3))
    for one, other in zip(weights(plain[0]), weights(ones[0]), strict=True):
        assert torch.allclose(one, other, atol=1e-7)


def test_accuracy_counts_the_images_own_classes_when_labels_are_mixed() -> None:
    state, _ = stepped(recipe(augment=(Mixup(alpha=0.2),)))
    assert 0.0 <= state.totals.means()[1] <= 1.0
    assert state.totals.count == COUNT


@pytest.mark.parametrize(
    ("resolution", "size"), [(8, (8, 8)), (16, (16, 16)), ((8, 10), (8, 10))], ids=str
)
def test_images_are_trained_on_at_the_recipes_resolution(
    resolution: Any, size: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []
    of = recipe(resolution=(resolution,))
    state = start(model(), of, OPTIONS)
    forward = state.lowered.forward
    monkeypatch.setattr(
        state.lowered, "forward", lambda x: [seen.append(tuple(x.shape)), forward(x)][1]
    )
    train_step(state, batch(), of, torch.float32, generator(0))
    assert seen == [(COUNT, *size, 3)]


def test_a_resolution_that_the_network_cannot_take_is_found_before_the_first_step() -> None:
    with pytest.raises(InputError) as error:
        start(model(), recipe(resolution=(2, 12)), OPTIONS)
    assert "no images of 2x2" in one_line(error)


def test_frozen_weights_stay() -> None:
    of = recipe(frozen=("*conv2d*/kernel",))
    before = weights(start(model(), of, OPTIONS))
    after = weights(stepped(of)[0])
    assert torch.equal(before[0], after[0])
    assert not torch.equal(before[2], after[2])


@given(st.integers(1, 40), st.integers(1, 50), st.integers(0, 3))
def test_an_epoch_visits_every_image_once(count: int, size: int, epoch: int) -> None:
    images = torch.arange(count, dtype=torch.uint8).reshape(count, 1, 1, 1)
    labels = torch.arange(count)
    found = list(batches(images, labels, count, size, seed=1, epoch=epoch))
    assert [step for step, _ in found] == list(range(-(-count // size)))
    seen = torch.cat([b.index for _, b in found])
    assert sorted(seen.tolist()) == list(range(count))
    for _, one in found:
        assert torch.equal(one.images.flatten().long(), one.targets)
        assert torch.equal(one.index, one.targets)
        assert one.epoch == epoch


def test_an_epoch_goes_on_where_it_was_left() -> None:
    images, labels = torch.zeros(20, 1, 1, 1), torch.arange(20)
    whole = [(s, b.index.tolist()) for s, b in batches(images, labels, 20, 6, 0, 3)]
    rest = [(s, b.index.tolist()) for s, b in batches(images, labels, 20, 6, 0, 3, first=2)]
    assert rest == whole[2:]


def test_resizing_keeps_colours_and_dtype() -> None:
    images = torch.full((2, 3, 8, 8), 77, dtype=torch.uint8)
    assert resized(images, 5).shape == (2, 3, 5, 5)
    assert resized(images, 5).dtype == torch.uint8
    assert (resized(images, 12) == 77).all()
    assert resized(images, (5, 7)).shape == (2, 3, 5, 7)
    assert resized(images, None) is images
    assert resized(images, (8, 8)) is images
    assert resized(images, 8) is images


def test_resizing_is_antialiased() -> None:
    stripes = (torch.arange(16) % 2 * 200.0).expand(1, 1, 16, 16)
    inner = resized(stripes, 4)[..., 1:-1]
    assert torch.allclose(inner, torch.tensor(100.0), atol=1e-3)
