"""Callbacks of a model that is trained as it was compiled: its metrics, layers and averages."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from cifarlab.backend import keras
from cifarlab.errors import UsageError
from cifarlab.runtime.progress import Silent
from support import one_line
from training.as_compiled import EPOCHS, network, train_here, weights_of

callbacks, optimizers = keras.callbacks, keras.optimizers
STEPS = 3


def compiled(optimizer: Any = "adam", **changes: Any) -> Any:
    model = network()
    top = keras.metrics.TopKCategoricalAccuracy(2, name="top2")
    given = {"loss": "categorical_crossentropy", "metrics": ["acc", top], **changes}
    model.compile(optimizer, **given)
    return model


def test_metrics_of_the_users_own_may_be_monitored():
    stopping = callbacks.EarlyStopping("val_top2", patience=1, min_delta=2.0)
    saving = callbacks.ModelCheckpoint("{val_acc:.2f}.keras", "val_acc", save_best_only=True)
    saving.on_epoch_end = lambda *_: None
    assert len(train_here(compiled(), callbacks=[stopping, saving], epochs=5)) == 2


def test_a_name_that_never_comes_is_refused_before_the_first_epoch():
    with pytest.raises(UsageError) as error:
        train_here(compiled(), callbacks=callbacks.EarlyStopping("val_top5", mode="max"))
    assert "did you mean 'val_top2'?" in one_line(error)


def test_batches_show_the_compiled_metrics_and_the_steps_that_were_done():
    seen: list[Any] = []

    class Looking(callbacks.Callback):
        def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
            seen.append((batch, dict(logs), int(self.model.optimizer.iterations)))

    history = train_here(compiled(), callbacks=[Looking()])
    assert [batch for batch, *_ in seen] == [*range(STEPS)] * EPOCHS
    assert [done for *_, done in seen] == [*range(1, EPOCHS * STEPS + 1)]
    for row, (_, logs, _) in zip(history, seen[STEPS - 1 :: STEPS], strict=True):
        assert logs == {name: row[name] for name in ("loss", "accuracy", "acc", "top2")}


def test_a_layer_frozen_on_the_way_stays_as_it_is():
    kept: list[Any] = []

    class Freezing(callbacks.Callback):
        def on_epoch_end(self, epoch: int, _: Any = None) -> None:
            if epoch == 0:
                self.model.get_layer("first").trainable = False
                kept.extend(weights_of(self.model))

    model = compiled("sgd")
    train_here(model, callbacks=[Freezing()])
    now = weights_of(model)
    for number in (0, 1):
        np.testing.assert_array_equal(now[number], kept[number])
    assert (now[2] != kept[2]).any()


def test_a_learning_rate_is_followed_from_batch_to_batch():
    class Pausing(callbacks.Callback):
        def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:  # noqa: ARG002
            self.model.optimizer.learning_rate = 0.0 if batch else 0.1
            before.append(weights_of(self.model)[0])

        def on_train_batch_end(self, batch: int, logs: Any = None) -> None:  # noqa: ARG002
            after.append(weights_of(self.model)[0])

    before: list[Any] = []
    after: list[Any] = []
    train_here(compiled("sgd"), callbacks=[Pausing()])
    moved = [bool((a != b).any()) for a, b in zip(before, after, strict=True)]
    assert moved == [True, False, False] * EPOCHS


def test_averages_are_in_place_without_the_callback_that_swaps_them():
    said: list[str] = []

    class Listening(Silent):
        def message(self, text: str) -> None:
            said.append(text)

    def train(*hooks: Any) -> tuple[Any, list[Any]]:
        model = compiled(optimizers.SGD(0.1, use_ema=True, ema_momentum=0.5))
        history = train_here(model, callbacks=list(hooks), progress=Listening())
        return model, [row | {"seconds": 0} for row in history]

    model, history = train(callbacks.SwapEMAWeights(swap_on_epoch=True))
    assert any("SwapEMAWeights is left out" in text for text in said)
    plain, expected = train()
    assert history == expected
    for mine, other in zip(weights_of(model), weights_of(plain), strict=True):
        np.testing.assert_array_equal(mine, other)


def test_test_hooks_do_not_disturb_averages():
    hook = callbacks.LambdaCallback(on_test_batch_end=lambda *_, **__: None)
    results = []
    for hooks in ([], [hook]):
        model = compiled(optimizers.SGD(0.1, use_ema=True, ema_momentum=0.5))
        history = train_here(model, callbacks=hooks)
        results.append(([row | {"seconds": 0} for row in history], weights_of(model)))
    assert results[0][0] == results[1][0]
    for mine, other in zip(results[0][1], results[1][1], strict=True):
        np.testing.assert_array_equal(mine, other)
