"""Fine-tuning is an ordinary run, and begins as a good classifier."""

from __future__ import annotations

import os
import signal
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cifarlab.classifier import Classifier
from cifarlab.data.dataset import Dataset
from cifarlab.data.load_options import LoadOptions
from cifarlab.data.named.shapes import draw
from cifarlab.errors import InputError, RunInterruptedError, UsageError
from cifarlab.finetuning.build import build_finetuned, load_options_for
from cifarlab.recipes.finetune import FINETUNE
from cifarlab.runs.directory import read_json
from cifarlab.runtime.progress import Silent
from cifarlab.training.setup import override
from cifarlab.training.train import resume, train

SMALL = override(replace(FINETUNE, few_images=None), epochs=1, batch_size=8, start="cifar10")


def few() -> Dataset:
    drawn = draw(100, 40)
    return Dataset(
        name="few",
        source="drawn by the tests",
        class_names=drawn.class_names,
        train=drawn.train.subset(np.arange(40)),
        validation=drawn.train.subset(np.arange(40, 60)),
        test=drawn.test,
    )


def test_the_last_layer_is_fitted_before_the_first_step() -> None:
    data = few()
    model = build_finetuned(SMALL, data)
    predicted = model.predict(data.train.images.astype("float32"), verbose=0).argmax(1)
    assert (predicted == data.train.labels).mean() > 0.9


def test_a_run_is_as_any_other(tmp_path: Path) -> None:
    run = train(SMALL, few(), directory=tmp_path / "run")
    loaded = Classifier.load(run.directory)
    images = few().test.images[:4]
    expected = run.classifier.predict_proba(images)
    np.testing.assert_allclose(loaded.predict_proba(images), expected, atol=1e-5)
    recorded = read_json(tmp_path / "run" / "recipe.json")["model"]["arguments"]
    assert recorded == {"start": "cifar10", "unfreeze": "all"}


def test_killed_and_resumed_it_gives_the_same(tmp_path: Path) -> None:
    class Stop(Silent):
        def advanced(self, count: int = 1) -> None:
            self.seen = getattr(self, "seen", 0) + count
            if self.seen == 4:
                os.kill(os.getpid(), signal.SIGTERM)

    whole = train(SMALL, few(), directory=tmp_path / "whole")
    with pytest.raises(RunInterruptedError):
        train(SMALL, few(), directory=tmp_path / "cut", progress=Stop())
    again = resume(tmp_path / "cut", few())
    pairs = zip(whole.classifier.model.weights, again.classifier.model.weights, strict=True)
    assert all(np.array_equal(a.numpy(), b.numpy()) for a, b in pairs)


def test_what_is_frozen_stays(tmp_path: Path) -> None:
    recipe = override(SMALL, unfreeze="none")
    run = train(recipe, few(), directory=tmp_path / "run")
    before = build_finetuned(recipe, few())
    after = run.classifier.model
    for name in ("block1_conv1", "block3_conv2"):
        for old, new in zip(
            before.get_layer(name).get_weights(), after.get_layer(name).get_weights(), strict=True
        ):
            np.testing.assert_array_equal(old, new)


def test_photographs_are_read_as_large_as_the_backbone_wants() -> None:
    load = load_options_for(override(FINETUNE, start="efficientnet_lite0"), LoadOptions())
    assert (load.image_size, load.photo_size) == ("auto", 224)
    load = load_options_for(SMALL, LoadOptions())
    assert (load.image_size, load.channels) == ((32, 32), "rgb")
    load = load_options_for(SMALL, LoadOptions(image_size=64, channels="grey"))
    assert (load.image_size, load.channels) == ((64, 64), "grey")


def test_a_folder_of_photographs_is_read_for_the_start(tmp_path: Path) -> None:
    draws = np.random.default_rng(0)
    for name in ("cat", "dog"):
        (tmp_path / "photos" / name).mkdir(parents=True)
        for number in range(12):
            pixels = draws.integers(0, 256, (50, 70, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / "photos" / name / f"{number}.png")
    run = train(SMALL, tmp_path / "photos", directory=tmp_path / "run")
    assert run.data is not None
    assert run.data.train.images.shape[1:] == (32, 32, 3)
    assert read_json(tmp_path / "run" / "environment.json")["load"]["image_size"] == [32, 32]


def test_other_recipes_do_not_fine_tune() -> None:
    with pytest.raises(UsageError, match="recipe 'baseline' does not fine-tune"):
        train("baseline", few(), start="cifar10")


def test_images_that_the_start_does_not_take_are_refused_before_a_directory_is_made(
    tmp_path: Path,
) -> None:
    grey = few()
    splits = {
        name: replace(split, images=split.images[..., :1])
        for name, split in (
            ("train", grey.train),
            ("validation", grey.validation),
            ("test", grey.test),
        )
    }
    with pytest.raises(InputError, match="--image-size 32x32 --channels rgb"):
        train(SMALL, replace(grey, **splits), directory=tmp_path / "run")
    assert not (tmp_path / "run").exists()
