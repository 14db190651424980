"""Run Keras's own tests of its trainer with ``fit``, ``evaluate`` and ``predict`` replaced by ours.

Command: ``python -m tools.keras_conformance CHECKOUT``, where ``CHECKOUT`` is a copy of
https://github.com/keras-team/keras at the version that is installed. Prints how many tests pass
with Keras's own methods and with ours, how many of our calls ran natively, and which tests pass
with Keras's methods alone; exits with 1 if there are any.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

KERAS, OURS = "keras", "ours"

TESTS = (
    "keras/src/trainers/trainer_test.py",
    "keras/src/trainers/compile_utils_test.py",
    "keras/src/models/functional_test.py",
    "keras/src/models/model_test.py",
    "keras/src/models/sequential_test.py",
    "keras/src/optimizers/optimizer_test.py",
    "keras/src/optimizers/loss_scale_optimizer_test.py",
    "keras/src/callbacks/backup_and_restore_test.py",
    "keras/src/callbacks/callback_test.py",
    "keras/src/callbacks/csv_logger_test.py",
    "keras/src/callbacks/early_stopping_test.py",
    "keras/src/callbacks/lambda_callback_test.py",
    "keras/src/callbacks/learning_rate_scheduler_test.py",
    "keras/src/callbacks/model_checkpoint_test.py",
    "keras/src/callbacks/reduce_lr_on_plateau_test.py",
    "keras/src/callbacks/swap_ema_weights_test.py",
    "keras/src/callbacks/terminate_on_nan_test.py",
    "integration_tests/torch_custom_fit_test.py",
    "integration_tests/torch_workflow_test.py",
    "integration_tests/basic_full_flow.py",
)

OPTIONS = ("-q", "-p", "no:cacheprovider", "--continue-on-collection-errors", "--timeout=300")


def passed_with(checkout: Path, methods: str) -> dict[str, Any]:
    """Run the tests in a process of their own; return their outcomes by name, and our calls.

    Args:
        methods: ``"keras"`` or ``"ours"``.
    """
    with tempfile.TemporaryDirectory() as folder:
        # Elsewhere, so that the installed Keras is tested, not the copy.
        shutil.copy(checkout / "conftest.py", folder)
        for test in TESTS:
            shutil.copy(checkout / test, Path(folder) / test.replace("/", "_"))
        result = Path(folder) / "result.json"
        command = [sys.executable, "-m", "tools.keras_conformance", "--inside", methods, folder]
        paths = [str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH", "")]
        environment = {
            **os.environ,
            "KERAS_BACKEND": "torch",
            "PYTHONPATH": os.pathsep.join(filter(None, paths)),
        }
        subprocess.run(command, env=environment, cwd=folder, stdout=subprocess.DEVNULL, check=True)
        found: dict[str, Any] = json.loads(result.read_text(encoding="utf-8"))
    return found


class Outcomes:
    """A plugin of pytest that keeps how each test ended."""

    def __init__(self) -> None:
        self.ends: dict[str, str] = {}

    def pytest_runtest_logreport(self, report: Any) -> None:
        """Keep the call's outcome, or that of a part around it that did not pass."""
        if report.when == "call" or report.outcome != "passed":
            self.ends[report.nodeid] = report.outcome

    def pytest_collectreport(self, report: Any) -> None:
        """Keep a file that cannot be imported as one test that failed."""
        if report.failed:
            self.ends[report.nodeid] = "not imported"


def inside(methods: str, folder: Path) -> None:
    """Run the tests in ``folder`` in this process and write ``result.json`` there."""
    import pytest

    from cifarlab.fitting.fit import fast_fit

    outcomes = Outcomes()
    files = sorted(str(path) for path in folder.glob("*.py") if path.name != "conftest.py")
    fast = fast_fit(precision="float32") if methods == OURS else contextlib.nullcontext(None)
    with fast as accelerator:
        pytest.main(
            [*files, "--rootdir", str(folder), *OPTIONS],
            plugins=[outcomes],
        )
    records = accelerator.records if accelerator is not None else []
    reasons: dict[str, int] = {}
    for reason in (r for record in records for r in record.plan.reasons):
        reasons[reason] = reasons.get(reason, 0) + 1
    found = {
        "ends": outcomes.ends,
        "calls": len(records),
        "native": sum(record.plan.native for record in records),
        "reasons": reasons,
    }
    (folder / "result.json").write_text(json.dumps(found), encoding="utf-8")


def main(arguments: Sequence[str] | None = None) -> int:
    """Compare both runs; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("checkout", type=Path, help="a copy of Keras's repository")
    parser.add_argument("--inside", choices=[KERAS, OURS], help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.inside:
        inside(options.inside, options.checkout)
        return 0
    both = {methods: passed_with(options.checkout, methods) for methods in (KERAS, OURS)}
    passed = {
        methods: {name for name, end in found["ends"].items() if end == "passed"}
        for methods, found in both.items()
    }
    for methods, names in passed.items():
        print(f"{methods}: {len(names)} of {len(both[methods]['ends'])} tests pass")
    print(f"calls: {both[OURS]['native']} of {both[OURS]['calls']} ran natively; the others:")
    for reason, count in sorted(both[OURS]["reasons"].items(), key=lambda item: -item[1]):
        print(f"  {count:4} {reason}")
    lost = sorted(passed[KERAS] - passed[OURS])
    for name in lost:
        print(f"only with Keras's own: {name}")
    return 1 if lost else 0


if __name__ == "__main__":
    sys.exit(main())
