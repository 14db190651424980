"""How does augmenting the training images change overfitting?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

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
from cifarlab.lessons.measuring import accuracy_on
from cifarlab.lessons.words import (
    certainty,
    compare_in_words,
    grouped,
    percent,
    points,
    spread,
    verdict,
)
from cifarlab.recipes.baseline import BASELINE
from cifarlab.recipes.parts import Augmentation, Cutout, Flip, Translate

DEFAULT = LessonOptions(images=10_000, epochs=12)
NONE = "none"
SQUARE = 8
AUGMENTATIONS: dict[str, tuple[Augmentation, ...]] = {
    NONE: (),
    "mirror": (Flip(),),
    "mirror + shift": (Flip(), Translate(pixels=2)),
    "mirror + shift + cutout": (Flip(), Translate(pixels=2), Cutout(size=SQUARE)),
}
COLOURS = (drawing.GREY, drawing.BLUE, drawing.GREEN, drawing.ORANGE)


def run(data: Dataset, options: LessonOptions, device: str, say: Say) -> Experiment:
    """Train the baseline with each set of augmentations.

    Raises:
        InputError, UsageError: the data cannot be used, or the options do not fit it.
        RunInterruptedError: SIGINT or SIGTERM.
    """
    plain = replace(BASELINE, epochs=options.epochs, stop=None, keep="last")
    variants = [
        Variant(name=name, recipe=replace(plain, augment=specs))
        for name, specs in AUGMENTATIONS.items()
    ]
    return compare_variants(variants, sample(data, options), options, device, say, after=_after)


def _after(model: Any, data: Dataset, device: str) -> Mapping[str, float]:
    # Training itself reports the accuracy on augmented images, of a network that still changes.
    return {"train_accuracy": accuracy_on(model, data.train, device)}


def gaps(outcome: Outcome) -> tuple[float, ...]:
    """Return training minus validation accuracy, seed by seed, both on unchanged images."""
    pairs = zip(outcome.measured("train_accuracy"), outcome.final("val_accuracy"), strict=True)
    return tuple(train - validation for train, validation in pairs)


def table(result: Experiment) -> tuple[Sequence[str], list[Sequence[str]]]:
    """Return the columns, and one row per variant."""
    rows: list[Sequence[str]] = [
        (
            o.variant,
            spread(o.measured("train_accuracy"), percent),
            spread(o.final("val_accuracy"), percent),
            spread(gaps(o), lambda value: f"{100 * value:.1f}"),
        )
        for o in result.outcomes
    ]
    return ("", "train accuracy", "val accuracy", "gap in points"), rows


def sentences(result: Experiment) -> list[str]:
    """Return the results in sentences: what, how certain, and the conclusion."""
    none = result.of(NONE)
    others = [o for o in result.outcomes if o.variant != NONE]
    strongest = others[-1]
    plain = none.final("val_accuracy")
    verdicts = {o.variant: verdict(o.final("val_accuracy"), plain) for o in others}
    gap = verdict(gaps(strongest), gaps(none))
    said = [
        compare_in_words(
            "The gap between training and validation accuracy",
            f"with {strongest.variant}",
            "without any augmentation",
            gaps(strongest),
            gaps(none),
            points,
            "wider",
            "narrower",
        ),
        grouped("Validation accuracy against no augmentation", verdicts, result.setup.seeds),
        *certainty(result.setup.seeds, [gap, *verdicts.values()]),
    ]
    if result.setup.seeds > 1:
        better = [name for name, v in verdicts.items() if v.surely_higher]
        worse = [name for name, v in verdicts.items() if v.surely_lower]
        said.append(_advice(better, worse, narrower=gap.surely_lower, epochs=result.setup.epochs))
    return said


def _advice(better: Sequence[str], worse: Sequence[str], *, narrower: bool, epochs: int) -> str:
    if better and not worse:
        return f"Conclusion: augment; {better[0]} is the least that showed a gain here."
    if better:
        return (
            f"Conclusion: augmentation can help and harm; {better[0]} helped, {worse[0]} harmed, "
            f"in {epochs} epochs."
        )
    if narrower:
        tail = "and accuracy fell" if worse else "but accuracy did not rise for sure"
        return (
            f"Conclusion: the gap closed {tail} in {epochs} epochs; a narrow gap by itself is "
            "no gain. Whether longer training changes that, --epochs will show."
        )
    if worse:
        return f"Conclusion: in {epochs} epochs augmentation did harm; try more with --epochs."
    return f"Conclusion: in {epochs} epochs nothing showed; try more with --epochs."


def draw(result: Experiment) -> Figure:
    """Draw validation accuracy by epoch, and the gap that is left in each variant."""
    title = drawing.heading("Augmentation", result.setup)
    figure, (left, right) = drawing.panels(title, 2)
    for outcome, colour in zip(result.outcomes, COLOURS, strict=True):
        drawing.course(left, outcome.variant, outcome.courses("val_accuracy"), colour)
    drawing.label_epochs(left, "validation accuracy", as_percent=True)
    left.legend(frameon=False, loc="lower right")
    train = [(o.variant, o.measured("train_accuracy"), drawing.BLUE) for o in result.outcomes]
    held_out = [(o.variant, o.final("val_accuracy"), drawing.ORANGE) for o in result.outcomes]
    for groups, colour, name in (
        (train, drawing.BLUE, "training images"),
        (held_out, drawing.ORANGE, "validation images"),
    ):
        drawing.dots(right, groups)
        right.plot([], [], "o", color=colour, label=name)
    right.set_title("accuracy at the end; the distance is the gap", fontsize=11)
    right.xaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    right.legend(frameon=False, loc="lower right")
    return drawing.finished(figure)
