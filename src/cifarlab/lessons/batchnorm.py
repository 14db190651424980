"""What does batch normalisation do, and does it make the learning rate matter less?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from matplotlib.figure import Figure

from cifarlab.data.dataset import Dataset
from cifarlab.lessons import drawing
from cifarlab.lessons.experiment import (
    Experiment,
    LessonOptions,
    Say,
    Variant,
    compare_variants,
    sample,
)
from cifarlab.lessons.words import (
    Verdict,
    certainty,
    compare_in_words,
    grouped,
    number,
    percent,
    points,
    spread,
    verdict,
)
from cifarlab.recipes.baseline import BASELINE
from cifarlab.recipes.parts import Adam

DEFAULT = LessonOptions(images=10_000, epochs=5)
RATES = (1e-4, 1e-3, 1e-2)


def variant_name(rate: float, *, batch_norm: bool) -> str:
    """Return the name of a variant.

    Example:
        >>> variant_name(0.001, batch_norm=True)
        'with, rate 0.001'
    """
    return f"{'with' if batch_norm else 'without'}, rate {rate:g}"


def run(data: Dataset, options: LessonOptions, device: str, say: Say) -> Experiment:
    """Train the baseline with and without batch normalisation at each learning rate.

    Raises:
        InputError, UsageError: the data cannot be used, or the options do not fit it.
        RunInterruptedError: SIGINT or SIGTERM.
    """
    plain = replace(BASELINE, epochs=options.epochs, augment=(), stop=None, keep="last")
    variants = [
        Variant(
            name=variant_name(rate, batch_norm=norm),
            recipe=replace(plain, optimizers=(Adam(lr=rate),)),
            batch_norm=norm,
        )
        for rate in RATES
        for norm in (False, True)
    ]
    return compare_variants(variants, sample(data, options), options, device, say)


def table(result: Experiment) -> tuple[Sequence[str], list[Sequence[str]]]:
    """Return the columns, and one row per variant."""
    rows: list[Sequence[str]] = [
        (
            outcome.variant,
            spread(outcome.final("val_accuracy"), percent),
            spread(outcome.final("val_loss"), number),
            str(sum(trial.diverged for trial in outcome.trials)),
        )
        for outcome in result.outcomes
    ]
    return ("batch normalisation", "val accuracy", "val loss", "diverged"), rows


def _accuracies(result: Experiment, rate: float, *, batch_norm: bool) -> tuple[float, ...]:
    return result.of(variant_name(rate, batch_norm=batch_norm)).final("val_accuracy")


def _between(result: Experiment, *, batch_norm: bool) -> list[float]:
    """Return, seed by seed, how far the best learning rate is above the worst."""
    by_rate = [_accuracies(result, rate, batch_norm=batch_norm) for rate in RATES]
    return [max(values) - min(values) for values in zip(*by_rate, strict=True)]


def sentences(result: Experiment) -> list[str]:
    """Return the results in sentences: what, how certain, and the conclusion."""
    verdicts = {
        f"{rate:g}": verdict(
            _accuracies(result, rate, batch_norm=True), _accuracies(result, rate, batch_norm=False)
        )
        for rate in RATES
    }
    with_norm = _between(result, batch_norm=True)
    without_norm = _between(result, batch_norm=False)
    lead = verdict(with_norm, without_norm)
    said = [
        grouped(
            "Validation accuracy with batch normalisation against without, by learning rate",
            verdicts,
            result.setup.seeds,
        ),
        compare_in_words(
            f"From rate {min(RATES):g} to {max(RATES):g}, the best rate's lead over the worst",
            "with batch normalisation",
            "without",
            with_norm,
            without_norm,
            points,
            "larger",
            "smaller",
        ),
        *certainty(result.setup.seeds, [lead, *verdicts.values()]),
    ]
    if result.setup.seeds > 1:
        said.append(_advice(list(verdicts.values()), lead, result.setup.epochs))
    return said


def _advice(gains: Sequence[Verdict], lead: Verdict, epochs: int) -> str:
    """Choose the words by what is sure: the gain at each rate, and which lead is larger."""
    helped = any(gain.surely_higher for gain in gains)
    harmed = any(gain.surely_lower for gain in gains)
    if helped and harmed:
        first = "batch normalisation helped at one rate and harmed at another: choose both together"
    elif helped:
        first = "use batch normalisation"
        if not all(gain.surely_higher for gain in gains):
            first += ", where the rate asks for it"
    elif harmed:
        first = f"in {epochs} epochs batch normalisation did harm here"
    else:
        first = f"in {epochs} epochs batch normalisation showed neither gain nor harm"
    second = "that the rate matters less with it is not sure."
    if lead.surely_lower:
        second = "with it the learning rate mattered less."
    elif lead.surely_higher:
        second = "with it the learning rate mattered more, not less."
    return f"Conclusion: {first}; {second}"


def draw(result: Experiment) -> Figure:
    """Draw validation accuracy by epoch, one panel per learning rate."""
    title = drawing.heading("Batch normalisation", result.setup)
    figure, axes = drawing.panels(title, len(RATES), share_y=True)
    for panel, rate in zip(axes, RATES, strict=True):
        for norm, name, colour, line in (
            (True, "with", drawing.BLUE, "-"),
            (False, "without", drawing.ORANGE, "--"),
        ):
            courses = result.of(variant_name(rate, batch_norm=norm)).courses("val_accuracy")
            drawing.course(panel, name, courses, colour, line)
        drawing.label_epochs(panel, f"learning rate {rate:g}", as_percent=True)
    axes[0].set_ylabel("validation accuracy")
    axes[-1].legend(frameon=False)
    return drawing.finished(figure)
