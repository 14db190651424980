"""What does a file store of a model: ``.keras`` against ``.h5``?

For each seed one small model is trained, then for one step by plain Keras so that its optimizer has
a state, and saved both ways; then both files are opened, loaded and trained further.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from cifarlab.data.dataset import Dataset
from cifarlab.lessons import drawing
from cifarlab.lessons.experiment import (
    ExperimentData,
    LessonOptions,
    Say,
    Variant,
    build,
    finite,
    sample,
    setup_of,
    train,
)
from cifarlab.lessons.saved import (
    COMPARED,
    SAME,
    Attempt,
    Kept,
    compare_files,
    keras_step,
    step_values,
)
from cifarlab.lessons.words import listed
from cifarlab.recipes.baseline import BASELINE
from cifarlab.saving.safe_contents import SUFFIXES

DEFAULT = LessonOptions(images=5_000, epochs=1)


@dataclass(frozen=True, kw_only=True)
class Formats:
    """The results, file by file."""

    setup: ExperimentData
    files: tuple[Kept, ...]

    def of(self, suffix: str) -> tuple[Kept, ...]:
        """Return what files of this format store, seed by seed."""
        return tuple(kept for kept in self.files if kept.suffix == suffix)

    def to_json(self) -> dict[str, Any]:
        """Return all of it as plain values; what is not finite is null."""
        files = [dataclasses.asdict(kept) for kept in self.files]
        for file in files:
            for attempt in (file["resumed"], file["recompiled"]):
                attempt["difference"] = finite(attempt["difference"])
        return {"setup": dataclasses.asdict(self.setup), "files": files}


def run(data: Dataset, options: LessonOptions, device: str, say: Say) -> Formats:
    """Train, save, look inside, load and train on, for each seed and format.

    Raises:
        InputError, UsageError: the data cannot be used, or the options do not fit it.
        RunInterruptedError: SIGINT or SIGTERM.
        ResourceError: the disk for temporary files is full.
    """
    chosen = sample(data, options)
    variant = Variant(
        name="baseline", recipe=replace(BASELINE, epochs=options.epochs, stop=None, keep="last")
    )
    files: list[Kept] = []
    for seed in range(options.seeds):
        model = build(variant, chosen, seed)
        train(model, variant, chosen, seed, device)
        # cifarlab has optimizers of its own: until now the state of Keras's is only zeros.
        keras_step(model, step_values(chosen.train, 0, len(chosen.class_names)))
        files += compare_files(model, variant.recipe, chosen, seed)
        say(f"run {seed + 1}/{options.seeds}  seed {seed}  trained, saved as {listed(SUFFIXES)}")
    measured = min(COMPARED, len(chosen.validation))
    return Formats(
        setup=replace(setup_of(chosen, options), validation=measured), files=tuple(files)
    )


def table(result: Formats) -> tuple[Sequence[str], list[Sequence[str]]]:
    """Return the columns, and one row for each thing that a file may store."""
    lines: dict[str, Callable[[Kept], str]] = {
        "size": lambda k: f"{k.size / 1000:,.0f} kB",
        "  weights": lambda k: f"{k.weights / 1000:,.0f} kB",
        "  optimizer state": lambda k: f"{k.optimizer / 1000:,.0f} kB",
        "class names, recipe": lambda k: _yes(k.names and k.recipe),
        "weights as they were": lambda k: _differ(k.weight_difference),
        "same predictions": lambda k: _differ(k.prediction_difference),
        "optimizer loaded": lambda k: f"{k.optimizer_loaded} of {k.optimizer_had} variables",
        "fit after loading": lambda k: _went(k.resumed),
        "fit after compile=False": lambda k: _went(k.recompiled),
    }
    rows: list[Sequence[str]] = []
    for name, show in lines.items():
        # Seeds that differ are shown one after the other.
        different = [dict.fromkeys(map(show, result.of(suffix))) for suffix in SUFFIXES]
        rows.append([name, *(" / ".join(texts) for texts in different)])
    return ("", *SUFFIXES), rows


def sentences(result: Formats) -> list[str]:
    """Return the results and the conclusion in sentences."""
    resumes = {s: all(kept.resumed.exact for kept in result.of(s)) for s in SUFFIXES}
    return [
        _sizes_said(result),
        _predictions_said(result),
        *(_resuming_said(suffix, result.of(suffix)) for suffix in SUFFIXES),
        _advice(resumes),
    ]


def _sizes_said(result: Formats) -> str:
    keras_file, h5_file = (result.of(suffix)[0] for suffix in SUFFIXES)
    ratio = h5_file.size / keras_file.size
    size = "differ by less than 1% in size"
    if abs(ratio - 1) >= 0.01:
        size = f"differ in size: .h5 takes {ratio:.2f} times what .keras does"
    share = keras_file.optimizer / keras_file.size
    return f"The two files {size}; {share:.0%} of the .keras file is optimizer state."


def _predictions_said(result: Formats) -> str:
    good = [s for s in SUFFIXES if all(k.prediction_difference < SAME for k in result.of(s))]
    if len(good) == len(SUFFIXES):
        return "Loaded by plain Keras, both give the predictions that the model gave."
    if not good:
        return "Loaded by plain Keras, neither gives the predictions that the model gave."
    bad = next(suffix for suffix in SUFFIXES if suffix not in good)
    return f"Loaded by plain Keras, {good[0]} gives the model's predictions and {bad} does not."


def _resuming_said(suffix: str, files: Sequence[Kept]) -> str:
    error = next((kept.resumed.error for kept in files if kept.resumed.error), "")
    if all(kept.resumed.exact for kept in files):
        return f"{suffix}: training goes on exactly as if the model had never been saved."
    if not error:
        return f"{suffix}: training goes on after loading, but not as it would have without."
    after = "does not help"
    if not any(kept.recompiled.error for kept in files):
        after = "works, with an optimizer that starts afresh"
    return (
        f"{suffix}: training on after loading fails ({error}); loading with compile=False and "
        f"compiling anew {after}."
    )


def _advice(resumes: Mapping[str, bool]) -> str:
    good = [suffix for suffix, exact in resumes.items() if exact]
    if len(good) == len(resumes):
        return "Conclusion: either will do; .keras is the one that Keras recommends."
    if not good:
        return "Conclusion: use either for predictions; to train on, keep a checkpoint as well."
    bad = next(suffix for suffix in resumes if suffix not in good)
    return f"Conclusion: {good[0]} for what may be trained on; {bad} holds a finished model."


def draw(result: Formats) -> Figure:
    """Draw how large each file is, and what fills it."""
    title = f"Saving a model: {result.setup.dataset}, the baseline network"
    figure = drawing.new_figure(drawing.WIDTH, 2.8, title)
    axes = figure.subplots()
    firsts = [result.of(suffix)[0] for suffix in SUFFIXES]
    parts = (
        ("weights", drawing.BLUE, [k.weights for k in firsts]),
        ("optimizer state", drawing.ORANGE, [k.optimizer for k in firsts]),
        ("the rest", drawing.GREY, [k.size - k.weights - k.optimizer for k in firsts]),
    )
    left = np.zeros(len(firsts))
    for name, colour, sizes in parts:
        width = np.array(sizes) / 1000
        axes.barh(SUFFIXES, width, left=left, color=colour, label=name, height=0.55)
        left += width
    for row, kept in enumerate(firsts):
        said = f" {kept.size / 1000:,.0f} kB; fit after loading: {_went(kept.resumed)}"
        axes.text(left[row], row, said, va="center", fontsize=9)
    axes.set_xlim(0, 1.75 * left.max())
    axes.invert_yaxis()
    axes.set_xlabel("kB")
    axes.legend(frameon=False, ncols=3, loc="upper right", bbox_to_anchor=(1.0, 1.2))
    return drawing.finished(figure)


def _yes(value: bool) -> str:
    return "yes" if value else "no"


def _differ(value: float) -> str:
    return "exactly" if value == 0 else f"to {value:.1g}"


def _went(attempt: Attempt) -> str:
    if attempt.error:
        return "fails"
    return "goes on exactly" if attempt.exact else "goes on, otherwise"
