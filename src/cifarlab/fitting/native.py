"""A model's training, test and prediction steps with its layers run natively.

The native layers work in the memory of the Keras variables, so the Keras model is current after
every step and a step of Keras's own may come between any two of these. Loss, metrics and the
optimizer's update are the compiled Keras objects themselves, called on the same tensors.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from cifarlab.backend import KerasModel, keras
from cifarlab.errors import InputError, NoFastFormError
from cifarlab.fitting.inside import Inside, seeded_dropout
from cifarlab.fitting.updates import apply
from cifarlab.lowering.model import LoweredModel, lower
from cifarlab.runtime.device import computing_in


class NativeModel:
    """Steps with the arguments and results of Keras's ``train_step`` and the like.

    A batch that does not fit the model is given to Keras, which says what is wrong.

    Args:
        model: built, without what ``conditions`` rules out.
        precision: the dtype of matrix products and convolutions while training.

    Attributes:
        outputs: what the model gave for the last batch that was trained or measured, in the
            structure that it gives them; ``None`` before the first.

    Raises:
        NoFastFormError: the graph of layers cannot be read.
    """

    def __init__(self, model: KerasModel, precision: torch.dtype) -> None:
        self.model = model
        self.precision = precision
        self.outputs: Any = None
        # What standardises the inputs and knows the structure of the outputs.
        self.graph = getattr(model, "_functional", None) or model
        self.weights = model.trainable_weights[:]
        kept = seeded_dropout(model)
        self.lowered = _lowered(model, kept)
        by_keras = [m.operation[0] for m in self.lowered.keras_modules if m.is_layer]
        self.inside = Inside(by_keras, kept, precision)
        self.bindings = {id(b.variable): b for b in self.lowered.trained_bindings}
        if precision != torch.float32:
            self.lowered.end_in_float32()

    @property
    def run_by_keras(self) -> tuple[str, ...]:
        """The names of the layers and operations without a native form."""
        return self.lowered.not_lowered

    def train_step(self, data: Any) -> dict[str, Any]:
        """Update the model on one batch; return the metrics' results, as Keras does."""
        model = self.model
        x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(data)
        inputs = self._inputs(x)
        if inputs is None:
            return model.train_step(data)  # type: ignore[no-any-return]
        y_pred = self._outputs(inputs, training=True)
        self._forget_gradients()
        loss = self._loss(y, y_pred, sample_weight)
        scaled = model.optimizer.scale_loss(loss)
        torch.autograd.backward(scaled)
        with torch.no_grad():
            apply(model.optimizer, self._gradients(), self.weights)
            return self._results(x, y, y_pred, sample_weight, loss)

    @torch.no_grad()
    def test_step(self, data: Any) -> dict[str, Any]:
        """Measure the model on one batch; return the metrics' results, as Keras does."""
        x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(data)
        inputs = self._inputs(x)
        if inputs is None:
            return self.model.test_step(data)  # type: ignore[no-any-return]
        y_pred = self._outputs(inputs, training=False)
        loss = self._loss(y, y_pred, sample_weight)
        return self._results(x, y, y_pred, sample_weight, loss)

    @torch.no_grad()
    def predict_step(self, data: Any) -> Any:
        """Return the model's outputs for one batch, as Keras does."""
        x, _, _ = keras.utils.unpack_x_y_sample_weight(data)
        inputs = self._inputs(x)
        if inputs is None:
            return self.model.predict_step(data)
        return self._outputs(inputs, training=False)

    def _inputs(self, x: Any) -> Tensor | None:
        """Return a batch as the model's only input, or ``None`` if it does not fit the model."""
        if any(value is None for value in keras.tree.flatten(x)):
            return None
        try:
            inputs = self.graph._standardize_inputs(x)
        except (ValueError, TypeError):
            return None
        expected = self.graph.inputs[0].shape
        if len(inputs) != 1 or len(inputs[0].shape) != len(expected):
            return None
        fits = all(e in (None, n) for e, n in zip(expected, inputs[0].shape, strict=True))
        return inputs[0] if fits else None

    def _outputs(self, inputs: Tensor, *, training: bool) -> Any:
        """Return the outputs in the structure that the model gives them."""
        self.lowered.train(training)
        # What is measured is what the saved model will show, whatever precision trains it.
        precision = self.precision if training else torch.float32
        with computing_in(precision, inputs.device), self.inside.in_place():
            outputs = self.lowered(inputs)
        if outputs.dtype == torch.bfloat16:
            outputs = outputs.float()
        return keras.tree.pack_sequence_as(self.graph._outputs_struct, [outputs])

    def _loss(self, y: Any, y_pred: Any, sample_weight: Any) -> Tensor:
        loss: Tensor = self.model._compile_loss(y, y_pred, sample_weight)
        return loss + self.lowered.penalty()

    def _forget_gradients(self) -> None:
        for variable in self.weights:
            variable.value.grad = None
        for binding in self.bindings.values():
            binding.tensor.grad = None

    def _gradients(self) -> list[Tensor | None]:
        """Return the gradient of each trainable weight in Keras's layout, and leave it there.

        Callbacks may look at ``variable.value.grad``.
        """
        for variable in self.weights:
            binding = self.bindings.get(id(variable))
            if binding is not None and binding.tensor.grad is not None:
                variable.value.grad = binding.layout.to_keras(binding.tensor.grad)
        return [variable.value.grad for variable in self.weights]

    def _results(
        self, x: Any, y: Any, y_pred: Any, sample_weight: Any, loss: Tensor
    ) -> dict[str, Any]:
        size = keras.tree.flatten(x)[0].shape[0]
        self.model._loss_tracker.update_state(loss.detach(), sample_weight=size)
        y_pred = keras.tree.map_structure(Tensor.detach, y_pred)
        self.outputs = y_pred
        return self.model.compute_metrics(x, y, y_pred, sample_weight)  # type: ignore[no-any-return]


def _lowered(model: KerasModel, kept: frozenset[int]) -> LoweredModel:
    device = model.variables[0].value.device if model.variables else torch.device("cpu")
    try:
        lowered = lower(model, device, kept)
    except InputError as error:
        raise NoFastFormError(str(error)) from error
    lowered.use_keras_memory()
    return lowered
