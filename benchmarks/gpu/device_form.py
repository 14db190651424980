"""A speed recipe in the form that suits a GPU: all on the device, each step one captured graph.

The arithmetic of a step is the trainer's (``training/step.py``; a test compares the two). What
differs is where it happens:

- the whole split lies on the device, and an epoch's order, augmentation and resizing are done
  there for all of its images at once;
- the network is compiled, and forward, backward and optimizer update are captured together as a
  CUDA graph, one for each image size and each set of weights that is still trained;
- learning rates are computed beforehand and read on the device, so that the host only replays.

Images left over at the end of an epoch, fewer than a batch, are left out of it, as in the
published records. On a CPU nothing is captured and the same functions run one by one.
"""

from __future__ import annotations

import dataclasses
import itertools
import time
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks.gpu.device_updates import UPDATES, WeightGroup, weight_groups, whitening_filters
from cifarlab.backend import keras
from cifarlab.data.dataset import Dataset, Split
from cifarlab.errors import UsageError
from cifarlab.lowering.model import LoweredModel, lower
from cifarlab.lowering.tta import tta_logits
from cifarlab.models.whitening import LAYER
from cifarlab.recipes.recipe import Recipe
from cifarlab.runtime.device import computing_in
from cifarlab.runtime.randomness import derive
from cifarlab.training.augment import augment
from cifarlab.training.averaging import look_ahead, start_average
from cifarlab.training.batch import Batch
from cifarlab.training.beginning import on_device
from cifarlab.training.resize import resized
from cifarlab.training.schedules import ended, factor
from cifarlab.training.setup import build_model

WARM_UP_STEPS = 3
# Each image size, and each set of weights that is trained, is a compilation of its own, and one
# process may see many recipes: far more than PyTorch expects.
COMPILATIONS = 256
# What a graph depends on: the images' height and width, and which groups of weights are trained.
GraphKey = tuple[int, tuple[bool, ...]]


class DeviceForm:
    """One recipe on one dataset, compiled and captured once, then trained with any seed.

    Args:
        recipe: its optimizers are SGD and Muon, its model has no weight regularisers.
        data: the training split is used.
        measured: the split that accuracy is measured on.
        precision: of convolutions and matrix products.

    Raises:
        UsageError: the recipe has another optimizer, or a batch larger than the training split.
    """

    def __init__(
        self,
        recipe: Recipe,
        data: Dataset,
        measured: Split,
        device: torch.device,
        precision: torch.dtype,
    ) -> None:
        self.recipe, self.data = recipe, data
        self.device, self.precision = device, precision
        self.images, self.labels = on_device(data.train, device)
        self.measured = on_device(measured, device)
        self.steps = len(self.labels) // recipe.batch_size
        if self.steps == 0:
            raise UsageError(
                f"recipe {recipe.name!r}: a batch of {recipe.batch_size} is larger than the "
                f"{len(self.labels)} training images; use a smaller batch_size"
            )
        model = build_model(dataclasses.replace(recipe, whitening=None), data, 0)
        self.lowered = lower(model, device)
        self.lowered.strip_softmax()
        # On a CPU the compiler would need g++; tracing alone shows whether it is one graph.
        backend = "inductor" if device.type == "cuda" else "aot_eager"
        self.lowered.compile(fullgraph=True, dynamic=False, backend=backend)
        self.before_whitening = _before_whitening(model, device) if recipe.whitening else None
        self.groups = weight_groups(self.lowered, recipe, precision)
        self.rates = self._rates()
        self.position = torch.zeros((), dtype=torch.int64, device=device)
        self.batch_labels = torch.zeros(recipe.batch_size, dtype=torch.int64, device=device)
        self.batch_images = {side: self._batch_buffer(side) for side in self._sides()}
        self.graphs: dict[GraphKey, Callable[[], None]] = {}

    def warm_up(self) -> None:
        """Compile and capture everything that ``train`` will need."""
        torch.backends.cudnn.benchmark = True
        torch._dynamo.config.recompile_limit = COMPILATIONS
        self._reset(0)
        self.lowered.train()
        planned = self.recipe.epochs * self.steps
        for done in range(planned):
            self._graph(done)
        self.accuracy()

    def train(self, seed: int) -> tuple[float, float]:
        """Train from new weights; return the accuracy on the measured split and the seconds.

        The seconds hold whitening, training and the evaluation, not making new weights.
        """
        self._reset(seed)
        draws = torch.Generator(self.device).manual_seed(derive(seed, "augment"))
        salt = derive(seed, "pictures")
        planned = self.recipe.epochs * self.steps
        self._wait()
        began = time.perf_counter()
        self._whiten()
        self.lowered.train()
        average = None
        if self.recipe.lookahead is not None:
            tensors = [b.tensor for b in self.lowered.bindings]
            average = start_average(self.recipe.lookahead, tensors)
        for epoch in range(self.recipe.epochs):
            images, labels = self._epoch(epoch, salt, draws)
            for step in range(self.steps):
                self._load(images, labels, step)
                done = epoch * self.steps + step
                self._graph(done)()
                if average is not None:
                    look_ahead(average, done + 1, planned)
        accuracy = self.accuracy()
        self._wait()
        return accuracy, time.perf_counter() - began

    def accuracy(self) -> float:
        """Return the accuracy on the measured split, with the recipe's test-time augmentation."""
        images, labels = self.measured
        logits = tta_logits(self.lowered, images, self.recipe.tta, self.precision)
        return float((logits.argmax(1) == labels).float().mean())

    def _sides(self) -> list[int]:
        own = self.images.shape[1]
        return list(dict.fromkeys(self.recipe.resolution or (own,)))

    def _side_in(self, epoch: int) -> int:
        return self.recipe.resolution_in(epoch) or self.images.shape[1]

    def _batch_buffer(self, side: int) -> Tensor:
        shape = (self.recipe.batch_size, self.images.shape[3], side, side)
        buffer = torch.zeros(shape, dtype=self.precision, device=self.device)
        return buffer.contiguous(memory_format=torch.channels_last)

    def _rates(self) -> Tensor:
        """Return every group's rate in every step, float32 ``[steps, groups]``, on the device."""
        planned = self.recipe.epochs * self.steps
        rows = [
            [g.spec.lr * factor(self._schedule(g), done / planned) for g in self.groups]
            for done in range(planned)
        ]
        return torch.tensor(rows, device=self.device)

    def _schedule(self, group: WeightGroup) -> Any:
        return group.spec.schedule or self.recipe.schedule

    def _trained_groups(self, done: int) -> tuple[bool, ...]:
        progress = done / (self.recipe.epochs * self.steps)
        return tuple(not ended(self._schedule(g), progress) for g in self.groups)

    @torch.no_grad()
    def _reset(self, seed: int) -> None:
        """Make all that a run changes new, in the memory where the graphs expect it."""
        model = build_model(dataclasses.replace(self.recipe, whitening=None), self.data, seed)
        fresh = {variable.path: variable.value for variable in model.variables}
        for binding in self.lowered.bindings:
            binding.tensor.copy_(binding.layout.to_torch(fresh[binding.path]))
        for group in self.groups:
            torch._foreach_zero_(group.velocities)
        self.position.zero_()

    @torch.no_grad()
    def _whiten(self) -> None:
        spec = self.recipe.whitening
        if spec is None or self.before_whitening is None:
            return
        kernel = next(b.tensor for b in self.lowered.bindings if b.path.endswith(f"{LAYER}/kernel"))
        inputs = self.before_whitening(self.images[: spec.images])
        kernel.copy_(whitening_filters(inputs, kernel.shape[2], len(kernel), spec.epsilon))

    def _epoch(self, epoch: int, salt: int, draws: torch.Generator) -> tuple[Tensor, Tensor]:
        """Return an epoch's images ``[n, C, side, side]`` and labels ``[n]``, in order."""
        order = torch.randperm(len(self.labels), generator=draws, device=self.device)
        order = order[: self.steps * self.recipe.batch_size]
        images = self.images[order].permute(0, 3, 1, 2)
        batch = Batch(
            images=images,
            targets=self.labels[order],
            index=order,
            epoch=epoch,
            salt=salt,
            classes=len(self.data.class_names),
        )
        batch = augment(batch, self.recipe.augment, draws)
        # Values 0 to 255 that are rounded to bfloat16 lose no more than uint8 would.
        return resized(batch.images, self._side_in(epoch)).to(self.precision), batch.targets

    def _load(self, images: Tensor, labels: Tensor, step: int) -> None:
        size = self.recipe.batch_size
        part = slice(step * size, (step + 1) * size)
        self.batch_images[images.shape[2]].copy_(images[part])
        self.batch_labels.copy_(labels[part])

    def _graph(self, done: int) -> Callable[[], None]:
        """Return what does the step after ``done`` steps; made once for each kind of step."""
        key = (self._side_in(done // self.steps), self._trained_groups(done))
        if key not in self.graphs:
            self.graphs[key] = self._capture(key)
        return self.graphs[key]

    def _capture(self, key: GraphKey) -> Callable[[], None]:
        def step() -> None:
            self._step(key)

        if self.device.type != "cuda":
            return step
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            for _ in range(WARM_UP_STEPS):
                step()
        torch.cuda.current_stream().wait_stream(stream)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            step()
        return graph.replay

    def _step(self, key: GraphKey) -> None:
        side, trained = key
        for group, on in zip(self.groups, trained, strict=True):
            for weight in group.weights:
                weight.requires_grad_(on)
        images, labels = self.batch_images[side], self.batch_labels
        size = self.recipe.micro_batch or len(labels)
        loss_spec = self.recipe.loss
        loss = torch.zeros((), device=self.device)
        for first in range(0, len(labels), size):
            part = slice(first, first + size)
            with computing_in(self.precision, self.device):
                logits = self.lowered(images[part].permute(0, 2, 3, 1))
            loss = loss + F.cross_entropy(
                logits.float(),
                labels[part],
                label_smoothing=loss_spec.label_smoothing,
                reduction="sum",
            )
        if loss_spec.reduction == "mean":
            loss = loss / len(labels)
        rates = self.rates.index_select(0, self.position.view(1))[0]
        active = [(g, rate) for g, rate, on in zip(self.groups, rates, trained, strict=True) if on]
        gradients = iter(torch.autograd.grad(loss, [w for g, _ in active for w in g.weights]))
        for group, rate in active:
            own = list(itertools.islice(gradients, len(group.weights)))
            UPDATES[type(group.spec)](group, own, rate, self.precision)
        self.position.add_(1)

    def _wait(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize()


def _before_whitening(model: Any, device: torch.device) -> LoweredModel:
    return lower(keras.Model(model.input, model.get_layer(LAYER).input), device).eval()
