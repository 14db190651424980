"""Does it help to scale pixels from 0 to 255 down to [0, 1]?"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from matplotlib.figure import Figure

from cifarlab.data.dataset import Dataset
from cifarlab.lessons import drawing
from cifarlab.lessons.experiment import (
    Experiment,
    LessonOptions,
    Outcome,
    Say,
    Variant,
    compare_variants,
    sample,
)
from cifarlab.lessons.measuring import first_gradient
from cifarlab.lessons.words import (
    Verdict,
    certainty,
    compare_in_words,
    mean,
    number,
    percent,
    spread,
    verdict,
)
from cifarlab.recipes.baseline import BASELINE
from cifarlab.recipes.parts import ModelSpec

DEFAULT = LessonOptions(images=15_000, epochs=6)
TARGET = 0.6
SCALED, RAW = "scaled", "raw"
SCALED_NORM, RAW_NORM = "scaled, batch norm", "raw, batch norm"


def variants(epochs: int) -> tuple[Variant, ...]:
    """Return the baseline, scaled and raw, without batch normalisation and with it."""
    plain = replace(BASELINE, epochs=epochs, augment=(), stop=None, keep="last")
    raw = replace(plain, model=ModelSpec(name="baseline", arguments={"scale": 1.0}))
    return (
        Variant(name=SCALED, recipe=plain, batch_norm=False),
        Variant(name=RAW, recipe=raw, batch_norm=False),
        Variant(name=SCALED_NORM, recipe=plain),
        Variant(name=RAW_NORM, recipe=raw),
    )


def run(data: Dataset, options: LessonOptions, device: str, say: Say) -> Experiment:
    """Train the four variants; the length of the first gradient is measured before.

    Raises:
        InputError, UsageError: the data cannot be used, or the options do not fit it.
        RunInterruptedError: SIGINT or SIGTERM.
    """
    chosen = sample(data, options)
    return compare_variants(variants(options.epochs), chosen, options, device, say, before=_before)


def _before(model: Any, variant: Variant, data: Dataset, seed: int) -> Mapping[str, float]:
    return {"first_gradient": first_gradient(model, variant.recipe, data, seed)}


def epochs_to(outcome: Outcome, target: float) -> tuple[float, ...]:
    """Return, seed by seed, the first epoch (from 1) with that validation accuracy, or inf."""
    return tuple(
        next((float(i) for i, value in enumerate(course, start=1) if value >= target), math.inf)
        for course in outcome.courses("val_accuracy")
    )


def table(result: Experiment) -> tuple[Sequence[str], list[Sequence[str]]]:
    """Return the columns, and one row per variant."""
    columns = ("", f"to {TARGET:.0%}", "val accuracy", "val loss", "first gradient")
    rows: list[Sequence[str]] = [
        (
            outcome.variant,
            _reached(epochs_to(outcome, TARGET), result.setup.epochs),
            spread(outcome.final("val_accuracy"), percent),
            spread(outcome.final("val_loss"), number),
            spread(outcome.measured("first_gradient"), _length),
        )
        for outcome in result.outcomes
    ]
    return columns, rows


def sentences(result: Experiment) -> list[str]:
    """Return the results in sentences: what, how certain, and the conclusion."""
    names = ("with scaled pixels", "with raw ones")
    said, verdicts, longer = [], [], []
    for subject, scaled, raw in (
        ("Without batch normalisation, validation accuracy", result.of(SCALED), result.of(RAW)),
        ("With it, validation accuracy", result.of(SCALED_NORM), result.of(RAW_NORM)),
    ):
        first, second = scaled.final("val_accuracy"), raw.final("val_accuracy")
        said.append(compare_in_words(subject, *names, first, second, percent))
        verdicts.append(verdict(first, second))
        gradients = mean(raw.measured("first_gradient")), mean(scaled.measured("first_gradient"))
        longer.append(gradients[0] / gradients[1])
    said.append(
        f"Without batch normalisation, the first gradient was {_times(longer[0])} as long with "
        f"raw pixels as with scaled ones; with it, {_times(longer[1])}."
    )
    said += certainty(result.setup.seeds, verdicts)
    if result.setup.seeds > 1:
        said.append(_advice(plain=verdicts[0], normalised=verdicts[1]))
    return said


def _advice(*, plain: Verdict, normalised: Verdict) -> str:
    """Choose the words by what is sure of scaling, without batch normalisation and with it."""
    if plain.surely_lower or normalised.surely_lower:
        advice = "scaling did harm here, so it is no rule; measure it on your own network."
    elif plain.surely_higher and normalised.surely_higher:
        advice = "scale the pixels, with batch normalisation or without."
    elif plain.surely_higher:
        advice = (
            "scale the pixels where no layer normalises; with batch normalisation after the first "
            "convolution no gain is sure."
        )
    elif normalised.surely_higher:
        advice = "a gain is sure with batch normalisation only; measure it on your own network."
    else:
        advice = (
            "nothing here tells for or against scaling; a difference, if there is one, is too "
            "small for so few seeds."
        )
    return f"Conclusion: {advice}"


def draw(result: Experiment) -> Figure:
    """Draw validation accuracy by epoch, and the lengths of the first gradients."""
    figure, (left, right) = drawing.panels(drawing.heading("Scaling the pixels", result.setup), 2)
    styles = (
        (SCALED, drawing.BLUE, "--"),
        (RAW, drawing.ORANGE, "--"),
        (SCALED_NORM, drawing.BLUE, "-"),
        (RAW_NORM, drawing.ORANGE, "-"),
    )
    for name, colour, line in styles:
        drawing.course(left, name, result.of(name).courses("val_accuracy"), colour, line)
    drawing.label_epochs(left, "validation accuracy", as_percent=True)
    left.axhline(TARGET, color=drawing.GREY, linewidth=0.8, linestyle=":")
    left.legend(frameon=False, loc="lower right")
    groups = [(name, result.of(name).measured("first_gradient"), c) for name, c, _ in styles]
    drawing.dots(right, groups)
    drawing.logarithmic(right)
    right.set_title("length of the first gradient (log scale)", fontsize=11)
    return drawing.finished(figure)


def _reached(epochs: Sequence[float], planned: int) -> str:
    reached = [value for value in epochs if math.isfinite(value)]
    if not reached:
        return f"not in {planned}"
    missed = len(epochs) - len(reached)
    shown = spread(reached, lambda value: f"{value:.2g}")
    return f"{shown}\nnot: {missed} of {len(epochs)}" if missed else shown


def _times(ratio: float) -> str:
    return f"{ratio:,.0f} times" if ratio >= 10 else f"{ratio:.2g} times"


def _length(value: float) -> str:
    return f"{value:,.0f}" if value >= 10 else f"{value:.2f}"
