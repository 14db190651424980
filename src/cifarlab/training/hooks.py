"""Call callbacks from the training loop as Keras's ``fit`` calls them.

Whenever a callback runs, the Keras model has the weights as they are, and what the callback does
to them is trained on. Where no callback looks at batches, nothing is copied between batches.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from torch import Tensor

from cifarlab.backend import KerasModel, keras
from cifarlab.training.state import TrainState

BATCH_HOOKS = ("on_train_batch_begin", "on_train_batch_end", "on_batch_begin", "on_batch_end")
TEST_BATCH_HOOKS = ("on_test_batch_begin", "on_test_batch_end")
TEST_HOOKS = ("on_test_begin", "on_test_end", *TEST_BATCH_HOOKS)
Evaluate = Callable[[Tensor, Tensor], Mapping[str, float]]


class Hooks:
    """The callbacks of one training, each called with the model current.

    Args:
        model: compiled.
        state: where training stands.
        to_keras: brings the weights to the Keras model.
        from_keras: goes on with the weights of the Keras model.
        rate: returns the learning rate of the Keras optimizer.
        steps: in an epoch.
        batch_size: of training, which validation is shown to callbacks in.

    Attributes:
        at_batches: whether a callback looks at the batches of training.
        at_tests: whether one looks at validation.
    """

    def __init__(
        self,
        model: KerasModel,
        state: TrainState,
        callbacks: Sequence[Any],
        *,
        to_keras: Callable[[], None],
        from_keras: Callable[[], None],
        rate: Callable[[], float],
        epochs: int,
        steps: int,
        batch_size: int,
    ) -> None:
        self.model, self.state = model, state
        self.to_keras, self.from_keras, self.rate = to_keras, from_keras, rate
        self.steps, self.batch_size = steps, batch_size
        self.at_batches = any(_looks_at_batches(callback) for callback in callbacks)
        self.at_tests = _have(callbacks, TEST_HOOKS)
        self.at_test_batches = _have(callbacks, TEST_BATCH_HOOKS)
        # The verbosity is what Keras's fit gives where none was asked for.
        params = {"verbose": "auto", "epochs": epochs, "steps": steps}
        self.keras = keras.callbacks.CallbackList(
            list(callbacks), add_history=True, model=model, **params
        )

    @property
    def history(self) -> Any:
        """Keras's ``History``, with all that callbacks have added to the logs."""
        return self.model.history

    def train_begin(self) -> None:
        """Call ``on_train_begin``; the model's weights are current, and may be others after it."""
        self.model.stop_training = False
        self.keras.on_train_begin()

    def resumed(self, state: TrainState) -> None:
        """Take the state that training goes on from, and tell ``History`` what was before."""
        self.state = state
        for row in state.history:
            self.history.on_epoch_end(int(row["epoch"]) - 1, logs_of(row))

    def epoch_begin(self) -> None:
        """Call ``on_epoch_begin``."""
        before = self.rate()
        with self._current():
            self.keras.on_epoch_begin(self.state.epoch)
            # In an epoch that goes on, the hook has already done its work before.
            if self.state.step and abs(self.rate() - before) > 0:
                self.model.optimizer.learning_rate = before

    def around(self, losses: Iterator[Tensor], logs: Callable[[], Mapping[str, float]]) -> Any:
        """Yield ``losses``, each from a step, with the hooks before and after it.

        A callback that sets ``model.stop_training`` ends the epoch.

        Args:
            logs: returns the epoch's numbers so far.
        """
        for number in range(self.state.step, self.steps):
            if self.at_batches:
                with self._current():
                    self.keras.on_train_batch_begin(number)
            loss = next(losses)
            if self.at_batches:
                with self._current():
                    self.keras.on_train_batch_end(number, dict(logs()))
            yield loss
            if self.model.stop_training:
                return

    def measuring(self, evaluate: Evaluate, images: Tensor, labels: Tensor) -> Mapping[str, float]:
        """Return what ``evaluate`` measures, with the hooks of Keras's ``evaluate`` around it."""
        if not self.at_tests:
            return evaluate(images, labels)
        with self._current():
            self.keras.on_test_begin()
        if self.at_test_batches:
            self._test_batches(evaluate, images, labels)
        measured = evaluate(images, labels)
        with self._current():
            self.keras.on_test_end(dict(measured))
        return measured

    def epoch_end(self, row: Mapping[str, float]) -> None:
        """Call ``on_epoch_end`` with an epoch's row of the history."""
        with self._current():
            self.keras.on_epoch_end(self.state.epoch, logs_of(row))

    def train_end(self) -> None:
        """Call ``on_train_end``; weights that a callback restores stay in the Keras model."""
        last = self.state.history[-1] if self.state.history else {}
        self.keras.on_train_end(logs_of(last))

    def _test_batches(self, evaluate: Evaluate, images: Tensor, labels: Tensor) -> None:
        loss, right = 0.0, 0.0
        for number, first in enumerate(range(0, len(labels), self.batch_size)):
            part = slice(first, first + self.batch_size)
            with self._current():
                self.keras.on_test_batch_begin(number)
            measured = evaluate(images[part], labels[part])
            count, seen = len(labels[part]), min(first + self.batch_size, len(labels))
            loss += measured["loss"] * count
            right += measured["accuracy"] * count
            with self._current():
                logs = {"accuracy": right / seen, "loss": loss / seen}
                self.keras.on_test_batch_end(number, logs)

    @contextmanager
    def _current(self) -> Iterator[None]:
        """Have the Keras model current inside the block, and take over what is done to it."""
        self.to_keras()
        yield
        self.from_keras()


def logs_of(row: Mapping[str, float]) -> dict[str, float]:
    """Return what callbacks are given of a row of the history."""
    return {name: value for name, value in row.items() if name not in ("epoch", "seconds")}


def _looks_at_batches(callback: Any) -> bool:
    # The loop itself ends a training whose loss is no longer a number.
    if isinstance(callback, keras.callbacks.TerminateOnNaN):
        return False
    if type(callback) is keras.callbacks.ModelCheckpoint:
        return bool(callback.save_freq != "epoch")
    return _have([callback], BATCH_HOOKS)


def _have(callbacks: Sequence[Any], hooks: Sequence[str]) -> bool:
    """Whether a callback has one of the hooks; Keras marks those of its base class as empty."""
    own = (getattr(callback, hook, None) for callback in callbacks for hook in hooks)
    return any(hook is not None and not getattr(hook, "_is_default", False) for hook in own)
