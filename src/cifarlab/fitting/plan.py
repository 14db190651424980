"""Decide, before the first batch, what of a call runs natively and what Keras runs, and why."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch

from cifarlab.backend import KerasModel, keras
from cifarlab.errors import NoFastFormError
from cifarlab.fitting.conditions import (
    FOR_EVALUATE,
    FOR_FIT,
    FOR_LAYERS,
    FOR_PREDICT,
    Condition,
    failed,
)
from cifarlab.fitting.inside import OwnSteps, seeded_dropout
from cifarlab.fitting.native import NativeModel
from cifarlab.runtime.device import choose_precision

CONDITIONS: dict[str, Sequence[Condition]] = {
    "fit": FOR_FIT,
    "evaluate": FOR_EVALUATE,
    "predict": FOR_PREDICT,
}


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How a call will run.

    Attributes:
        call: ``"fit"``, ``"evaluate"`` or ``"predict"``.
        model: the model's name.
        reasons: why all of it is run by Keras; empty if it runs natively.
        run_by_keras: names of the layers without a native form in a model that runs natively.
        precision: ``"float32"`` or ``"bfloat16"``, of matrix products while training.
        native_layers: whether the stock layers are native in a step that is not.
    """

    call: str
    model: str
    reasons: tuple[str, ...] = ()
    run_by_keras: tuple[str, ...] = ()
    precision: str = "float32"
    native_layers: bool = False

    @property
    def native(self) -> bool:
        """Whether it runs natively."""
        return not self.reasons

    @property
    def how(self) -> str:
        """How it runs, for a line of text."""
        if self.native:
            return "natively"
        if self.native_layers:
            return "in its own steps, with native layers"
        return "at Keras's own speed"

    def lines(self) -> list[str]:
        """Return what a user should know before it runs, one line each."""
        said = []
        if self.reasons:
            said.append(f"{self.call} of {self.model!r} runs {self.how}: {'; '.join(self.reasons)}")
            if not self.native_layers:
                return said
        if self.run_by_keras:
            names = listed(self.run_by_keras)
            said.append(f"layers of {self.model!r} without a fast form, run by Keras: {names}")
        if self.precision != "float32":
            said.append(
                f"products in {self.precision}, weights and sums in float32; "
                'for Keras\'s own numbers: precision="float32"'
            )
        return said


def listed(names: Sequence[str], most: int = 6) -> str:
    """Return names for a line of text.

    Example:
        >>> listed(["a", "b", "c"], 2)
        'a, b and 1 more'
    """
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


Planner = Callable[[KerasModel], tuple[Plan, NativeModel | OwnSteps | None]]


def make_plan(
    call: str, model: KerasModel, precision: str = "auto"
) -> tuple[Plan, NativeModel | OwnSteps | None]:
    """Return how ``call`` of ``model`` will run, and the native form if there is one by now.

    Nothing is changed. A model without weights gets its native form once Keras has built it.

    Args:
        call: ``"fit"``, ``"evaluate"`` or ``"predict"``.
        precision: ``"auto"``, ``"float32"`` or ``"bfloat16"``, for training.

    Raises:
        UsageError: an unknown precision.
    """
    wanted = _precision(call, model, precision)
    named = str(wanted).removeprefix("torch.")
    reasons = failed(model, CONDITIONS[call])
    if reasons:
        return _with_native_layers(call, model, wanted, reasons)
    if not _is_built(model):
        return Plan(call=call, model=model.name, precision=named), None
    try:
        native = NativeModel(model, wanted)
    except NoFastFormError as error:
        return Plan(call=call, model=model.name, reasons=(str(error),)), None
    names = native.run_by_keras
    return Plan(call=call, model=model.name, run_by_keras=names, precision=named), native


def _with_native_layers(
    call: str, model: KerasModel, precision: torch.dtype, reasons: tuple[str, ...]
) -> tuple[Plan, OwnSteps | None]:
    """Return the plan of a call that cannot run natively, with native layers if they can."""
    if not isinstance(model, keras.Model) or failed(model, FOR_LAYERS):
        return Plan(call=call, model=model.name, reasons=reasons), None
    plan = Plan(
        call=call,
        model=model.name,
        reasons=reasons,
        precision=str(precision).removeprefix("torch."),
        native_layers=True,
    )
    if not _is_built(model):
        return plan, None
    steps = OwnSteps(model, seeded_dropout(model), precision)
    return (plan, steps) if steps.inside.calls else (replace(plan, native_layers=False), None)


def _precision(call: str, model: KerasModel, name: str) -> torch.dtype:
    variables = model.variables
    device = variables[0].value.device if variables else torch.device("cpu")
    chosen = choose_precision(name, device)
    return chosen if call == "fit" else torch.float32


def _is_built(model: KerasModel) -> bool:
    return bool(model.built) and all(layer.built for layer in model._flatten_layers())
