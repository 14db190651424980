"""What a reader needs to reproduce a run, from the run's record."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cifarlab.recipes.recipe import Recipe


def statement(record: Mapping[str, Any]) -> str:
    """Return which images every choice was made on, in a sentence or two."""
    held_out = record["dataset"]["validation"]["images"]
    chose = f"Every choice was made on {held_out:,} validation images"
    if not held_out:
        chose = "Every choice had been made before: all training images were trained on"
    return f"{chose}; the test images were read once, when training was over."


def provenance(
    recipe: Recipe, record: Mapping[str, Any], metrics: Mapping[str, Any]
) -> tuple[tuple[str, str], ...]:
    """Return what a reader needs to reproduce the run, as label and value."""
    data, hardware = record["dataset"], record["hardware"]
    program, *arguments = record["command"]
    timing, test = metrics["timing"], metrics["dataset"]["test"]
    seconds = timing["training_seconds"]
    versions = ", ".join(f"{name} {version}" for name, version in record["versions"].items())
    machine = f"{hardware['processor']}, {hardware['cores']} cores, {hardware['threads']} threads"
    if hardware["accelerator"]:
        machine += f", {hardware['accelerator']}"
    splits = {"training": data["train"], "validation": data["validation"], "test": test}
    counts = ", ".join(f"{split['images']:,} {name} images" for name, split in splits.items())
    optimizers = ", ".join(f"{type(o).__name__} {o.lr:g}" for o in recipe.optimizers)
    if recipe.as_compiled is not None:
        described = recipe.as_compiled.config.get("optimizer")
        named = described.get("class_name") if isinstance(described, Mapping) else described
        optimizers = f"optimizer as compiled ({named or ', '.join(recipe.as_compiled.own)})"
    seed = int(record["options"]["seed"])
    return (
        ("command", shlex.join([Path(program).name, *arguments])),
        ("recipe", f"{recipe.name}: {recipe.summary}"),
        ("options", f"batch size {recipe.batch_size:,}, {optimizers}, seed {seed}"),
        ("epochs", f"{timing['epochs']} of at most {recipe.epochs}"),
        ("time", f"{seconds:.1f} s, {timing['images_per_second']:,.0f} images/s"),
        ("data", f"{data['name']}: {counts}"),
        ("fingerprint of the test split", str(test["fingerprint"])),
        ("fingerprint of the training split", str(data["train"]["fingerprint"])),
        ("hardware", machine),
        ("precision", f"{record['precision']}, {record['reproducible']}"),
        ("versions", f"Python {record['python']}, {versions}"),
        ("source", str(record["git"] or "an installed package")),
    )
