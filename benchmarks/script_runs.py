"""Run the Keras scripts in ``scripts/``, each in a process of its own, start-up included."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.workers import ROOT, WorkerError, what_went_wrong
from cifarlab.errors import UsageError

FOLDER = Path(__file__).parent / "scripts"
SCRIPTS = tuple(sorted(path.stem for path in FOLDER.glob("*.py") if path.stem != "setting"))


@dataclass(frozen=True, kw_only=True)
class Workload:
    """How much each script trains.

    Attributes:
        images: of both splits; a ninth of them is for validation.
        cifar10: the folder ``cifar-10-batches-py``; ``None`` for made-up images.
    """

    images: int = 2304
    epochs: int = 3
    seed: int = 0
    cifar10: str | None = None

    def variables(self) -> dict[str, str]:
        """Return it as the scripts' environment variables."""
        chosen = {"IMAGES": self.images, "EPOCHS": self.epochs, "SEED": self.seed}
        if self.cifar10 is not None:
            chosen["CIFAR10"] = str(Path(self.cifar10).absolute())
        return {f"ZOO_{name}": str(value) for name, value in chosen.items()}


@dataclass(frozen=True, kw_only=True)
class ScriptRun:
    """What one run of a script did.

    Attributes:
        history: of ``fit``: the values of each metric, one an epoch.
        epochs: the seconds that each epoch trained, without its validation.
        images: how many were trained on in each.
        seconds: of the whole process, from its start to its end.
    """

    history: Mapping[str, Sequence[float]]
    epochs: Sequence[float]
    images: int
    seconds: float

    @property
    def rate(self) -> float:
        """Training images per second: the median of the epochs after the first."""
        return self.images / statistics.median(self.epochs[1:] or self.epochs)


def ours(precision: str = "auto") -> list[str]:
    """Return the command that a script's path is put behind, to run it with cifarlab."""
    return [sys.executable, "-m", "cifarlab", "run", "--precision", precision]


def run_script(
    name: str, command: Sequence[str], workload: Workload, backend: str = "torch"
) -> ScriptRun:
    """Run a script to its end.

    Args:
        name: one of ``SCRIPTS``.
        command: what its path is put behind, ``["python"]`` for instance.
        backend: of Keras.

    Raises:
        UsageError: there is no such script.
        WorkerError: the process failed.
    """
    if name not in SCRIPTS:
        raise UsageError(f"script {name!r}: choose from {', '.join(SCRIPTS)}")
    with tempfile.TemporaryDirectory() as folder:
        result = Path(folder) / "result.json"
        variables = {
            **os.environ,
            **workload.variables(),
            "KERAS_BACKEND": backend,
            "TF_CPP_MIN_LOG_LEVEL": "3",
            "ZOO_RESULT": str(result),
        }
        began = time.perf_counter()
        process = subprocess.run(
            [*command, str(FOLDER / f"{name}.py")], env=variables, cwd=ROOT, capture_output=True
        )
        seconds = time.perf_counter() - began
        if process.returncode:
            raise WorkerError(f"{name} with {backend}: {what_went_wrong(process.stderr)}")
        told = json.loads(result.read_text())
    return ScriptRun(
        history=told["history"], epochs=told["seconds"], images=told["images"], seconds=seconds
    )
