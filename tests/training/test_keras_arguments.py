"""Whoever knows Keras's ``fit`` is told what ``train`` calls an argument, before any work."""

from __future__ import annotations

import inspect
from typing import Any

import pytest

from cifarlab.backend import keras
from cifarlab.errors import UsageError
from cifarlab.training.keras_arguments import INSTEAD
from cifarlab.training.train import train
from support import one_line


@pytest.mark.parametrize(
    ("argument", "remedy"),
    [
        ({"class_weight": {0: 2.0}}, "class_weights={label: weight}"),
        ({"sample_weight": [1.0]}, "cifarlab.fit(model, x, y, ...)"),
        ({"validation_split": 0.2}, "validation_fraction"),
        ({"validation_data": ([], [])}, 'data={"train": (x, y), "validation": (x, y)}'),
        ({"shuffle": True}, "leave it out"),
        ({"verbose": 2}, "progress="),
        ({"epoch": 3}, "did you mean epochs?"),
        ({"bad_name": 3}, "choose from what, data"),
    ],
)
def test_an_argument_that_train_does_not_take_is_named_with_the_remedy(argument, remedy):
    with pytest.raises(UsageError) as error:
        train("baseline", "no such data", **argument)
    message = one_line(error)
    assert f"train takes no {next(iter(argument))}: " in message
    assert remedy in message


def test_every_argument_of_keras_has_an_answer():
    known: Any = inspect.signature(train).parameters
    of_keras = set(inspect.signature(keras.Model.fit).parameters) - {"self"}
    assert of_keras - set(known) == set(INSTEAD)
