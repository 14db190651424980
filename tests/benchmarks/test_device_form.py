"""The form for a GPU computes the trainer's steps, and nothing of one run is left in the next."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from benchmarks.gpu.device_form import DeviceForm
from benchmarks.gpu.device_updates import whitening_filters
from cifarlab.data.dataset import Dataset
from cifarlab.errors import UsageError
from cifarlab.models.whitening import whitening_kernel
from cifarlab.recipes.fast import FAST94
from cifarlab.recipes.parts import (
    SGD,
    Adam,
    CrossEntropy,
    Linear,
    Lookahead,
    ModelSpec,
    Muon,
    Piecewise,
)
from cifarlab.recipes.recipe import Recipe
from cifarlab.runtime.randomness import generator
from cifarlab.training.batch import Batch
from cifarlab.training.beginning import LoopOptions, start
from cifarlab.training.optimizers import set_rates
from cifarlab.training.setup import build_model
from cifarlab.training.step import train_step
from tiny import tiny_dataset

CPU = torch.device("cpu")


def shrunk(**changes: Any) -> Recipe:
    arguments = {**FAST94.model.arguments, "widths": (4, 6, 8)}
    small = dataclasses.replace(
        FAST94,
        model=ModelSpec(name="airnet", arguments=arguments),
        epochs=2,
        batch_size=32,
        micro_batch=16,
        resolution=(),
    )
    return dataclasses.replace(small, **changes)


def form(recipe: Recipe, data: Dataset) -> DeviceForm:
    return DeviceForm(recipe, data, data.test, CPU, torch.float32)


@pytest.fixture(scope="module")
def data() -> Dataset:
    return tiny_dataset()


def weights(of: Any) -> dict[str, Tensor]:
    return {b.path: b.tensor.detach().clone() for b in of.lowered.bindings}


COOLED = (
    Muon(lr=0.2, on="block1_conv*/kernel", schedule=Piecewise(points=((0.0, 1.0), (0.5, 0.0)))),
    *FAST94.optimizers,
)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {
            "micro_batch": None,
            "loss": CrossEntropy(label_smoothing=0.2, reduction="mean"),
            "schedule": Linear(end=0.07),
        },
        {"optimizers": (SGD(lr=0.1, momentum=0.9, nesterov=False, weight_decay=0.01),)},
        {"optimizers": COOLED},
    ],
    ids=["fast94", "mean", "plain momentum", "a block that is cooled and frozen"],
)
def test_its_steps_are_the_trainers(data: Dataset, changes: dict[str, Any]) -> None:
    recipe = shrunk(augment=(), whitening=None, **changes)
    own = form(recipe, data)
    own._reset(3)
    own.lowered.train()
    state = start(
        build_model(recipe, data, 3),
        recipe,
        LoopOptions(device=CPU, precision=torch.float32, seed=0, checkpoints=Path()),
    )
    planned = recipe.epochs * own.steps
    for done in range(planned):
        index = torch.arange(32) + done
        images = own.images[index].permute(0, 3, 1, 2)
        own._load(images.float(), own.labels[index], 0)
        own._graph(done)()
        set_rates(state.groups, recipe.schedule, done / planned)
        batch = Batch(images=images, targets=own.labels[index], index=index)
        train_step(state, batch, recipe, torch.float32, generator(0, "augment"))
    expected = weights(state)
    for path, tensor in weights(own).items():
        torch.testing.assert_close(tensor, expected[path], rtol=1e-4, atol=1e-5, msg=path)


def test_a_seed_gives_the_same_run_whatever_ran_before(data: Dataset) -> None:
    lookahead = Lookahead(every=2, decay=0.7, power=0.0, start=0.5)
    own = form(shrunk(resolution=(20, 32), lookahead=lookahead, optimizers=COOLED), data)
    own.warm_up()
    runs = []
    for seed in (0, 1, 0):
        accuracy, seconds = own.train(seed)
        assert 0.0 <= accuracy <= 1.0
        assert seconds > 0.0
        runs.append(weights(own))
    kernel = "block2_conv1/kernel"
    assert not torch.equal(runs[0][kernel], runs[1][kernel])
    for path, tensor in runs[0].items():
        assert torch.equal(tensor, runs[2][path]), path


def test_an_epoch_shows_every_image_once_and_whole_batches_only(data: Dataset) -> None:
    own = form(shrunk(augment=()), data)
    images, labels = own._epoch(0, 0, torch.Generator().manual_seed(1))
    assert len(images) == len(labels) == own.steps * 32 <= len(data.train)
    rows = {row.tobytes() for row in images.to(torch.uint8).permute(0, 2, 3, 1).numpy()}
    assert len(rows) == len(images)
    assert rows <= {image.tobytes() for image in data.train.images}


def test_whitening_is_that_of_the_trainer_but_for_signs() -> None:
    images = np.random.default_rng(0).normal(size=(50, 8, 8, 3)).astype("float32")
    images = images.cumsum(1).cumsum(2)
    expected = whitening_kernel(images, 2, 24, 5e-4).transpose(3, 2, 0, 1)
    filters = whitening_filters(torch.from_numpy(images), 2, 24, 5e-4).numpy()
    np.testing.assert_allclose(np.abs(filters), np.abs(expected), rtol=1e-2, atol=1e-3)
    np.testing.assert_array_equal(filters[12:], -filters[:12])


def test_a_recipe_that_it_has_no_form_for_is_refused(data: Dataset) -> None:
    with pytest.raises(UsageError, match="has Adam"):
        form(shrunk(optimizers=(Adam(),)), data)
    with pytest.raises(UsageError, match="larger than the"):
        form(shrunk(batch_size=10_000), data)
