"""Steps with what a model was compiled with: Keras's own optimizer, loss and metrics.

The layers run natively where ``fitting`` has it, all of it runs as Keras runs it elsewhere.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from cifarlab.backend import KerasModel, keras
from cifarlab.errors import InputError, UsageError
from cifarlab.fitting.inside import OwnSteps
from cifarlab.fitting.native import NativeModel
from cifarlab.fitting.plan import Plan, make_plan
from cifarlab.fitting.steps import Steps as FittingSteps
from cifarlab.lowering.model import lower
from cifarlab.recipes.recipe import Recipe
from cifarlab.runtime.progress import SILENT, Progress
from cifarlab.training.augment import augment
from cifarlab.training.batch import Batch
from cifarlab.training.callback_checks import columns_of
from cifarlab.training.losses import is_stock, loss_of
from cifarlab.training.state import Totals, TrainState
from cifarlab.training.step import evaluate
from cifarlab.training.targets import Targets, targets_for

# Methods that only Keras's own loop calls.
OF_KERAS_LOOP = ("make_train_function", "make_test_function")


class CompiledSteps:
    """Steps that change a Keras model in place, with the objects that it was compiled with.

    Its metrics are built, so that callbacks know which of them is better when it is higher.

    Args:
        model: compiled, as the user ends it.
        measured: a model of the same layers that gives probabilities; see ``endings``.
        class_weights: what the loss of an image of each class is multiplied by, float32 ``[K]``,
            as Keras's ``class_weight``.

    Raises:
        InputError: loss or metrics do not take what the model gives.
        UsageError: a way to train that only Keras's own loop has.
    """

    def __init__(
        self,
        model: KerasModel,
        measured: KerasModel,
        recipe: Recipe,
        device: torch.device,
        precision: torch.dtype,
        class_weights: Tensor | None = None,
    ) -> None:
        self.model, self.recipe, self.class_weights = model, recipe, class_weights
        self.precision = str(precision).removeprefix("torch.")
        self.progress: Progress = SILENT
        self.said: set[str] = set()
        # The weights that training goes on with, while the model has those that it ends with.
        self.raw: list[Tensor] | None = None
        self.final: list[Tensor] = []
        self.logs: Mapping[str, Any] = {}
        _check_runs(model, device)
        # Without a loss Keras has no test step; only a training step of the user's does without.
        self.has_test_step = loss_of(model) is not None or any(
            not is_stock(getattr(model, name)) for name in ("test_step", "compute_loss")
        )
        if not self.has_test_step and is_stock(model.train_step):
            raise UsageError(
                f"model {model.name!r} was compiled without a loss; compile it with one, such as "
                'loss="categorical_crossentropy"'
            )
        self.targets = self._dry_run(measured, device)
        kind = loss_of(model)
        self.threshold = 0.0 if kind is not None and kind.decides_at_zero else 0.5
        if model.optimizer is not None and not model.optimizer.built:
            model.optimizer.build(model.trainable_variables)
        if recipe.as_compiled is not None and recipe.as_compiled.learning_rate is not None:
            model.optimizer.learning_rate = recipe.as_compiled.learning_rate
        self.state = TrainState(
            lowered=lower(measured, device),
            groups=(),
            totals=Totals.zero(device),
            keras_variables=_variables_of(model),
        )
        self.fitting = FittingSteps(model, self._plan)

    @property
    def rate(self) -> float:
        return _rate(self.model.optimizer)

    @property
    def keras_rate(self) -> float:
        return self.rate

    def say(self, progress: Progress) -> None:
        self.progress = progress
        self._say(self.fitting.plan)
        if self.targets.remark:
            progress.message(self.targets.remark)
        optimizer = self.model.optimizer
        if optimizer is not None and int(optimizer.iterations):
            progress.message(f"the optimizer goes on after its step {int(optimizer.iterations):,}")
        if getattr(optimizer, "use_ema", False):
            progress.message("validated and saved with the optimizer's averages of the weights")

    def out_of_date(self) -> bool:
        # Layers are looked at before every step.
        return False

    def begin_epoch(self, *, at_batches: bool) -> None:  # noqa: ARG002
        if self.state.step == 0:
            self.model.reset_metrics()

    def train(self, batch: Batch, _: int, __: int, generator: torch.Generator) -> Tensor:
        labels = batch.targets
        batch = augment(batch, self.recipe.augment, generator)
        data: tuple[Tensor, ...] = (_images(batch.images), self.targets.of(batch.targets))
        if self.class_weights is not None:
            data += (self.class_weights[labels],)
        self.logs = self.fitting.train([data])
        loss = torch.as_tensor(self.logs.get("loss", 0.0), device=labels.device).detach()
        native = self.fitting.native
        if isinstance(native, NativeModel) and native.outputs is not None:
            correct = (self._classes(native.outputs) == labels).sum()
            self.state.totals.add(loss.float(), correct, len(labels))
        return loss.float()

    def so_far(self) -> dict[str, float]:
        values = self._results()
        row = {"loss": values.pop("loss", float("nan"))}
        if self.state.totals.count:
            row["accuracy"] = self.state.totals.means()[1]
        return row | values

    def validate(self, images: Tensor, labels: Tensor) -> dict[str, float]:
        self.state.lowered.read_in()
        ours = evaluate(self.state.lowered, images, labels)
        return ours | self._validation(images, labels) if self.has_test_step else ours

    def to_keras(self, _: int) -> None:
        """The Keras model is what is trained."""

    def from_keras(self) -> None:
        """The Keras model is what is trained."""

    def go_on(self) -> None:
        if self.raw is None:
            return
        weights = self.model.trainable_variables
        with torch.no_grad():
            for variable, raw, final in zip(weights, self.raw, self.final, strict=True):
                # What a callback has set stays.
                if torch.equal(variable.value, final):
                    variable.value.copy_(raw)
        self.raw = None

    def interrupted(self) -> None:
        self.state.logs = self._results()

    def restored(self, _: float) -> None:
        self.state.lowered.read_in()
        self.logs = self.state.logs

    def end(self) -> None:
        if self.model.optimizer is not None:
            self.model.optimizer.finalize_variable_values(self.model.trainable_variables)

    def _plan(self, model: KerasModel) -> tuple[Plan, NativeModel | OwnSteps | None]:
        plan, native = make_plan("fit", model, self.precision)
        if self.progress is not SILENT:
            self._say(plan)
        return plan, native

    def _say(self, plan: Plan) -> None:
        for line in plan.lines():
            if line not in self.said:
                self.said.add(line)
                self.progress.message(line)

    def _classes(self, outputs: Any) -> Tensor:
        (values,) = keras.tree.flatten(outputs)
        if values.shape[-1] == 1:
            values = torch.cat((torch.full_like(values, self.threshold), values), dim=1)
        predicted: Tensor = values.argmax(1)
        return predicted

    def _results(self) -> dict[str, float]:
        """Return what Keras's ``fit`` would put into its history now, numbers only."""
        return _numbers(self.model._get_metrics_result_or_logs(self.logs))

    def _validation(self, images: Tensor, labels: Tensor) -> dict[str, float]:
        self.model.reset_metrics()
        size = self.recipe.batch_size
        for first in range(0, len(labels), size):
            part = slice(first, first + size)
            data = (images[part].float(), self.targets.of(labels[part]))
            self.logs = self.fitting.test([data])
        return self._results()

    def finish_epoch(self) -> None:
        """Give the model the weights that Keras's ``fit`` would leave, such as averaged ones."""
        optimizer, weights = self.model.optimizer, self.model.trainable_variables
        if optimizer is None:
            return
        raw = [variable.value.detach().clone() for variable in weights]
        optimizer.finalize_variable_values(weights)
        pairs = zip(weights, raw, strict=True)
        if all(torch.equal(variable.value, before) for variable, before in pairs):
            return
        self.raw = raw
        self.final = [variable.value.detach().clone() for variable in weights]

    def _dry_run(self, measured: KerasModel, device: torch.device) -> Targets:
        """Measure a batch of no meaning, so that what does not fit is found before training."""
        model = self.model
        labels = torch.arange(2, device=device)
        images = torch.zeros((2, *measured.input_shape[1:]), device=device)
        # A model with a ``call`` of its own does not say its shapes.
        with torch.no_grad():
            units = int(keras.tree.flatten(model(images, training=False))[0].shape[-1])
        classes = int(measured.output_shape[-1])
        reasons = []
        for targets in targets_for(model, classes, units):
            if not self.has_test_step:
                return targets
            data: tuple[Tensor, ...] = (images, targets.of(labels))
            if self.class_weights is not None:
                data += (self.class_weights[labels],)
            try:
                with torch.no_grad():
                    model.test_step(data)
                return targets
            # Losses and metrics that others wrote may raise anything.
            except Exception as error:
                reasons.append(" ".join(str(error).split())[:160] or type(error).__name__)
            finally:
                model.reset_metrics()
        raise InputError(
            f"model {model.name!r}: what it was compiled with does not take {units} outputs and "
            f"labels of {classes} classes ({'; '.join(dict.fromkeys(reasons))}); change its loss "
            "or metrics, or its last layer"
        )


def _images(images: Tensor) -> Tensor:
    """Return images as ``fit`` gives them to a model, float32 ``[B, H, W, C]``."""
    return images.permute(0, 2, 3, 1).float()


def _check_runs(model: KerasModel, device: torch.device) -> None:
    """Raise ``UsageError`` where Keras's own loop does more than calling steps on batches."""
    for name in OF_KERAS_LOOP:
        if not is_stock(getattr(model, name)):
            raise UsageError(
                f"model {model.name!r} has a {name} of its own, which only Keras's loop calls; "
                "train it with cifarlab.fit(model, x, y)"
            )
    for loss in keras.tree.flatten(model.loss):
        if getattr(loss, "reduction", "sum") in (None, "none"):
            raise UsageError(
                f"model {model.name!r} was compiled with reduction={loss.reduction!r}, so that its "
                "loss is not one number to train by; leave reduction out"
            )
    there = {variable.value.device.type for variable in model.variables}
    if there - {device.type}:
        raise UsageError(
            f"device {device.type}: model {model.name!r} is on {', '.join(sorted(there))}; build "
            f"it inside of keras.device({device.type!r}), or train on the device that it is on"
        )


def _numbers(results: Mapping[str, Any]) -> dict[str, float]:
    """Return the results of metrics by name, each a number."""
    values: dict[str, float] = {}
    for name, value in results.items():
        # What all compiled metrics give together, in a training step of the user's.
        if isinstance(value, Mapping):
            values |= _numbers(value)
            continue
        array = np.asarray(keras.ops.convert_to_numpy(value), dtype="float64")
        names = [name] if array.ndim == 0 else columns_of(name, array.size)
        values |= dict(zip(names, array.reshape(-1).tolist(), strict=True))
    return values


def _variables_of(model: KerasModel) -> tuple[Any, ...]:
    """Return every Keras variable that training changes, each once, in an order that stays."""
    optimizers = [
        value for value in vars(model).values() if isinstance(value, keras.optimizers.Optimizer)
    ]
    variables = [
        *model.variables,
        *(variable for optimizer in optimizers for variable in optimizer.variables),
        *model.metrics_variables,
    ]
    return tuple({id(variable): variable for variable in variables}.values())


def _rate(optimizer: Any) -> float:
    """Return an optimizer's learning rate, the first one's of several; NaN where it has none."""
    try:
        return float(keras.ops.convert_to_numpy(optimizer.learning_rate))
    except AttributeError:
        several = getattr(optimizer, "optimizers", None)
        return _rate(several[0]) if several else float("nan")
