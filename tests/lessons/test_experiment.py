"""What lessons share: fair starts, subsets, runs that diverge, and no test split."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from cifarlab.backend import keras
from cifarlab.errors import InputError, UsageError
from cifarlab.lessons.experiment import (
    LessonOptions,
    Variant,
    build,
    compare_variants,
    sample,
    train,
    without_batch_norm,
)
from cifarlab.lessons.measuring import accuracy_on, first_gradient
from cifarlab.recipes.parts import SGD
from cifarlab.training.step import train_step
from lessons.made_up import TINY, shapes
from support import one_line
from tiny import tiny_dataset, tiny_recipe

PLAIN = tiny_recipe(stop=None, keep="last", augment=(), epochs=2)


def test_a_sample_is_even_and_the_same_every_time():
    chosen = sample(shapes(), TINY)
    assert np.bincount(chosen.train.labels).tolist() == [6] * 10
    assert (chosen.train.images == sample(shapes(), TINY).train.images).all()
    assert len(sample(shapes(), replace(TINY, images=10**6)).train) == 80


@pytest.mark.parametrize("field", ["images", "epochs", "seeds"])
def test_options_below_one_are_refused(field):
    with pytest.raises(UsageError) as error:
        replace(TINY, **{field: 0})
    assert f"--{field} is 0" in one_line(error)


def test_a_sample_needs_validation_images_and_one_of_each_class():
    data = tiny_dataset()
    with pytest.raises(UsageError, match="3 classes"):
        sample(data, LessonOptions(images=2, epochs=1))
    with pytest.raises(InputError, match="no validation"):
        sample(replace(data, validation=data.validation.subset(np.arange(0))), TINY)


def test_variants_start_from_the_same_weights():
    data = tiny_dataset()
    full = build(Variant(name="with", recipe=PLAIN), data, 1)
    bare = build(Variant(name="without", recipe=PLAIN, batch_norm=False), data, 1)
    assert not any(isinstance(x, keras.layers.BatchNormalization) for x in bare.layers)
    kept = [x for x in full.layers if not isinstance(x, keras.layers.BatchNormalization)]
    for old, new in zip(kept, bare.layers, strict=True):
        for a, b in zip(old.get_weights(), new.get_weights(), strict=True):
            assert (a == b).all()


def test_a_copy_without_batch_norm_shares_nothing():
    model = build(Variant(name="with", recipe=PLAIN), tiny_dataset(), 0)
    copy = without_batch_norm(model)
    ours = {id(v) for v in model.variables}
    assert not ours & {id(v) for v in copy.variables}


def test_trained_models_are_measured_as_the_history_says():
    data = tiny_dataset()
    model = build(Variant(name="with", recipe=PLAIN), data, 0)
    trial = train(model, Variant(name="with", recipe=PLAIN), data, 0, "cpu")
    assert [row["epoch"] for row in trial.history] == [1, 2]
    found = accuracy_on(model, data.validation, "cpu")
    assert found == pytest.approx(trial.history[-1]["val_accuracy"])


def test_a_run_that_diverges_counts_as_guessing():
    wild = replace(PLAIN, optimizers=(SGD(lr=1e30),))
    result = compare_variants(
        [Variant(name="wild", recipe=wild)],
        tiny_dataset(),
        LessonOptions(images=150, epochs=2, seeds=1),
        "cpu",
        str,
    )
    trial = result.of("wild").trials[0]
    assert trial.diverged
    assert len(trial.history) == 2
    assert result.of("wild").final("val_accuracy") == (pytest.approx(1 / 3),)
    assert result.to_json()["variants"]["wild"][0]["history"][-1]["val_loss"] is None


def test_the_first_gradient_is_that_of_the_first_step():
    import torch

    from cifarlab.runtime.device import choose_device
    from cifarlab.runtime.randomness import generator
    from cifarlab.training.batch import batches
    from cifarlab.training.beginning import LoopOptions, start

    data = tiny_dataset()
    model = build(Variant(name="with", recipe=PLAIN), data, 0)
    before = [w.copy() for w in model.get_weights()]
    found = first_gradient(model, PLAIN, data, 0)
    assert all((a == b).all() for a, b in zip(before, model.get_weights(), strict=True))
    state = start(
        model,
        PLAIN,
        LoopOptions(device=choose_device("cpu"), precision=torch.float32, seed=0),
    )
    images, labels = torch.from_numpy(data.train.images), torch.from_numpy(data.train.labels)
    _, batch = next(batches(images, labels, 3, PLAIN.batch_size, 0, 0))
    train_step(state, batch, PLAIN, torch.float32, generator(0))
    squares = sum(float(t.grad.square().sum()) for t in state.lowered.trained())
    assert found == pytest.approx(squares**0.5, rel=1e-5)
