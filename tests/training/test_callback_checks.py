"""What can be known to be wrong with callbacks is said before the first epoch, with the nearest."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from cifarlab.backend import keras
from cifarlab.errors import UsageError
from cifarlab.training.beginning import LoopOptions
from cifarlab.training.callback_checks import Names, check_callbacks
from cifarlab.training.callbacks import SaveBest
from cifarlab.training.loop import fit
from cifarlab.training.setup import compile_model
from support import one_line
from tiny import dropout_model, tiny_recipe, tiny_split

callbacks = keras.callbacks


class Never(callbacks.Callback):
    """Fails the test if an epoch begins."""

    def on_epoch_begin(self, _: int, __: Any = None) -> None:
        """Fail."""
        pytest.fail("an epoch began")


def begin(hooks: list[Any], *, validated: bool = True, epochs: int = 1) -> list[dict[str, float]]:
    model, recipe = dropout_model(), tiny_recipe(stop=None, epochs=epochs, batch_size=48)
    compile_model(model, recipe)
    options = LoopOptions(device=torch.device("cpu"), precision=torch.float32, seed=0)
    held_out = tiny_split(30 if validated else 0, 1)
    return fit(model, tiny_split(96, 0), held_out, recipe, options, hooks)


def refusal(hook: Any, **changes: Any) -> str:
    with pytest.raises(UsageError) as error:
        begin([hook, Never()], **changes)
    return one_line(error)


@pytest.mark.parametrize(
    "hook",
    [
        lambda: callbacks.EarlyStopping("val_acc"),
        lambda: callbacks.EarlyStopping("val_acc", mode="max"),
        lambda: callbacks.ReduceLROnPlateau("val_acc"),
        lambda: callbacks.ModelCheckpoint("x.keras", "val_acc", save_best_only=True),
        lambda: callbacks.ModelCheckpoint("x.keras", "val_acc"),
        lambda: callbacks.ModelCheckpoint("{val_acc:.2f}.keras"),
    ],
)
def test_a_name_that_never_comes_is_refused_with_the_nearest(hook):
    message = refusal(hook())
    assert "did you mean 'val_accuracy'?" in message
    assert "val_macro_f1" in message


@pytest.mark.parametrize(
    "hook",
    [
        lambda: callbacks.EarlyStopping(),
        lambda: callbacks.ReduceLROnPlateau(),
        lambda: callbacks.ModelCheckpoint("x.keras", save_best_only=True),
        lambda: callbacks.ModelCheckpoint("{val_loss:.2f}.keras"),
    ],
)
def test_without_validation_the_reason_is_that_there_is_none(hook):
    message = refusal(hook(), validated=False)
    assert "no validation split; use 'loss'" in message


def test_without_validation_there_is_no_best_epoch():
    assert "give data with one" in refusal(SaveBest(print), validated=False)


def test_a_checkpoint_that_saves_always_needs_no_validation(tmp_path):
    begin([callbacks.ModelCheckpoint(tmp_path / "{epoch}.keras")], validated=False)
    assert (tmp_path / "1.keras").exists()


@pytest.mark.parametrize("path", ["{}.keras", "{loss:d}.keras", "{loss.keras"])
def test_a_path_that_cannot_be_filled_in_is_refused(path):
    assert "cannot be filled in" in refusal(callbacks.ModelCheckpoint(path))


def test_within_an_epoch_there_are_no_numbers_of_validation():
    hook = callbacks.ModelCheckpoint("x.keras", "val_loss", save_best_only=True, save_freq=5)
    assert "choose from: loss, accuracy" in refusal(hook)


def test_a_name_without_a_direction_asks_for_one():
    assert "add mode='max' or mode='min'" in refusal(callbacks.EarlyStopping("learning_rate"))


def test_metrics_of_the_users_own_are_known():
    model = dropout_model()
    top = keras.metrics.TopKCategoricalAccuracy(2, name="top2")
    model.compile(loss="categorical_crossentropy", metrics=[top])
    model.test_on_batch(*(torch.zeros(1, 12, 12, 3), torch.eye(3)[:1]))
    names = Names(batch=("loss", "top2"), epoch=("loss", "top2", "val_top2"), validated=True)
    check_callbacks([callbacks.EarlyStopping("val_top2")], model, names)
    with pytest.raises(UsageError) as error:
        check_callbacks([callbacks.EarlyStopping("val_top5", mode="max")], model, names)
    assert "did you mean 'val_top2'?" in one_line(error)


class Adding(callbacks.Callback):
    """Puts a number of its own into the logs, which later callbacks see."""

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Add it."""
        logs["val_own"] = 1.0 - epoch


def test_a_name_that_an_earlier_callback_adds_works():
    hook = callbacks.EarlyStopping("val_own", mode="max", patience=1)
    assert len(begin([Adding(), hook], epochs=5)) == 2


def test_a_name_that_an_earlier_callback_did_not_add_ends_the_first_epoch():
    hook = callbacks.EarlyStopping("val_owl", mode="max")
    with pytest.raises(UsageError) as error, pytest.warns(UserWarning, match="val_owl"):
        begin([Adding(), hook], epochs=2)
    assert "did you mean 'val_own'?" in one_line(error)


def test_averages_are_swapped_only_where_the_optimizer_keeps_them():
    assert "use_ema=True" in refusal(callbacks.SwapEMAWeights())


@pytest.mark.parametrize(
    ("hook", "package", "remedy"),
    [
        (lambda: callbacks.TensorBoard("logs"), "tensorflow", 'track="tensorboard"'),
        (lambda: callbacks.RemoteMonitor(), "requests", "pip install requests"),
    ],
)
def test_a_package_that_is_not_installed_is_named(monkeypatch, hook, package, remedy):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None if name == package else name)
    assert remedy in refusal(hook())
