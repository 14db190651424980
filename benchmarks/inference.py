"""Prediction speed: cifarlab's Classifier beside Keras ``predict`` and onnxruntime.

All three give float32 probabilities of the same model for the same uint8 images, on the same
number of threads, in one process. Only one works at a time: round 1 of each, then round 2.

Command: ``python -m benchmarks.inference``; see docs/benchmarks.md.
"""

from __future__ import annotations

import argparse
import dataclasses
import importlib.util
import io
import json
import statistics
import sys
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch

from benchmarks.command import end_in_order_on_sigterm, positive, say
from benchmarks.images import CLASSES, SHAPE, synthetic
from benchmarks.throughput import OURS, summary
from cifarlab.backend import keras
from cifarlab.classifier import Classifier
from cifarlab.errors import CifarlabError, UsageError
from cifarlab.lowering.model import lower
from cifarlab.models import MODELS
from cifarlab.runtime.environment import describe_hardware
from cifarlab.runtime.extras import install_command
from cifarlab.saving.pretrained import NAME

BATCHES = (1, 64, 1000)
# A round repeats a system for about this long.
SECONDS = 1.0
# Threads of one library that still spin would slow the next one.
PAUSE = 0.3

Images = np.ndarray[Any, Any]
Predict = Callable[[Images], Images]


def classifier(model: str) -> Classifier:
    """Return the pretrained model, or a network with random weights and statistics.

    Raises:
        UsageError: no model is called so.
    """
    if model == NAME:
        # No test-time augmentation and no temperature: what plain Keras makes of the same file.
        return dataclasses.replace(Classifier.pretrained("cpu"), tta=None, temperature=1.0)
    if model not in MODELS:
        raise UsageError(f"no model is called {model!r}; choose from {', '.join((NAME, *MODELS))}")
    built = MODELS[model](SHAPE, CLASSES)
    as_if_trained(built)
    return Classifier.from_keras(built, [str(i) for i in range(CLASSES)], "cpu")


def as_if_trained(model: Any) -> None:
    """Give normalisations statistics of their own: those of a new one change nothing."""
    draws = np.random.default_rng(0)
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            for variable in layer.variables:
                variable.assign(draws.uniform(0.5, 1.5, variable.shape))


def systems(of: Classifier) -> dict[str, Predict]:
    """Return each system's function from uint8 images to probabilities."""
    predictors: dict[str, Predict] = {OURS: of.predict_proba, "keras_torch_float32": _keras(of)}
    if importlib.util.find_spec("onnxruntime") and importlib.util.find_spec("onnx"):
        predictors["onnxruntime"] = _onnxruntime(of)
    else:
        say(f"onnxruntime is left out; run: {install_command('bench')}")
    return predictors


def _keras(of: Classifier) -> Predict:
    def predict(images: Images) -> Images:
        batch = min(len(images), 256)
        return np.asarray(of.model.predict(images, batch_size=batch, verbose=0))

    return predict


def _onnxruntime(of: Classifier) -> Predict:
    import onnxruntime

    file = io.BytesIO()
    example = torch.zeros(2, *of.input_shape)
    with warnings.catch_warnings():
        # Advice for people who write exporters, as in ``cifarlab export``.
        warnings.simplefilter("ignore")
        torch.onnx.export(
            lower(of.model).eval(),
            (example,),
            file,
            input_names=["images"],
            dynamic_axes={"images": {0: "n"}},
            dynamo=False,
        )
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    session = onnxruntime.InferenceSession(
        file.getvalue(), options, providers=["CPUExecutionProvider"]
    )

    def predict(images: Images) -> Images:
        (probabilities,) = session.run(None, {"images": images.astype("float32")})
        return np.asarray(probabilities)

    return predict


def measure(of: Classifier, batch: int, rounds: int) -> dict[str, list[float]]:
    """Return images per second by system and round, after a warm-up.

    Raises:
        UsageError: two systems disagree by more than 1e-4.
    """
    images = synthetic(batch)[0]
    chosen = systems(of)
    expected = chosen[OURS](images)
    for name, predict in chosen.items():
        difference = float(np.abs(predict(images) - expected).max())
        if not difference < 1e-4:
            raise UsageError(f"{name} differs from {OURS} by {difference:.2g}: not comparable")
    rates: dict[str, list[float]] = {name: [] for name in chosen}
    for _ in range(rounds):
        for name, predict in chosen.items():
            time.sleep(PAUSE)
            rates[name].append(_rate(predict, images))
    return rates


def _rate(predict: Predict, images: Images) -> float:
    predict(images)
    times: list[float] = []
    while sum(times) < SECONDS or len(times) < 3:
        began = time.perf_counter()
        predict(images)
        times.append(time.perf_counter() - began)
    return len(images) / statistics.median(times)


def table(results: Mapping[str, Mapping[str, Any]]) -> str:
    """Return the figures of all models as a table for people."""
    lines = [f"{'model':12}{'batch':>6}  {'system':22}{'images/s':>10}{'cifarlab is faster':>20}"]
    for model, batches in results.items():
        for batch, figures in batches.items():
            for name in (n for n in figures if n != "ratios"):
                ratio = figures["ratios"].get(name)
                faster = f"{ratio:.2f} x" if ratio else ""
                lines.append(
                    f"{model:12}{batch:>6}  {name:22}{figures[name]:>10,.0f}{faster:>20}".rstrip()
                )
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code."""
    chosen = _parser().parse_args(arguments)
    rates: dict[str, dict[str, dict[str, list[float]]]] = {}
    try:
        for model in dict.fromkeys(chosen.models):
            of = classifier(model)
            rates[model] = {}
            for batch in dict.fromkeys(chosen.batches):
                say(f"{model}, batch {batch}: {chosen.rounds} rounds")
                rates[model][str(batch)] = measure(of, batch, chosen.rounds)
    except CifarlabError as error:
        say(f"error: {error}")
        return error.exit_code
    results = {m: {b: summary(r) for b, r in batches.items()} for m, batches in rates.items()}
    document = {
        "models": results,
        "per_round": rates,
        "hardware": describe_hardware(torch.device("cpu")),
        "command": ["python", "-m", "benchmarks.inference", *sys.argv[1:]],
    }
    print(json.dumps(document, indent=2) if chosen.json else table(results))
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.inference", description=__doc__)
    add = parser.add_argument
    add("--models", nargs="+", default=[NAME, "baseline"], help=f"{NAME} or a network's name")
    add("--batches", nargs="+", type=positive, default=list(BATCHES), metavar="N")
    add("--rounds", type=positive, default=5, help="(%(default)s)")
    add("--json", action="store_true", help="JSON on stdout, nothing else")
    return parser


if __name__ == "__main__":
    end_in_order_on_sigterm()
    sys.exit(main())
