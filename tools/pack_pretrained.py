"""Put a finished run's model into the package, with the figures that are measured of it.

Command: ``python -m tools.pack_pretrained runs/pretrained94-1``. The test split is read once more,
because rounding to half precision makes another model of it.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from cifarlab.classifier import Classifier
from cifarlab.data.dataset import Split
from cifarlab.errors import CifarlabError, InputError
from cifarlab.evaluation.calibration import expected_calibration_error
from cifarlab.evaluation.metrics import measure
from cifarlab.evaluation.selective import apply_threshold
from cifarlab.recipes.parts import TestTimeAugmentation
from cifarlab.recipes.recipe import Recipe
from cifarlab.runs.directory import find_run, read_json
from cifarlab.runs.record import dataset_of, read_recipe
from cifarlab.saving.pretrained import FILE, read_pretrained, write_pretrained


def pack(directory: Path, file: Path) -> dict[str, Any]:
    """Write the run's model to ``file`` and return its card.

    Raises:
        InputError: the run is not complete.
    """
    run = find_run(directory)
    if not run.metrics.exists():
        raise InputError(f"{directory}: not complete; finish it with cifarlab train --resume")
    recipe, trained = read_recipe(directory), Classifier.load(directory)
    # Written twice: the figures of the card are measured with the rounded weights.
    write_pretrained(
        file,
        trained.model,
        trained.class_names,
        recipe,
        {},
        trained.temperature,
        trained.not_sure_below,
    )
    rounded = replace(
        Classifier.from_keras(read_pretrained(file).model, trained.class_names, tta=recipe.tta),
        temperature=trained.temperature,
        not_sure_below=trained.not_sure_below,
    )
    test = dataset_of(directory).test
    card = _card(recipe, rounded, test, read_json(run.metrics), read_json(run.environment))
    write_pretrained(
        file,
        trained.model,
        trained.class_names,
        recipe,
        card,
        trained.temperature,
        trained.not_sure_below,
    )
    return card


def _card(
    recipe: Recipe,
    classifier: Classifier,
    test: Split,
    metrics: Mapping[str, Any],
    environment: Mapping[str, Any],
) -> dict[str, Any]:
    predictions = classifier.predict_split(test)
    # Without its path on the machine that trained.
    data = {name: value for name, value in metrics["dataset"].items() if name != "source"}
    below = classifier.not_sure_below
    return {
        "data": data,
        "recipe": recipe.name,
        "epochs": recipe.epochs,
        "parameters": sum(int(v.value.numel()) for v in classifier.model.variables),
        "test": {
            **measure(predictions).to_json(),
            "expected_calibration_error": expected_calibration_error(predictions),
        },
        "tta": _tta_in_words(recipe.tta),
        "without_tta": measure(replace(classifier, tta=None).predict_split(test)).to_json(),
        "temperature": classifier.temperature,
        "not_sure": None if below is None else apply_threshold(predictions, below).to_json(),
        "trained": {
            "seed": environment["options"]["seed"],
            "precision": environment["precision"],
            "hardware": environment["hardware"],
            "versions": environment["versions"],
        },
    }


def _tta_in_words(tta: TestTimeAugmentation | None) -> str:
    if tta is None:
        return "none"
    averaged = "the image and its mirror image" if tta.mirror else "the image"
    return f"{averaged}; the same shifted by {tta.shift} both ways" if tta.shift else averaged


def _trained_on_in_words(data: Mapping[str, Any]) -> str:
    seen = f"{data['train']['images']:,} training images of {data['name']}"
    held_out = data["validation"]["images"]
    chose = f"; {held_out:,} others chose the temperature and the threshold"
    return seen + chose if held_out else seen


def _not_sure_in_words(not_sure: Mapping[str, Any] | None) -> str:
    if not_sure is None or not_sure["accuracy"] is None:
        return "never said: no validation images were left to choose the threshold on"
    return (
        f"said below a confidence of {not_sure['threshold']:.1%}; of the other "
        f"{not_sure['coverage']:.1%} of the test images, {not_sure['accuracy']:.2%} are right"
    )


def page(card: dict[str, Any]) -> str:
    """Return the card as a Markdown page."""
    test, trained = card["test"], card["trained"]
    low, high = test["accuracy_interval"]
    interval = f"95% interval {low:.2%} to {high:.2%}, n={test['n']:,}"
    rows = [
        f"| {name} | {c['precision']:.1%} | {c['recall']:.1%} | {c['f1']:.1%} |"
        for name, c in test["per_class"].items()
    ]
    hardware = trained["hardware"]
    return f"""# The pretrained model

`cifarlab predict cat.jpg` uses it where there is no run; `--model cifar10` on the command line and
`Classifier.pretrained()` in Python name it. Written by `python -m tools.pack_pretrained`; \
the figures are
stored in the weights file, and a test measures them again where the real CIFAR-10 is present.

| | |
|---|---|
| task | the ten classes of CIFAR-10, images of 32x32 pixels |
| test accuracy | **{test["accuracy"]:.2%}** ({interval}) |
| top 2 | {test["top2"]:.2%} |
| cross-entropy | {test["loss"]:.4f} |
| expected calibration error | {test["expected_calibration_error"]:.2%} (15 intervals), \
with a temperature of {card["temperature"]:.3f} |
| network | `airnet`, {card["parameters"]:,} weights and statistics, half precision |
| "not sure" | {_not_sure_in_words(card["not_sure"])} |
| test-time augmentation | {card["tta"]} |
| test accuracy without it | {card["without_tta"]["accuracy"]:.2%} (`cifarlab serve --no-tta`) |
| trained on | {_trained_on_in_words(card["data"])} |
| recipe | `{card["recipe"]}` with {card["epochs"]} epochs, seed {trained["seed"]} |
| hardware | {hardware["processor"]}, {hardware["cores"]} cores, {trained["precision"]} |

| class | precision | recall | F1 |
|---|---|---|---|
{chr(10).join(rows)}

```python
import cifarlab

classifier = cifarlab.Classifier.pretrained()
print(classifier.predict("cat.jpg").top(3))
```

## Limits

- It knows ten classes and nothing else: an image of anything else gets one of the ten, often with
  high confidence. It was trained on CIFAR-10 only.
- Images are resized to 32x32 first. What cannot be recognised at that size is not recognised.
- The settings were chosen on a validation split of the training images. The test split was read
  for the figures above and not used to choose anything.
- Some labels of CIFAR-10 are wrong, and 3.3% of its test images have near-duplicates among the
  training images (Barz and Denzler, "Do we train on test data?", 2020).
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code."""
    parser = argparse.ArgumentParser(prog="python -m tools.pack_pretrained", description=__doc__)
    parser.add_argument("run", type=Path, help="a finished run's directory")
    parser.add_argument("--file", type=Path, default=FILE, help="(%(default)s)")
    parser.add_argument("--page", type=Path, default=Path("docs/model_card.md"))
    chosen = parser.parse_args(arguments)
    try:
        card = pack(chosen.run, chosen.file)
    except CifarlabError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    chosen.page.write_text(page(card), encoding="utf-8")
    print(json.dumps(card, indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main())
