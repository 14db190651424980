"""What does stopping early save, and what does it prevent?

Each seed trains once to the end, at a constant learning rate; where early stopping would have
ended that run is read off its history.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from matplotlib.figure import Figure

from cifarlab.data.dataset import Dataset
from cifarlab.lessons import drawing
from cifarlab.lessons.experiment import (
    Experiment,
    LessonOptions,
    Say,
    Trial,
    Variant,
    compare_variants,
    sample,
)
from cifarlab.lessons.words import compare_in_words, mean, number, percent, spread, verdict
from cifarlab.recipes.baseline import BASELINE
from cifarlab.recipes.parts import Constant

DEFAULT = LessonOptions(images=10_000, epochs=20)
PATIENCE = 3
TO_THE_END = "to the end"


@dataclass(frozen=True, kw_only=True)
class Stop:
    """Where early stopping ends a run.

    Attributes:
        after: epochs trained until then; all of them where it does not stop.
        kept: the epoch (from 1) with the lowest validation loss so far.
    """

    after: int
    kept: int


def stop_of(losses: Sequence[float], patience: int = PATIENCE) -> Stop:
    """Return where a run with these validation losses, one per epoch, would have stopped.

    As ``keras.callbacks.EarlyStopping`` does: after ``patience`` epochs without a new lowest.

    Example:
        >>> stop_of([1.0, 0.8, 0.9, 0.9, 0.7], patience=2)
        Stop(after=4, kept=2)
    """
    kept = 1
    for epoch, loss in enumerate(losses, start=1):
        if loss < losses[kept - 1]:
            kept = epoch
        if epoch - kept >= patience:
            return Stop(after=epoch, kept=kept)
    return Stop(after=len(losses), kept=kept)


def run(data: Dataset, options: LessonOptions, device: str, say: Say) -> Experiment:
    """Train the baseline to the end, once per seed.

    Raises:
        InputError, UsageError: the data cannot be used, or the options do not fit it.
        RunInterruptedError: SIGINT or SIGTERM.
    """
    recipe = replace(
        BASELINE, epochs=options.epochs, schedule=Constant(), augment=(), stop=None, keep="last"
    )
    return compare_variants(
        [Variant(name=TO_THE_END, recipe=recipe)], sample(data, options), options, device, say
    )


def _stops(result: Experiment) -> list[tuple[Trial, Stop]]:
    trials = result.of(TO_THE_END).trials
    return [(t, stop_of([row["val_loss"] for row in t.history])) for t in trials]


def _kept(result: Experiment, column: str) -> list[float]:
    return [trial.history[stop.kept - 1][column] for trial, stop in _stops(result)]


def _seconds(trial: Trial, epochs: int) -> float:
    return sum(row["seconds"] for row in trial.history[:epochs])


def table(result: Experiment) -> tuple[Sequence[str], list[Sequence[str]]]:
    """Return the columns, and a row for each way to end a run."""
    stops, end = _stops(result), result.of(TO_THE_END)
    rows: list[Sequence[str]] = [
        (
            "stopped early",
            spread([float(stop.after) for _, stop in stops], lambda value: f"{value:.3g}"),
            spread([_seconds(trial, stop.after) for trial, stop in stops], _duration),
            spread(_kept(result, "val_loss"), number),
            spread(_kept(result, "val_accuracy"), percent),
        ),
        (
            TO_THE_END,
            str(result.setup.epochs),
            spread([_seconds(trial, len(trial.history)) for trial, _ in stops], _duration),
            spread(end.final("val_loss"), number),
            spread(end.final("val_accuracy"), percent),
        ),
    ]
    return ("", "epochs", "time", "val loss", "val accuracy"), rows


def sentences(result: Experiment) -> list[str]:
    """Return the results in sentences: what, how certain, and the conclusion."""
    stops, planned = _stops(result), result.setup.epochs
    cut = sum(stop.after < planned for _, stop in stops)
    if not cut:
        return [
            f"Early stopping with patience {PATIENCE} would have ended "
            f"{'the run' if len(stops) == 1 else 'none of the runs'} before epoch {planned}: it "
            "saved nothing here.",
            *_late(stops),
            "Conclusion: nothing yet; --epochs with a larger number may show more.",
        ]
    end = result.of(TO_THE_END)
    names = ("with early stopping", "at the end")
    losses, accuracies = _kept(result, "val_loss"), _kept(result, "val_accuracy")
    return [
        _saving(stops, planned),
        compare_in_words("Validation loss", *names, losses, end.final("val_loss"), number)
        + " (It flatters the first a little, whose epoch was chosen by that very loss.)",
        compare_in_words(
            "Validation accuracy", *names, accuracies, end.final("val_accuracy"), percent
        ),
        *_late(stops),
        _advice(
            verdict(losses, end.final("val_loss")).direction,
            verdict(accuracies, end.final("val_accuracy")).direction,
            len(stops),
        ),
    ]


def _saving(stops: Sequence[tuple[Trial, Stop]], planned: int) -> str:
    cut = sum(stop.after < planned for _, stop in stops)
    used = sum(_seconds(trial, stop.after) for trial, stop in stops)
    whole = sum(_seconds(trial, planned) for trial, _ in stops)
    which = "the run" if len(stops) == 1 else f"{cut} of {len(stops)} runs"
    after = mean([float(stop.after) for _, stop in stops])
    return (
        f"Early stopping with patience {PATIENCE} would have ended {which} before the end, after "
        f"{after:.3g} of {planned} epochs{' on average' if len(stops) > 1 else ''}, which saves "
        f"{_duration(whole - used)} of {_duration(whole)}."
    )


def _late(stops: Sequence[tuple[Trial, Stop]]) -> list[str]:
    """Say how often the lowest loss of all came only after the stop."""
    late = 0
    for trial, stop in stops:
        losses = [row["val_loss"] for row in trial.history]
        if min(losses) < losses[stop.kept - 1]:
            late += 1
    if not late:
        return []
    return [
        f"In {late} of {len(stops)} runs a lower validation loss came only after the stop: there "
        f"a patience of {PATIENCE} was too short."
    ]


def _advice(loss: int, accuracy: int, seeds: int) -> str:
    """Choose the words by directions: -1 where the kept epoch has the lower number."""
    runs = "in this one run" if seeds == 1 else "in every run"
    if loss < 0 and accuracy < 0:
        return (
            f"Conclusion: the two measures disagree {runs}. The later weights were right more "
            "often, yet their probabilities were worse by the loss; stop by the measure that you "
            "care for."
        )
    if loss < 0 and accuracy > 0:
        return f"Conclusion: training on did harm {runs}; stop early and keep the best epoch."
    if loss < 0:
        return (
            "Conclusion: stop early, for the time and the loss; for accuracy alone, training "
            "on neither helped nor harmed for sure."
        )
    return "Conclusion: here early stopping saved time; what it prevented did not show."


def draw(result: Experiment) -> Figure:
    """Draw every run's loss and accuracy, with the epoch kept and the one stopped after."""
    setup = result.setup
    title = f"Early stopping: {setup.dataset}, {setup.images:,} training images"
    figure, axes = drawing.panels(f"{title}, patience {PATIENCE}, one line per seed", 2)
    for panel, measure in zip(axes, ("loss", "accuracy"), strict=True):
        for seed, (trial, stop) in enumerate(_stops(result)):
            train = [row[measure] for row in trial.history]
            held_out = [row[f"val_{measure}"] for row in trial.history]
            names = ["training", "validation", "kept", "stopped after"]
            if seed > 0:
                # Matplotlib leaves such names out of the legend: one seed's lines are enough.
                names = [f"_{name}" for name in names]
            epochs = range(1, len(train) + 1)
            panel.plot(epochs, train, "--", color=drawing.BLUE, lw=1.2, label=names[0])
            panel.plot(epochs, held_out, "-", color=drawing.ORANGE, lw=1.2, label=names[1])
            marks = ((stop.kept, "o", names[2]), (stop.after, "x", names[3]))
            for epoch, mark, name in marks:
                panel.plot(
                    [epoch],
                    [held_out[epoch - 1]],
                    mark,
                    color="black",
                    fillstyle="none",
                    markersize=9,
                    zorder=5,
                    label=name,
                )
        drawing.label_epochs(panel, measure, as_percent=measure == "accuracy")
        panel.legend(frameon=False)
    return drawing.finished(figure)


def _duration(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds >= 10 else f"{seconds:.1f} s"
