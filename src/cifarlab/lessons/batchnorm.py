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


def arm_name(batch_norm: bool, rate: float) -> str:
    """Return what an arm is called."""
    return f"{'with' if batch_norm else 'without'}, rate {rate:g}"


def run(data: Dataset, plan: LessonOptions, device: str, say: Say) -> Experiment:
    """Train the baseline with and without batch normalisation at each learning rate.

    Raises:
        InputError, UsageError: the data cannot be used, or the plan is not for it.
        RunInterruptedError: SIGINT or SIGTERM.
    """
    plain = replace(BASELINE, epochs=plan.epochs, augment=(), stop=None, keep="last")
    variants = [
        Variant(
            name=arm_name(norm, rate),
            recipe=replace(plain, optimizers=(Adam(lr=rate),)),
            batch_norm=norm,
        )
        for rate in RATES
        for norm in (False, True)
    ]
    return compare_variants(variants, sample(data, plan), plan, device, say)


def table(result: Experiment) -> tuple[Sequence[str], list[Sequence[str]]]:
    """Return the columns and a row an arm."""
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


def _accuracies(result: Experiment, batch_norm: bool, rate: float) -> tuple[float, ...]:
    return result.of(arm_name(batch_norm, rate)).final("val_accuracy")


def _between(result: Experiment, batch_norm: bool) -> list[float]:
    """Return, seed by seed, how far the best learning rate is above the worst."""
    by_seed = zip(*(_accuracies(result, batch_norm, rate) for rate in RATES), strict=True)
    return [max(values) - min(values) for values in by_seed]


def sentences(result: Experiment) -> list[str]:
    """Say what was found, how sure that is and what to take from it."""
    verdicts = {
        f"{rate:g}": verdict(_accuracies(result, True, rate), _accuracies(result, False, rate))
        for rate in RATES
    }
    ours, theirs = _between(result, True), _between(result, False)
    steadier = verdict(ours, theirs)
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
            ours,
            theirs,
            points,
            "larger",
            "smaller",
        ),
        *certainty(result.setup.seeds, [steadier, *verdicts.values()]),
    ]
    if result.setup.seeds > 1:
        gains = [v.direction * v.sure for v in verdicts.values()]
        said.append(_advice(gains, steadier.direction * steadier.sure, result.setup.epochs))
    return said


def _advice(gains: Sequence[int], lead: int, epochs: int) -> str:
    """Choose the words by what was sure: gains at each rate, and whose lead is larger."""
    helped, harmed = any(g > 0 for g in gains), any(g < 0 for g in gains)
    if helped and harmed:
        first = "batch normalisation helped at one rate and harmed at another: choose both together"
    elif helped:
        first = "use batch normalisation" + (
            "" if min(gains) > 0 else ", where the rate asks for it"
        )
    elif harmed:
        first = f"in {epochs} epochs batch normalisation did harm here"
    else:
        first = f"in {epochs} epochs batch normalisation showed neither gain nor harm"
    second = {
        -1: "with it the learning rate mattered less.",
        0: "that the rate matters less with it is not sure.",
        1: "with it the learning rate mattered more, not less.",
    }[lead]
    return f"Take from it: {first}; {second}"


def draw(result: Experiment) -> Figure:
    """Draw validation accuracy by epoch, a panel for each learning rate."""
    title = drawing.heading("Batch normalisation", result.setup)
    figure, axes = drawing.panels(title, len(RATES), share_y=True)
    for panel, rate in zip(axes, RATES, strict=True):
        for norm, name, colour, line in (
            (True, "with", drawing.BLUE, "-"),
            (False, "without", drawing.ORANGE, "--"),
        ):
            courses = result.of(arm_name(norm, rate)).courses("val_accuracy")
            drawing.course(panel, name, courses, colour, line)
        drawing.label_epochs(panel, f"learning rate {rate:g}", as_percent=True)
    axes[0].set_ylabel("validation accuracy")
    axes[-1].legend(frameon=False)
    return drawing.finished(figure)
