"""What holds around the steps: fall back, live changes, current weights, Keras's own errors."""

from __future__ import annotations

import inspect
import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

import cifarlab
from cifarlab.backend import KerasModel, keras
from cifarlab.errors import NoFastFormError, UsageError
from cifarlab.fitting.accelerator import Accelerator
from cifarlab.fitting.fit import KERAS_OWN, evaluate, fast_fit, fit, predict
from cifarlab.fitting.plan import make_plan
from cifarlab.fitting.steps import Steps
from fitting.comparison import assert_same_outcome, outcome_of
from lowering.test_graph import NOT_NATIVE
from lowering.test_graph import classifier as around

layers, optimizers = keras.layers, keras.optimizers
Callback = keras.callbacks.Callback
KERAS_FIT = KERAS_OWN["fit"]

pytestmark = pytest.mark.filterwarnings("ignore:__array__:DeprecationWarning")

RNG = np.random.default_rng(0)
X = RNG.normal(size=(12, 6, 6, 3)).astype("float32")
Y = RNG.integers(0, 3, 12)
SHAPE = (6, 6, 3)


def stack() -> list[Any]:
    return [
        layers.Conv2D(4, 3, padding="same", activation="relu", name="first"),
        layers.BatchNormalization(name="norm"),
        layers.Dropout(0.3, name="drop"),
        layers.MaxPooling2D(),
        layers.Flatten(),
        layers.Dense(3, activation="softmax", name="last"),
    ]


def network(kind: Any = keras.Model, shape: tuple[int | None, ...] = SHAPE) -> KerasModel:
    """A built functional model of class ``kind``."""
    keras.utils.set_random_seed(1)
    inputs = keras.Input(shape, name="image")
    x = inputs
    for layer in stack():
        x = layer(x)
    return kind(inputs, x)


def compile_arguments(**changes: Any) -> dict[str, Any]:
    return {
        "optimizer": optimizers.SGD(0.05, momentum=0.9),
        "loss": "sparse_categorical_crossentropy",
        "metrics": ["accuracy"],
        **changes,
    }


def compiled(model: KerasModel, **changes: Any) -> KerasModel:
    model.compile(**compile_arguments(**changes))
    return model


def fast(model: KerasModel, **arguments: Any) -> Any:
    return fit(model, precision="float32", strict=True, **arguments)


def arguments(**changes: Any) -> dict[str, Any]:
    return {"x": X, "y": Y, "batch_size": 5, "epochs": 3, "verbose": 0, **changes}


def assert_as_keras(
    model: KerasModel, make: Callable[[], dict[str, Any]] = arguments, **changes: Any
) -> None:
    keras_own = outcome_of(KERAS_FIT, model, compile_arguments(**changes), make())
    mine = outcome_of(fast, model, compile_arguments(**changes), make())
    assert_same_outcome(mine, keras_own)


def test_arguments_and_defaults_are_those_of_keras() -> None:
    for own, theirs, more in (
        (fit, keras.Model.fit, {"precision", "strict"}),
        (evaluate, keras.Model.evaluate, {"strict"}),
        (predict, keras.Model.predict, {"strict"}),
    ):
        mine = inspect.signature(own).parameters
        expected = inspect.signature(theirs).parameters
        names = [n for n in expected if n not in ("self", "kwargs")]
        assert [n for n in mine if n not in more][1:] == names
        assert all(mine[n].default == expected[n].default for n in names)


class TestWhatRunsNatively:
    def test_dropout_and_shuffling_draw_the_same_numbers(self) -> None:
        assert_as_keras(network(), lambda: arguments(validation_split=0.25))

    def test_a_seeded_dropout_draws_what_its_seed_says(self) -> None:
        model = keras.Sequential(
            [keras.Input(SHAPE), layers.Dropout(0.5, seed=3), layers.SpatialDropout2D(0.4),
             layers.Flatten(), layers.Dense(3, activation="softmax")]
        )  # fmt: skip
        assert_as_keras(model)

    def test_a_model_without_weights_is_built_by_keras_first(self) -> None:
        def build() -> KerasModel:
            keras.utils.set_random_seed(4)
            return compiled(keras.Sequential([layers.Flatten(), layers.Dense(3, "softmax")]))

        mine, own = build(), build()
        assert make_plan("fit", mine)[0].native
        keras.utils.set_random_seed(5)
        history = fast(mine, **arguments())
        keras.utils.set_random_seed(5)
        expected = own.fit(**arguments())
        np.testing.assert_allclose(history.history["loss"], expected.history["loss"], rtol=1e-5)

    def test_images_may_have_any_size_and_type_that_keras_takes(self) -> None:
        keras.utils.set_random_seed(4)
        model = keras.Sequential(
            [keras.Input((None, None, 1)), layers.Rescaling(1 / 255), layers.Conv2D(2, 3),
             layers.GlobalAveragePooling2D(), layers.Dense(3, activation="softmax")]
        )  # fmt: skip
        images = (X[..., 0] * 50 + 128).clip(0, 255)
        for values in (images.astype("uint8"), images.astype("float64"), images[..., None]):
            assert_as_keras(model, lambda values=values: arguments(x=values))

    def test_inputs_and_outputs_may_be_named(self) -> None:
        inputs = keras.Input((108,), name="row")
        model = keras.Model({"row": inputs}, {"class": layers.Dense(3)(inputs)})
        rows = X.reshape(12, -1)
        assert_as_keras(
            model,
            lambda: arguments(x={"row": rows}, y={"class": Y}),
            loss={"class": keras.losses.SparseCategoricalCrossentropy(from_logits=True)},
            metrics={"class": ["accuracy"]},
        )

    def test_added_losses_of_several_values_are_summed(self) -> None:
        class Penalised(layers.Layer):  # type: ignore[misc]
            def call(self, x: Any) -> Any:
                self.add_loss(0.01 * keras.ops.square(x))
                return x

        stack = [keras.Input((4,)), layers.Dense(4), Penalised(), layers.Dense(3, "softmax")]
        model = keras.Sequential(stack)
        assert_as_keras(model, lambda: arguments(x=X.reshape(12, -1)[:, :4]))

    def test_continuing_with_keras_is_the_same(self) -> None:
        mine, own = compiled(network()), compiled(network())
        keras.utils.set_random_seed(1)
        fast(mine, **arguments())
        mine.fit(**arguments())
        keras.utils.set_random_seed(1)
        own.fit(**arguments())
        own.fit(**arguments())
        for a, b in zip(mine.get_weights(), own.get_weights(), strict=True):
            np.testing.assert_allclose(a, b, atol=1e-4)
        assert int(mine.optimizer.iterations) == int(own.optimizer.iterations) == 18

    @pytest.mark.parametrize("precision", ["float32", "bfloat16"])
    def test_evaluate_and_predict_are_keras_own_whatever_trains(self, precision: str) -> None:
        model = compiled(network())
        fit(model, **arguments(), precision=precision)
        mine = evaluate(model, X, Y, verbose=0, return_dict=True, strict=True)
        own = model.evaluate(X, Y, verbose=0, return_dict=True)
        assert mine == pytest.approx(own, abs=1e-5)
        np.testing.assert_allclose(
            predict(model, X, verbose=0, strict=True), model.predict(X, verbose=0), atol=1e-5
        )

    def test_bfloat16_trains_like_float32_and_says_so(self, capsys: Any) -> None:
        losses = {}
        for precision in ("float32", "bfloat16"):
            model = compiled(network())
            keras.utils.set_random_seed(2)
            history = fit(model, **arguments(verbose=2, epochs=4), precision=precision)
            losses[precision] = history.history["loss"]
            said = capsys.readouterr().err
            assert ("products in bfloat16" in said) == (precision == "bfloat16")
            assert all(w.dtype == np.float32 for w in model.get_weights())
        assert losses["bfloat16"] != losses["float32"]
        np.testing.assert_allclose(losses["bfloat16"], losses["float32"], rtol=0.05)

    @pytest.mark.parametrize("name", [n for n in NOT_NATIVE if n != "masked"])
    def test_layers_run_by_keras_stand_bfloat16(self, name: str) -> None:
        model = compiled(around(NOT_NATIVE[name]))
        x = RNG.normal(size=(5, *model.input_shape[1:])).astype("float32")
        history = fit(model, x, Y[:5], verbose=0, precision="bfloat16", strict=True)
        assert np.isfinite(history.history["loss"]).all()

    def test_an_unknown_precision_is_refused_before_anything(self) -> None:
        with pytest.raises(UsageError, match="precision 'half'"):
            fit(compiled(network()), **arguments(), precision="half")


class OwnTrainStep(keras.Model):  # type: ignore[misc]
    def train_step(self, data: Any) -> Any:
        logs = super().train_step(data)
        return {**logs, "own": logs["loss"] * 2}


class OwnLoss(keras.Model):  # type: ignore[misc]
    def compute_loss(self, *args: Any, **kwargs: Any) -> Any:
        return super().compute_loss(*args, **kwargs) * 2


class OwnCall(keras.Model):  # type: ignore[misc]
    def call(self, x: Any, training: Any = None) -> Any:
        return super().call(x, training=training) ** 2


def subclassed() -> KerasModel:
    class Net(keras.Model):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.last = layers.Dense(3, activation="softmax")

        def call(self, x: Any) -> Any:
            return self.last(keras.ops.reshape(x, (-1, 108)))

    return compiled(Net())


def two_inputs() -> KerasModel:
    inputs = keras.Input(SHAPE)
    sides = [layers.Flatten()(inputs), layers.Flatten()(keras.Input(SHAPE))]
    other = keras.Input(SHAPE)
    sides = [layers.Flatten()(inputs), layers.Flatten()(other)]
    merged = layers.Dense(3, activation="softmax")(layers.Add()(sides))
    return compiled(keras.Model([inputs, other], merged))


def two_outputs() -> KerasModel:
    inputs = keras.Input(SHAPE)
    flat = layers.Flatten()(inputs)
    ends = [layers.Dense(3, activation="softmax")(flat) for _ in range(2)]
    model = keras.Model(inputs, ends)
    model.compile("sgd", "sparse_categorical_crossentropy")
    return model


def masked() -> KerasModel:
    model = keras.Sequential(
        [keras.Input(SHAPE), layers.Reshape((36, 3)), layers.Masking(), layers.LSTM(2),
         layers.Dense(3, activation="softmax")]
    )  # fmt: skip
    return compiled(model)


def hooked() -> KerasModel:
    model = compiled(network())
    model.get_layer("last").register_forward_hook(lambda *_: None)
    return model


def with_own_function() -> KerasModel:
    model = compiled(network())
    model.make_train_function()
    keras_own = model.train_function
    model.train_function = lambda data: keras_own(data)
    return model


def mixed() -> KerasModel:
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        return compiled(network())
    finally:
        keras.config.set_dtype_policy("float32")


def wide_end() -> KerasModel:
    stack = [keras.Input(SHAPE), layers.Flatten(), layers.Dense(3)]
    return compiled(keras.Sequential([*stack, layers.Activation("softmax", dtype="float64")]))


FALL_BACKS: dict[str, Callable[[], KerasModel]] = {
    "OwnTrainStep has a train_step of its own": lambda: compiled(network(OwnTrainStep)),
    "OwnLoss has a compute_loss of its own": lambda: compiled(network(OwnLoss)),
    "OwnCall is a subclass of keras.Model with a call": lambda: compiled(network(OwnCall)),
    "Net is a subclass of keras.Model with a call": subclassed,
    "has 2 inputs": two_inputs,
    "has 2 outputs": two_outputs,
    "gives a mask": masked,
    "layer 'last' has a PyTorch hook": hooked,
    "was given a train_function of its own": with_own_function,
    "has the dtype policy mixed_bfloat16": mixed,
    "has the dtype policy float64": wide_end,
    "compile(run_eagerly=True)": lambda: compiled(network(), run_eagerly=True),
}


class TestFallingBack:
    @pytest.mark.parametrize("reason", FALL_BACKS)
    def test_runs_as_keras_runs_it_and_says_why(self, reason: str, capsys: Any) -> None:
        model = FALL_BACKS[reason]()
        if reason == "has 2 inputs":
            data: dict[str, Any] = {"x": [X, X], "y": Y}
        else:
            data = {"x": X, "y": [Y, Y] if reason == "has 2 outputs" else Y}
        with pytest.raises(NoFastFormError) as refused:
            fit(model, **arguments(**data), strict=True)
        assert reason in str(refused.value)
        assert "\n" not in str(refused.value)
        history = fit(model, **arguments(**data, epochs=1, verbose=2))
        assert len(history.history["loss"]) == 1
        lines = [line for line in capsys.readouterr().err.splitlines() if "cifarlab" in line]
        (said,) = [line for line in lines if "float32" not in line or reason in line]
        assert reason in said
        assert not make_plan("fit", model)[0].native

    def test_verbose_0_is_silent(self, capsys: Any) -> None:
        fit(compiled(network(OwnTrainStep)), **arguments())
        assert capsys.readouterr().err == ""

    def test_keras_errors_stay(self) -> None:
        model = network()
        for changes, message in (
            ({"steps_per_execution": 2}, "steps_per_execution"),
            ({"loss": None}, "No loss to compute"),
        ):
            compiled(model, **changes)
            model._compile_loss = None if "loss" in changes else model._compile_loss
            with pytest.raises(ValueError, match=message):
                fit(model, **arguments())
        with pytest.raises(ValueError, match="compile"):
            fit(network(), **arguments())

    @pytest.mark.parametrize(
        ("x", "y"), [(X[:, :5], Y), (X[:, 0], Y), (X, Y[:5]), (X, None)], ids=str
    )
    def test_what_does_not_fit_raises_what_keras_raises(self, x: Any, y: Any) -> None:
        model = compiled(network())
        with pytest.raises(Exception) as own:  # noqa: PT011
            model.fit(x, y, verbose=0)
        with pytest.raises(type(own.value)) as mine:
            fast(model, x=x, y=y, verbose=0)
        assert str(mine.value).splitlines()[0] == str(own.value).splitlines()[0]

    def test_all_weights_frozen_warns_as_keras_does(self) -> None:
        model = network()
        model.trainable = False
        compiled(model)
        with pytest.warns(UserWarning, match="does not have any trainable weights"):
            fit(model, **arguments())


def test_a_layer_that_trains_itself_runs_as_keras_runs_it() -> None:
    trainer = next(base for base in keras.Model.__mro__ if "fit" in vars(base))

    class Own(trainer, layers.Dense):  # type: ignore[misc, valid-type]
        def __init__(self) -> None:
            layers.Dense.__init__(self, 3)
            trainer.__init__(self)

    model = compiled(Own(), loss="mse")
    with fast_fit() as calls:
        model.fit(X[:, 0, 0], np.eye(3)[Y], verbose=0)
        model.predict(X[:, 0, 0], verbose=0)
    assert [record.plan.reasons for record in calls.records] == [("Own is no keras.Model",)] * 2


class At(Callback):  # type: ignore[misc]
    """Do something once, when ``hook`` is called the ``number``-th time."""

    def __init__(self, hook: str, number: int, action: Callable[[KerasModel], None]) -> None:
        super().__init__()
        self.left, self.action = number, action
        setattr(self, hook, self.act)

    def act(self, *_: Any, **__: Any) -> None:
        self.left -= 1
        if self.left == 0:
            self.action(self.model)


def freeze(model: KerasModel) -> None:
    model.get_layer("first").trainable = False
    model.get_layer("norm").trainable = False


def thaw(model: KerasModel) -> None:
    freeze(model)
    model.get_layer("norm").trainable = True


CHANGES: dict[str, Callable[[KerasModel], None]] = {
    "a layer frozen": freeze,
    "a layer thawed": thaw,
    "another dropout rate": lambda m: setattr(m.get_layer("drop"), "rate", 0.0),
    "another momentum": lambda m: setattr(m.get_layer("norm"), "momentum", 0.5),
    "another activation": lambda m: setattr(
        m.get_layer("first"), "activation", keras.activations.tanh
    ),
    "another learning rate": lambda m: setattr(m.optimizer, "learning_rate", 0.001),
    "other weights": lambda m: m.set_weights([w * 0.9 for w in m.get_weights()]),
    "weights elsewhere in memory": lambda m: m.double().float(),
    "no more training": lambda m: setattr(m, "stop_training", True),
    "an evaluation": lambda m: m.evaluate(X, Y, verbose=0),
    "a prediction": lambda m: m.predict(X, verbose=0),
    "a training step": lambda m: m.train_on_batch(X[:4], Y[:4]),
}


class TestCallbacks:
    @pytest.mark.parametrize("hook", ["on_train_batch_end", "on_epoch_begin", "on_train_begin"])
    @pytest.mark.parametrize("change", CHANGES)
    def test_may_change_the_model_at_any_hook(self, change: str, hook: str) -> None:
        number = 1 if hook == "on_train_begin" else 2

        def make() -> dict[str, Any]:
            return arguments(callbacks=[At(hook, number, CHANGES[change])])

        for fitted in (fast, KERAS_FIT):
            model = network()
            outcome = outcome_of(fitted, model, compile_arguments(), make())
            if fitted is fast:
                mine = outcome
        assert_same_outcome(mine, outcome)

    def test_see_current_weights_gradients_and_iterations(self) -> None:
        def seen(fitted: Callable[..., Any]) -> list[list[np.ndarray]]:
            model, values = compiled(network()), []

            def look(model: KerasModel) -> None:
                gradients = [v.value.grad.clone() for v in model.trainable_variables]
                values.append([*model.get_weights(), *gradients, int(model.optimizer.iterations)])

            watch = Callback()
            watch.on_train_batch_end = lambda *_, **__: look(model)
            keras.utils.set_random_seed(3)
            fitted(model, **arguments(callbacks=[watch]))
            return values

        for mine, own in zip(seen(fast), seen(KERAS_FIT), strict=True):
            for a, b in zip(mine, own, strict=True):
                np.testing.assert_allclose(np.asarray(a), np.asarray(b), atol=1e-4)

    def test_a_hook_added_on_the_way_is_called(self) -> None:
        calls = []

        def add(model: KerasModel) -> None:
            model.get_layer("last").register_forward_hook(lambda *_: calls.append(1))

        fit(compiled(network()), **arguments(callbacks=[At("on_epoch_end", 2, add)]))
        assert len(calls) == 3

    def test_stock_ones_work(self, tmp_path: Any) -> None:
        def make() -> dict[str, Any]:
            return arguments(
                validation_data=(X, Y),
                epochs=5,
                callbacks=[
                    keras.callbacks.EarlyStopping(patience=1, restore_best_weights=True),
                    keras.callbacks.ModelCheckpoint(str(tmp_path / "last.keras"), save_freq=2),
                    keras.callbacks.ReduceLROnPlateau(patience=0, factor=0.5),
                    keras.callbacks.CSVLogger(str(tmp_path / "log.csv")),
                    keras.callbacks.BackupAndRestore(str(tmp_path / "backup")),
                ],
            )

        assert_as_keras(network(), make)
        assert (tmp_path / "last.keras").exists()


class TestPutBack:
    def test_the_models_functions_are_its_own_again(self) -> None:
        model = compiled(network())
        fast(model, **arguments())
        assert model.train_function is None
        model.fit(**arguments())
        before = model.train_function
        fast(model, **arguments())
        assert model.train_function is before

    def test_after_an_error_too(self) -> None:
        def fail(_: KerasModel) -> None:
            raise RuntimeError("stop")

        model = compiled(network())
        with pytest.raises(RuntimeError, match="stop"):
            fast(model, **arguments(callbacks=[At("on_epoch_end", 1, fail)]))
        assert model.train_function is None
        model.fit(**arguments())

    def test_a_fitted_model_can_be_saved_and_copied(self, tmp_path: Any) -> None:
        model = compiled(network())
        fast(model, **arguments())
        model.save(tmp_path / "model.keras")
        again = keras.saving.load_model(tmp_path / "model.keras")
        np.testing.assert_allclose(again.predict(X, verbose=0), model.predict(X, verbose=0))
        assert keras.models.clone_model(model).count_params() == model.count_params()


class TestFastFit:
    def test_makes_every_call_inside_the_fast_one(self) -> None:
        before = keras.Model.fit, keras.Model.evaluate, keras.Model.predict
        model, slow = compiled(network()), compiled(network(OwnTrainStep))
        with fast_fit(precision="float32") as fast_calls:
            model.fit(**arguments(validation_split=0.25))
            model.evaluate(X, Y, verbose=0)
            model.predict(X, verbose=0)
            slow.fit(X, Y, verbose=0)
        assert (keras.Model.fit, keras.Model.evaluate, keras.Model.predict) == before
        plans = [record.plan for record in fast_calls.records]
        assert [p.call for p in plans] == ["fit", "evaluate", "predict", "fit"]
        assert [p.native for p in plans] == [True, True, True, False]
        assert all(record.seconds > 0 for record in fast_calls.records)

    def test_also_reaches_fit_methods_that_call_keras_own(self) -> None:
        class Own(keras.Model):  # type: ignore[misc]
            def fit(self, *args: Any, **kwargs: Any) -> Any:
                return super().fit(*args, **kwargs)

        with fast_fit(strict=True) as fast_calls:
            compiled(network(Own)).fit(**arguments())
        assert [r.plan.native for r in fast_calls.records] == [True]

    def test_restores_after_an_error(self) -> None:
        with pytest.raises(NoFastFormError), fast_fit(strict=True):
            compiled(network(OwnTrainStep)).fit(X, Y)
        assert keras.Model.fit is KERAS_FIT

    def test_says_each_line_once(self) -> None:
        said: list[str] = []
        accelerator = Accelerator(precision="float32", message=said.append)
        model = compiled(network(OwnTrainStep))
        for _ in range(2):
            accelerator.run("fit", model, lambda: KERAS_FIT(model, X, Y, verbose=0))
        assert len(said) == 1

    def test_the_innermost_block_decides(self) -> None:
        model = compiled(network(OwnTrainStep))
        with fast_fit(strict=True) as outer, fast_fit() as inner:
            model.fit(X, Y, verbose=0)
        assert (len(outer.records), len(inner.records)) == (0, 1)
        assert keras.Model.fit is KERAS_FIT

    def test_blocks_that_end_in_the_order_they_began_leave_keras_methods(self) -> None:
        model = compiled(network())
        first, second = fast_fit(), fast_fit()
        first.__enter__()
        calls = second.__enter__()
        first.__exit__(None, None, None)
        model.fit(X, Y, verbose=0)
        second.__exit__(None, None, None)
        assert len(calls.records) == 1
        assert keras.Model.fit is KERAS_FIT

    def test_reaches_a_fit_in_another_thread(self) -> None:
        models = [compiled(network()) for _ in range(2)]
        with fast_fit(precision="float32") as calls:
            threads = [threading.Thread(target=m.fit, kwargs=arguments()) for m in models]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        assert [record.plan.native for record in calls.records] == [True, True]

    def test_single_batches_give_what_keras_gives(self) -> None:
        def measured() -> list[Any]:
            model = compiled(network())
            keras.utils.set_random_seed(3)
            results = [model.train_on_batch(X[:4], Y[:4]), model.test_on_batch(X[:4], Y[:4])]
            model.fit(**arguments())
            results += [model.train_on_batch(X[:4], Y[:4]), model.predict_on_batch(X[:4])]
            return [np.array(result) for result in results]

        expected = measured()
        with fast_fit(precision="float32"):
            mine = measured()
        for value, other in zip(mine, expected, strict=True):
            np.testing.assert_allclose(value, other, atol=1e-5)


class Batches(keras.utils.PyDataset):  # type: ignore[misc]
    """Three batches, read by workers."""

    def __len__(self) -> int:
        return 3

    def __getitem__(self, number: int) -> Any:
        return X[4 * number : 4 * number + 4], Y[4 * number : 4 * number + 4]


def endless() -> Any:
    while True:
        for first in (0, 4, 8):
            yield X[first : first + 4], Y[first : first + 4], np.arange(4.0)


def loader() -> Any:
    return torch.utils.data.DataLoader([*zip(X, Y, strict=True)], batch_size=5)


IN_STEPS = {"x": X, "y": Y, "batch_size": 2, "epochs": 4, "verbose": 0}
FORMS: dict[str, Callable[[], dict[str, Any]]] = {
    "a generator that never ends": lambda: {
        "x": endless(), "shuffle": False, "steps_per_epoch": 2, "epochs": 3, "verbose": 0
    },
    "a PyDataset with workers": lambda: {
        "x": Batches(workers=2, max_queue_size=4), "shuffle": False, "epochs": 2, "verbose": 0
    },
    "a PyTorch loader": lambda: {"x": loader(), "shuffle": False, "epochs": 2, "verbose": 0},
    "validation now and then": lambda: arguments(validation_split=0.25, validation_freq=[1, 3]),
    "a later first epoch": lambda: arguments(initial_epoch=1),
    "fewer steps than batches": lambda: {**IN_STEPS, "steps_per_epoch": 2},
    "class weights by floats": lambda: arguments(class_weight={0.0: 1.0, 1.0: 2.5, 2.0: 0.5}),
    "no batch size": lambda: arguments(batch_size=None),
    "validation with weights": lambda: arguments(validation_data=(X[:5], Y[:5], np.arange(5.0))),
    "validation by a loader": lambda: arguments(validation_data=loader(), validation_steps=2),
}  # fmt: skip


@pytest.mark.parametrize("form", FORMS)
def test_every_form_of_data_and_steps_is_as_in_keras(form: str) -> None:
    assert_as_keras(network(), FORMS[form])


def test_weights_for_moments_are_as_in_keras() -> None:
    model = keras.Sequential([keras.Input((5, 4)), layers.Dense(3, activation="softmax")])
    x, y = RNG.normal(size=(12, 5, 4)), RNG.integers(0, 3, (12, 5))
    weights = RNG.random((12, 5))
    assert_as_keras(
        model, lambda: arguments(x=x, y=y, sample_weight=weights), weighted_metrics=["accuracy"]
    )


def test_ctrl_c_leaves_the_steps_that_were_done_and_keras_functions() -> None:
    def interrupt(_: KerasModel) -> None:
        raise KeyboardInterrupt

    model, expected = compiled(network()), compiled(network())
    hook = "on_train_batch_end"
    for call, fitted in ((fast, model), (KERAS_FIT, expected)):
        with pytest.raises(KeyboardInterrupt):
            call(fitted, **arguments(shuffle=False, callbacks=[At(hook, 2, interrupt)]))
    assert int(model.optimizer.iterations) == 2
    assert not isinstance(getattr(model.train_function, "__self__", None), Steps)
    assert not np.array_equal(model.weights[0].numpy(), network().weights[0].numpy())
    model.fit(**arguments())
    assert keras.Model.fit is KERAS_FIT


def test_a_model_with_a_fit_of_its_own_keeps_it() -> None:
    class Own(keras.Model):  # type: ignore[misc]
        called = False

        def fit(self, *args: Any, **kwargs: Any) -> Any:
            self.called = True
            return super().fit(*args, **kwargs)

    model = compiled(network(Own))
    fit(model, **arguments())
    assert model.called


def test_they_are_public() -> None:
    assert cifarlab.fit is fit
    assert cifarlab.fast_fit is fast_fit
    assert cifarlab.predict is predict
    model = compiled(network())
    assert cifarlab.evaluate(model, X, Y, verbose=0) == evaluate(model, X, Y, verbose=0)


def test_nothing_is_kept_of_the_gradient_mode() -> None:
    fast(compiled(network()), **arguments())
    assert torch.is_grad_enabled()
