"""The learning-rate range test: what it suggests, and what it leaves alone."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from cifarlab.backend import keras
from cifarlab.errors import InputError, UsageError
from cifarlab.evaluation.lr_range import RangeTest
from cifarlab.experiments.lr_finder import BELOW, find_learning_rate
from cifarlab.plots.lr_range import learning_rates
from cifarlab.plots.style import save
from cifarlab.runtime.progress import Silent
from support import one_line
from tiny import SIDE, dropout_model, rich_recipe, tiny_dataset, tiny_recipe


@pytest.fixture(scope="module")
def found() -> RangeTest:
    return find_learning_rate(tiny_recipe(), tiny_dataset(), high=10.0, steps=60)


def test_the_suggestion_lies_where_the_loss_falls(found):
    low, high = 1e-3 * BELOW, 10.0
    assert low < found.suggestion <= found.at_minimum < high
    assert found.recipe_rate == 1e-3
    assert found.rates[0] == pytest.approx(low)
    assert list(found.rates) == sorted(found.rates)
    assert len(found.rates) == len(found.losses) <= 60
    diverging = max(found.rates, key=lambda r: found.losses[found.rates.index(r)])
    assert found.suggestion < diverging


def test_an_explosion_ends_the_test(found):
    assert found.stopped_early
    assert found.losses[-1] > 3 * min(found.losses)
    gentle = find_learning_rate(tiny_recipe(), tiny_dataset(), high=1e-2, steps=30)
    assert not gentle.stopped_early
    assert gentle.rates[-1] == pytest.approx(1e-2)


def test_the_same_seed_gives_the_same_and_another_seed_another(found):
    again = find_learning_rate(tiny_recipe(), tiny_dataset(), high=10.0, steps=60)
    other = find_learning_rate(tiny_recipe(), tiny_dataset(), high=10.0, steps=60, seed=1)
    assert again == found
    assert other.losses != found.losses


def test_the_tested_rate_is_the_one_that_trains():
    # A factor on the recipe's rate and its inverse on the bounds cancel.
    plain = find_learning_rate(tiny_recipe(), tiny_dataset(), low=1e-5, high=1e-2, steps=20)
    faster = replace(tiny_recipe().optimizers[0], lr=0.5)
    other = find_learning_rate(
        tiny_recipe(optimizers=(faster,)), tiny_dataset(), low=1e-5, high=1e-2, steps=20
    )
    assert other.rates == plain.rates
    assert other.losses == pytest.approx(plain.losses, rel=1e-4)


def test_many_steps_are_measured_a_hundred_times_at_most():
    done: list[int] = []

    class Counting(Silent):
        def advanced(self, count: int = 1) -> None:
            done.append(count)

    test = find_learning_rate(
        tiny_recipe(), tiny_dataset(), high=3e-3, steps=250, progress=Counting()
    )
    assert done == [1] * 250
    assert len(test.rates) <= 100
    assert test.rates[-1] == pytest.approx(3e-3)


def test_every_part_of_a_recipe_may_be_there():
    # Trained on all images, it would have none to measure with; the range test holds some out.
    test = find_learning_rate(rich_recipe(), tiny_dataset(), steps=40)
    assert test.recipe_rate == 0.1
    assert 1e-4 <= test.suggestion < 10.0


class Counting(keras.layers.Layer):
    """A layer of the user's with a weight and a state."""

    def build(self, _: Any) -> None:
        self.gain = self.add_weight(shape=(), initializer="ones", name="gain")
        self.calls = self.add_weight(shape=(), trainable=False, name="calls")

    def call(self, inputs: Any) -> Any:
        self.calls.assign_add(1.0)
        return inputs * self.gain


def own_model() -> Any:
    keras.utils.set_random_seed(1)
    layers = keras.layers
    inner = [layers.Rescaling(1 / 255), Counting(), layers.Flatten(), layers.Dropout(0.2)]
    last = layers.Dense(3, activation="softmax")
    return keras.Sequential([keras.Input((SIDE, SIDE, 3)), *inner, last])


@pytest.mark.parametrize("build", [dropout_model, own_model])
def test_a_model_of_the_users_stays_as_it_was(build):
    model = build()
    model.compile(keras.optimizers.SGD(0.01, momentum=0.9), loss="categorical_crossentropy")
    images = tiny_dataset().train.images[:32].astype("float32")
    model.fit(images, np.eye(3)[tiny_dataset().train.labels[:32]], verbose=0)
    before = values_of(model.variables), values_of(model.optimizer.variables)
    gradients = [v.value.grad for v in model.trainable_variables]
    test = find_learning_rate(model, tiny_dataset(), steps=20)
    assert test.recipe_rate == pytest.approx(0.01)
    after = values_of(model.variables), values_of(model.optimizer.variables)
    assert same(before[0], after[0])
    assert same(before[1], after[1])
    pairs = zip(gradients, model.trainable_variables, strict=True)
    assert all(gradient is v.value.grad for gradient, v in pairs)


def values_of(variables: Any) -> list[np.ndarray[Any, Any]]:
    return [keras.ops.convert_to_numpy(v).copy() for v in variables]


def same(first: list[np.ndarray[Any, Any]], second: list[np.ndarray[Any, Any]]) -> bool:
    return len(first) == len(second) and all(
        np.array_equal(a, b) for a, b in zip(first, second, strict=True)
    )


# Wrong calls


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"steps": 9}, "at least 10"),
        ({"low": 0.1, "high": 0.1}, "below the high one"),
        ({"low": -1.0}, "above 0"),
        ({"high": math.inf}, "below the high one"),
        ({"low": math.nan}, "above 0"),
        ({"batch_size": 0}, "batch_size"),
        ({"device": "abacus"}, "abacus"),
    ],
)
def test_wrong_calls_are_usage_errors(arguments, message):
    with pytest.raises(UsageError, match=message) as error:
        find_learning_rate(tiny_recipe(), tiny_dataset(), **arguments)
    one_line(error)


def test_an_unknown_recipe_and_data_without_validation_are_refused():
    with pytest.raises(UsageError, match="nosuch"):
        find_learning_rate("nosuch", tiny_dataset())
    data = tiny_dataset()
    none = replace(data, validation=data.validation.subset(np.arange(0)))
    with pytest.raises(InputError, match="no validation images") as error:
        find_learning_rate(tiny_recipe(), none)
    one_line(error)


def test_the_plot_is_an_image_and_the_same_every_time(found, tmp_path):
    for name in ("a.png", "b.png"):
        save(learning_rates(found, "tiny"), tmp_path / name)
    first = (tmp_path / "a.png").read_bytes()
    assert first.startswith(b"\x89PNG")
    assert first == (tmp_path / "b.png").read_bytes()
