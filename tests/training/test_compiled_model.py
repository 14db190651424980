"""What a model was compiled with trains it, or is refused by name; nothing is dropped."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import cifarlab
from cifarlab.backend import KerasModel, keras
from cifarlab.errors import UsageError
from cifarlab.recipes.parts import SGD, Adam
from cifarlab.training.compiled import read_compiled, read_compiled_file
from tiny import CLASSES, SIDE, tiny_dataset

losses, optimizers = keras.losses, keras.optimizers


def network(kind: type = keras.Model) -> KerasModel:
    layers = keras.layers
    images = keras.Input((SIDE, SIDE, 3))
    x = layers.Flatten()(layers.Rescaling(1 / 255)(images))
    return kind(images, layers.Dense(len(CLASSES), activation="softmax")(x))


def compiled(optimizer: Any = "adam", loss: Any = "categorical_crossentropy", **more: Any) -> Any:
    model = network()
    model.compile(optimizer, loss, **more)
    return model


def both(model: KerasModel, tmp_path: Path) -> list[Any]:
    """Return what is read from the model, and from each of its files."""
    found = [read_compiled(model)]
    for suffix in (".keras", ".h5"):
        model.save(tmp_path / f"m{suffix}")
        found.append(read_compiled_file(tmp_path / f"m{suffix}", model.name))
    return found


@pytest.mark.filterwarnings("ignore:You are saving")
@pytest.mark.parametrize(
    "loss",
    [
        "categorical_crossentropy",
        "sparse_categorical_crossentropy",
        losses.CategoricalCrossentropy(),
        losses.SparseCategoricalCrossentropy(),
        losses.categorical_crossentropy,
    ],
    ids=["name", "sparse name", "object", "sparse object", "function"],
)
def test_cross_entropy_in_any_form_is_kept(loss: Any, tmp_path: Path) -> None:
    for found in both(compiled(loss=loss), tmp_path):
        assert found.loss.label_smoothing == 0.0
        assert isinstance(found.optimizer, Adam)


def test_settings_of_loss_and_optimizer_are_kept(tmp_path: Path) -> None:
    model = compiled(
        optimizers.SGD(0.25, momentum=0.5, nesterov=True),
        losses.CategoricalCrossentropy(label_smoothing=0.1),
    )
    for found in both(model, tmp_path):
        assert found.optimizer == SGD(lr=0.25, momentum=0.5, nesterov=True)
        assert found.loss.label_smoothing == 0.1


SCHEDULE = optimizers.schedules.CosineDecay(0.1, 10)


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ({"optimizer": optimizers.AdamW(1e-3)}, "the optimizer AdamW"),
        ({"optimizer": optimizers.RMSprop()}, "the optimizer RMSprop"),
        ({"optimizer": optimizers.Adam(SCHEDULE)}, "the learning-rate schedule CosineDecay"),
        ({"optimizer": optimizers.Adam(weight_decay=0.1)}, "weight_decay=0.1"),
        ({"optimizer": optimizers.SGD(clipnorm=1.0)}, "clipnorm=1.0"),
        ({"optimizer": optimizers.SGD(clipvalue=1.0)}, "clipvalue=1.0"),
        ({"optimizer": optimizers.SGD(global_clipnorm=1.0)}, "global_clipnorm=1.0"),
        ({"optimizer": optimizers.SGD(use_ema=True)}, "use_ema=True"),
        ({"optimizer": optimizers.Adam(amsgrad=True)}, "amsgrad=True"),
        (
            {"optimizer": optimizers.Adam(gradient_accumulation_steps=2)},
            "gradient_accumulation_steps=2",
        ),
        ({"loss": "mse"}, "the loss mse"),
        ({"loss": losses.CategoricalFocalCrossentropy()}, "the loss CategoricalFocalCrossentropy"),
        ({"loss": losses.CategoricalCrossentropy(reduction="sum")}, "the loss reduction 'sum'"),
        ({"loss": losses.CategoricalCrossentropy(from_logits=True)}, "a loss from logits"),
        ({"loss": losses.SparseCategoricalCrossentropy(ignore_class=1)}, "ignore_class=1"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
@pytest.mark.filterwarnings("ignore:You are saving")
def test_what_train_lacks_is_refused_by_name(
    arguments: dict[str, Any], named: str, tmp_path: Path
) -> None:
    model = compiled(**arguments)
    with pytest.raises(UsageError, match="would be dropped") as caught:
        cifarlab.train(model, tiny_dataset(), directory=tmp_path / "run")
    assert named in str(caught.value)
    assert "cifarlab.fit(model, x, y)" in str(caught.value)
    model.save(tmp_path / "m.keras")
    with pytest.raises(UsageError, match="would be dropped") as caught:
        cifarlab.train(str(tmp_path / "m.keras"), tiny_dataset(), directory=tmp_path / "run")
    assert named in str(caught.value)


def test_loss_weights_functions_and_overridden_steps_are_refused(tmp_path: Path) -> None:
    class Own(keras.Model):
        def train_step(self, data: Any) -> Any:
            return super().train_step(data)

    def own_loss(true: Any, predicted: Any) -> Any:
        return keras.losses.categorical_crossentropy(true, predicted)

    weighted = compiled(loss_weights=[2.0])
    function = compiled(loss=own_loss)
    for model, named in (
        (weighted, "loss weights"),
        (function, "own_loss (a function)"),
        (network(Own), "its own train_step"),
    ):
        with pytest.raises(UsageError) as caught:
            cifarlab.train(model, tiny_dataset(), directory=tmp_path / "run")
        assert named in str(caught.value)


def test_the_users_compilation_is_as_it_was(tmp_path: Path) -> None:
    data = tiny_dataset()
    model = compiled(optimizers.Adam(0.01), "sparse_categorical_crossentropy", metrics=["accuracy"])
    optimizer = model.optimizer
    cifarlab.train(model, data, epochs=1, directory=tmp_path / "run")
    assert model.optimizer is optimizer
    found = model.evaluate(
        data.test.images.astype("float32"), data.test.labels, verbose=0, return_dict=True
    )
    assert set(found) == {"loss", "accuracy"}
