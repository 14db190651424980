"""``cifarlab run``."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from cifarlab.errors import InputError


def run(
    script: Annotated[Path, typer.Argument(help="A Python script that uses Keras.")],
    arguments: Annotated[
        list[str] | None, typer.Argument(help="The script's own arguments.")
    ] = None,
    precision: Annotated[str, typer.Option(help="auto, float32 or bfloat16.")] = "auto",
    strict: Annotated[
        bool, typer.Option("--strict", help="Stop where a call would not run natively.")
    ] = False,
) -> int:
    """Run a Keras script unchanged, with a faster model.fit, evaluate and predict.

    The script runs on Keras's PyTorch backend. Options come before its name.

    \b
    Examples:
      cifarlab run train_my_model.py
      cifarlab run --precision float32 train_my_model.py --epochs 5
    """
    if not script.is_file():
        raise InputError(f"{script}: no such file; give the path of a Python script")
    backend = os.environ.get("KERAS_BACKEND", "torch")
    os.environ["KERAS_BACKEND"] = "torch"
    import torch

    from cifarlab.fitting.accelerator import Accelerator, on_stderr
    from cifarlab.fitting.script import run_script
    from cifarlab.runtime.device import choose_precision

    choose_precision(precision, torch.device("cpu"))
    if backend != "torch":
        on_stderr(f"KERAS_BACKEND is {backend}; the script runs on torch")
    accelerator = Accelerator(precision=precision, strict=strict)
    return run_script(script, arguments or [], accelerator)
